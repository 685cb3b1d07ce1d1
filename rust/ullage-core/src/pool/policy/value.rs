//! The default: what waiting for a model's next use is worth, learned from its gaps, or whatever rule does better.
//!
//! The worth of a model by its gaps is load time × the Gittins index of waiting for its next use / bytes. Gaps are
//! measured on two clocks: seconds, on which timers tick, and requests of the whole pool, on which nights and rushes do
//! not show. The index is the geometric mean of both, so neither has to be chosen.
//!
//! Memory freed beyond what is missing is worth as much as will soon be missing: what is loaded between two uses of
//! a typical model, as its logarithmic mean ([`Policy::selection`]). Where loads are rare that is nothing, and the
//! victims are those with the least to lose; where loads are many, those with the least to lose per byte.
//!
//! Beside this rule, simpler ones are tried on ghosts of the pool, and the pool follows the one that does best
//! ([`Experts`]): what is learned from gaps is a guess, and what a rule would have paid is not. To follow a ghost is to
//! keep what it keeps, so that no more is paid than it would have; what else goes or stays is decided by gaps.

use super::clocks::Clocks;
use super::experts::Experts;
use super::ghost::{Ghost, Known};
use super::{Candidate, Facts, Policy, Selection, Weighed, count, seconds};
use crate::pool::ModelId;
use crate::units::Time;

/// How much one gap moves the mean of what is loaded in it.
const LEARN: f64 = 0.01;
/// How long it takes until a request counts half in a request rate.
const HALF_LIFE_S: f64 = 3600.0;

/// What a model is worth that the followed ghost keeps: more than any that it does not.
const KEPT: f64 = 1e30;

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    /// Bytes loaded by the whole pool when it was last asked for; `None` before the first time.
    loaded_at: Option<f64>,
    /// Its requests, each counting half after a half-life, as of `at_s`.
    recent: f64,
    at_s: f64,
    /// Whether the ghosts have yet to see its latest request.
    waits: bool,
}

/// The model with the least expected loss goes first.
#[derive(Clone, Debug, Default)]
pub struct Value {
    rows: Vec<Row>,
    known: Vec<Known>,
    clocks: Clocks,
    experts: Experts,
    /// Requests so far.
    turn: u64,
    /// Bytes loaded so far.
    loaded: f64,
    /// The mean of ln(bytes loaded between two requests for the same model).
    slack_ln: f64,
}

impl Value {
    /// Every ghost serves a request for `model`.
    fn try_on_ghosts(&mut self, model: ModelId, now_s: f64) {
        let Self { known, clocks, experts, slack_ln, .. } = self;
        let worth = |model: usize| clocks.index(model, now_s) * known[model].density;
        experts.request(model.0, known, *slack_ln, worth);
    }

    #[inline]
    fn weigh_one(&self, candidate: &Candidate, kept: Option<&Ghost>, now_s: f64) -> f64 {
        let model = candidate.model.0;
        if kept.is_some_and(|ghost| ghost.has(model)) {
            return KEPT;
        }
        self.known[model].load_s * self.clocks.index(model, now_s) / count(candidate.bytes).max(1.0)
    }
}

impl Policy for Value {
    fn name(&self) -> &'static str {
        "value"
    }

    fn on_register(&mut self, facts: &Facts<'_>) {
        self.clocks.add();
        self.experts.add();
        self.rows.push(Row::default());
        self.known.push(Known::new(facts.load_s, facts.bytes.get()));
    }

    fn on_request(&mut self, model: ModelId, now: Time) {
        self.turn = self.turn.saturating_add(1);
        let (row, known, now_s) = (&mut self.rows[model.0], &mut self.known[model.0], seconds(now));
        if let Some(before) = row.loaded_at {
            self.slack_ln += (((self.loaded - before).max(1.0)).ln() - self.slack_ln) * LEARN;
        }
        if !known.is_resident {
            self.loaded += count(crate::units::Bytes::new(known.bytes));
        }
        row.loaded_at = Some(self.loaded);
        row.recent = row.recent * (-(now_s - row.at_s) / HALF_LIFE_S).exp2() + 1.0;
        row.at_s = now_s;
        known.turn = self.turn;
        known.requests += 1.0;
        known.level = (row.recent * known.density).log2() + now_s / HALF_LIFE_S;
        self.clocks.request(model.0, now_s);
        if self.experts.is_full() {
            self.clocks.prepare(model.0);
        }
        // While nothing had to go yet, nobody knows how much fits: then once it has come.
        let waits = !self.known[model.0].is_resident && !self.experts.is_full();
        self.rows[model.0].waits = waits;
        if !waits {
            self.try_on_ghosts(model, now_s);
        }
    }

    fn on_load(&mut self, model: ModelId, now: Time) {
        let known = &mut self.known[model.0];
        if !std::mem::replace(&mut known.is_resident, true) {
            self.experts.loaded(model.0, known);
            if std::mem::take(&mut self.rows[model.0].waits) {
                self.try_on_ghosts(model, seconds(now));
            }
        }
    }

    fn on_evict(&mut self, model: ModelId, _now: Time) {
        let known = &mut self.known[model.0];
        if std::mem::replace(&mut known.is_resident, false) {
            self.experts.evicted(model.0, known);
        }
    }

    fn on_cost(&mut self, model: ModelId, load_s: f64) {
        let more_s = load_s - self.known[model.0].load_s;
        self.known[model.0].cost(load_s);
        self.experts.cost(model.0, more_s, &self.known);
    }

    fn worth(&self, candidate: &Candidate, now: Time) -> f64 {
        let kept = self.experts.kept();
        self.weigh_one(candidate, kept, seconds(now))
    }

    fn weigh(&self, candidates: &mut [Weighed], now: Time) -> bool {
        let (kept, now_s) = (self.experts.kept(), seconds(now));
        let mut is_sound = true;
        for weighed in candidates {
            weighed.worth = self.weigh_one(&weighed.candidate, kept, now_s);
            is_sound &= !weighed.worth.is_nan();
        }
        is_sound
    }

    fn selection(&self) -> Selection {
        Selection::Least { slack: self.slack_ln.exp() }
    }
}
