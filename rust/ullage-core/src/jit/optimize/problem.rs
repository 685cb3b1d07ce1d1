//! [`Problem`]: what may be chosen for every layer, and what has to hold.

use crate::error::{Error, Result};
use crate::jit::layer::Layer;
use crate::jit::policy::Policy;
use crate::jit::profile::Profile;
use crate::jit::simulate::Options;
use crate::units::Bytes;

/// One way of storing a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// The layer as it is stored then.
    pub layer: Layer,
    /// Power of its weights over that of the error, in decibels: infinite where nothing is lost, `None` where unknown.
    pub snr_db: Option<f64>,
}

/// What is made as small as possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Goal {
    /// Seconds of a pass; of equal ones, the least memory.
    #[default]
    Latency,
    /// The most bytes at any time; of equal ones, the least seconds.
    Peak,
}

impl Goal {
    /// As written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Peak => "memory",
        }
    }
}

/// What an answer has to keep to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// The most bytes at any time, loading included.
    pub memory: Option<Bytes>,
    /// The most seconds of a pass.
    pub latency_s: Option<f64>,
    /// Power of all weights over that of all errors at least, in decibels, every weight counted alike.
    pub snr_db: Option<f64>,
}

/// Layers with their variants, and policies to choose from.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// For every layer, at least one way of storing it, all of one shape.
    pub layers: &'a [Vec<Variant>],
    /// What may be done with a layer; at least one policy.
    pub policies: &'a [Policy],
    /// The device.
    pub profile: &'a Profile,
    /// How it is used; its limit of memory must be absent, for [`Bounds`] has it.
    pub options: &'a Options,
    /// What has to hold.
    pub bounds: Bounds,
    /// What is made small.
    pub goal: Goal,
}

impl Problem<'_> {
    /// The deepest prefetch that is chosen from.
    pub const DEEPEST: u32 = 3;
    /// The most layers.
    pub const MOST_LAYERS: usize = 1 << 16;
    /// The most variants times policies of a layer.
    pub const MOST_CHOICES: usize = 1 << 12;

    /// # Errors
    /// [`Error::Argument`] for a problem that is none.
    pub(super) fn check(&self) -> Result<()> {
        let fail = |name, reason: String| Err(Error::Argument { name, reason });
        if self.layers.is_empty() || self.layers.len() > Self::MOST_LAYERS {
            return fail(
                "layers",
                format!("{} layers are not 1 to {}", self.layers.len(), Self::MOST_LAYERS),
            );
        }
        if self.policies.is_empty() {
            return fail("policies", "there is none to choose from".to_owned());
        }
        if let Some(policy) = self.policies.iter().find(|policy| policy.prefetch() > Self::DEEPEST) {
            return fail("policies", format!("{policy} goes more than {} layers ahead", Self::DEEPEST));
        }
        if self.options.memory_limit.is_some() {
            return fail("options", "the limit of memory belongs to the bounds".to_owned());
        }
        for (name, bound) in [("latency_limit", self.bounds.latency_s), ("min_snr_db", self.bounds.snr_db)] {
            if bound.is_some_and(|bound| !bound.is_finite() || name == "latency_limit" && bound <= 0.0) {
                return fail(name, format!("{} bounds nothing", bound.unwrap_or(0.0)));
            }
        }
        self.layers.iter().try_for_each(|variants| self.check_variants(variants))
    }

    fn check_variants(&self, variants: &[Variant]) -> Result<()> {
        let fail = |reason: String| Err(Error::Argument { name: "layers", reason });
        let Some(first) = variants.first() else { return fail("a layer has no variant".to_owned()) };
        if variants.len().saturating_mul(self.policies.len()) > Self::MOST_CHOICES {
            return fail(format!("{:?} has more than {} choices", first.layer.name, Self::MOST_CHOICES));
        }
        for variant in variants {
            if variant.layer.shape != first.layer.shape {
                return fail(format!("{:?} has variants of several shapes", first.layer.name));
            }
            if variant.snr_db.is_some_and(f64::is_nan) {
                return fail(format!(
                    "{:?} has a ratio of signal to noise that is no number",
                    first.layer.name
                ));
            }
        }
        let is_unknown = variants.iter().all(|variant| variant.snr_db.is_none());
        if self.bounds.snr_db.is_some() && is_unknown {
            return fail(format!("of {:?} no ratio of signal to noise is known", first.layer.name));
        }
        Ok(())
    }

    /// Elements of a layer.
    pub(super) fn elements(&self, layer: usize) -> f64 {
        self.layers[layer].first().map_or(0.0, |variant| crate::jit::float(variant.layer.elements()))
    }

    /// The noise that all layers may have together, where that is bounded.
    pub(super) fn noise_budget(&self) -> Option<f64> {
        let all: f64 = (0..self.layers.len()).map(|layer| self.elements(layer)).sum();
        self.bounds.snr_db.map(|least| all * noise_of(least))
    }
}

/// Power of the error of a weight of power one.
pub(super) fn noise_of(snr_db: f64) -> f64 {
    10.0_f64.powf(-snr_db / 10.0)
}
