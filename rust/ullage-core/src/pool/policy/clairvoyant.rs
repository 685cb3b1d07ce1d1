//! Who knows the future: the farthest next use × bytes / load goes first. Greedy, so no bound; for replays only.

use super::{Candidate, Facts, Policy, count};
use crate::pool::ModelId;
use crate::units::Time;

#[derive(Clone, Debug)]
struct Row {
    load_s: f64,
    /// All requests to come, the next one last.
    uses: Vec<Time>,
}

/// Is told beforehand who asks for what and when.
#[derive(Clone, Debug)]
pub struct Clairvoyant {
    uses: Vec<Vec<Time>>,
    rows: Vec<Row>,
}

impl Clairvoyant {
    /// From the times of all requests for each model, in the order in which models will register, each rising.
    #[must_use]
    pub fn new(mut uses: Vec<Vec<Time>>) -> Self {
        uses.reverse();
        Self { uses, rows: Vec::new() }
    }
}

impl Policy for Clairvoyant {
    fn name(&self) -> &'static str {
        "clairvoyant"
    }

    fn on_register(&mut self, facts: &Facts<'_>) {
        let mut uses = self.uses.pop().unwrap_or_default();
        uses.reverse();
        self.rows.push(Row { load_s: facts.load_s, uses });
    }

    fn on_request(&mut self, model: ModelId, _now: Time) {
        self.rows[model.0].uses.pop();
    }

    fn worth(&self, candidate: &Candidate, now: Time) -> f64 {
        let row = &self.rows[candidate.model.0];
        match row.uses.last() {
            Some(next) => {
                -next.since(now).as_secs_f64() * count(candidate.bytes) / row.load_s.max(f64::MIN_POSITIVE)
            }
            None => f64::NEG_INFINITY,
        }
    }
}
