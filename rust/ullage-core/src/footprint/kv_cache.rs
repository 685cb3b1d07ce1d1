//! Keys and values of the context, and state that does not grow with it.

use super::interval::{Interval, Origin};
use super::workload::Workload;
use crate::error::{Error, Result};
use crate::model::{Architecture, Attention, Cache, Layer, Model, Span};
use crate::units::Bytes;

const WHAT: &str = "the KV cache";

/// The key-value cache of `workload`.
///
/// # Errors
/// [`Error::Overflow`] where it passes 2^64 − 1 bytes.
pub(super) fn kv_cache(model: &Model, workload: &Workload) -> Result<Interval> {
    let Some(architecture) = &model.architecture else {
        return Ok(Interval::exact(Bytes::ZERO, Origin::Assumed, "no config: none counted"));
    };
    match architecture.is_decoder {
        Some(false) => Ok(Interval::exact(Bytes::ZERO, Origin::Config, "an encoder keeps none")),
        Some(true) => decoder_cache(architecture, workload),
        None => {
            let as_decoder = decoder_cache(architecture, workload)?;
            Ok(Interval { lo: Bytes::ZERO, best: Bytes::ZERO, origin: Origin::Assumed, ..as_decoder })
        }
    }
}

fn decoder_cache(architecture: &Architecture, workload: &Workload) -> Result<Interval> {
    let known = |layer: &&Layer| layer.is_known;
    let least = total(architecture.layers.iter().filter(known), workload, latent_elements)?;
    let most = total(architecture.layers.iter(), workload, latent_elements)?;
    let expanded = total(architecture.layers.iter(), workload, expanded_elements)?;
    if most < expanded {
        // Runtimes differ by a factor of up to 71 here: vLLM and llama.cpp keep the latent, others expand it.
        let formula = "layers*batch*cells*latent*bytes (hi: expanded heads)";
        return Ok(Interval::new(least, most, expanded, Origin::Config, formula));
    }
    if least == most {
        let formula = "layers*batch*cells*2*kv_heads*head_dim*bytes";
        return Ok(Interval::exact(most, Origin::Config, formula));
    }
    Ok(Interval::new(least, least, most, Origin::Assumed, "attention layers known ... all layers cached"))
}

fn total<'a>(
    layers: impl Iterator<Item = &'a Layer>,
    workload: &Workload,
    elements: fn(Attention) -> Option<u64>,
) -> Result<Bytes> {
    let mut sum: u64 = 0;
    for cache in layers.filter_map(|layer| layer.cache) {
        let cells = cells(cache, workload.context);
        let layer = elements(cache.attention).and_then(|elements| elements.checked_mul(cells));
        sum = layer.and_then(|layer| sum.checked_add(layer)).ok_or(Error::Overflow { what: WHAT })?;
    }
    let elements = sum.checked_mul(workload.batch).ok_or(Error::Overflow { what: WHAT })?;
    Ok(Bytes::new(elements).scaled(workload.kv_dtype.bytes_per_32(), 32, WHAT)?)
}

fn cells(cache: Cache, context: u64) -> u64 {
    match cache.span {
        Span::All => context,
        Span::Window(most) | Span::Chunk(most) => most.min(context),
        Span::Fixed(tokens) => tokens,
    }
}

fn latent_elements(attention: Attention) -> Option<u64> {
    match attention {
        Attention::Latent { rank, rope, .. } => rank.checked_add(rope),
        Attention::Heads { .. } => expanded_elements(attention),
    }
}

fn expanded_elements(attention: Attention) -> Option<u64> {
    let (Attention::Heads { kv_heads: heads, key, value } | Attention::Latent { heads, key, value, .. }) =
        attention;
    key.checked_add(value)?.checked_mul(heads)
}

/// State that does not grow with the context.
pub(super) fn state(model: &Model) -> Interval {
    let Some(architecture) = &model.architecture else {
        return Interval::exact(Bytes::ZERO, Origin::Assumed, "no config: none counted");
    };
    if architecture.is_decoder == Some(false) || architecture.layers.iter().all(|layer| layer.is_known) {
        return Interval::exact(Bytes::ZERO, Origin::Config, "attention layers keep none");
    }
    // Published states lie between 0.2 and 600 MiB a sequence; the cache interval already holds these layers at most.
    Interval::new(
        Bytes::ZERO,
        Bytes::ZERO,
        Bytes::new(600 << 20),
        Origin::Assumed,
        "recurrent layers, not modelled",
    )
}
