//! Who knows how each model is asked for, but not when: every gap between its requests, in no order. For replays only.
//!
//! What keeping a model is worth is the best rate at which it can be used again, by its own true gaps, given how long it
//! has been unused: the [Gittins index](super::Value) of the empirical distribution, × load / bytes. The distance from a
//! rule that learns to this one is what better learning could bring; the distance from this one to the
//! [clairvoyant](super::Clairvoyant) is what only the future itself tells. Greedy, so no bound in the strict sense.

use std::time::Duration;

use super::{Candidate, Facts, Policy, count, seconds};
use crate::pool::ModelId;
use crate::units::{Bytes, Time};

#[derive(Clone, Debug)]
struct Row {
    load_s: f64,
    /// Its gaps in seconds, each different one once, rising, with how often it comes.
    gaps: Vec<(f64, f64)>,
    last_s: Option<f64>,
}

/// Is told beforehand how long each model stays unused between its requests.
#[derive(Clone, Debug)]
pub struct Informed {
    gaps: Vec<Vec<(f64, f64)>>,
    rows: Vec<Row>,
}

impl Informed {
    /// From the times of all requests for each model, in the order in which models will register, each rising.
    #[must_use]
    pub fn new(uses: &[Vec<Time>]) -> Self {
        Self { gaps: uses.iter().rev().map(|uses| gaps(uses)).collect(), rows: Vec::new() }
    }
}

fn gaps(uses: &[Time]) -> Vec<(f64, f64)> {
    let mut all: Vec<Duration> = uses.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    all.sort_unstable();
    let mut gaps: Vec<(f64, f64)> = Vec::new();
    for same in all.chunk_by(Duration::eq) {
        gaps.push((same[0].as_secs_f64(), count(Bytes::new(same.len() as u64))));
    }
    gaps
}

/// The most uses per second that waiting from `age` on can bring, over all ways to stop: by the gaps longer than that.
fn index(gaps: &[(f64, f64)], age: f64) -> f64 {
    let later = &gaps[gaps.partition_point(|(gap, _)| *gap <= age)..];
    let mut waiting: f64 = later.iter().map(|(_, times)| times).sum();
    let (mut used, mut waited, mut best) = (0.0, 0.0, 0.0_f64);
    for &(gap, times) in later {
        used += times;
        waiting -= times;
        waited += times * (gap - age);
        best = best.max(used / (waited + waiting * (gap - age)));
    }
    best
}

impl Policy for Informed {
    fn name(&self) -> &'static str {
        "informed"
    }

    fn on_register(&mut self, facts: &Facts<'_>) {
        let gaps = self.gaps.pop().unwrap_or_default();
        self.rows.push(Row { load_s: facts.load_s, gaps, last_s: None });
    }

    fn on_request(&mut self, model: ModelId, now: Time) {
        self.rows[model.0].last_s = Some(seconds(now));
    }

    fn worth(&self, candidate: &Candidate, now: Time) -> f64 {
        let row = &self.rows[candidate.model.0];
        let Some(last_s) = row.last_s else { return 0.0 };
        // Right after a use nothing is known to be over: gaps of no length count too.
        let age = if seconds(now) > last_s { seconds(now) - last_s } else { -f64::EPSILON };
        index(&row.gaps, age).min(f64::MAX) * row.load_s / count(candidate.bytes).max(1.0)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_timer_is_worth_one_by_the_time_to_its_next_tick() {
        let times: Vec<Time> = (0..20).map(|tick| Time::from_nanos(tick * 60_000_000_000)).collect();
        let gaps = gaps(&times);
        assert_eq!(gaps, [(60.0, 19.0)]);
        assert!((index(&gaps, 45.0) - 1.0 / 15.0).abs() < 1e-12);
        assert!(index(&gaps, 60.0) <= 0.0, "it has ended");
    }

    proptest! {
        /// No way to stop is better: each tried by itself, by the definition.
        #[test]
        fn the_index_is_the_best_rate(all in prop::collection::vec(1_u32..50, 1..12), age in 0_u32..50) {
            let age = f64::from(age);
            let mut sorted = all.clone();
            sorted.sort_unstable();
            let gaps: Vec<(f64, f64)> = sorted.iter().map(|&gap| (f64::from(gap), 1.0)).collect();
            let left: Vec<f64> = all.iter().map(|&gap| f64::from(gap)).filter(|gap| *gap > age).collect();
            let rate = |stop: f64| {
                let used = f64::from(u32::try_from(left.iter().filter(|gap| **gap <= stop).count()).unwrap());
                used / left.iter().map(|gap| gap.min(stop) - age).sum::<f64>()
            };
            let best = left.iter().map(|&stop| rate(stop)).fold(0.0, f64::max);
            prop_assert!((index(&gaps, age) - best).abs() < 1e-9);
        }
    }
}
