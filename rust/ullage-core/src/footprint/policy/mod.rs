//! Runtime policies: how a runtime lays out what a model needs, as data.
//!
//! A policy is one table of a TOML file in `data/`, keyed by runtime and version. It says which cells of a cache are
//! allocated and what latent attention stores, whether weights are mapped, copied or repacked, and by which formulas
//! activations and overhead follow. The formulas are [`Expression`]s over [`Variable`]s; nothing about a runtime is
//! written in code.

mod bounds;
mod expression;
mod file;
mod own;
mod variable;

use std::sync::LazyLock;

use serde::Deserialize;

pub use bounds::Bounds;
pub use expression::Expression;
pub use variable::{Values, Variable};

use super::workload::KvDtype;
use crate::codec::Scheme;
use crate::error::{Error, Result};
use crate::model::{Format, Model};
use crate::units::clip;

/// How one version of a runtime uses memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The runtime, such as `llama.cpp`.
    pub runtime: String,
    /// The version that the figures are of; the first of a runtime is its default.
    pub version: String,
    /// Other names of the runtime.
    pub aliases: Vec<String>,
    /// Where the figures come from: source read, log, measurement.
    pub source: String,
    /// When they were taken, as an ISO date.
    pub date: String,
    /// What becomes of the weights, in a word: `mapped`, `copied` or `repacked`.
    pub residency: Residency,
    /// Schemes that it can run weights in, the least lossy first.
    pub schemes: Vec<Scheme>,
    /// Formats that it can keep keys and values in.
    pub kv_dtypes: Vec<KvDtype>,
    /// Whether it can keep some layers of a model in the memory of the host.
    pub offload: bool,
    /// The policy that holds instead on iOS, where the systems count differently.
    pub on_ios: Option<String>,
    /// Keys and values.
    pub kv_cache: KvLayout,
    /// State that does not grow with the context.
    pub state: StateLayout,
    /// Weights in memory.
    pub weights: WeightLayout,
    /// Buffers of a forward pass.
    pub activations: ByKind,
    /// What the process holds beside all of these.
    pub overhead: ByKind,
}

/// What becomes of the bytes of a weight file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Residency {
    /// Mapped: pages come in when touched and can be dropped again.
    Mapped,
    /// Copied into memory of the runtime's own.
    Copied,
    /// Copied into another layout, part of the time beside the original.
    Repacked,
}

impl Residency {
    /// The word used in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mapped => "mapped",
            Self::Copied => "copied",
            Self::Repacked => "repacked",
        }
    }
}

/// How keys and values are laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// What latent attention stores.
    pub latent: LatentForm,
    /// Cells of a layer that keeps every token, per sequence.
    pub cells: Expression,
    /// Cells of a layer that keeps a window.
    pub window: Expression,
    /// Cells of a layer that keeps a chunk.
    pub chunk: Expression,
    /// Encoders that are given a cache all the same.
    pub encoders: Vec<String>,
    /// Whether, without flash attention, the values of every layer are as wide as those of the widest.
    pub pads_values: bool,
}

/// What latent attention stores of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LatentForm {
    /// The latent and the rotary key.
    Latent,
    /// The latent twice, once as keys (with the rotary part) and once as values.
    LatentAndValue,
    /// Keys and values of every head.
    Expanded,
    /// One of the others; it is not known which.
    Any,
}

/// Bytes of one element of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateLayout {
    /// Of the last inputs of a convolution: least, most likely, most.
    pub convolution: [u64; 3],
    /// Of a recurrent state: least, most likely, most.
    pub recurrent: [u64; 3],
}

/// What weights take in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightLayout {
    /// Bytes of all weights.
    pub bytes: Bounds,
    /// The same for encoders, where it differs.
    pub encoder: Option<Bounds>,
}

/// Formulas by the kind of model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByKind {
    /// It generates token by token, with fused attention.
    pub decoder: Bounds,
    /// The same with the attention scores written out.
    pub decoder_unfused: Option<Bounds>,
    /// It reads a whole text at once.
    pub encoder: Bounds,
    /// The file holds its computation graph.
    pub graph: Bounds,
    /// Nothing but a size is known.
    pub unknown: Bounds,
}

const SOURCES: [&str; 9] = [
    include_str!("data/generic.toml"),
    include_str!("data/llama_cpp.toml"),
    include_str!("data/vllm.toml"),
    include_str!("data/transformers.toml"),
    include_str!("data/onnxruntime.toml"),
    include_str!("data/executorch_xnnpack.toml"),
    include_str!("data/core_ml.toml"),
    include_str!("data/numpy.toml"),
    include_str!("data/tflite.toml"),
];

static POLICIES: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    // A test reads each; a build that passed it cannot fail here.
    SOURCES.iter().flat_map(|text| Policy::read(text).unwrap_or_default()).collect()
});

impl Policy {
    /// The policies of a TOML file: an array of tables called `policy`.
    ///
    /// # Errors
    /// [`Error::Argument`] with the place and reason for a text that is no such file.
    pub fn read(text: &str) -> Result<Vec<Self>> {
        file::read(text)
    }

    /// Every policy that comes with the library, the default version of each runtime first.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &POLICIES
    }

    /// The policy called `name`: a runtime, or a runtime and a version as in `llama.cpp@0.5`; one that comes with the
    /// library, or one that was [added](Self::add).
    ///
    /// # Errors
    /// [`Error::Argument`] that lists the names there are.
    pub fn of(name: &str) -> Result<&'static Self> {
        Self::among(name, &Self::own())
    }

    /// The policy called `name` that comes with the library.
    fn built_in(name: &str) -> Result<&'static Self> {
        Self::among(name, &[])
    }

    fn among(name: &str, own: &[&'static Self]) -> Result<&'static Self> {
        let (runtime, version) =
            name.split_once('@').map_or((name, None), |(runtime, version)| (runtime, Some(version)));
        let all = || Self::all().iter().chain(own.iter().copied());
        let is_meant = |policy: &&Self| {
            policy.is_called(runtime) && version.is_none_or(|version| policy.version == version)
        };
        all().find(is_meant).ok_or_else(|| {
            let known: Vec<String> =
                all().map(|policy| format!("{}@{}", policy.runtime, policy.version)).collect();
            let reason = format!("{:?} is not one of {}", clip(name), known.join(", "));
            Error::Argument { name: "runtime", reason }
        })
    }

    /// The runtime that a model's files are usually run with; the generic one where that is anybody's guess.
    ///
    /// # Errors
    /// Never for the policies that come with the library.
    pub fn usual(model: &Model) -> Result<&'static Self> {
        Self::of(match model.format {
            Some(format) => usual_runtime(format),
            None => GENERIC,
        })
    }

    /// The policy that holds on `system`, where the two phone systems count differently.
    ///
    /// # Errors
    /// Never for the policies that come with the library.
    pub fn on(&'static self, is_ios: bool) -> Result<&'static Self> {
        match &self.on_ios {
            Some(name) if is_ios => Self::of(name),
            _ => Ok(self),
        }
    }

    fn is_called(&self, name: &str) -> bool {
        let plain = |text: &str| text.to_ascii_lowercase().replace(['.', '-', '_', ' '], "");
        let name = plain(name);
        plain(&self.runtime) == name || self.aliases.iter().any(|alias| plain(alias) == name)
    }
}

/// Of no runtime in particular.
const GENERIC: &str = "generic";

fn usual_runtime(format: Format) -> &'static str {
    match format {
        Format::CoreMl => "coreml",
        Format::ExecuTorch => "executorch-xnnpack",
        Format::Gguf => "llama.cpp",
        Format::Onnx => "onnxruntime",
        Format::Tflite => "tflite",
        Format::Config | Format::Pytorch | Format::Safetensors => GENERIC,
    }
}

#[cfg(test)]
mod tests;
