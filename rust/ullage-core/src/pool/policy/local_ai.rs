//! What the watchdog of `LocalAI` does (mudler/LocalAI, `pkg/model/watchdog.go`): while more than 95 % of memory is in use,
//! the least recently used idle model goes, whether or not anybody needs its memory.

use super::{Candidate, Facts, Habits, Lru, Policy};
use crate::pool::ModelId;
use crate::units::Time;

/// A re-statement for comparison.
#[derive(Clone, Debug, Default)]
pub struct LocalAi(Lru);

impl Policy for LocalAi {
    fn name(&self) -> &'static str {
        "localai"
    }

    fn on_register(&mut self, facts: &Facts<'_>) {
        self.0.on_register(facts);
    }

    fn on_request(&mut self, model: ModelId, now: Time) {
        self.0.on_request(model, now);
    }

    fn on_release(&mut self, model: ModelId, now: Time) {
        self.0.on_release(model, now);
    }

    fn worth(&self, candidate: &Candidate, now: Time) -> f64 {
        self.0.worth(candidate, now)
    }

    fn habits(&self) -> Habits {
        Habits { fill: 0.95, ..Habits::NONE }
    }
}
