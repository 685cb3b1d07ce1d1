//! Greedy-Dual-Size-Frequency: `clock + frequency · load / bytes` (Cherkasova, HP Labs HPL-98-69R1, 1998; the rule of
//! `FaaSCache`, ASPLOS 2021).

use super::{Candidate, Facts, Policy, count};
use crate::pool::ModelId;
use crate::units::Time;

#[derive(Clone, Debug)]
struct Row {
    load_s: f64,
    bytes: f64,
    /// Requests since it was loaded; 0 while it is not resident.
    frequency: f64,
    priority: f64,
}

/// The clock is the priority of what was evicted last, so that what is not asked for any more is overtaken in time.
/// A frequency starts again with each load.
#[derive(Clone, Debug, Default)]
pub struct Gdsf {
    clock: f64,
    rows: Vec<Row>,
}

impl Gdsf {
    fn rate(&mut self, model: ModelId, frequency: f64) {
        let row = &mut self.rows[model.0];
        row.frequency = frequency;
        row.priority = self.clock + frequency * row.load_s / row.bytes;
    }
}

impl Policy for Gdsf {
    fn name(&self) -> &'static str {
        "gdsf"
    }

    fn on_register(&mut self, facts: &Facts<'_>) {
        let bytes = count(facts.bytes).max(1.0);
        self.rows.push(Row { load_s: facts.load_s, bytes, frequency: 0.0, priority: 0.0 });
    }

    fn on_request(&mut self, model: ModelId, _now: Time) {
        let frequency = self.rows[model.0].frequency;
        if frequency > 0.0 {
            self.rate(model, frequency + 1.0);
        }
    }

    fn on_load(&mut self, model: ModelId, _now: Time) {
        self.rate(model, 1.0);
    }

    fn on_evict(&mut self, model: ModelId, _now: Time) {
        let row = &mut self.rows[model.0];
        row.frequency = 0.0;
        self.clock = self.clock.max(row.priority);
    }

    fn on_cost(&mut self, model: ModelId, load_s: f64) {
        self.rows[model.0].load_s = load_s;
    }

    fn worth(&self, candidate: &Candidate, _now: Time) -> f64 {
        self.rows[candidate.model.0].priority
    }
}
