//! The footprint: *estimated* bytes, by component, and the verdict of whether they fit a device.
//!
//! Weights follow exactly from headers, key-value caches from the configuration; activations and overhead depend on a
//! runtime that is not known here, so they are intervals. Each component names its formula and the origin of its
//! numbers, and nothing is hidden in a percentage on top.
//!
//! Formulas and their accuracy:
//! - **KV cache**: `sum over layers of batch · cells · (key + value elements) · bytes`, with `cells = min(context,
//!   window)` in windowed layers. It equals what llama.cpp allocates for full attention to the last printed digit.
//! - **Activations of a decoder**: `4 · u · (vocabulary + 2 · hidden)`, `u = min(512, context · batch)`: the compute
//!   buffer of llama.cpp with flash attention. It is exact where the logits dominate and up to 36 % low elsewhere.
//! - **Activations of an encoder**: the larger of the attention and the feed-forward phase of one layer in 32-bit
//!   floats, with the attention scores materialised (`best`, `hi`) or fused (`lo`).
//! - **Overhead**: 5 % of the weights, between nothing and 15 % + 50 MB. Published totals of encoders on phones lie 4 MB
//!   below to 50 MB above their files; a GPU context (0.2 to 1.8 GB) is *not* in it.

mod activations;
mod device;
mod fit;
mod interval;
mod kv_cache;
mod quantize;
mod workload;

pub use device::{Availability, Device};
pub use fit::{Answer, Change, Remedy, Verdict, fit};
pub use interval::{Interval, Origin};
pub use quantize::WeightFormat;
pub use workload::{KvDtype, Workload};

use crate::error::Result;
use crate::model::{Basis, Model};
use crate::units::Bytes;

/// What a model needs, by component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// The weights as stored.
    pub weights: Interval,
    /// Keys and values of the tokens in the context.
    pub kv_cache: Interval,
    /// Recurrent or convolutional state, independent of the context.
    pub state: Interval,
    /// Buffers of a forward pass.
    pub activations: Interval,
    /// What the runtime holds beside all of these.
    pub overhead: Interval,
    /// Sum of the components.
    pub total: Interval,
}

impl Footprint {
    /// The components with their names, in the order of the fields.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, &Interval); 5] {
        [
            ("weights", &self.weights),
            ("kv_cache", &self.kv_cache),
            ("state", &self.state),
            ("activations", &self.activations),
            ("overhead", &self.overhead),
        ]
    }
}

/// Estimates what `model` needs for `workload`.
///
/// # Errors
/// [`crate::Error::Overflow`] where a component passes 2^64 − 1 bytes.
pub fn estimate(model: &Model, workload: &Workload) -> Result<Footprint> {
    estimate_as(model, workload, None)
}

/// As [`estimate`], with the weights re-encoded in `format`.
pub(crate) fn estimate_as(
    model: &Model,
    workload: &Workload,
    format: Option<WeightFormat>,
) -> Result<Footprint> {
    if let Basis::Published { lo, best, hi, is_measured } = model.basis {
        let origin = if is_measured { Origin::Measured } else { Origin::Formula };
        return published(&Interval::new(lo, best, hi, origin, "published total, parts not stated"));
    }
    let weights = match (format, &model.basis) {
        // Where an index states the bytes of weights that are not here, they are the file's.
        (None, Basis::Config) => Interval::exact(model.file_bytes, Origin::Config, "sum_of_shapes"),
        (None, Basis::Size) => Interval::exact(model.tensor_bytes(), Origin::Assumed, "size"),
        (None, _) => Interval::exact(model.tensor_bytes(), Origin::Header, "sum_of_tensors"),
        (Some(format), _) => Interval::exact(format.model_bytes(model)?, Origin::Formula, format.name()),
    };
    let kv_cache = kv_cache::kv_cache(model, workload)?;
    let state = kv_cache::state(model);
    let activations = activations::activations(model, workload, weights.best)?;
    let overhead = Interval::new(
        Bytes::ZERO,
        weights.best.scaled(5, 100, "the overhead")?,
        Bytes::sum([weights.best.scaled(15, 100, "the overhead")?, FIXED_OVERHEAD], "the overhead")?,
        Origin::Assumed,
        "weights*0.05 (0 ... 0.15 + 50 MB)",
    );
    with_total(weights, kv_cache, state, activations, overhead)
}

const FIXED_OVERHEAD: Bytes = Bytes::new(50_000_000);

fn published(total: &Interval) -> Result<Footprint> {
    let included = || Interval::exact(Bytes::ZERO, total.origin, "included in the published total");
    with_total(total.clone(), included(), included(), included(), included())
}

fn with_total(
    weights: Interval,
    kv_cache: Interval,
    state: Interval,
    activations: Interval,
    overhead: Interval,
) -> Result<Footprint> {
    let total = Interval::total([&weights, &kv_cache, &state, &activations, &overhead])?;
    Ok(Footprint { weights, kv_cache, state, activations, overhead, total })
}

#[cfg(test)]
mod tests;
