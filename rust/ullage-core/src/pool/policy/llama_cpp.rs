//! What the router of llama.cpp does (ggml-org/llama.cpp, `tools/server/server-models.cpp`): at most four models, whatever
//! they take; the least recently used goes first. That memory suffices for four is left to whoever sets the number; here
//! the limit holds, too.

use super::{Candidate, Facts, Habits, Lru, Policy};
use crate::pool::ModelId;
use crate::units::Time;

/// A re-statement for comparison.
#[derive(Clone, Debug, Default)]
pub struct LlamaCpp(Lru);

impl Policy for LlamaCpp {
    fn name(&self) -> &'static str {
        "llama.cpp"
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
        Habits { most_models: Some(4), ..Habits::NONE }
    }
}
