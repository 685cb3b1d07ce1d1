//! The default: load time × the Gittins index of waiting for the next use / bytes, learned from each model's gaps.
//!
//! Gaps are measured on two clocks: seconds, on which timers tick, and requests of the whole pool, on which nights and
//! rushes do not show. The index is the geometric mean of both, so neither has to be chosen.
//!
//! Memory freed beyond what is missing is worth as much as will soon be missing: what is loaded between two uses of
//! a typical model, as its logarithmic mean ([`Policy::slack`]). Where loads are rare that is nothing, and the victims
//! are those with the least to lose; where loads are many, those with the least to lose per byte.

use super::gaps::Gaps;
use super::{Candidate, Facts, Policy, Selection, count, seconds};
use crate::pool::ModelId;
use crate::units::Time;

/// How much one gap moves the mean of what is loaded in it.
const LEARN: f64 = 0.01;

#[derive(Clone, Debug)]
struct Row {
    load_s: f64,
    bytes: f64,
    is_resident: bool,
    /// Bytes loaded by the whole pool when it was last asked for; `None` before the first time.
    loaded_at: Option<f64>,
}

/// The model with the least expected loss goes first.
#[derive(Clone, Debug, Default)]
pub struct Value {
    rows: Vec<Row>,
    by_time: Gaps,
    by_request: Gaps,
    /// Requests so far: the second clock.
    requests: f64,
    /// Bytes loaded so far.
    loaded: f64,
    /// The mean of ln(bytes loaded between two requests for the same model).
    slack_ln: f64,
}

impl Policy for Value {
    fn name(&self) -> &'static str {
        "value"
    }

    fn on_register(&mut self, facts: &Facts<'_>) {
        self.by_time.add();
        self.by_request.add();
        let bytes = count(facts.bytes);
        self.rows.push(Row { load_s: facts.load_s, bytes, is_resident: false, loaded_at: None });
    }

    fn on_request(&mut self, model: ModelId, now: Time) {
        self.requests += 1.0;
        let row = &mut self.rows[model.0];
        if let Some(before) = row.loaded_at {
            self.slack_ln += (((self.loaded - before).max(1.0)).ln() - self.slack_ln) * LEARN;
        }
        if !row.is_resident {
            self.loaded += row.bytes;
        }
        row.loaded_at = Some(self.loaded);
        self.by_time.request(model.0, seconds(now));
        self.by_request.request(model.0, self.requests);
    }

    fn on_load(&mut self, model: ModelId, _now: Time) {
        self.rows[model.0].is_resident = true;
    }

    fn on_evict(&mut self, model: ModelId, _now: Time) {
        self.rows[model.0].is_resident = false;
    }

    fn on_cost(&mut self, model: ModelId, load_s: f64) {
        self.rows[model.0].load_s = load_s;
    }

    fn worth(&self, candidate: &Candidate, now: Time) -> f64 {
        let model = candidate.model.0;
        let product = self.by_time.index(model, seconds(now)) * self.by_request.index(model, self.requests);
        self.rows[model].load_s * product.sqrt() / count(candidate.bytes).max(1.0)
    }

    fn selection(&self) -> Selection {
        Selection::Least { slack: self.slack_ln.exp() }
    }
}
