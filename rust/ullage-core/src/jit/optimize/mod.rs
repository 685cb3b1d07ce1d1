//! A policy, and a scheme, for every layer: the least latency under a limit of memory, or the least memory under a limit
//! of latency.
//!
//! What couples the layers:
//!
//! ```text
//!   bytes that stay     a sum over layers
//!   bytes while loading another sum: what is decoded at load lies beside what is stored until all are
//!   scratch             a maximum over windows of layers: with prefetch, neighbours lie side by side
//!   seconds             a pipeline: compute waits for decoding, decoding for room in scratch, all share one bus
//!   quality             a sum: the noise of weights, each by its number of elements
//! ```
//!
//! [`optimize`](fn@optimize) goes through the layers once and keeps every partial choice that no other one beats in all
//! of these at once. Times on the way are those of the pipeline without sharing of the bus, so they are never too long; what
//! a partial choice costs at least with the layers to come is a Lagrangian dual of the knapsack. Where there are too many,
//! some are dropped to find answers, or else neighbours become one that is no worse than any of them, to find a bound.
//! Every answer is simulated as a whole, and what is reported is the simulator's word. Of few layers all combinations are
//! simulated.

mod answer;
mod label;
mod polish;
mod prices;
mod problem;
mod quality;
mod search;
mod solve;
mod table;

pub use answer::{Answer, Candidate, Choice, Uniform};
pub use problem::{Bounds, Goal, Problem, Variant};
pub use quality::assumed_snr_db;
pub use solve::optimize;

#[cfg(test)]
mod tests;
