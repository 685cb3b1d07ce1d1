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

use std::cell::RefCell;
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
/// Among more models than these, what is due is worked out before somebody asks.
const FEW: usize = 256;
/// Of so many models at each request.
const AT_A_TIME: usize = 4;
/// The pooled hazard is worked out anew after so many requests, or as many as there are models.
const REFRESH_EVERY: usize = 1024;

/// What is known of the gaps of one model.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Gaps that reached each bin, with decay; the first counts them all. Never rising: every step below keeps an order
    /// that it finds, rounding included.
    reached: [f32; BINS],
    /// How many gaps the pooled hazard expects in the time the model was seen, with the same decay.
    expected: f64,
}

/// What the roots of a model have to be worked out from, once somebody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// They are worked out.
    Nothing,
    /// From what is known of the model now.
    Now,
    /// From what was known before its latest gaps.
    Before,
}

/// The root of the index of a model in the middle of each bin. Nobody may ever ask, so they are worked out for the first
/// who does, as if it had been done when it was due.
#[derive(Clone, Debug)]
struct Roots {
    due: Due,
    /// The refresh that they are of: after a later one they are due anew.
    age: u64,
    by_bin: [f32; BINS],
}

/// The gaps of one model.
#[derive(Clone, Debug)]
struct Row {
    /// When it was last asked for, on this clock; `None` before the first time.
    last: Option<f64>,
    /// Bins of the open gap that the pooled hazard has counted already.
    audited: usize,
    /// Gaps since the roots were due, as of a refresh.
    unseen: f64,
    refreshes: u64,
    seen: Seen,
    /// What was known when the roots were due, where they are due from [`Due::Before`].
    before: Seen,
    roots: RefCell<Roots>,
}

/// The gaps of all models on one clock.
#[derive(Clone, Debug)]
pub(super) struct Gaps {
    rows: Vec<Row>,
    /// The age at which each bin ends, and a quarter of its length.
    ends: [f64; BINS],
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
    refreshes: u64,
    /// So many models, the first ones, have had their roots worked out since.
    settled: usize,
    /// The model whose open gap is audited next.
    auditor: usize,
}

impl Default for Gaps {
    fn default() -> Self {
        // Bin 0 begins at 0, bin n at 2^(n/2).
        let edge = |number: usize| if number == 0 { 0.0 } else { (index_f64(number) / 2.0).exp2() };
        let quarters = std::array::from_fn(|bin| 0.25 * (edge(bin + 1) - edge(bin)));
        // The last holds all that is older.
        let ends = std::array::from_fn(|bin| if bin + 1 < BINS { edge(bin + 1) } else { f64::INFINITY });
        let mut gaps = Self {
            rows: Vec::new(),
            ends,
            quarters,
            ended: [0.0; BINS],
            reached: [0.0; BINS],
            odds: [0.0; BINS],
            cumulative: [0.0; BINS + 1],
            mean: 1.0,
            requests: 0,
            refreshes: 0,
            settled: 0,
            auditor: 0,
        };
        gaps.refresh();
        gaps
    }
}

impl Gaps {
    pub(super) fn add(&mut self) {
        let seen = Seen { reached: [0.0; BINS], expected: 0.0 };
        let roots = RefCell::new(Roots { due: Due::Now, age: 0, by_bin: [0.0; BINS] });
        self.rows.push(Row { last: None, audited: 0, unseen: 0.0, refreshes: 0, seen, before: seen, roots });
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

    /// The pooled hazard as it is now; a tenth of a gap in ten stands in where nothing was seen. All roots are due.
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
            sum += (FRAILTY * self.mean + row.seen.gaps()) / (FRAILTY + row.seen.expected);
            seen += 1.0;
        }
        self.mean = sum / seen;
        self.refreshes += 1;
        self.settled = 0;
    }

    /// `model` is asked for at `at`; true if this changes what every model is worth.
    pub(super) fn request(&mut self, model: usize, at: f64) -> bool {
        self.rows[model].keep_what_is_due(self.refreshes);
        if let Some(last) = self.rows[model].last {
            let bin = Self::bin(at - last);
            let row = &mut self.rows[model];
            for reached in &mut self.reached[row.audited.min(bin + 1)..=bin] {
                *reached += 1.0;
            }
            self.ended[bin] += 1.0;
            row.seen.end(bin, f64::from(self.cumulative[bin + 1]));
        }
        let row = &mut self.rows[model];
        row.last = Some(at);
        row.audited = 0;
        row.unseen += 1.0;
        if row.unseen > row.seen.gaps() * NEWS {
            row.unseen = 0.0;
            row.roots.get_mut().due = Due::Now;
        }
        self.audit(at);
        self.requests += 1;
        let is_time = self.requests.is_multiple_of(self.rows.len().max(REFRESH_EVERY)) || self.requests == 16;
        if is_time {
            self.refresh();
        }
        is_time
    }

    /// Counts the open gap of one model after another as having reached its age: what is never asked for again would
    /// otherwise not be missed.
    fn audit(&mut self, at: f64) {
        self.auditor = if self.auditor + 1 < self.rows.len() { self.auditor + 1 } else { 0 };
        let Some(last) = self.rows[self.auditor].last else { return };
        let bin = Self::bin(at - last);
        let row = &mut self.rows[self.auditor];
        for reached in &mut self.reached[row.audited.min(bin)..bin] {
            *reached += 1.0;
        }
        row.audited = row.audited.max(bin);
    }

    /// The root of what waiting for the next request of `model` is worth at `at`, per unit of the clock: the root,
    /// because whoever asks takes the geometric mean of two clocks. Beside it a time until which it stays that, unless the
    /// model is asked for or the pooled hazard is worked out anew.
    pub(super) fn root_index(&self, model: usize, at: f64) -> (f64, f64) {
        let row = &self.rows[model];
        let Some(last) = row.last else { return (0.0, f64::INFINITY) };
        self.settle(row);
        let bin = Self::bin(at - last);
        // A little sooner, so that no rounding of an age makes it too late.
        (f64::from(row.roots.borrow().by_bin[bin]), (last + self.ends[bin]) * (1.0 - 1e-15))
    }

    /// Works out the roots of a model that are due.
    fn settle(&self, row: &Row) {
        let mut roots = row.roots.borrow_mut();
        roots.renew(self.refreshes);
        match roots.due {
            Due::Nothing => {}
            Due::Now => roots.by_bin = self.roots(&row.seen),
            Due::Before => roots.by_bin = self.roots(&row.before),
        }
        roots.due = Due::Nothing;
    }

    /// Works out what is due of the model asked for, and after a refresh of all models, a few at a time. Who asks for the
    /// worths of many models at once would wait for all of them otherwise; among few they wait for what is asked for only.
    pub(super) fn prepare(&mut self, model: usize) {
        if self.rows.len() > FEW {
            self.settle(&self.rows[model]);
            let next = self.settled.min(self.rows.len())..(self.settled + AT_A_TIME).min(self.rows.len());
            self.settled = next.end;
            self.rows[next].iter().for_each(|row| self.settle(row));
        }
    }

    /// Works out the roots of the index of a model for every age.
    ///
    /// With the chance `s` to be unused at an age and the time `v` that is still spent unused after it, waiting from one
    /// age to another gives `Δs / Δv`. So the ages are points of a plane, and the best that can be had from one of them
    /// is the tangent from there to the hull of the later ones: one pass from the last to the first.
    fn roots(&self, seen: &Seen) -> [f32; BINS] {
        let hazards = self.hazards(seen);
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
    fn hazards(&self, seen: &Seen) -> [f32; BINS] {
        let gaps = single(FRAILTY * self.mean + seen.gaps());
        let expected = single(FRAILTY + seen.expected);
        let mut later = [0.0; BINS];
        later[..BINS - 1].copy_from_slice(&seen.reached[1..]);
        std::array::from_fn(|bin| {
            // The odds are `above / below`.
            let (above, below) = (self.odds[bin] * gaps, expected + self.cumulative[bin]);
            let (reached, both) = (seen.reached[bin], above + below);
            ((reached - later[bin]) * both + PRIOR * above) / ((reached + PRIOR) * both)
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

impl Roots {
    /// After a refresh they are due.
    const fn renew(&mut self, refreshes: u64) {
        if self.age != refreshes {
            self.due = Due::Now;
            self.age = refreshes;
        }
    }
}

impl Row {
    /// Before what is known of the model changes: what its roots are due from is kept.
    fn keep_what_is_due(&mut self, refreshes: u64) {
        if self.refreshes != refreshes {
            (self.refreshes, self.unseen) = (refreshes, 0.0);
        }
        let roots = self.roots.get_mut();
        roots.renew(refreshes);
        if roots.due == Due::Now {
            (roots.due, self.before) = (Due::Before, self.seen);
        }
    }
}

impl Seen {
    fn gaps(&self) -> f64 {
        f64::from(self.reached[0])
    }

    /// A gap ended in `bin`, where `expected` were expected meanwhile.
    fn end(&mut self, bin: usize, expected: f64) {
        let keep = 1.0 - 1.0 / REMEMBERED;
        let shares: [&[f32; BINS]; 3] = std::array::from_fn(|at| {
            let bin = (bin + at).saturating_sub(1).min(BINS - 1);
            steps(&STEPS[at], bin)
        });
        // Each share is added by itself, one after another: sums of floats depend on the order.
        for (at, reached) in self.reached.iter_mut().enumerate() {
            *reached = *reached * keep + shares[0][at] + shares[1][at] + shares[2][at];
        }
        self.expected = self.expected * f64::from(keep) + expected;
    }
}

/// Each of [`SHARES`] for as many bins as there are, then nothing for as many.
const STEPS: [[f32; 2 * BINS]; 3] = {
    let mut steps = [[0.0; 2 * BINS]; 3];
    let mut at = 0;
    while at < 3 * BINS {
        steps[at / BINS][at % BINS] = SHARES[at / BINS];
        at += 1;
    }
    steps
};

/// The share in all bins up to `bin`.
fn steps(step: &[f32; 2 * BINS], bin: usize) -> &[f32; BINS] {
    step[BINS - 1 - bin..].first_chunk().unwrap_or(&[0.0; BINS])
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
    fn roots_by_trying(gaps: &Gaps, seen: &Seen) -> [f64; BINS] {
        let hazards = gaps.hazards(seen);
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
        /// Who asks late gets what was due: the same as who asks all the time, for as long as told.
        #[test]
        fn nobody_can_tell_when_roots_are_worked_out(
            asked in prop::collection::vec((0_usize..6, 0.5_f64..900.0, any::<bool>()), 1..300), whom in 0_usize..6,
        ) {
            let (mut eager, mut lazy) = (Gaps::default(), Gaps::default());
            (0..6).for_each(|_| [&mut eager, &mut lazy].into_iter().for_each(Gaps::add));
            let (mut now, mut kept) = (0.0, (0.0, f64::NEG_INFINITY));
            for (number, (model, passed, is_asked)) in asked.into_iter().enumerate() {
                now += passed;
                prop_assert_eq!(eager.request(model, now), lazy.request(model, now));
                if number % 40 == 39 {
                    [&mut eager, &mut lazy].into_iter().for_each(Gaps::refresh);
                }
                if number % 40 == 39 || number == 15 || model == whom {
                    kept.1 = f64::NEG_INFINITY;
                }
                let told = (0..6).map(|model| eager.root_index(model, now)).collect::<Vec<_>>()[whom];
                if now < kept.1 {
                    prop_assert_eq!(told.0.to_bits(), f64::to_bits(kept.0));
                }
                kept = told;
                if is_asked {
                    prop_assert_eq!(lazy.root_index(whom, now), told);
                } else if passed > 450.0 {
                    lazy.settle(&lazy.rows[model]);
                }
            }
        }

        /// A gap ends as by the definition: all decays, then each share comes to the bins that it reaches.
        #[test]
        fn a_gap_is_counted_in_its_bin_and_those_beside_it(bins in prop::collection::vec(0..BINS, 1..80)) {
            let mut seen = Seen { reached: [0.0; BINS], expected: 0.0 };
            let mut reached = [0.0_f32; BINS];
            for bin in bins {
                seen.end(bin, 1.0);
                for reached in &mut reached {
                    *reached *= 1.0 - 1.0 / REMEMBERED;
                }
                for (offset, share) in SHARES.iter().enumerate() {
                    let last = (bin + offset).saturating_sub(1).min(BINS - 1);
                    for reached in &mut reached[..=last] {
                        *reached += share;
                    }
                }
                prop_assert_eq!(seen.reached.map(f32::to_bits), reached.map(f32::to_bits));
            }
        }

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
                let tried = roots_by_trying(&gaps, &row.seen);
                for (bin, (root, tried)) in gaps.roots(&row.seen).iter().zip(tried).enumerate() {
                    prop_assert!((f64::from(*root) - tried).abs() <= 1e-5 * tried, "bin {bin}: {root} and {tried}");
                }
            }
        }
    }
}
