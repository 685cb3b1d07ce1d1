//! Placement: which model goes to which device, where neither are alike.
//!
//! # The world
//!
//! A [`Problem`] has items with a demand for every resource (memory first, then what else there is: bandwidth, host
//! memory, slots), and kinds of devices with capacities, a reserve, a cost and a number of copies. An item goes whole
//! onto one device, or as equal replicas onto as many different ones. [`Rule`]s pin items, keep them together or apart.
//!
//! What is best is decided in this order:
//!
//! 1. the value of what is placed: all of it where [`Keep::All`] is asked, else as much as possible;
//! 2. in a [`repack`](fn@repack), the bytes that are moved;
//! 3. the cost of the devices in use. Where every device costs 1, that is their number.
//!
//! An item counts as placed with all its replicas and with all that must stay together with it, or not at all.
//!
//! # What is not modelled
//!
//! Models that are split over devices, demands that depend on the device, demands that two items share, and time. Among
//! placements of equal value and cost none is preferred.
//!
//! # Invariants
//!
//! - A [`Placement`] never holds more than fits and breaks no rule, also where it is incomplete.
//! - [`Status::Optimal`] and [`Status::Infeasible`] mean proven, with integers. An infeasible answer names demands that
//!   cannot be met together ([`Conflict`]), as few as the effort allows, and says whether they are proven to be minimal.
//! - [`validate`](fn@validate) checks all of this but the proofs, and shares no code with the solvers.
//! - The same problem, strategy and seed give the same placement, but for work that the time limit or an interruption
//!   cuts short.

mod active;
mod answer;
mod blame;
mod bounds;
mod conflict;
mod derived;
mod explain;
mod flat;
mod fragmentation;
mod greedy;
mod improve;
mod memo;
mod model;
mod problem;
mod repack;
mod search;
mod solve;
mod state;
mod steps;
#[cfg(test)]
mod tests;
mod validate;

pub use crate::solving::{Limits, Status};
pub use answer::{PlacedBin, Placement, Proof};
pub use conflict::{Conflict, Demand};
pub use explain::explain;
pub use fragmentation::{Fragmentation, fragmentation};
pub use problem::{Item, Keep, Kind, Problem, Resource, Rule, Spot};
pub use repack::{Changes, Device, Repacking, changed, repack};
pub use solve::{Strategy, solve};
pub use steps::{Step, validate_repacking};
pub use validate::validate;
