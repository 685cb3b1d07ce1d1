//! Largest first: the fewest evictions, whatever they cost.

use super::{Candidate, Policy, count};
use crate::units::Time;

/// The largest model is worth least.
#[derive(Clone, Copy, Debug)]
pub struct Largest;

impl Policy for Largest {
    fn name(&self) -> &'static str {
        "largest"
    }

    fn worth(&self, candidate: &Candidate, _now: Time) -> f64 {
        -count(candidate.bytes)
    }
}
