//! The footprint: *estimated* bytes, by component, and the verdict of whether they fit a device.
//!
//! Weights follow exactly from headers, key-value caches from the configuration; activations and overhead depend on a
//! runtime that is not known here, so they are intervals. Each component names its formula and the origin of its
//! numbers, and nothing is hidden in a percentage on top.
//!
//! Key-value cache and state are sums over the layers of what each keeps; how a runtime lays them out, what becomes of
//! the weights, and by which formulas activations and overhead follow stands in its [`Policy`], a table of a data file.

mod activations;
mod device;
mod fit;
mod interval;
mod kv_cache;
mod policy;
mod quantize;
mod state;
mod values;
mod weights;
mod workload;

pub use device::{Availability, Device};
pub use fit::{Answer, Change, Remedy, Verdict, fit};
pub use interval::{Interval, Origin};
pub use policy::{
    Bounds, ByKind, Expression, KvLayout, LatentForm, Policy, Residency, StateLayout, Values, Variable,
    WeightLayout,
};
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

/// Estimates what `model` needs for `workload` in the runtime of `policy`.
///
/// # Errors
/// [`crate::Error::Overflow`] where a component passes 2^64 − 1 bytes.
pub fn estimate(model: &Model, workload: &Workload, policy: &Policy) -> Result<Footprint> {
    estimate_as(model, workload, policy, None)
}

/// As [`estimate`], with the weights re-encoded in `format`.
pub(crate) fn estimate_as(
    model: &Model,
    workload: &Workload,
    policy: &Policy,
    format: Option<WeightFormat>,
) -> Result<Footprint> {
    if let Basis::Published { lo, best, hi, is_measured } = model.basis {
        let origin = if is_measured { Origin::Measured } else { Origin::Formula };
        return published(&Interval::new(lo, best, hi, origin, "published total, parts not stated"));
    }
    let stored = weights::stored(model, format)?;
    let values = values::values(model, workload, stored);
    let weights = weights::weights(model, policy, &values, format)?;
    let kv_cache = kv_cache::kv_cache(model, workload, &policy.kv_cache, &values)?;
    let state = state::state(model, workload, &policy.state)?;
    let values = values.with(Variable::KvCache, kv_cache.best.get());
    let of_kind = |formulas, what| activations::by_kind(formulas, model, workload, &values, what);
    let activations = of_kind(&policy.activations, "the activations")?;
    let overhead = of_kind(&policy.overhead, "the overhead")?;
    with_total(weights, kv_cache, state, activations, overhead)
}

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
