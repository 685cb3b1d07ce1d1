//! One policy with one scheme and number of threads, timed on a stack of layers of a few sizes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Listener, Request, tell};
use crate::codec::Scheme;
use crate::error::Result;
use crate::jit::execute::{self, Conduct, Samples};
use crate::jit::profile::Cache;
use crate::jit::simulate::working_set;
use crate::jit::timing::{Operation, Point, Timing};
use crate::jit::{Layer, Policy};

/// Passes of a trial in one round. Calibration and verification take as many, so that their percentiles mean the same.
pub(super) const PASSES: u32 = 4;
/// The fewest rounds.
pub(super) const ROUNDS: u32 = 2;
/// Rows and weights of a row: four sizes of one length of row, and a shorter one. All but the largest take about a
/// millisecond or less, so that most passes go through them undisturbed even on a busy machine.
const SHAPES: [[u64; 2]; 5] = [[64, 4096], [256, 4096], [1024, 4096], [3072, 4096], [1024, 1024]];

/// The size of the last cache.
pub(super) fn last_cache(caches: &[Cache]) -> u64 {
    caches.iter().max_by_key(|cache| cache.level).map_or(32 << 20, |cache| cache.bytes)
}

/// Bytes that a pass reads when nothing of it is to be in a cache any more.
pub(super) fn beyond(last_cache: u64, request: &Request) -> u64 {
    // Decoded, stored weights are four times as large or less; both are in memory at once.
    last_cache.saturating_mul(2).clamp(16 << 20, (request.memory.get() >> 4).max(16 << 20))
}

/// Layers of `shapes` in turn until a pass reads so much under `policy`, those of one shape side by side.
pub(super) fn stack(shapes: &[[u64; 2]], scheme: Scheme, stored: u64) -> Result<Vec<Layer>> {
    let one: Vec<Layer> =
        shapes.iter().map(|shape| Layer::new("layer", shape, scheme)).collect::<Result<_>>()?;
    let set = one.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.compressed.get())).max(1);
    let copies = usize::try_from(stored.div_ceil(set)).unwrap_or(1).clamp(1, 4096);
    Ok(one.into_iter().flat_map(|layer| vec![layer; copies]).collect())
}

/// Seconds of all layers of one shape: the low percentile of each, and every one.
#[derive(Default)]
struct Shape {
    lows: Vec<f64>,
    all: Vec<f64>,
}

pub(super) struct Trial {
    layers: Vec<Layer>,
    policy: Policy,
    threads: u32,
    last_cache: u64,
    samples: Option<Samples>,
    load_s: Vec<Vec<f64>>,
}

/// Every trial of a calibration.
pub(super) fn all(request: &Request, last_cache: u64) -> Vec<Trial> {
    let beyond = beyond(last_cache, request);
    let within = last_cache >> 2;
    let mut trials = Vec::new();
    let mut add = |scheme, policy, threads, stored| {
        if let Ok(layers) = stack(&SHAPES, scheme, stored) {
            let load_s = vec![Vec::new(); layers.len()];
            trials.push(Trial { layers, policy, threads, last_cache, samples: None, load_s });
        }
    };
    for &threads in &request.threads {
        for stored in [within, beyond, beyond.saturating_mul(4)] {
            add(Scheme::F16, Policy::Fused, threads, stored);
        }
        for &scheme in &request.schemes {
            add(scheme, Policy::Fused, threads, within);
            add(scheme, Policy::Fused, threads, beyond);
            add(scheme, Policy::TILED, threads, beyond);
            add(scheme, Policy::BY_LAYER, threads, beyond);
            if threads < request.cores {
                add(scheme, Policy::PREFETCHED, threads, beyond);
            }
            add(scheme, Policy::LoadTime, threads, beyond >> 3);
        }
    }
    trials
}

/// Goes through all trials in rounds until time is up; gives the number of rounds.
pub(super) fn run(trials: &mut [Trial], time: Duration, listener: Listener<'_>) -> Result<u32> {
    let begun = Instant::now();
    let count = crate::jit::float(u64::try_from(trials.len().max(1)).unwrap_or(1));
    let mut rounds = 0_u32;
    loop {
        for (place, trial) in trials.iter_mut().enumerate() {
            let of_round = crate::jit::float(u64::try_from(place).unwrap_or(0)) / count;
            let by_rounds = (f64::from(rounds) + of_round) / f64::from(ROUNDS);
            let by_time = begun.elapsed().as_secs_f64() / time.as_secs_f64().max(1.0);
            let done = if rounds < ROUNDS { by_rounds.min(by_time.max(0.05)) } else { by_time };
            tell(listener, done, trial.what())?;
            trial.round()?;
        }
        rounds = rounds.saturating_add(1);
        let of_one = begun.elapsed().as_secs_f64() / f64::from(rounds);
        if rounds >= ROUNDS && begun.elapsed().as_secs_f64() + of_one > time.as_secs_f64() {
            return Ok(rounds);
        }
    }
}

impl Trial {
    fn what(&self) -> String {
        let scheme = self.layers.first().map_or(Scheme::F16, |layer| layer.scheme);
        let threads =
            if self.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", self.threads) };
        format!("{scheme}, {}, {threads}", self.policy)
    }

    fn round(&mut self) -> Result<()> {
        let conduct = Conduct {
            threads: self.threads,
            passes: if self.policy == Policy::LoadTime { 1 } else { PASSES },
            time: Duration::ZERO,
            last_cache: self.last_cache,
            ..Conduct::default()
        };
        let policies = vec![self.policy; self.layers.len()];
        let run = execute::measure(&self.layers, &policies, None, &conduct, false)?;
        for (all, &seconds) in self.load_s.iter_mut().zip(&run.load_s) {
            all.push(seconds);
        }
        match &mut self.samples {
            Some(samples) => samples.join(run.samples),
            None => self.samples = Some(run.samples),
        }
        Ok(())
    }

    /// What it says of each operation that it consists of.
    pub(super) fn timings(&self) -> Vec<Timing> {
        let Some(samples) = &self.samples else { return Vec::new() };
        let of = |operation, seconds: &[Vec<f64>]| self.timing(operation, seconds);
        match self.policy {
            Policy::LoadTime => vec![of(Operation::Load, &self.load_s)],
            Policy::BY_LAYER => {
                vec![of(Operation::Decode, &samples.ready), of(Operation::Scratch, &samples.compute)]
            }
            Policy::JustInTime { prefetch: 1.., .. } => {
                vec![
                    of(Operation::DecodeBeside, &samples.ready),
                    of(Operation::ScratchBeside, &samples.compute),
                ]
            }
            Policy::JustInTime { .. } => vec![of(Operation::Tile, &samples.whole)],
            Policy::Fused | Policy::KeepHot | Policy::Stream { .. } => {
                vec![of(Operation::Fused, &samples.whole)]
            }
        }
    }

    /// Means over layers of one shape of their low percentiles.
    fn timing(&self, operation: Operation, seconds: &[Vec<f64>]) -> Timing {
        let mut by_shape: BTreeMap<(u64, u64), Shape> = BTreeMap::new();
        for (layer, seconds) in self.layers.iter().zip(seconds) {
            let shape = by_shape.entry((layer.elements(), layer.row())).or_default();
            shape.lows.push(execute::low(seconds));
            shape.all.extend(seconds);
        }
        let points = by_shape.iter().map(|(&(weights, row), shape)| {
            let count = crate::jit::float(u64::try_from(shape.lows.len().max(1)).unwrap_or(1));
            let seconds = (shape.lows.iter().sum::<f64>() / count).max(1e-9);
            Point { weights, row, seconds, spread: Some(execute::spread(&shape.all)) }
        });
        let policies = vec![self.policy; self.layers.len()];
        Timing {
            operation,
            scheme: self.layers.first().map_or(Scheme::F16, |layer| layer.scheme),
            threads: self.threads,
            working_set: working_set(&self.layers, &policies),
            points: points.collect(),
        }
    }
}
