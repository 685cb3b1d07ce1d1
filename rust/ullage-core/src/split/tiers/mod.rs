//! Tiers: memory that is fast and small, slower and larger, slowest and largest.
//!
//! A [`Problem`] has the pieces of a chain and up to four [`Tier`]s, such as GPU, host and disk. A piece that lies in a
//! tier is either computed there, at the bandwidth of that memory (as llama.cpp does on the host), or fetched over a
//! link by the tier that computes it (as Accelerate does). What is fetched needs a buffer there, and its state lies
//! there too. The time of a step is the sum over the pieces, and is to be small.
//!
//! ```text
//!            weights    computed     time of a piece
//!  gpu       layer 9    gpu          roofline of the gpu
//!  host      layer 1    host         roofline of the host
//!  disk      layer 0    gpu          moved / link + roofline of the gpu, or the longer of both with two buffers
//! ```
//!
//! Any piece may lie in any tier ([`Cut::Anywhere`]), which is a knapsack of several capacities; or the last pieces lie
//! in the first tier, those before them in the second and so on ([`Cut::LastFirst`]), as `--n-gpu-layers` wants it.
//! A tensor that several pieces share lies where the last of them does.

mod answer;
mod classes;
mod cut;
mod frontier;
mod knapsack;
mod prices;
mod problem;
mod solve;
mod validate;

pub use answer::{Infeasibility, Placement};
pub use problem::{Cut, Problem, Tier};
pub use solve::solve;
pub use validate::validate;
