//! How long a model stays unused, learned from the gaps between its requests, and what waiting for its next is worth.
//!
//! The *hazard* of an age is the chance that a model unused for so long is asked for before it is a bin older. Three
//! estimates of it are combined, each where the finer one knows nothing:
//!
//! 1. the gaps of all models together give the pooled hazard of every age (busy models ask soon, so it falls);
//! 2. a factor per model on its odds, gamma distributed around what models have on the average, whose posterior mean is
//!    *(k·mean + gaps seen) / (k + gaps expected)*: a frailty model, and all there is to say of a rare model;
//! 3. the model's own gaps, which count against the former as a prior of half a gap: a timer shows in its peak.
//!
//! What keeping a model of age *a* is worth per unit of time is its Gittins index, the best rate of reward over all ways
//! to stop waiting: `max over t of P(next use within t | a) / E[min(next use, t) | a]`. For requests without memory that
//! is their rate, so that a decayed rate is this index for a Poisson process; for a timer it is 1 / (time to next use),
//! which is the clairvoyant's rule. (Gittins 1979; for caches under renewal processes see Panigrahy, Nain, Neglia and
//! Towsley, "A new upper bound on cache hit probability for non-anticipative caching policies", 2021.)

#![allow(clippy::arithmetic_side_effects, reason = "numbers of bins and models, all bounded")]

use std::cell::Cell;

use super::roots::{FRAILTY, Pooled};
use super::seen::{BINS, Seen, bin, edge};

/// The index of a model is worked out anew once it has seen more than this share of what it remembers.
const NEWS: f64 = 0.08;
/// Among more models than these, what is due is worked out before somebody asks.
const FEW: usize = 256;
/// Of so many models at each request.
const AT_A_TIME: usize = 4;
/// The pooled hazard is worked out anew after so many requests, or as many as there are models.
const REFRESH_EVERY: usize = 1024;
/// When a model was last asked for that never was.
const NEVER: f64 = f64::NEG_INFINITY;

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

/// How the roots of a model stand.
#[derive(Clone, Copy, Debug)]
struct Standing {
    due: Due,
    /// The refresh that they are of: after a later one they are due anew.
    age: u64,
}

/// The gaps of one model.
#[derive(Clone, Debug)]
struct Row {
    /// Bins of the open gap that the pooled hazard has counted already.
    audited: usize,
    /// Gaps since the roots were due, as of a refresh.
    unseen: f64,
    refreshes: u64,
    seen: Seen,
    /// What was known when the roots were due, where they are due from [`Due::Before`].
    before: Seen,
}

/// The gaps of all models on one clock. What is asked for often stands in columns of its own, one entry a model.
#[derive(Clone, Debug)]
pub(super) struct Gaps {
    rows: Vec<Row>,
    /// When each was last asked for, on this clock.
    lasts: Vec<f64>,
    /// The root of the index of each model in the middle of each bin. Nobody may ever ask, so they are worked out for the
    /// first who does, as if it had been done when it was due.
    roots: Vec<[Cell<f32>; BINS]>,
    standings: Vec<Cell<Standing>>,
    /// The age at which each bin ends.
    ends: [f64; BINS],
    /// Gaps of all models that ended in each bin, and that reached it.
    ended: [f64; BINS],
    reached: [f64; BINS],
    pooled: Pooled,
    requests: usize,
    refreshes: u64,
    /// So many models, the first ones, have had their roots worked out since.
    settled: usize,
    /// The model whose open gap is audited next.
    auditor: usize,
}

impl Default for Gaps {
    fn default() -> Self {
        let mut gaps = Self {
            rows: Vec::new(),
            lasts: Vec::new(),
            roots: Vec::new(),
            standings: Vec::new(),
            // The last holds all that is older.
            ends: std::array::from_fn(|bin| if bin + 1 < BINS { edge(bin + 1) } else { f64::INFINITY }),
            ended: [0.0; BINS],
            reached: [0.0; BINS],
            pooled: Pooled::default(),
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
        self.rows.push(Row {
            audited: 0,
            unseen: 0.0,
            refreshes: 0,
            seen: Seen::NOTHING,
            before: Seen::NOTHING,
        });
        self.lasts.push(NEVER);
        self.roots.push([const { Cell::new(0.0) }; BINS]);
        self.standings.push(Cell::new(Standing { due: Due::Now, age: 0 }));
    }

    /// The pooled hazard as it is now. All roots are due.
    fn refresh(&mut self) {
        self.pooled.renew(&self.ended, &self.reached);
        let mean = self.pooled.mean;
        let (mut sum, mut seen) = (1.0, 1.0);
        for (row, _) in self.rows.iter().zip(&self.lasts).filter(|(_, last)| **last > NEVER) {
            sum += (FRAILTY * mean + row.seen.gaps()) / (FRAILTY + row.seen.expected);
            seen += 1.0;
        }
        self.pooled.mean = sum / seen;
        self.refreshes += 1;
        self.settled = 0;
    }

    /// `model` is asked for at `at`; true if this changes what every model is worth.
    pub(super) fn request(&mut self, model: usize, at: f64) -> bool {
        self.keep_what_is_due(model);
        let last = std::mem::replace(&mut self.lasts[model], at);
        let row = &mut self.rows[model];
        if last > NEVER {
            let bin = bin(at - last);
            for reached in &mut self.reached[row.audited.min(bin + 1)..=bin] {
                *reached += 1.0;
            }
            self.ended[bin] += 1.0;
            row.seen.end(bin, f64::from(self.pooled.cumulative[bin + 1]));
        }
        row.audited = 0;
        row.unseen += 1.0;
        if row.unseen > row.seen.gaps() * NEWS {
            row.unseen = 0.0;
            self.standings[model].set(Standing { due: Due::Now, age: self.refreshes });
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
        let (row, last) = (&mut self.rows[self.auditor], self.lasts[self.auditor]);
        if last > NEVER {
            let bin = bin(at - last);
            for reached in &mut self.reached[row.audited.min(bin)..bin] {
                *reached += 1.0;
            }
            row.audited = row.audited.max(bin);
        }
    }

    /// Before what is known of a model changes: what its roots are due from is kept.
    fn keep_what_is_due(&mut self, model: usize) {
        let row = &mut self.rows[model];
        if row.refreshes != self.refreshes {
            (row.refreshes, row.unseen) = (self.refreshes, 0.0);
        }
        let standing = self.standings[model].get().as_of(self.refreshes);
        self.standings[model].set(standing);
        if standing.due == Due::Now {
            row.before = row.seen;
            self.standings[model].set(Standing { due: Due::Before, ..standing });
        }
    }

    /// The root of what waiting for the next request of `model` is worth at `at`, per unit of the clock: the root,
    /// because whoever asks takes the geometric mean of two clocks. Beside it a time until which it stays that, unless the
    /// model is asked for or the pooled hazard is worked out anew.
    pub(super) fn root_index(&self, model: usize, at: f64) -> (f64, f64) {
        let last = self.lasts[model];
        if last <= NEVER {
            return (0.0, f64::INFINITY);
        }
        self.settle(model);
        let bin = bin(at - last);
        // A little sooner, so that no rounding of an age makes it too late.
        (f64::from(self.roots[model][bin].get()), (last + self.ends[bin]) * (1.0 - 1e-15))
    }

    /// Works out the roots of a model that are due.
    fn settle(&self, model: usize) {
        let standing = self.standings[model].get();
        if standing.due != Due::Nothing || standing.age != self.refreshes {
            self.work_out(model, standing.as_of(self.refreshes));
        }
    }

    #[cold]
    fn work_out(&self, model: usize, standing: Standing) {
        let row = &self.rows[model];
        let seen = if standing.due == Due::Before { &row.before } else { &row.seen };
        for (to, root) in self.roots[model].iter().zip(self.pooled.roots(seen)) {
            to.set(root);
        }
        self.standings[model].set(Standing { due: Due::Nothing, ..standing });
    }

    /// Works out what is due of the model asked for, and after a refresh of all models, a few at a time. Who asks for the
    /// worths of many models at once would wait for all of them otherwise; among few they wait for what is asked for only.
    pub(super) fn prepare(&mut self, model: usize) {
        if self.rows.len() > FEW {
            self.settle(model);
            let next = self.settled.min(self.rows.len())..(self.settled + AT_A_TIME).min(self.rows.len());
            self.settled = next.end;
            next.for_each(|model| self.settle(model));
        }
    }
}

impl Standing {
    /// After a refresh roots are due.
    const fn as_of(self, refreshes: u64) -> Self {
        if self.age == refreshes { self } else { Self { due: Due::Now, age: refreshes } }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
                    lazy.settle(model);
                }
            }
        }
    }
}
