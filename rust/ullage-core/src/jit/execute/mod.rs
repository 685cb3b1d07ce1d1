//! [`execute`]: the plan that is simulated elsewhere, for real on this processor.
//!
//! Weights lie in memory in their scheme, made up where none are given; threads go through the layers together, each with
//! its share of the rows; what is decoded just in time goes into one block of scratch memory, at the offsets of the arena
//! planner, by a thread of its own where layers are prefetched. Activations are made up: a layer's inputs are the same
//! numbers in each pass, and its outputs are dropped.

mod ahead;
mod arena;
mod crew;
mod prepare;
mod process;
mod samples;
mod step;
mod team;
#[cfg(test)]
mod tests;
mod weights;
mod work;

use std::time::{Duration, Instant};

use super::engine::Event;
use super::layer::Layer;
use super::policy::Policy;
use super::simulate;
use crate::error::Result;
use crate::units::Bytes;
pub(super) use prepare::{Kept, Source, nameless};
pub use samples::Executed;
pub(super) use samples::{Samples, low, percentile, spread};

/// How a plan is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conduct {
    /// Threads that compute; a thread that decodes ahead comes on top. 0 reads as 1.
    pub threads: u32,
    /// Vectors of one pass, from 1 to [`crate::codec::kernel::BATCH`].
    pub batch: usize,
    /// The fewest passes that are timed, after a first one that is not.
    pub passes: u32,
    /// More passes are timed until so much time has gone.
    pub time: Duration,
    /// Bytes of the last cache: scratch of more than half of it is written past the caches.
    pub last_cache: u64,
}

impl Default for Conduct {
    fn default() -> Self {
        let time = Duration::from_millis(300);
        Self { threads: 1, batch: 1, passes: 5, time, last_cache: 32 << 20 }
    }
}

/// What a plan came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// Seconds of a pass: a low percentile of each layer's, summed.
    pub latency_s: f64,
    /// Seconds in which layers were decoded before the first pass.
    pub load_s: f64,
    /// The same with those of the first pass.
    pub first_output_s: f64,
    /// Bytes over the memory bus in a pass, as they are counted for a simulation: this processor does not count them.
    pub bytes_moved: Bytes,
    /// The most bytes at any time, as they were booked when they were allocated.
    pub peak: Bytes,
    /// By how much the process grew at its peak; `None` where the operating system does not say.
    pub process_peak: Option<Bytes>,
    /// Bytes booked between passes, scratch memory left out.
    pub resident: Bytes,
    /// Bytes of scratch memory.
    pub scratch: Bytes,
    /// Layers in order.
    pub layers: Vec<Executed>,
    /// The fastest pass: which layer kept what busy.
    pub timeline: Vec<Event>,
    /// Passes that were timed.
    pub passes: u32,
}

/// Stored weights of one layer, piece by piece in the order of its scheme.
pub type Pieces<'a> = Vec<&'a [u8]>;

/// Executes `layers`, each under its policy, with weights given or made up.
///
/// # Errors
/// [`crate::Error::Argument`] for what [`super::simulate()`] refuses, a batch out of range, schemes of which no weights can be
/// made, or weights for which there is no memory; [`crate::Error::Damaged`] for weights that contradict themselves;
/// [`crate::Error::Io`] where weights are streamed and no file can be written.
pub fn execute(
    layers: &[Layer],
    policies: &[Policy],
    weights: Option<&[Pieces<'_>]>,
    conduct: &Conduct,
) -> Result<Execution> {
    let source = weights.map_or(Source::Made, Source::Given);
    let run = measure(layers, policies, source, conduct, Wanted::default())?;
    Ok(run.conclude(layers, policies))
}

/// Pieces of one layer, made up.
pub(super) fn made(layer: &Layer) -> Result<Vec<Vec<u8>>> {
    let (places, end) = weights::places(std::slice::from_ref(layer))?;
    let mut block = weights::Block::new(end)?;
    let Some(place) = places.first() else { return Ok(Vec::new()) };
    weights::make(layer, place, block.bytes_mut(), 1)?;
    Ok(place.of(block.bytes(), 0).into_iter().map(<[u8]>::to_vec).collect())
}

/// What is wanted of a run.
#[derive(Clone, Copy, Default)]
pub(super) struct Wanted {
    /// Outputs of the first pass.
    pub(super) outputs: bool,
}

/// What a run leaves to be evaluated.
pub(super) struct Run {
    pub(super) samples: Samples,
    pub(super) load_s: Vec<f64>,
    pub(super) first_s: f64,
    pub(super) peak: Bytes,
    pub(super) process_peak: Option<Bytes>,
    pub(super) resident: Bytes,
    pub(super) scratch: Bytes,
    /// Outputs of the first pass, layer by layer and thread by thread, where they were asked for.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests compare outputs"))]
    pub(super) outputs: Vec<Vec<f32>>,
}

/// Prepares, loads and runs.
pub(super) fn measure(
    layers: &[Layer],
    policies: &[Policy],
    source: Source<'_>,
    conduct: &Conduct,
    wanted: Wanted,
) -> Result<Run> {
    simulate::check_plan(layers, policies)?;
    let can_peak = process::forget_peak();
    let before = process::resident();
    let begun = Instant::now();
    let (mut stage, load_s) = prepare::Stage::load(layers, policies, source, conduct)?;
    let ran = team::run(&mut stage, layers, policies, conduct, wanted)?;
    let grown = process::peak().zip(before).filter(|_| can_peak);
    let process_peak = grown.map(|(peak, before)| Bytes::new(peak.saturating_sub(before)));
    debug_assert!(begun.elapsed().as_secs_f64() >= ran.first_s, "a pass is part of the run");
    Ok(Run {
        samples: ran.samples,
        load_s,
        first_s: ran.first_s,
        peak: stage.peak(),
        process_peak,
        resident: stage.resident(),
        scratch: stage.scratch(),
        outputs: ran.outputs,
    })
}
