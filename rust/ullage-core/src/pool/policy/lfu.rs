//! Least frequently used, over the whole history: a count outlives an eviction.

use super::{Candidate, Facts, Policy};
use crate::pool::ModelId;
use crate::units::Time;

/// The model with the fewest requests ever is worth least.
#[derive(Clone, Debug, Default)]
pub struct Lfu {
    requests: Vec<f64>,
}

impl Policy for Lfu {
    fn name(&self) -> &'static str {
        "lfu"
    }

    fn on_register(&mut self, _facts: &Facts<'_>) {
        self.requests.push(0.0);
    }

    fn on_request(&mut self, model: ModelId, _now: Time) {
        self.requests[model.0] += 1.0;
    }

    fn worth(&self, candidate: &Candidate, _now: Time) -> f64 {
        self.requests[candidate.model.0]
    }
}
