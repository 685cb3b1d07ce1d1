//! Least recently used, by bytes: the oldest go until enough is free, however many models that takes.

use super::{Candidate, Facts, Policy, seconds};
use crate::pool::ModelId;
use crate::units::Time;

/// The model unused for longest is worth least.
#[derive(Clone, Debug, Default)]
pub struct Lru {
    last_used: Vec<Time>,
}

impl Policy for Lru {
    fn name(&self) -> &'static str {
        "lru"
    }

    fn on_register(&mut self, _facts: &Facts<'_>) {
        self.last_used.push(Time::ZERO);
    }

    fn on_request(&mut self, model: ModelId, now: Time) {
        self.last_used[model.0] = now;
    }

    fn on_release(&mut self, model: ModelId, now: Time) {
        self.last_used[model.0] = now;
    }

    fn worth(&self, candidate: &Candidate, _now: Time) -> f64 {
        seconds(self.last_used[candidate.model.0])
    }
}
