//! Decayed request rate × load time / bytes: every request counts one, and a count halves with every half-life.

use super::{Candidate, Facts, Policy, count, seconds};
use crate::pool::ModelId;
use crate::units::Time;

/// The half-life unless another is asked for.
const HOUR_S: f64 = 3600.0;

#[derive(Clone, Debug)]
struct Row {
    load_s: f64,
    count: f64,
    at_s: f64,
    /// `log2(count · load) + at / half-life`: what grows by one as the model's value doubles. All values decay alike, so
    /// these figures compare as values do, at any time, without being brought up to date.
    level: f64,
}

/// The model with the least value per byte goes first.
#[derive(Clone, Debug)]
pub struct Rate {
    half_life_s: f64,
    rows: Vec<Row>,
}

impl Rate {
    /// A rule that forgets half in `half_life_s` seconds.
    #[must_use]
    pub fn new(half_life_s: f64) -> Self {
        Self { half_life_s, rows: Vec::new() }
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self::new(HOUR_S)
    }
}

impl Policy for Rate {
    fn name(&self) -> &'static str {
        "rate"
    }

    fn on_register(&mut self, facts: &Facts<'_>) {
        self.rows.push(Row { load_s: facts.load_s, count: 0.0, at_s: 0.0, level: f64::NEG_INFINITY });
    }

    fn on_request(&mut self, model: ModelId, now: Time) {
        let (row, now_s) = (&mut self.rows[model.0], seconds(now));
        row.count = row.count * (-(now_s - row.at_s) / self.half_life_s).exp2() + 1.0;
        row.at_s = now_s;
        row.level = (row.count * row.load_s).log2() + now_s / self.half_life_s;
    }

    fn on_cost(&mut self, model: ModelId, load_s: f64) {
        let row = &mut self.rows[model.0];
        row.load_s = load_s;
        row.level = (row.count * load_s).log2() + row.at_s / self.half_life_s;
    }

    fn worth(&self, candidate: &Candidate, _now: Time) -> f64 {
        self.rows[candidate.model.0].level - count(candidate.bytes).max(1.0).log2()
    }
}
