//! How long a model stays unused, learned from the gaps between its requests, and what waiting for its next is worth.
//!
//! The *hazard* of an age is the chance that a model unused for so long is asked for before it is a bin older. Three
//! estimates of it are combined, each where the finer one knows nothing:
//!
//! 1. the gaps of all models together give the pooled hazard of every age (busy models ask soon, so it falls);
//! 2. a factor per model on its odds, gamma distributed around what models have on the average, whose posterior mean is
//!    *(k·mean + gaps seen) / (k + gaps expected)*: a frailty model, and all there is to say of a rare model;
//! 3. the model's own gaps, which count against the former as [`PRIOR`] gaps: a timer shows in its peak.
//!
//! What keeping a model of age *a* is worth per unit of time is its Gittins index, the best rate of reward over all ways
//! to stop waiting: `max over t of P(next use within t | a) / E[min(next use, t) | a]`. For requests without memory that
//! is their rate, so that a decayed rate is this index for a Poisson process; for a timer it is 1 / (time to next use),
//! which is the clairvoyant's rule. (Gittins 1979; for caches under renewal processes see Panigrahy, Nain, Neglia and
//! Towsley, "A new upper bound on cache hit probability for non-anticipative caching policies", 2021.)

#![allow(clippy::arithmetic_side_effects, reason = "numbers of bins and models, all bounded")]

use std::cell::Cell;
use std::f64::consts::SQRT_2;

/// Bins of ages: two to an octave, from one unit of the clock to 2^24, half a year in seconds.
const BINS: usize = 48;
/// How many gaps the prior of a model's own hazard counts for.
const PRIOR: f64 = 0.5;
/// How many gaps the mean of all models counts for, beside a model's own rate.
const FRAILTY: f64 = 2.0;
/// Of its own gaps, a model remembers about so many: by number, so that a busy one learns anew in minutes, a rare one
/// in weeks.
const REMEMBERED: f32 = 50.0;
/// A gap counts half in its bin and a quarter in each neighbour: a timer that jitters is still one timer.
const SHARES: [f32; 3] = [0.25, 0.5, 0.25];
/// The pooled hazard is worked out anew after so many requests.
const REFRESH_EVERY: u64 = 1024;

/// The gaps of one model.
#[derive(Clone, Debug)]
struct Row {
    /// Gaps that reached each bin, with decay; the first counts them all. Never rising: every step below keeps an order
    /// that it finds, rounding included.
    reached: [f32; BINS + 1],
    /// How many gaps the pooled hazard expects in the time the model was seen, with the same decay.
    expected: f64,
    /// When it was last asked for, on this clock; `None` before the first time.
    last: Option<f64>,
    /// Bins of the open gap that the pooled hazard has counted already.
    audited: usize,
    /// The latest index, and until what age it stands: for a bin.
    index: Cell<(f64, f64)>,
}

/// The gaps of all models on one clock.
#[derive(Clone, Debug)]
pub(super) struct Gaps {
    rows: Vec<Row>,
    /// Where each bin begins.
    edges: [f64; BINS + 1],
    /// Gaps of all models that ended in each bin, and that reached it.
    ended: [f64; BINS],
    reached: [f64; BINS],
    /// Odds of each bin's pooled hazard, and −ln of the chance to survive all bins before it.
    odds: [f64; BINS],
    cumulative: [f64; BINS + 1],
    /// The mean factor of all models.
    mean: f64,
    requests: u64,
    /// The model whose open gap is audited next.
    auditor: usize,
}

impl Default for Gaps {
    fn default() -> Self {
        let mut edges = [0.0; BINS + 1];
        for (number, edge) in edges.iter_mut().enumerate().skip(1) {
            *edge = (index_f64(number) / 2.0).exp2();
        }
        let mut gaps = Self {
            rows: Vec::new(),
            edges,
            ended: [0.0; BINS],
            reached: [0.0; BINS],
            odds: [0.0; BINS],
            cumulative: [0.0; BINS + 1],
            mean: 1.0,
            requests: 0,
            auditor: 0,
        };
        gaps.refresh();
        gaps
    }
}

impl Gaps {
    pub(super) fn add(&mut self) {
        self.rows.push(Row {
            reached: [0.0; BINS + 1],
            expected: 0.0,
            last: None,
            audited: 0,
            index: Cell::new((0.0, f64::NEG_INFINITY)),
        });
    }

    /// The bin of an age: its exponent, and whether its fraction is in the upper half of the octave.
    fn bin(age: f64) -> usize {
        if age < SQRT_2 {
            return 0;
        }
        let bits = age.to_bits();
        let octave = (bits >> 52).saturating_sub(1023);
        let upper = u64::from(bits << 12 >> 12 >= SQRT_2.to_bits() << 12 >> 12);
        usize::try_from(2 * octave + upper).map_or(BINS - 1, |bin| bin.min(BINS - 1))
    }

    /// The pooled hazard as it is now; a tenth of a gap in ten stands in where nothing was seen.
    fn refresh(&mut self) {
        for bin in 0..BINS {
            let hazard = ((self.ended[bin] + 0.1) / (self.reached[bin] + 1.0)).min(0.999);
            self.odds[bin] = hazard / (1.0 - hazard);
            self.cumulative[bin + 1] = self.cumulative[bin] - (1.0 - hazard).ln();
        }
        let (mut sum, mut seen) = (1.0, 1.0);
        for row in self.rows.iter().filter(|row| row.last.is_some()) {
            sum += (FRAILTY * self.mean + row.gaps()) / (FRAILTY + row.expected);
            seen += 1.0;
        }
        self.mean = sum / seen;
    }

    /// `model` is asked for at `at`.
    pub(super) fn request(&mut self, model: usize, at: f64) {
        if let Some(last) = self.rows[model].last {
            let bin = Self::bin(at - last);
            let row = &mut self.rows[model];
            for reached in &mut self.reached[row.audited.min(bin + 1)..=bin] {
                *reached += 1.0;
            }
            self.ended[bin] += 1.0;
            row.end(bin, self.cumulative[bin + 1]);
        }
        let row = &mut self.rows[model];
        row.last = Some(at);
        row.audited = 0;
        row.index.set((0.0, f64::NEG_INFINITY));
        self.audit(at);
        self.requests += 1;
        if self.requests.is_multiple_of(REFRESH_EVERY) || self.requests == 16 {
            self.refresh();
        }
    }

    /// Counts the open gap of one model after another as having reached its age: what is never asked for again would
    /// otherwise not be missed.
    fn audit(&mut self, at: f64) {
        self.auditor = (self.auditor + 1) % self.rows.len();
        let Some(last) = self.rows[self.auditor].last else { return };
        let bin = Self::bin(at - last);
        let row = &mut self.rows[self.auditor];
        for reached in &mut self.reached[row.audited.min(bin)..bin] {
            *reached += 1.0;
        }
        row.audited = row.audited.max(bin);
    }

    /// What waiting for the next request of `model` is worth at `at`, per unit of the clock.
    pub(super) fn index(&self, model: usize, at: f64) -> f64 {
        let row = &self.rows[model];
        let Some(last) = row.last else { return 0.0 };
        let age = at - last;
        let (index, until) = row.index.get();
        if age < until {
            return index;
        }
        let bin = Self::bin(age);
        let index = self.gittins(row, bin);
        row.index.set((index, self.edges[bin + 1]));
        index
    }

    /// The index of a model in the middle of `bin`.
    fn gittins(&self, row: &Row, bin: usize) -> f64 {
        let factor = (FRAILTY * self.mean + row.gaps()) / (FRAILTY + row.expected + self.cumulative[bin]);
        let hazard = |next: usize| {
            let odds = factor * self.odds[next];
            let reached = f64::from(row.reached[next]);
            let ended = reached - f64::from(row.reached[next + 1]);
            (ended * (1.0 + odds) + PRIOR * odds) / ((reached + PRIOR) * (1.0 + odds))
        };
        let whole = hazard(bin);
        let first = whole * 0.5 / (1.0 - whole * 0.5);
        let mut rewarded = first;
        let mut waited = (self.edges[bin + 1] - self.edges[bin]) * 0.5 * (1.0 - 0.5 * first);
        let mut alive = 1.0 - first;
        // The best so far, as a fraction.
        let (mut above, mut below) = (rewarded, waited);
        for next in bin + 1..BINS {
            // Not even a sure use right now would beat what was found.
            if (rewarded + alive) * below <= above * waited {
                break;
            }
            let reward = alive * hazard(next);
            rewarded += reward;
            waited += (self.edges[next + 1] - self.edges[next]) * (alive - 0.5 * reward);
            alive -= reward;
            if rewarded * below > above * waited {
                (above, below) = (rewarded, waited);
            }
        }
        above / below
    }
}

impl Row {
    fn gaps(&self) -> f64 {
        f64::from(self.reached[0])
    }

    /// A gap ended in `bin`, where `expected` were expected meanwhile.
    fn end(&mut self, bin: usize, expected: f64) {
        let keep = 1.0 - 1.0 / REMEMBERED;
        for reached in &mut self.reached {
            *reached *= keep;
        }
        for (offset, share) in SHARES.iter().enumerate() {
            let bin = (bin + offset).saturating_sub(1).min(BINS - 1);
            for reached in &mut self.reached[..=bin] {
                *reached += share;
            }
        }
        self.expected = self.expected * f64::from(keep) + expected;
    }
}

#[allow(clippy::cast_precision_loss, reason = "numbers of bins are small")]
fn index_f64(number: usize) -> f64 {
    number as f64
}
