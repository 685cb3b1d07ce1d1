//! Keys and values of the context, and state that does not grow with it.

use super::interval::{Interval, Origin};
use super::workload::Workload;
use crate::error::{Error, Result};
use crate::model::{Attention, Config, LayerCache, Model};
use crate::units::Bytes;

const WHAT: &str = "the KV cache";

/// The key-value cache of `workload`.
///
/// # Errors
/// [`Error::Overflow`] where it passes 2^64 − 1 bytes.
pub(super) fn kv_cache(model: &Model, workload: &Workload) -> Result<Interval> {
    let Some(config) = &model.config else {
        return Ok(Interval::exact(Bytes::ZERO, Origin::Assumed, "no config: none counted"));
    };
    match config.is_decoder {
        Some(false) => Ok(Interval::exact(Bytes::ZERO, Origin::Config, "an encoder keeps none")),
        Some(true) => decoder_cache(config, workload),
        None => {
            let as_decoder = decoder_cache(config, workload)?;
            Ok(Interval { lo: Bytes::ZERO, best: Bytes::ZERO, origin: Origin::Assumed, ..as_decoder })
        }
    }
}

fn decoder_cache(config: &Config, workload: &Workload) -> Result<Interval> {
    let cells = |counts: fn(LayerCache) -> Option<u64>| {
        config.caches.iter().try_fold(0_u64, |sum, &cache| {
            sum.checked_add(counts(cache).unwrap_or(workload.context).min(workload.context))
        })
    };
    // A layer of unknown state may keep every token, or none.
    let most = cells(|cache| match cache {
        LayerCache::Full | LayerCache::Unknown => None,
        LayerCache::Window(window) => Some(window),
    });
    let least = cells(|cache| match cache {
        LayerCache::Full => None,
        LayerCache::Window(window) => Some(window),
        LayerCache::Unknown => Some(0),
    });
    let (most, least) =
        (most.ok_or(Error::Overflow { what: WHAT })?, least.ok_or(Error::Overflow { what: WHAT })?);
    let of = |cells, elements| cache_bytes(cells, elements, workload);
    match config.attention {
        Attention::Heads { kv_heads, head_dim } => {
            let elements = 2_u64.checked_mul(kv_heads).and_then(|keys| keys.checked_mul(head_dim));
            let elements = elements.ok_or(Error::Overflow { what: WHAT })?;
            let (lo, hi) = (of(least, elements)?, of(most, elements)?);
            if lo == hi {
                return Ok(Interval::exact(
                    hi,
                    Origin::Config,
                    "layers*batch*cells*2*kv_heads*head_dim*bytes",
                ));
            }
            Ok(Interval::new(lo, lo, hi, Origin::Assumed, "attention layers known ... all layers cached"))
        }
        // Runtimes differ by a factor of up to 71 here: vLLM and llama.cpp keep the latent, others expand it.
        Attention::Latent { latent, expanded } => Ok(Interval::new(
            of(least, latent)?,
            of(most, latent)?,
            of(most, expanded)?,
            Origin::Config,
            "layers*batch*cells*latent*bytes (hi: expanded heads)",
        )),
    }
}

fn cache_bytes(cells: u64, elements: u64, workload: &Workload) -> Result<Bytes> {
    let tokens = cells.checked_mul(workload.batch).and_then(|tokens| tokens.checked_mul(elements));
    let elements = Bytes::new(tokens.ok_or(Error::Overflow { what: WHAT })?);
    Ok(elements.scaled(workload.kv_dtype.bytes_per_32(), 32, WHAT)?)
}

/// State that does not grow with the context.
pub(super) fn state(model: &Model) -> Interval {
    let Some(config) = &model.config else {
        return Interval::exact(Bytes::ZERO, Origin::Assumed, "no config: none counted");
    };
    if config.is_decoder == Some(false) || !config.caches.contains(&LayerCache::Unknown) {
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
