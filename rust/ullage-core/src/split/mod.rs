//! Splits: which layers of a model go to which device, and how fast a token is then.
//!
//! # The world
//!
//! A [`Chain`] is a model as [`Piece`]s that run one after another, each with the bytes it holds and reads, the
//! operations it does and the bytes it hands on. Places are devices with memory, a bandwidth and perhaps a peak of
//! operations.
//!
//! - [`Problem`] and [`solve`](fn@solve): a *pipeline*. Every place takes a run of pieces, and hands what it made to the
//!   next over a link.
//! - [`tiers`]: GPU, host and disk. Any piece may lie in any tier; what lies low is slow, or is fetched.
//! - [`parallel`]: tensor-parallel groups, in which every device holds a share of every piece, as places of a pipeline.
//!
//! ```text
//!  pieces   │ embed │ 0 │ 1 │ 2 │ 3 │ 4 │ 5 │ head │
//!           └──────┬───────┴────┬───┴────────┬─────┘
//!  stages       gpu0 ──link──► gpu1 ──link──► gpu2      latency     sum of stages and links
//!                                                       bottleneck  slowest stage or link
//! ```
//!
//! # What the times are
//!
//! Estimates by the roofline: a piece takes as long as the slower of reading its bytes at the bandwidth and doing its
//! operations at the peak. Overheads of kernels, contention for a link and caches are not modelled. Times are whole
//! picoseconds, so that what is proven about a split is exact for the model of it.
//!
//! # Invariants
//!
//! - Every piece is in exactly one place, runs are contiguous, and what a place holds (weights, state, every shared
//!   tensor once, the largest workspace) is within what it can.
//! - [`Status::Optimal`] and [`Status::Infeasible`] are proven, the latter with a reason as data.
//! - [`validate`](fn@validate) and [`tiers::validate`] share no code with the solvers.
//! - The same problem gives the same split, unless time or an interruption cuts the work short.

mod answer;
mod blame;
mod chain;
mod of_model;
pub mod pace;
pub mod parallel;
mod problem;
mod route;
mod search;
mod segment;
mod solve;
#[cfg(test)]
mod tests;
pub mod tiers;
mod validate;

pub use crate::solving::{Limits, Status};
pub use answer::{Infeasibility, Split, Stage};
pub use chain::{Chain, Piece, Shared};
pub use of_model::{Anatomy, Detail, Part};
pub use pace::Link;
pub use problem::{Links, Objective, Order, Place, Problem, WHOLE, fill};
pub use solve::solve;
pub use validate::validate;
