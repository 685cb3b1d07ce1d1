//! What a model is asked to do: the arguments of an estimate.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::units::clip;

/// Context and batch, and how keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Tokens of one sequence, at least 1.
    pub context: u64,
    /// Sequences at once, at least 1.
    pub batch: u64,
    /// Format of the key-value cache.
    pub kv_dtype: KvDtype,
    /// Tokens taken through the network at once while a prompt is read, at least 1.
    pub micro_batch: u64,
    /// Whether attention is computed without writing its scores out.
    pub flash_attention: bool,
}

impl Workload {
    /// The default of llama.cpp.
    pub const DEFAULT_MICRO_BATCH: u64 = 512;

    /// Tokens assumed where neither the caller nor the configuration names a context.
    pub const DEFAULT_CONTEXT: u64 = 4096;

    /// A workload for `model`; without `context`, the longest the configuration allows, at most 4,096.
    ///
    /// # Errors
    /// [`Error::Argument`] for a context or batch of zero or beyond 2^32.
    pub fn new(model: &Model, context: Option<u64>, batch: u64, kv_dtype: KvDtype) -> Result<Self> {
        let longest = model
            .architecture
            .as_ref()
            .and_then(|architecture| architecture.max_context)
            .filter(|&longest| longest > 0);
        let default = longest.map_or(Self::DEFAULT_CONTEXT, |longest| longest.min(Self::DEFAULT_CONTEXT));
        let context = context.unwrap_or(default);
        for (name, value) in [("context", context), ("batch", batch)] {
            in_range(name, value)?;
        }
        let micro_batch = Self::DEFAULT_MICRO_BATCH;
        Ok(Self { context, batch, kv_dtype, micro_batch, flash_attention: true })
    }

    /// The same, reading a prompt `micro_batch` tokens at a time.
    ///
    /// # Errors
    /// [`Error::Argument`] for a micro-batch of zero or beyond 2^32.
    pub fn with_micro_batch(self, micro_batch: u64) -> Result<Self> {
        in_range("micro_batch", micro_batch)?;
        Ok(Self { micro_batch, ..self })
    }

    /// The same, with flash attention or without.
    #[must_use]
    pub const fn with_flash_attention(self, flash_attention: bool) -> Self {
        Self { flash_attention, ..self }
    }
}

fn in_range(name: &'static str, value: u64) -> Result<()> {
    if value == 0 || value > 1 << 32 {
        return Err(Error::Argument { name, reason: format!("{value} is not between 1 and 2^32") });
    }
    Ok(())
}

/// Format of the key-value cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvDtype {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// bfloat16.
    Bf16,
    /// 8-bit floats.
    Fp8,
    /// GGUF `Q8_0`: 34 bytes for 32 elements.
    Q8_0,
    /// GGUF `Q5_1`: 24 bytes for 32 elements.
    Q5_1,
    /// GGUF `Q5_0`: 22 bytes for 32 elements.
    Q5_0,
    /// GGUF `Q4_1`: 20 bytes for 32 elements.
    Q4_1,
    /// GGUF `Q4_0`: 18 bytes for 32 elements.
    Q4_0,
    /// GGUF `IQ4_NL`: 18 bytes for 32 elements.
    Iq4Nl,
    /// 4-bit floats with an 8-bit scale for 16: 18 bytes for 32 elements.
    Nvfp4,
}

impl KvDtype {
    /// Every format.
    pub const ALL: [Self; 11] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Fp8,
        Self::Q8_0,
        Self::Q5_1,
        Self::Q5_0,
        Self::Q4_1,
        Self::Q4_0,
        Self::Iq4Nl,
        Self::Nvfp4,
    ];

    /// The name used on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
            Self::Q8_0 => "q8_0",
            Self::Q5_1 => "q5_1",
            Self::Q5_0 => "q5_0",
            Self::Q4_1 => "q4_1",
            Self::Q4_0 => "q4_0",
            Self::Iq4Nl => "iq4_nl",
            Self::Nvfp4 => "nvfp4",
        }
    }

    /// Bytes of 32 elements, the smallest block that is whole in every format.
    #[must_use]
    pub const fn bytes_per_32(self) -> u64 {
        match self {
            Self::F32 => 128,
            Self::F16 | Self::Bf16 => 64,
            Self::Fp8 => 32,
            Self::Q8_0 => 34,
            Self::Q5_1 => 24,
            Self::Q5_0 => 22,
            Self::Q4_1 => 20,
            Self::Q4_0 | Self::Iq4Nl | Self::Nvfp4 => 18,
        }
    }
}

impl FromStr for KvDtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name).ok_or_else(|| Error::Argument {
            name: "kv_dtype",
            reason: format!("{:?} is not one of {}", clip(name), Self::ALL.map(Self::name).join(", ")),
        })
    }
}
