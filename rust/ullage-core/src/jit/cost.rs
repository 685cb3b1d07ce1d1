//! Seconds of one layer under a policy: by timings where there are any, else by the clocks of a roofline.

use std::fmt;

use super::layer::Layer;
use super::policy::{Policy, Scratch};
use super::profile::{Asked, Profile};
use super::timing::Operation;
use super::{float, memory};
use crate::codec::{Scheme, Zeros};
use crate::error::{Error, Result};

/// What a layer's seconds rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Basis {
    /// Timings of this operation with this scheme.
    Timed,
    /// Timings with the same scheme grouped in another way.
    Near,
    /// Rates of the device, combined by a formula.
    Composed,
    /// The same without a rate of decompression, which is taken to keep up.
    Partial,
}

/// The resource that a layer waits for most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// Reading weights, stored or decoded, and writing decoded ones.
    WeightMemory,
    /// Reading and writing activations.
    ActivationMemory,
    /// Arithmetic.
    Compute,
    /// Decoding.
    Decompression,
    /// The storage link.
    Storage,
    /// The time before anything is done.
    Dispatch,
}

impl Basis {
    /// As written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timed => "timed",
            Self::Near => "near",
            Self::Composed => "composed",
            Self::Partial => "partial",
        }
    }
}

impl Bound {
    /// As written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WeightMemory => "weight-memory-bound",
            Self::ActivationMemory => "activation-memory-bound",
            Self::Compute => "compute-bound",
            Self::Decompression => "decompression-bound",
            Self::Storage => "storage-bound",
            Self::Dispatch => "dispatch-bound",
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Work for one engine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Task {
    /// Seconds if nobody else is at work.
    pub(super) seconds: f64,
    /// Share of these in which the memory bus is busy with it. What was timed beside other work has that in its seconds.
    pub(super) bus: f64,
}

/// What one layer costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    pub(super) storage: Task,
    /// By the decompressor; nothing where the computing threads decode.
    pub(super) decode: Task,
    pub(super) compute: Task,
    /// Before the first pass.
    pub(super) load_s: f64,
    pub(super) basis: Basis,
    pub(super) bound: Bound,
    /// Bytes over the memory bus in a pass.
    pub(super) moved: u64,
}

/// The device and what it is asked to do.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) profile: &'a Profile,
    pub(super) threads: u32,
    pub(super) batch: u64,
    pub(super) working_set: u64,
}

/// Seconds by resource.
#[derive(Clone, Copy, Default)]
struct Clocks {
    weights: f64,
    activations: f64,
    compute: f64,
    decode: f64,
    dispatch: f64,
}

impl Clocks {
    /// The resource with the most seconds; the earlier of equals.
    fn bound(&self, storage: f64) -> Bound {
        let all = [
            (self.weights, Bound::WeightMemory),
            (self.compute, Bound::Compute),
            (self.decode, Bound::Decompression),
            (self.activations, Bound::ActivationMemory),
            (storage, Bound::Storage),
            (self.dispatch, Bound::Dispatch),
        ];
        let first = (f64::NEG_INFINITY, Bound::WeightMemory);
        all.into_iter().fold(first, |best, next| if next.0 > best.0 { next } else { best }).1
    }
}

impl Setting<'_> {
    /// What `layer` costs under `policy`.
    ///
    /// # Errors
    /// [`Error::Argument`] where the profile lacks a rate without which nothing can be said.
    pub(super) fn cost(&self, layer: &Layer, policy: Policy) -> Result<Cost> {
        let clocks = self.clocks(layer, policy)?;
        let storage = self.storage(layer, policy)?;
        let (mut cost, decoded_s) = match self.timed(layer, policy) {
            Some(found) => found,
            None => self.composed(layer, policy, &clocks),
        };
        cost.storage = storage;
        cost.bound = if cost.basis <= Basis::Near {
            let bus = clocks.weights + clocks.activations;
            let all = cost.compute.seconds.max(cost.decode.seconds) - clocks.dispatch;
            // Seconds that neither the bus nor arithmetic explains went into decoding, or into waiting.
            let rest = (all - bus.max(clocks.compute)).max(0.0);
            let is_decoded = decoded_s > 0.0 || !layer.is_dense() && policy == Policy::Fused;
            Clocks { decode: if is_decoded { rest } else { 0.0 }, ..clocks }.bound(storage.seconds)
        } else {
            clocks.bound(storage.seconds)
        };
        Ok(cost)
    }

    /// Seconds from timings, and those of them that are decoding.
    fn timed(&self, layer: &Layer, policy: Policy) -> Option<(Cost, f64)> {
        let threads = self.threads;
        let ask = |operation, scheme| {
            let (weights, row) = (layer.elements(), layer.row());
            let working_set = self.working_set;
            self.profile.timed(&Asked { operation, scheme, threads, weights, row, working_set })
        };
        let stored = |operation| ask(operation, layer.scheme);
        let (mut decode, mut load_s, mut decoded_s) = (0.0, 0.0, 0.0);
        let (compute, exact) = if layer.is_dense() {
            stored(Operation::Fused)?
        } else {
            match policy {
                Policy::Fused | Policy::Stream { .. } => stored(Operation::Fused)?,
                Policy::LoadTime | Policy::KeepHot => {
                    load_s = stored(Operation::Load)?.0;
                    ask(Operation::Fused, Scheme::F16)?
                }
                // Tiles that leave the near cache behave like a layer's whole buffer.
                Policy::JustInTime { scratch: Scratch::Tile(bytes), .. }
                    if bytes.get() > memory::near_cache(self.profile) =>
                {
                    let (writing, _) = stored(Operation::Decode)?;
                    decoded_s = writing;
                    (writing + stored(Operation::Scratch)?.0, false)
                }
                Policy::JustInTime { scratch: Scratch::Tile(_), .. } => stored(Operation::Tile)?,
                Policy::JustInTime { scratch: Scratch::Layer, prefetch: 0 } => {
                    let (writing, exact) = stored(Operation::Decode)?;
                    decoded_s = writing;
                    (writing + stored(Operation::Scratch)?.0, exact)
                }
                Policy::JustInTime { scratch: Scratch::Layer, .. } => {
                    let (beside, exact) = stored(Operation::DecodeBeside)?;
                    (decode, decoded_s) = (beside, beside);
                    (stored(Operation::ScratchBeside)?.0, exact)
                }
            }
        };
        let batched = self.arithmetic(layer);
        let cost = Cost {
            storage: Task::default(),
            decode: Task { seconds: decode, bus: 0.0 },
            compute: Task { seconds: if self.batch > 1 { compute.max(batched) } else { compute }, bus: 0.0 },
            load_s,
            basis: if exact { Basis::Timed } else { Basis::Near },
            bound: Bound::WeightMemory,
            moved: self.moved(layer, policy),
        };
        Some((cost, decoded_s))
    }

    fn composed(&self, layer: &Layer, policy: Policy, clocks: &Clocks) -> (Cost, f64) {
        let path = Path::of(layer, policy, self.profile);
        let read = self.read(path.reads_of(layer));
        let written = self.write(path.writes_of(layer));
        // What is decoded meets memory on its way in and out; what is computed, when it is read from there.
        let decode_bus = if path.decodes { read + written } else { 0.0 };
        let decoding = decode_bus.max(if path.decodes { clocks.decode } else { 0.0 });
        let again = if path.through_memory { self.read(layer.dense.get()) } else { 0.0 };
        let direct = if path.decodes { again } else { read };
        let (shared, own) = match self.profile.activations {
            Some(_) => (direct, clocks.activations),
            None => (direct + clocks.activations, 0.0),
        };
        let in_registers = if path.decodes { 0.0 } else { clocks.decode };
        let computing = shared.max(own).max(clocks.compute).max(in_registers);
        let beside = path.decodes && (self.profile.has_decompressor || policy.prefetch() > 0);
        let (decode, compute, bus) = if beside {
            (Task { seconds: decoding, bus: share(decode_bus, decoding) }, computing, shared)
        } else {
            (Task::default(), decoding + computing, decode_bus + shared)
        };
        let seconds = compute + clocks.dispatch;
        let is_known = layer.is_dense() || self.profile.decompression_of(layer.scheme).is_some();
        let load_s = match policy {
            Policy::LoadTime | Policy::KeepHot if !layer.is_dense() => {
                let bus = self.read(layer.compressed.get()) + self.write(layer.dense.get());
                bus.max(self.decompression(layer))
            }
            _ => 0.0,
        };
        let cost = Cost {
            storage: Task::default(),
            decode,
            compute: Task { seconds, bus: share(bus, seconds) },
            load_s,
            basis: if is_known { Basis::Composed } else { Basis::Partial },
            bound: Bound::WeightMemory,
            moved: self.moved(layer, policy),
        };
        (cost, decode.seconds)
    }

    /// Seconds of each resource, each by itself.
    fn clocks(&self, layer: &Layer, policy: Policy) -> Result<Clocks> {
        let Some(read) = self.profile.read else {
            let reason = format!("{} has no rate of reading memory", self.profile.name);
            return Err(Error::Argument { name: "profile", reason });
        };
        let path = Path::of(layer, policy, self.profile);
        let again = if path.through_memory { layer.dense.get() } else { 0 };
        let weights = self.read(path.reads_of(layer)) + self.write(path.writes_of(layer)) + self.read(again);
        let activations = float(layer.activations.get()) * float(self.batch);
        let activations = activations / self.profile.activations.unwrap_or(read).value;
        let is_decoding = !layer.is_dense() && !matches!(policy, Policy::LoadTime | Policy::KeepHot);
        Ok(Clocks {
            weights,
            activations,
            compute: self.arithmetic(layer),
            decode: if is_decoding { self.decompression(layer) } else { 0.0 },
            dispatch: self.profile.dispatch.map_or(0.0, |figure| figure.value),
        })
    }

    /// Seconds of arithmetic; none where no rate is known.
    fn arithmetic(&self, layer: &Layer) -> f64 {
        let plain = self.profile.compute.get("f16").or_else(|| self.profile.compute.values().next());
        let rate = if layer.is_depthwise { self.profile.depthwise.as_ref().or(plain) } else { plain };
        let Some(rate) = rate else { return 0.0 };
        let skipped = self.profile.zeros_skipped.map_or(0.0, |figure| figure.value.clamp(0.0, 1.0));
        let operations = float(layer.flops_per_token) * float(self.batch);
        operations * (1.0 - skipped * zeros(layer.scheme)) / (rate.value * self.of_threads())
    }

    fn decompression(&self, layer: &Layer) -> f64 {
        let rate = self.profile.decompression_of(layer.scheme);
        rate.map_or(0.0, |rate| float(layer.dense.get()) / (rate * self.of_threads()))
    }

    /// Share of the profile's threads that are at work.
    fn of_threads(&self) -> f64 {
        f64::from(self.threads) / f64::from(self.profile.threads())
    }

    fn read(&self, bytes: u64) -> f64 {
        self.profile.read.map_or(0.0, |figure| float(bytes) / figure.value)
    }

    fn write(&self, bytes: u64) -> f64 {
        self.profile.write.or(self.profile.read).map_or(0.0, |figure| float(bytes) / figure.value)
    }

    fn storage(&self, layer: &Layer, policy: Policy) -> Result<Task> {
        if !matches!(policy, Policy::Stream { .. }) {
            return Ok(Task::default());
        }
        let Some(storage) = self.profile.storage else {
            let reason = format!("{} has no rate of reading storage, which stream needs", self.profile.name);
            return Err(Error::Argument { name: "profile", reason });
        };
        let seconds = float(layer.compressed.get()) / storage.value;
        Ok(Task { seconds, bus: share(self.write(layer.compressed.get()), seconds) })
    }

    /// Bytes over the bus of memory in a pass, by what the path reads and writes.
    fn moved(&self, layer: &Layer, policy: Policy) -> u64 {
        let path = Path::of(layer, policy, self.profile);
        let again = if path.through_memory { layer.dense.get() } else { 0 };
        let weights = path.reads_of(layer).saturating_add(path.writes_of(layer)).saturating_add(again);
        let streamed = if matches!(policy, Policy::Stream { .. }) { layer.compressed.get() } else { 0 };
        let activations = layer.activations.get().saturating_mul(self.batch);
        weights.saturating_add(streamed).saturating_add(activations)
    }
}

/// Bytes that a layer of a calibrated processor moves in a pass, whose scratch is taken to lie beyond its caches unless in
/// tiles.
pub(super) fn moved(layer: &Layer, policy: Policy) -> u64 {
    let (stored, dense) = (layer.compressed.get(), layer.dense.get());
    let weights = match policy {
        _ if layer.is_dense() => stored,
        Policy::LoadTime | Policy::KeepHot => dense,
        Policy::JustInTime { scratch: Scratch::Layer, .. } => dense.saturating_mul(2).saturating_add(stored),
        Policy::JustInTime { .. } | Policy::Fused => stored,
        Policy::Stream { .. } => stored.saturating_mul(2),
    };
    weights.saturating_add(layer.activations.get())
}

/// The way that weights take in a pass.
#[derive(Clone, Copy)]
struct Path {
    /// Whether the decoded numbers themselves are read.
    is_dense: bool,
    /// Whether it is decoded into scratch memory first.
    decodes: bool,
    /// Whether that scratch memory is beyond the caches.
    through_memory: bool,
}

impl Path {
    fn of(layer: &Layer, policy: Policy, profile: &Profile) -> Self {
        let is_dense = matches!(policy, Policy::LoadTime | Policy::KeepHot);
        match policy {
            Policy::JustInTime { scratch, .. } if !layer.is_dense() => {
                let bytes = memory::scratch_of(layer, scratch, 1);
                let through_memory = bytes > memory::near_cache(profile);
                Self { is_dense: false, decodes: true, through_memory }
            }
            _ => Self { is_dense, decodes: false, through_memory: false },
        }
    }

    fn reads_of(self, layer: &Layer) -> u64 {
        if self.is_dense && !layer.is_dense() { layer.dense.get() } else { layer.compressed.get() }
    }

    fn writes_of(self, layer: &Layer) -> u64 {
        if self.through_memory { layer.dense.get() } else { 0 }
    }
}

/// Share of a scheme's weights that are zero.
fn zeros(scheme: Scheme) -> f64 {
    match scheme {
        Scheme::Sparse(sparse) => match sparse.zeros {
            Zeros::Share(millionths) => f64::from(millionths) / 1e6,
            Zeros::Pattern { zeros, of } => float(zeros) / float(of.max(1)),
        },
        _ => 0.0,
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 }
}
