//! Least recently used, by bytes: the oldest go until enough is free, however many models that takes.

use super::{Candidate, Facts, Habits, Policy, seconds};
use crate::pool::ModelId;
use crate::units::Time;

/// The model unused for longest is worth least.
#[derive(Clone, Debug)]
pub struct Lru {
    name: &'static str,
    habits: Habits,
    last_used: Vec<Time>,
}

impl Lru {
    /// The same order under another name, with habits: what several servers do.
    #[must_use]
    pub const fn with(name: &'static str, habits: Habits) -> Self {
        Self { name, habits, last_used: Vec::new() }
    }
}

impl Default for Lru {
    /// Without habits.
    fn default() -> Self {
        Self::with("lru", Habits::NONE)
    }
}

impl Policy for Lru {
    fn name(&self) -> &'static str {
        self.name
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

    fn habits(&self) -> Habits {
        self.habits
    }
}
