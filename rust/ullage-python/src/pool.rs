//! The pool's scheduler and what stands beside it: learned sizes, and the gauge of the machine's pressure.
//! `ullage.pool` gives them a body.

mod action;
mod brain;
mod domains;
mod estimates;
mod gauge;
mod policy;
mod table;

pub(crate) use brain::Brain;
pub(crate) use estimates::Estimates;
pub(crate) use gauge::Gauge;
pub(crate) use policy::{Candidate, OwnPolicy, Rule};
