//! Least recently used, and whatever is idle for five minutes goes though nobody needs its memory.

use std::time::Duration;

use super::{Candidate, Facts, Habits, Lru, Policy};
use crate::pool::ModelId;
use crate::units::Time;

/// For those who would rather have free memory than warm models.
#[derive(Clone, Debug)]
pub struct Ttl {
    order: Lru,
    idle_for: Duration,
}

impl Ttl {
    /// A rule that sends models away after so long without a use.
    #[must_use]
    pub fn new(idle_for: Duration) -> Self {
        Self { order: Lru::default(), idle_for }
    }
}

impl Default for Ttl {
    fn default() -> Self {
        Self::new(Duration::from_mins(5))
    }
}

impl Policy for Ttl {
    fn name(&self) -> &'static str {
        "ttl"
    }

    fn on_register(&mut self, facts: &Facts<'_>) {
        self.order.on_register(facts);
    }

    fn on_request(&mut self, model: ModelId, now: Time) {
        self.order.on_request(model, now);
    }

    fn on_release(&mut self, model: ModelId, now: Time) {
        self.order.on_release(model, now);
    }

    fn worth(&self, candidate: &Candidate, now: Time) -> f64 {
        self.order.worth(candidate, now)
    }

    fn habits(&self) -> Habits {
        Habits { idle_for: Some(self.idle_for), ..Habits::NONE }
    }
}
