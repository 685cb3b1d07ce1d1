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

use std::f64::consts::SQRT_2;

/// Bins of ages: two to an octave, from one unit of the clock to 2^24, half a year in seconds.
const BINS: usize = 48;
/// How many gaps the prior of a model's own hazard counts for.
const PRIOR: f32 = 0.5;
/// The index of a model is worked out anew once it has seen more than this share of what it remembers.
const NEWS: f64 = 0.08;
/// How many gaps the mean of all models counts for, beside a model's own rate.
const FRAILTY: f64 = 2.0;
/// Of its own gaps, a model remembers about so many: by number, so that a busy one learns anew in minutes, a rare one
/// in weeks.
const REMEMBERED: f32 = 50.0;
/// A gap counts half in its bin and a quarter in each neighbour: a timer that jitters is still one timer.
const SHARES: [f32; 3] = [0.25, 0.5, 0.25];
/// The pooled hazard is worked out anew after so many requests, or as many as there are models.
const REFRESH_EVERY: usize = 1024;

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
    /// The root of the index in the middle of each bin.
    roots: [f32; BINS],
    /// Gaps since it was worked out.
    unseen: f64,
}

/// The gaps of all models on one clock.
#[derive(Clone, Debug)]
pub(super) struct Gaps {
    rows: Vec<Row>,
    /// A quarter of the length of each bin.
    quarters: [f64; BINS],
    /// Gaps of all models that ended in each bin, and that reached it.
    ended: [f64; BINS],
    reached: [f64; BINS],
    /// Odds of each bin's pooled hazard, and −ln of the chance to survive all bins before it.
    odds: [f32; BINS],
    cumulative: [f32; BINS + 1],
    /// The mean factor of all models.
    mean: f64,
    requests: usize,
    /// The model whose open gap is audited next.
    auditor: usize,
}

impl Default for Gaps {
    fn default() -> Self {
        // Bin 0 begins at 0, bin n at 2^(n/2).
        let edge = |number: usize| if number == 0 { 0.0 } else { (index_f64(number) / 2.0).exp2() };
        let quarters = std::array::from_fn(|bin| 0.25 * (edge(bin + 1) - edge(bin)));
        let mut gaps = Self {
            rows: Vec::new(),
            quarters,
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
            roots: [0.0; BINS],
            unseen: f64::INFINITY,
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
        let mut cumulative = 0.0;
        for bin in 0..BINS {
            let hazard = ((self.ended[bin] + 0.1) / (self.reached[bin] + 1.0)).min(0.999);
            self.odds[bin] = single(hazard / (1.0 - hazard));
            cumulative -= (1.0 - hazard).ln();
            self.cumulative[bin + 1] = single(cumulative);
        }
        let (mut sum, mut seen) = (1.0, 1.0);
        for row in self.rows.iter().filter(|row| row.last.is_some()) {
            sum += (FRAILTY * self.mean + row.gaps()) / (FRAILTY + row.expected);
            seen += 1.0;
        }
        self.mean = sum / seen;
        for model in 0..self.rows.len() {
            if self.rows[model].last.is_some() {
                self.fill(model);
            }
        }
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
            row.end(bin, f64::from(self.cumulative[bin + 1]));
        }
        let row = &mut self.rows[model];
        row.last = Some(at);
        row.audited = 0;
        row.unseen += 1.0;
        if row.unseen > row.gaps() * NEWS {
            self.fill(model);
        }
        self.audit(at);
        self.requests += 1;
        if self.requests.is_multiple_of(self.rows.len().max(REFRESH_EVERY)) || self.requests == 16 {
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

    /// The root of what waiting for the next request of `model` is worth at `at`, per unit of the clock: the root,
    /// because whoever asks takes the geometric mean of two clocks.
    pub(super) fn root_index(&self, model: usize, at: f64) -> f64 {
        let row = &self.rows[model];
        let Some(last) = row.last else { return 0.0 };
        f64::from(row.roots[Self::bin(at - last)])
    }

    fn fill(&mut self, model: usize) {
        let roots = self.roots(&self.rows[model]);
        let row = &mut self.rows[model];
        (row.roots, row.unseen) = (roots, 0.0);
    }

    /// Works out the roots of the index of a model for every age.
    ///
    /// With the chance `s` to be unused at an age and the time `v` that is still spent unused after it, waiting from one
    /// age to another gives `Δs / Δv`. So the ages are points of a plane, and the best that can be had from one of them
    /// is the tangent from there to the hull of the later ones: one pass from the last to the first.
    fn roots(&self, row: &Row) -> [f32; BINS] {
        let hazards = self.hazards(row);
        let (mut alive, mut starts) = (1.0, [0.0; BINS + 1]);
        for bin in 0..BINS {
            starts[bin] = alive;
            alive *= 1.0 - f64::from(hazards[bin]);
        }
        starts[BINS] = alive;
        // The hull as two columns, its two latest points beside them: a pair that is stored by halves and read whole would
        // wait for its own store.
        let (mut lefts, mut alives) = ([0.0; BINS + 1], [0.0; BINS + 1]);
        let (mut near, mut far) = ((0.0, alive), (0.0, alive));
        alives[0] = alive;
        let (mut top, mut left) = (0_usize, 0.0);
        let mut slopes = [0.0_f32; BINS];
        for bin in (0..BINS).rev() {
            let middle = 0.5 * (starts[bin] + starts[bin + 1]);
            let quarter = self.quarters[bin];
            let point = (left + quarter * (middle + starts[bin + 1]), middle);
            left = point.0 + quarter * (middle + starts[bin]);
            // Later ages that are no better than still later ones are never stopped at again.
            while top > 0 && !is_steeper(point, near, far) {
                top -= 1;
                near = far;
                let below = top.saturating_sub(1);
                far = (lefts[below], alives[below]);
            }
            slopes[bin] = slope(point, near);
            top += 1;
            (lefts[top], alives[top]) = point;
            (near, far) = (point, near);
        }
        slopes.map(f32::sqrt)
    }

    /// The chance that a model unused until the start of a bin is asked for within it. Its factor is what is known of it
    /// by then: that it is still unused tells that it is rare.
    fn hazards(&self, row: &Row) -> [f32; BINS] {
        let (seen, expected) = (single(FRAILTY * self.mean + row.gaps()), single(FRAILTY + row.expected));
        std::array::from_fn(|bin| {
            // The odds are `above / below`.
            let (above, below) = (self.odds[bin] * seen, expected + self.cumulative[bin]);
            let (reached, both) = (row.reached[bin], above + below);
            ((reached - row.reached[bin + 1]) * both + PRIOR * above) / ((reached + PRIOR) * both)
        })
    }
}

/// Whether waiting from `point` until `near` is worth more per unit of time than until `far`.
fn is_steeper(point: (f64, f64), near: (f64, f64), far: (f64, f64)) -> bool {
    (point.1 - near.1) * (point.0 - far.0) > (point.1 - far.1) * (point.0 - near.0)
}

#[allow(clippy::cast_possible_truncation, reason = "seven digits are more than is known of any gap")]
fn slope(point: (f64, f64), later: (f64, f64)) -> f32 {
    ((point.1 - later.1) / (point.0 - later.0)) as f32
}

#[allow(clippy::cast_possible_truncation, reason = "seven digits are more than is known of any gap")]
fn single(number: f64) -> f32 {
    number as f32
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition: of all later ages to stop at, the one with the best rate.
    fn roots_by_trying(gaps: &Gaps, row: &Row) -> [f64; BINS] {
        let hazards = gaps.hazards(row);
        let mut starts = [1.0; BINS + 1];
        for bin in 0..BINS {
            starts[bin + 1] = starts[bin] * (1.0 - f64::from(hazards[bin]));
        }
        let middle = |bin: usize| 0.5 * (starts[bin] + starts[bin + 1]);
        std::array::from_fn(|bin| {
            let (mut waited, mut best) = (gaps.quarters[bin] * (middle(bin) + starts[bin + 1]), 0.0_f64);
            for later in bin + 1..=BINS {
                let quarter = gaps.quarters.get(later).copied().unwrap_or(0.0);
                let alive = if later < BINS { middle(later) } else { starts[BINS] };
                if later < BINS {
                    waited += quarter * (middle(later) + starts[later]);
                }
                best = best.max((middle(bin) - alive) / waited);
                if later < BINS {
                    waited += quarter * (middle(later) + starts[later + 1]);
                }
            }
            best.sqrt()
        })
    }

    proptest! {
        /// The tangents to the hull are the best rates.
        #[test]
        fn no_other_age_to_stop_at_is_better(asked in prop::collection::vec((0_usize..4, 0.5_f64..5000.0), 1..120)) {
            let mut gaps = Gaps::default();
            (0..4).for_each(|_| gaps.add());
            let mut now = 0.0;
            for (model, passed) in asked {
                now += passed;
                gaps.request(model, now);
            }
            gaps.refresh();
            for row in &gaps.rows {
                let tried = roots_by_trying(&gaps, row);
                for (bin, (root, tried)) in gaps.roots(row).iter().zip(tried).enumerate() {
                    prop_assert!((f64::from(*root) - tried).abs() <= 1e-5 * tried, "bin {bin}: {root} and {tried}");
                }
            }
        }
    }
}
