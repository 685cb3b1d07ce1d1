//! Learned sizes: by how much real peaks pass what was predicted, for each model, context and batch.
//!
//! A *cell* is one model in one bucket of context and one of batch (powers of two, so a handful of cells a model). It
//! keeps the latest excesses, `peak - predicted`, which may be negative, and answers what to book for the next
//! prediction:
//!
//! ```text
//!   samples n      booked
//!   0              predicted x the worst peak / predicted of the model's other cells, never less than predicted
//!   few            predicted + the largest excess + peak / (8 n):     nothing seen passes it, and a margin shrinks
//!   n >= q/(1-q)   predicted + the ceil(q (n + 1))-th smallest excess
//! ```
//!
//! The last line is the split conformal quantile (Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World*,
//! 2005; Lei et al., *Distribution-Free Predictive Inference for Regression*, JASA 113, 2018): if the next excess is as
//! likely to be in one place among those seen as in another, it passes the bound with a probability of at most `1 - q`,
//! whatever the distribution. It asks for `n >= q / (1 - q)` samples, 19 for 0.95; with fewer no value that was seen is
//! enough, hence the margin.
//!
//! **Deliberately not here:** trust in a single peak that breaks the pattern for ever. A cell forgets all but its latest
//! [`WINDOW`] samples; one that has moved is followed.

use std::collections::{HashMap, VecDeque};

use crate::error::{Error, Result};
use crate::units::Bytes;

/// Samples that a cell keeps.
pub const WINDOW: usize = 256;

/// The share of a peak that is booked on top after one sample; a `n`-th of it after `n`.
const MARGIN: u64 = 8;

/// What a lease is for, as far as its memory goes: zero where that is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape {
    /// Tokens of context.
    pub context: u64,
    /// Sequences at once.
    pub batch: u64,
}

impl Shape {
    /// The bucket: each number up to the next power of two, as its exponent plus one; zero stays.
    fn bucket(self) -> (u8, u8) {
        (exponent(self.context), exponent(self.batch))
    }
}

fn exponent(count: u64) -> u8 {
    // Up to 65 values: none, 1, 2, 3-4, 5-8, ...
    let Some(less) = count.checked_sub(1) else { return 0 };
    u8::try_from(65_u32.saturating_sub(less.leading_zeros())).unwrap_or(u8::MAX)
}

/// One load or lease that was seen through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What the formula said.
    pub predicted: Bytes,
    /// What was booked.
    pub booked: Bytes,
    /// The most that was really in use.
    pub peak: Bytes,
}

/// What was learned of one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The model's name.
    pub model: String,
    /// The largest context of the bucket; zero where none was said.
    pub context: u64,
    /// The largest batch of the bucket; zero where none was said.
    pub batch: u64,
    /// Samples seen, those forgotten among them.
    pub samples: u64,
    /// What is added to a prediction; negative where predictions are too high.
    pub excess: i128,
    /// Peaks above what was booked.
    pub breaches: u64,
}

#[derive(Debug, Default)]
struct Cell {
    latest: VecDeque<i128>,
    /// The same, smallest first.
    sorted: Vec<i128>,
    /// The largest peak of those seen.
    peak: Bytes,
    samples: u64,
    breaches: u64,
}

impl Cell {
    fn add(&mut self, sample: Sample) {
        let excess = i128::from(sample.peak.get()).saturating_sub(i128::from(sample.predicted.get()));
        if self.latest.len() >= WINDOW
            && let Some(oldest) = self.latest.pop_front()
            && let Ok(place) = self.sorted.binary_search(&oldest)
        {
            self.sorted.remove(place);
        }
        self.latest.push_back(excess);
        let place = self.sorted.partition_point(|&other| other < excess);
        self.sorted.insert(place, excess);
        self.peak = self.peak.max(sample.peak);
        self.samples = self.samples.saturating_add(1);
        if sample.peak > sample.booked {
            self.breaches = self.breaches.saturating_add(1);
        }
    }

    /// What to add to a prediction; `None` without a sample.
    fn excess(&self, quantile: f64) -> Option<i128> {
        let largest = *self.sorted.last()?;
        let seen = self.sorted.len();
        if let Some(rank) = rank(quantile, seen) {
            return self.sorted.get(rank.saturating_sub(1)).copied();
        }
        let count = u64::try_from(seen).unwrap_or(u64::MAX).saturating_mul(MARGIN);
        Some(largest.saturating_add(self.peak.get().div_ceil(count.max(1)).into()))
    }
}

/// Which of `seen` sorted samples bounds the next with probability `quantile`, counted from one; `None` if none does.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most WINDOW samples, and a quantile between 0 and 1"
)]
fn rank(quantile: f64, seen: usize) -> Option<usize> {
    let rank = (quantile * (seen.saturating_add(1)) as f64).ceil() as usize;
    (rank <= seen && rank > 0).then_some(rank)
}

#[derive(Debug, Default)]
struct Model {
    cells: HashMap<(u8, u8), Cell>,
    /// The sample with the largest peak for its prediction: what an unseen cell expects.
    worst: Option<(Bytes, Bytes)>,
}

impl Model {
    fn worsen(&mut self, predicted: Bytes, peak: Bytes) {
        let product = |a: Bytes, b: Bytes| u128::from(a.get()).saturating_mul(b.get().into());
        let is_worse = self.worst.is_none_or(|(of, most)| product(peak, of) > product(most, predicted));
        if is_worse && !predicted.is_zero() {
            self.worst = Some((predicted, peak));
        }
    }

    /// A prediction for a cell without samples: as wrong as the worst seen, upwards only.
    fn unseen(&self, predicted: Bytes) -> Bytes {
        let Some((of, peak)) = self.worst else { return predicted };
        let scaled = predicted.scaled(peak.get(), of.get().max(1), "a learned size").unwrap_or(Bytes::MAX);
        scaled.max(predicted)
    }
}

/// What was learned, model by model. See the [module](self).
#[derive(Debug)]
pub struct Estimates {
    quantile: f64,
    models: HashMap<String, Model>,
}

impl Estimates {
    /// The share of peaks that what is booked shall cover, unless told otherwise.
    pub const QUANTILE: f64 = 0.95;

    /// Nothing learned yet; what is booked shall cover a share of `quantile` of all peaks.
    ///
    /// # Errors
    /// [`Error::Argument`] for a `quantile` that does not lie between 0 and 1.
    pub fn new(quantile: f64) -> Result<Self> {
        if !(quantile > 0.0 && quantile < 1.0) {
            let reason = format!("{quantile} does not lie between 0 and 1");
            return Err(Error::Argument { name: "quantile", reason });
        }
        Ok(Self { quantile, models: HashMap::new() })
    }

    /// Takes in what a load or lease of `model` really took.
    pub fn observe(&mut self, model: &str, shape: Shape, sample: Sample) {
        if !self.models.contains_key(model) {
            self.models.insert(model.to_owned(), Model::default());
        }
        let Some(known) = self.models.get_mut(model) else { return };
        known.worsen(sample.predicted, sample.peak);
        known.cells.entry(shape.bucket()).or_default().add(sample);
    }

    /// What to book where `predicted` is predicted.
    #[must_use]
    pub fn book(&self, model: &str, shape: Shape, predicted: Bytes) -> Bytes {
        let Some(known) = self.models.get(model) else { return predicted };
        let cell = known.cells.get(&shape.bucket());
        match cell.and_then(|cell| cell.excess(self.quantile)) {
            Some(excess) => shifted(predicted, excess),
            None => known.unseen(predicted),
        }
    }

    /// Whether anything was seen of a model in this shape.
    #[must_use]
    pub fn knows(&self, model: &str, shape: Shape) -> bool {
        self.models.get(model).is_some_and(|known| known.cells.contains_key(&shape.bucket()))
    }

    /// Forgets a model: another one has its name now.
    pub fn forget(&mut self, model: &str) {
        self.models.remove(model);
    }

    /// Peaks above what was booked, so far.
    #[must_use]
    pub fn breaches(&self) -> u64 {
        let cells = self.models.values().flat_map(|known| known.cells.values());
        cells.fold(0, |sum, cell| sum.saturating_add(cell.breaches))
    }

    /// Everything learned, sorted by model and shape.
    #[must_use]
    pub fn learned(&self) -> Vec<Learned> {
        let mut rows: Vec<Learned> = Vec::new();
        for (model, known) in &self.models {
            rows.extend(known.cells.iter().filter_map(|(&(context, batch), cell)| {
                let excess = cell.excess(self.quantile)?;
                let (context, batch) = (most(context), most(batch));
                let model = model.clone();
                Some(Learned {
                    model,
                    context,
                    batch,
                    samples: cell.samples,
                    excess,
                    breaches: cell.breaches,
                })
            }));
        }
        rows.sort_by(|a, b| (&a.model, a.context, a.batch).cmp(&(&b.model, b.context, b.batch)));
        rows
    }
}

/// The largest count of a bucket.
fn most(exponent: u8) -> u64 {
    match exponent.checked_sub(1) {
        None => 0,
        Some(power) => 1_u64.checked_shl(power.into()).unwrap_or(u64::MAX),
    }
}

fn shifted(predicted: Bytes, excess: i128) -> Bytes {
    let sum = i128::from(predicted.get()).saturating_add(excess);
    Bytes::new(u64::try_from(sum.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: Shape = Shape { context: 0, batch: 0 };

    fn estimates() -> Estimates {
        Estimates::new(Estimates::QUANTILE).unwrap()
    }

    fn see(estimates: &mut Estimates, shape: Shape, predicted: u64, peak: u64) {
        let predicted = Bytes::new(predicted);
        let booked = estimates.book("m", shape, predicted);
        estimates.observe("m", shape, Sample { predicted, booked, peak: Bytes::new(peak) });
    }

    #[test]
    fn buckets_end_at_powers_of_two() {
        let buckets = [0, 1, 2, 3, 4, 5, 8, 9, 4096, 4097, u64::MAX].map(exponent);
        assert_eq!(buckets, [0, 1, 2, 3, 3, 4, 4, 5, 13, 14, 65]);
        assert_eq!([0, 1, 13, 65].map(most), [0, 1, 4096, u64::MAX]);
    }

    #[test]
    fn what_nobody_saw_is_what_was_predicted() {
        assert_eq!(estimates().book("m", PLAIN, Bytes::new(70)), Bytes::new(70));
    }

    #[test]
    fn one_load_of_half_the_size_is_enough_to_know_better() {
        let mut estimates = estimates();
        see(&mut estimates, PLAIN, 100, 150);
        assert_eq!(estimates.book("m", PLAIN, Bytes::new(100)), Bytes::new(150 + 19));
        assert_eq!(estimates.breaches(), 1);
        for _ in 0..18 {
            see(&mut estimates, PLAIN, 100, 150);
        }
        assert_eq!(estimates.book("m", PLAIN, Bytes::new(100)), Bytes::new(150), "tight once it is sure");
        assert_eq!(estimates.breaches(), 1);
    }

    #[test]
    fn too_much_is_booked_no_longer() {
        let mut estimates = estimates();
        for _ in 0..19 {
            see(&mut estimates, PLAIN, 200, 100);
        }
        assert_eq!(estimates.book("m", PLAIN, Bytes::new(200)), Bytes::new(100));
        assert_eq!(estimates.breaches(), 0);
    }

    #[test]
    fn a_context_that_nobody_saw_is_taken_to_be_as_wrong_as_the_others() {
        let mut estimates = estimates();
        see(&mut estimates, Shape { context: 1024, batch: 1 }, 100, 150);
        let far = Shape { context: 8192, batch: 1 };
        assert_eq!(estimates.book("m", far, Bytes::new(800)), Bytes::new(1200));
        assert!(!estimates.knows("m", far));
        see(&mut estimates, far, 800, 400);
        assert_eq!(estimates.book("m", far, Bytes::new(800)), Bytes::new(400 + 50));
        estimates.forget("m");
        assert_eq!(estimates.book("m", far, Bytes::new(800)), Bytes::new(800));
    }

    #[test]
    fn a_cell_that_has_moved_is_followed() {
        let mut estimates = estimates();
        see(&mut estimates, PLAIN, 100, 900);
        for _ in 0..WINDOW {
            see(&mut estimates, PLAIN, 100, 110);
        }
        assert_eq!(estimates.book("m", PLAIN, Bytes::new(100)), Bytes::new(110));
        let [row] = &estimates.learned()[..] else { panic!("one cell") };
        assert_eq!((row.samples, row.excess), (257, 10));
    }

    #[test]
    fn a_quantile_is_one() {
        for wrong in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Estimates::new(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        /// As long as samples are few, nothing that was seen is booked too low.
        #[test]
        fn few_samples_are_all_covered(peaks in prop::collection::vec(0_u64..1 << 40, 1..19), predicted in 1_u64..1 << 40) {
            let mut estimates = estimates();
            for &peak in &peaks {
                see(&mut estimates, PLAIN, predicted, peak);
            }
            let largest = *peaks.iter().max().unwrap();
            prop_assert!(estimates.book("m", PLAIN, Bytes::new(predicted)).get() >= largest);
        }

        /// Later a share of at most `1 - q` of the samples is not covered, and what is booked was seen.
        #[test]
        fn the_quantile_holds(peaks in prop::collection::vec(0_u64..1000, 19..WINDOW), predicted in 1_u64..1000) {
            let mut estimates = estimates();
            for &peak in &peaks {
                see(&mut estimates, PLAIN, predicted, peak);
            }
            let booked = estimates.book("m", PLAIN, Bytes::new(predicted)).get();
            let above = peaks.iter().filter(|&&peak| peak > booked).count();
            prop_assert!(above * 20 <= peaks.len(), "{above} of {}", peaks.len());
            prop_assert!(peaks.contains(&booked));
        }

        /// A constant error, up or down, breaches once at most, whatever is asked for.
        #[test]
        fn a_constant_error_breaches_once(
            percent in 50_u64..=150, sizes in prop::collection::vec(1_u64..1 << 30, 1..60),
        ) {
            let mut estimates = estimates();
            let size = sizes[0];
            for _ in &sizes {
                see(&mut estimates, PLAIN, size, size * percent / 100);
            }
            prop_assert!(estimates.breaches() <= 1);
        }

        /// However extreme the numbers, the order of samples and the window stay whole.
        #[test]
        fn nothing_overflows(
            rows in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()), 1..400),
        ) {
            let mut estimates = estimates();
            for (context, batch, predicted, peak) in rows {
                let shape = Shape { context, batch: batch % 3 };
                see(&mut estimates, shape, predicted, peak);
                let _ = estimates.book("m", Shape { context: peak, batch }, Bytes::new(predicted));
            }
            for cell in estimates.models.values().flat_map(|known| known.cells.values()) {
                prop_assert_eq!(cell.latest.len(), cell.sorted.len());
                prop_assert!(cell.sorted.is_sorted() && cell.sorted.len() <= WINDOW);
            }
        }
    }
}
