//! One thing that can be changed to make a model fit.

use std::fmt;

use super::alteration::{Alteration, Scope};
use super::device::Raise;
use super::workload::{KvDtype, Workload};
use crate::codec::Scheme;

/// One thing that can be changed to make a model fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Make the device give more.
    Device(Raise),
    /// Compute attention without writing its scores out.
    FlashAttention,
    /// Read a prompt so many tokens at a time.
    MicroBatch(u64),
    /// Keep one stage of the pipeline in memory at a time.
    Sequence,
    /// Leave out the towers that texts do not need.
    TextOnly,
    /// Work an image off in so many pieces.
    Tiles(u64),
    /// Take so many sequences at once.
    Batch(u64),
    /// Keep so many tokens.
    Context(u64),
    /// Store keys and values so.
    KvCache(KvDtype),
    /// Store weights so.
    Weights(Scheme, Scope),
    /// Keep so many layers, of so many, in the memory of the host.
    Offload(usize, usize),
}

impl Change {
    /// How much the change gives up, in units that only order remedies.
    ///
    /// An opinion, and the only place it stands: what costs nothing but a form or a setting comes first, then what costs
    /// speed alone, then quality, ever more steeply below 4 bits. Perplexity of Llama models rises by some 0.1 % at 8
    /// bits, 1 % at 5, 2 to 3 % at 4, 10 % at 3 and 40 % and more at 2 (llama.cpp, `quantize` documentation).
    pub(super) fn loss(self, asked: &Workload) -> u64 {
        match self {
            Self::Device(_) | Self::FlashAttention => 1,
            Self::MicroBatch(_) => 2,
            Self::Batch(_) | Self::Sequence => 4,
            Self::KvCache(dtype) => match dtype.bytes_per_32() {
                0..=20 => 18,
                21..=24 => 12,
                _ => 6,
            },
            Self::Context(context) => halvings(asked.context, context).saturating_mul(8),
            Self::Tiles(tiles) => halvings(tiles, 1).saturating_mul(4),
            Self::Weights(scheme, scope) => {
                let whole = of_bits(scheme.bits());
                if scope == Scope::All { whole } else { whole.saturating_mul(4).div_ceil(5) }
            }
            Self::TextOnly => 30,
            Self::Offload(layers, of) => {
                let share = layers.saturating_mul(60).checked_div(of).unwrap_or(60);
                u64::try_from(share).unwrap_or(60).saturating_add(30)
            }
        }
    }

    /// Writes the change into `alteration`.
    pub(super) fn apply(self, alteration: &mut Alteration) {
        match self {
            Self::Device(_) => {}
            Self::FlashAttention => alteration.workload.flash_attention = true,
            Self::MicroBatch(tokens) => alteration.workload.micro_batch = tokens,
            Self::Sequence => alteration.is_sequenced = true,
            Self::TextOnly => alteration.is_text_only = true,
            Self::Tiles(tiles) => alteration.tiles = tiles,
            Self::Batch(batch) => alteration.workload.batch = batch,
            Self::Context(context) => alteration.workload.context = context,
            Self::KvCache(dtype) => alteration.workload.kv_dtype = dtype,
            Self::Weights(scheme, scope) => alteration.scheme = Some((scheme, scope)),
            Self::Offload(layers, _) => alteration.offloaded = layers,
        }
    }
}

const fn of_bits(bits: u64) -> u64 {
    match bits {
        16.. => 1,
        8..=15 => 5,
        6..=7 => 9,
        5 => 14,
        4 => 22,
        3 => 60,
        2 => 120,
        _ => 240,
    }
}

fn halvings(from: u64, to: u64) -> u64 {
    from.checked_div(to).and_then(u64::checked_ilog2).map_or(0, u64::from)
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(Raise::Entitlement) => f.write_str("increased-memory-limit entitlement"),
            Self::Device(Raise::WiredLimit) => f.write_str("raised wired limit (iogpu.wired_limit_mb)"),
            Self::FlashAttention => f.write_str("flash attention"),
            Self::MicroBatch(tokens) => write!(f, "micro-batch {tokens}"),
            Self::Sequence => f.write_str("one stage in memory at a time"),
            Self::TextOnly => f.write_str("without vision and audio towers"),
            Self::Tiles(tiles) => write!(f, "image in {tiles} tiles"),
            Self::Batch(batch) => write!(f, "batch {batch}"),
            Self::Context(context) => write!(f, "context {context}"),
            Self::KvCache(dtype) => write!(f, "KV cache {}", dtype.name()),
            Self::Weights(scheme, Scope::All) => write!(f, "weights {scheme}"),
            Self::Weights(scheme, Scope::Largest(component)) => write!(f, "{component} {scheme}"),
            Self::Offload(layers, of) => write!(f, "{layers} of {of} layers in host memory"),
        }
    }
}
