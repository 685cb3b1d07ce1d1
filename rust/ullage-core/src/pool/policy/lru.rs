//! Least recently used, by bytes: the oldest go until enough is free, however many models that takes.

use super::{Candidate, Policy};
use crate::units::Time;

/// The model unused for longest is worth least.
#[derive(Clone, Copy, Debug)]
pub struct Lru;

impl Policy for Lru {
    fn name(&self) -> &'static str {
        "lru"
    }

    fn worth(&self, candidate: &Candidate, _now: Time) -> u64 {
        candidate.last_used.as_nanos()
    }
}
