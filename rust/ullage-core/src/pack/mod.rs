//! Bin packing: which model goes to which device, in as few devices as possible.
//!
//! # The world
//!
//! A [`Problem`] has items, each with a size in bytes, and kinds of bins, each with a capacity and a number of
//! copies. Classical bin packing is one kind with as many copies as needed; a rack of unlike GPUs is several kinds
//! with one or a few copies each. Every item goes whole into one bin, the sizes in a bin sum to at most its
//! capacity, and the number of bins that hold something is to be small. An item of size zero still goes somewhere.
//!
//! # What is not modelled
//!
//! Bins have no price: ten bytes left in a small bin and in a large one count the same, and among plans with equally
//! many bins the kinds used are nobody's aim. Items have one size: no second dimension (bandwidth, slots), no
//! alignment, no fragmentation, no workspace that two items could share. There are no pairs that must stay together
//! or apart, no cost of moving what already stands somewhere, and no item may be split.
//!
//! # Invariants
//!
//! - A [`Plan`] never puts more into a bin than fits; every item is in exactly one bin or listed as unplaced.
//! - [`Status::Optimal`] means proven: the plan uses as many bins as its lower bound. [`Status::Infeasible`] means
//!   proven too, and carries the reason as data ([`Infeasibility`]).
//! - [`validate`](fn@validate) checks all of this from the problem and the plan alone; it shares no code with the
//!   solvers and knows the bounds only by their definitions.
//! - The same problem, strategy and seed give the same plan, but for work that the time limit or an interruption cuts
//!   short.
//!
//! # How
//!
//! `supply` joins kinds of equal capacity and drops bins that no plan needs; `order` sorts the items. `bounds` gives the
//! lower bounds and the cheap proofs of infeasibility, `reduce` the bins that some best plan has, `heuristics` what packs in
//! one pass and bin by bin, `local` the search among packings with fewer bins. Exact are `columns`, branch and price for
//! bins that are alike, `completion`, for few items in such bins, and `search`, for bins of any capacity.
//! [`solve`](fn@solve) chooses among them, by [`Strategy`].

mod assignment;
mod bounds;
mod columns;
mod completion;
mod heuristics;
mod instance;
mod local;
mod order;
mod packing;
mod plan;
mod problem;
mod reduce;
mod search;
mod solve;
mod strategy;
mod subsets;
mod supply;
#[cfg(test)]
mod tests;
mod types;
mod validate;

pub use crate::solving::{Limits, Status};
pub use assignment::check_assignment;
pub use bounds::{Bounds, bounds};
pub use instance::{
    Content, Instance, VectorInstance, VectorItem, parse_azure, parse_bpp, parse_content, parse_csp,
    parse_csv, parse_openb, parse_vbp, read_instance,
};
pub use plan::{DualFunction, Infeasibility, Plan, PlannedBin, Proof};
pub(crate) use problem::unique;
pub use problem::{BinKind, Item, Problem};
pub use solve::solve;
pub use strategy::Strategy;
pub use validate::validate;
