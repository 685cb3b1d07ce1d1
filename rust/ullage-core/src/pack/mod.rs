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
//! - The same problem and strategy give the same plan, but for a search that the time limit or an interruption cuts
//!   short. Only the search reads a clock.
//!
//! # How
//!
//! `supply` joins kinds of equal capacity and drops bins that no plan needs. `bounds` gives the lower bounds and the
//! cheap proofs of infeasibility, `first_fit` and `best_fit` the decreasing heuristics in O(n log n), `search` the exact
//! depth-first branch and bound, `columns` branch and price for bins that are all alike, and [`solve`](fn@solve)
//! chooses among them.

mod best_fit;
mod bounds;
mod columns;
mod decreasing;
mod first_fit;
mod instance;
mod packing;
mod plan;
mod problem;
mod search;
mod solve;
mod supply;
#[cfg(test)]
mod tests;
mod validate;
mod waiting;

pub use crate::solving::{Limits, Status};
pub use instance::{Instance, parse_bpp, parse_csv, read_instance};
pub use plan::{Infeasibility, Plan, PlannedBin, Proof};
pub use problem::{BinKind, Item, Problem};
pub use solve::{Strategy, solve};
pub use validate::validate;
