//! One policy with one scheme and number of threads, timed on a stack of layers of a few sizes.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::rounds::{Key, PASSES, Visit};
use super::stack::{Crew, Stack};
use super::{Listener, Request, tell};
use crate::codec::{Gguf, Scheme};
use crate::error::Result;
use crate::jit::Policy;
use crate::jit::execute::{self, Samples};
use crate::jit::figure::Spread;
use crate::jit::profile::Cache;
use crate::jit::simulate::working_set;
use crate::jit::timing::{Operation, Point, Timing};
use crate::model::Dtype;

/// Weights of a row of most shapes that are timed, and of the shorter one.
const ROW: u64 = 4096;
const SHORT: u64 = 1024;
/// Layers at the beginning of a part that are unlike those that follow: as many as there are buffers to decode ahead into.
const COLD: usize = 2;

/// The size of the last cache.
pub(super) fn last_cache(caches: &[Cache]) -> u64 {
    caches.iter().max_by_key(|cache| cache.level).map_or(32 << 20, |cache| cache.bytes)
}

/// Bytes that a pass reads when nothing of it is to be in a cache any more.
pub(super) fn beyond(last_cache: u64, request: &Request) -> u64 {
    // Stacks of all schemes are in memory at once, and one of them decoded, which is four times as large or less.
    last_cache.saturating_mul(3).div_euclid(2).clamp(16 << 20, (request.memory.get() >> 5).max(16 << 20))
}

/// Rows and weights of a row, the largest last. What decoded numbers cost changes where they leave the near cache and
/// the last one: a quarter of the near cache, all of it, two and a half, eight, and more than half of the last cache; and
/// short rows.
fn shapes(caches: &[Cache], request: &Request) -> Vec<[u64; 2]> {
    let near = crate::jit::memory::near(caches).clamp(256 << 10, 4 << 20);
    let far = (last_cache(caches) >> 1).clamp(near << 3, (request.memory.get() >> 7).max(near << 3));
    let rows = |bytes: u64| bytes.div_euclid(2 * ROW).max(16);
    let small = near >> 2;
    let middle = near.saturating_mul(5) >> 1;
    let short = [rows(near).saturating_mul(ROW / SHORT), SHORT];
    let [small, middle, large, far] =
        [small, middle, near << 3, far.saturating_add(far >> 3)].map(|bytes| [rows(bytes), ROW]);
    vec![small, [rows(near), ROW], middle, large, short, far]
}

/// Seconds of all layers of one shape: the low percentile of each, and every one, pass after pass.
struct Shape<'a> {
    lows: Vec<f64>,
    layers: Vec<&'a [f64]>,
}

impl<'a> Shape<'a> {
    fn new(layers: Vec<&'a [f64]>) -> Self {
        let mut lows: Vec<f64> = layers.iter().map(|seconds| execute::low(seconds)).collect();
        lows.sort_by(f64::total_cmp);
        Self { lows, layers }
    }

    /// How they lie: its halves are the earlier passes of all layers and the later ones.
    fn spread(&self) -> Spread {
        let passes = self.layers.iter().map(|seconds| seconds.len()).max().unwrap_or(0);
        let of_pass = |pass: usize| self.layers.iter().filter_map(move |seconds| seconds.get(pass).copied());
        execute::spread(&(0..passes).flat_map(of_pass).collect::<Vec<_>>())
    }
}

pub(super) struct Trial {
    stack: Rc<Stack>,
    scheme: Scheme,
    crew: Crew,
    /// Of every layer of the stack.
    samples: Samples,
    load_s: Vec<Vec<f64>>,
}

/// The schemes of a request, and the one that takes the place of blocks which do not divide a row.
fn schemes(request: &Request) -> Vec<Scheme> {
    let mut schemes = request.schemes.clone();
    let is_block = |scheme: &Scheme| matches!(scheme, Scheme::Gguf(_));
    if let Some(other) = Gguf::of(Dtype::Q8_0).map(Scheme::Gguf)
        && schemes.iter().any(is_block)
        && !schemes.contains(&other)
    {
        schemes.push(other);
    }
    schemes
}

/// Every trial of a calibration.
///
/// # Errors
/// [`crate::Error::Argument`] where the listener ended the work or there is no memory for the weights.
pub(super) fn all(request: &Request, caches: &[Cache], listener: Listener<'_>) -> Result<Vec<Trial>> {
    let last_cache = last_cache(caches);
    let beyond = beyond(last_cache, request);
    let within = last_cache.min(beyond) >> 2;
    let shapes = shapes(caches, request);
    let (_, small) = shapes.split_last().unwrap_or((&[0; 2], &[]));
    let mut trials = Vec::new();
    let mut add = |stack: &Rc<Stack>, scheme, policy, threads| {
        let crew = Crew { policy, threads, last_cache };
        let (samples, load_s) = (Samples::new(stack.layers.len()), vec![Vec::new(); stack.layers.len()]);
        trials.push(Trial { stack: Rc::clone(stack), scheme, crew, samples, load_s });
    };
    for scheme in std::iter::once(Scheme::F16).chain(schemes(request)) {
        tell(listener, 0.0, format!("making weights, {scheme}"))?;
        let (near, far) = (Stack::model(small, scheme, within)?, Stack::sizes(&shapes, scheme, beyond >> 3)?);
        for &threads in &request.threads {
            add(&near, scheme, Policy::Fused, threads);
            add(&far, scheme, Policy::Fused, threads);
            if scheme == Scheme::F16 {
                continue;
            }
            add(&near, scheme, Policy::LoadTime, threads);
            for policy in [Policy::TILED, Policy::BY_LAYER, Policy::PREFETCHED] {
                if policy.prefetch() == 0 || threads < request.cores {
                    add(&far, scheme, policy, threads);
                }
            }
        }
    }
    Ok(trials)
}

impl Visit for Trial {
    fn key(&self) -> Key {
        // Plain numbers are what weights decoded at load are multiplied from.
        let is_plain = self.scheme == Scheme::F16;
        let policy = if is_plain { Policy::LoadTime } else { self.crew.policy };
        Key::new(policy, self.crew.threads, self.scheme.to_string())
    }

    fn visit(&mut self) -> Result<()> {
        let run = self.stack.run(self.crew, PASSES, false)?;
        for (all, &seconds) in self.load_s.iter_mut().zip(&run.load_s) {
            all.push(seconds);
        }
        self.samples.join(run.samples);
        Ok(())
    }
}

impl Trial {
    /// What it says of each operation that it consists of.
    pub(super) fn timings(&self) -> Vec<Timing> {
        let samples = &self.samples;
        let of = |operation, seconds: &[Vec<f64>]| self.timing(operation, seconds);
        match self.crew.policy {
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

    /// Medians over layers of one shape of their low percentiles. The first do not count where seconds are asked for by
    /// shape: their scratch memory lies in no cache yet, or still holds what other layers left to be multiplied.
    fn timing(&self, operation: Operation, seconds: &[Vec<f64>]) -> Timing {
        let mut by_shape: BTreeMap<(u64, u64), Vec<&[f64]>> = BTreeMap::new();
        let is_first = |place: usize| {
            self.stack.parts.iter().any(|part| (part.start..part.start.saturating_add(COLD)).contains(&place))
        };
        for (place, (layer, seconds)) in self.stack.layers.iter().zip(seconds).enumerate() {
            if is_first(place) {
                continue;
            }
            by_shape.entry((layer.elements(), layer.row())).or_default().push(seconds);
        }
        let points = by_shape.into_iter().map(|((weights, row), layers)| {
            let shape = Shape::new(layers);
            let seconds = execute::percentile(&shape.lows, 0.5).max(1e-9);
            Point { weights, row, seconds, spread: Some(shape.spread()) }
        });
        let policies = vec![self.crew.policy; self.stack.layers.len()];
        Timing {
            operation,
            scheme: self.scheme,
            threads: self.crew.threads,
            working_set: working_set(&self.stack.layers, &policies),
            points: points.collect(),
        }
    }
}
