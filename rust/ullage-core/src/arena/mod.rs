//! Arenas: where each buffer lies in one block of memory, given from when until when it is needed.
//!
//! # The world
//!
//! A [`Problem`] has buffers, each with a size in bytes and a lifetime `[lower, upper)` in any unit of time. A
//! [`Layout`] gives every buffer an offset, so that no two that are alive at once share a byte; its *height* is where
//! the highest ends, and is to be small. This is dynamic storage allocation, also called offset calculation or
//! two-dimensional strip packing with one coordinate given, and NP-hard.
//!
//! ```text
//! offset                                  sizes stand upright, lifetimes lie along
//!   3 ┤   ┌──────┐  b
//!   2 ┤   │      │┌─────┐ c               at every instant the sizes of what is alive add up to the *load*;
//!   1 ┼───┴──┐   ││     │                 no layout is lower than the highest load
//!     │  a   │   ││     │
//!   0 └──────┴───┴┴─────┴──► time
//! ```
//!
//! # What is not modelled
//!
//! A buffer lies in one place for its whole life: nothing moves, nothing grows. There is one block: no second kind of
//! memory, no banks, no cost of an address. Lifetimes are given: nothing is computed again to shorten one. Buffers share
//! bytes on purpose only as a group at one offset, which is as large as the largest of them throughout ([`Conditions`]).
//! A gap in a life frees all bytes of a buffer, not a part of them.
//!
//! # Invariants
//!
//! - Every offset is a multiple of the buffer's alignment and the one that is fixed, and no two buffers that use their
//!   bytes at once share a byte, but for a group. A buffer of size zero is in nobody's way.
//! - [`Status::Optimal`] means proven: the height is the lower bound. [`Status::Infeasible`] means proven too: the lower
//!   bound is above the capacity, and the reason is data ([`Infeasibility`]).
//! - [`validate`](fn@validate) checks all of this from the problem and the layout alone; it shares no code with the
//!   solvers and knows the bound only by its definition. What only a search has proven it cannot check.
//! - The same problem, strategy and seed give the same layout, unless time or an interruption cuts the work short.
//! - Sizes, paddings and fixed offsets of all buffers together are below 2^63 bytes, so that no layout overflows.
//!
//! # How
//!
//! `bound` sweeps over the instants for the highest load. `heuristic` has the orders of the field and the rules by
//! which a buffer finds its gap; `exact` searches for a layout within a height or proves that there is none; `blame` and
//! `search` better layouts by changing the order of placing. `portfolio` lets them have turns, and
//! [`solve`](fn@solve) chooses among them.

mod blame;
mod bound;
mod conditions;
mod exact;
mod heuristic;
mod instance;
mod neighbours;
mod placed;
mod portfolio;
mod problem;
mod search;
mod solution;
mod solve;
mod spans;
#[cfg(test)]
mod tests;
mod validate;

pub use crate::solving::{Limits, Status};
pub use conditions::Conditions;
pub use instance::{Instance, parse_csv, read_instance};
pub use problem::{Buffer, Problem};
pub use solution::{Infeasibility, Layout, Proof};
pub use solve::{Strategy, solve};
pub use validate::{check_offsets, validate};
