//! The footprint: *estimated* bytes, by component, and the verdict of whether they fit a device.
//!
//! Weights follow exactly from headers, key-value caches from the configuration; activations and overhead depend on a
//! runtime that is not known here, so they are intervals. Each component names its formula and the origin of its
//! numbers, and nothing is hidden in a percentage on top.
//!
//! Key-value cache and state are sums over the layers of what each keeps; how a runtime lays them out, what becomes of
//! the weights, and by which formulas activations and overhead follow stands in its [`Policy`], a table of a data file.

mod activations;
mod alteration;
mod answer;
mod change;
mod device;
mod fit;
mod interval;
mod kv_cache;
mod liveness;
mod measured;
mod policy;
mod remedy;
mod state;
mod values;
mod weights;
mod workload;

pub use alteration::Scope;
pub use answer::Answer;
pub use change::Change;
pub use device::{Availability, Device, Raise};
pub use fit::{Verdict, fit, fit_measured};
pub use interval::{Interval, Origin};
pub use measured::Extent;
pub use policy::{
    Bounds, ByKind, Expression, KvLayout, LatentForm, Policy, Residency, StateLayout, Values, Variable,
    WeightLayout,
};
pub use remedy::Remedy;
pub use workload::{KvDtype, Workload};

use alteration::{Alteration, Estimator};

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
    if let Basis::Published { lo, best, hi, is_measured } = model.basis {
        let origin = if is_measured { Origin::Measured } else { Origin::Formula };
        return published(&Interval::new(lo, best, hi, origin, "published total, parts not stated"));
    }
    Estimator::new(model, policy).estimate(&Alteration::none(*workload))
}

/// Cache and state that each layer of `model` keeps for `workload`, most likely, from the first to the last.
///
/// # Errors
/// [`crate::Error::Overflow`] where a layer passes 2^64 − 1 bytes.
pub fn kept_by_layer(model: &Model, workload: &Workload, policy: &Policy) -> Result<Vec<(Bytes, Bytes)>> {
    let Some(architecture) = &model.architecture else { return Ok(Vec::new()) };
    let values = values::of_workload(values::of_model(model), workload);
    let caches = kv_cache::by_layer(architecture, workload, &policy.kv_cache, &values)?;
    let layers = caches.into_iter().zip(&architecture.layers);
    let both =
        layers.map(|(cache, layer)| Ok((cache, state::of_layer(layer.state, workload, &policy.state)?)));
    both.collect()
}

fn published(total: &Interval) -> Result<Footprint> {
    let included = || Interval::exact(Bytes::ZERO, total.origin, "included in the published total");
    finish(total.clone(), included(), included(), included(), included())
}

fn finish(
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
