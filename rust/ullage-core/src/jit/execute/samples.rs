//! Seconds of every layer in every pass, and what is said of them.

use super::{Execution, Run};
use crate::jit::cost::moved;
use crate::jit::engine::{Event, Resource};
use crate::jit::figure::Spread;
use crate::jit::{Layer, Policy};
use crate::units::Bytes;

/// The share of passes that are faster than the one that counts: other processes only ever make a pass slower.
const LOW: f64 = 0.1;

/// One layer as it was executed.
#[derive(Clone, Debug, PartialEq)]
pub struct Executed {
    /// Its name.
    pub name: String,
    /// Its policy.
    pub policy: Policy,
    /// Seconds from the end of the layer before to its own: a low percentile over the passes.
    pub seconds: f64,
    /// Seconds of these, or beside them, in which it was decoded or read.
    pub ready_s: f64,
    /// How its seconds lie over the passes.
    pub spread: Spread,
}

/// Seconds by layer and pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::jit) struct Samples {
    /// From the end of the layer before to its own, by layer.
    pub(in crate::jit) whole: Vec<Vec<f64>>,
    /// Of decoding or reading, by layer; empty where there was none.
    pub(in crate::jit) ready: Vec<Vec<f64>>,
    /// Of multiplying, by layer.
    pub(in crate::jit) compute: Vec<Vec<f64>>,
    /// The fastest pass.
    pub(in crate::jit) timeline: Vec<Event>,
    pub(in crate::jit) fastest_s: f64,
    pub(in crate::jit) passes: u32,
}

impl Samples {
    pub(in crate::jit) fn new(layers: usize) -> Self {
        let empty = vec![Vec::new(); layers];
        Self {
            whole: empty.clone(),
            ready: empty.clone(),
            compute: empty,
            fastest_s: f64::INFINITY,
            ..Self::default()
        }
    }

    /// Takes in one pass: its events, in order of their ends.
    pub(super) fn add(&mut self, events: Vec<Event>) {
        let mut before = 0.0;
        for event in &events {
            let layer = event.layer as usize;
            let seconds = event.end_s - event.start_s;
            if event.resource == Resource::Compute {
                self.whole[layer].push(event.end_s - before);
                before = event.end_s;
                self.compute[layer].push(seconds);
            } else {
                self.ready[layer].push(seconds);
            }
        }
        if before < self.fastest_s {
            self.fastest_s = before;
            self.timeline = events;
        }
        self.passes = self.passes.saturating_add(1);
    }

    /// Adds those of another run of the same layers.
    pub(in crate::jit) fn join(&mut self, other: Self) {
        for (mine, theirs) in [
            (&mut self.whole, other.whole),
            (&mut self.ready, other.ready),
            (&mut self.compute, other.compute),
        ] {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                mine.extend(theirs);
            }
        }
        if other.fastest_s < self.fastest_s {
            (self.fastest_s, self.timeline) = (other.fastest_s, other.timeline);
        }
        self.passes = self.passes.saturating_add(other.passes);
    }

    /// Seconds of a pass: each layer's low percentile, summed.
    pub(in crate::jit) fn latency_s(&self) -> f64 {
        self.whole.iter().map(|seconds| low(seconds)).sum()
    }
}

/// The low percentile that counts.
pub(in crate::jit) fn low(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, LOW)
}

/// Between the two nearest of sorted values.
pub(in crate::jit) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = share * crate::jit::float(u64::try_from(last).unwrap_or(0));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    let lower = place.floor() as usize;
    let upper = lower.saturating_add(1).min(last);
    sorted[lower] + (sorted[upper] - sorted[lower]) * place.fract()
}

/// How values lie; stable where the low percentiles of both halves, in the order taken, agree within a twentieth.
pub(in crate::jit) fn spread(values: &[f64]) -> Spread {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (first, second) = values.split_at(values.len() >> 1);
    let (a, b) = (low(first), low(second));
    Spread {
        q1: percentile(&sorted, 0.25),
        median: percentile(&sorted, 0.5),
        q3: percentile(&sorted, 0.75),
        samples: u32::try_from(values.len()).unwrap_or(u32::MAX),
        is_stable: first.len() > 1 && (a - b).abs() <= 0.05 * a.max(b),
    }
}

impl Run {
    pub(super) fn conclude(self, layers: &[Layer], policies: &[Policy]) -> Execution {
        let load_s: f64 = self.load_s.iter().sum();
        let of = |(index, (layer, &policy)): (usize, (&Layer, &Policy))| Executed {
            name: layer.name.clone(),
            policy,
            seconds: low(&self.samples.whole[index]),
            ready_s: low(&self.samples.ready[index]),
            spread: spread(&self.samples.whole[index]),
        };
        let moved = layers.iter().zip(policies).map(|(layer, &policy)| moved(layer, policy));
        Execution {
            latency_s: self.samples.latency_s(),
            load_s,
            first_output_s: load_s + self.first_s,
            bytes_moved: Bytes::new(moved.fold(0, u64::saturating_add)),
            peak: self.peak,
            process_peak: self.process_peak,
            resident: self.resident,
            scratch: self.scratch,
            layers: layers.iter().zip(policies).enumerate().map(of).collect(),
            passes: self.samples.passes,
            timeline: self.samples.timeline,
        }
    }
}
