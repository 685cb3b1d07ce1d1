//! Buffers of a forward pass.

use super::interval::{Interval, Origin};
use super::workload::Workload;
use crate::error::{Error, Result};
use crate::model::{Architecture, Basis, Model};
use crate::units::Bytes;

const WHAT: &str = "the activations";
const FLOAT: u64 = 4;

/// Tokens that decoders take through the network at once while reading a prompt, llama.cpp's default micro-batch.
const MICRO_BATCH: u64 = 512;

/// Activations of `workload`; `weights` scale the guess where nothing else is known.
///
/// # Errors
/// [`Error::Overflow`] where they pass 2^64 − 1 bytes.
pub(super) fn activations(model: &Model, workload: &Workload, weights: Bytes) -> Result<Interval> {
    match (&model.architecture, &model.basis) {
        (Some(config), Basis::Config | Basis::Header) if config.is_decoder == Some(true) => {
            decoder(config, workload)
        }
        (Some(config), Basis::Config | Basis::Header) if config.hidden > 0 => encoder(config, workload),
        _ => Ok(Interval::new(
            Bytes::ZERO,
            weights.scaled(5, 100, WHAT)?,
            weights.scaled(20, 100, WHAT)?,
            Origin::Assumed,
            "weights*0.05 (0 ... 0.20)",
        )),
    }
}

fn decoder(config: &Architecture, workload: &Workload) -> Result<Interval> {
    let Architecture { hidden, vocabulary, .. } = *config;
    let tokens = product(&[workload.batch, workload.context])?.min(MICRO_BATCH);
    let vocabulary = vocabulary.unwrap_or(0);
    let streams = product(&[FLOAT, tokens, 2, hidden])?;
    let best = sum(&[streams, product(&[FLOAT, tokens, vocabulary])?])?;
    Ok(Interval::new(
        Bytes::new(sum(&[streams, product(&[FLOAT, workload.batch.min(tokens), vocabulary])?])?),
        Bytes::new(best),
        Bytes::new(best).scaled(16, 10, WHAT)?,
        Origin::Formula,
        "4*u*(vocabulary + 2*hidden), u = min(512, batch*context)",
    ))
}

fn encoder(config: &Architecture, workload: &Workload) -> Result<Interval> {
    let Architecture { hidden, intermediate, heads, .. } = *config;
    let tokens = product(&[workload.batch, workload.context])?;
    let scores = product(&[FLOAT, heads, tokens, workload.context])?;
    let of_tokens = |elements: u64| product(&[FLOAT, tokens, elements]);
    let attention =
        |score_buffers: u64| sum(&[of_tokens(hidden.saturating_mul(5))?, product(&[scores, score_buffers])?]);
    let feed_forward =
        |buffers: u64| of_tokens(sum(&[hidden.saturating_mul(2), intermediate.saturating_mul(buffers)])?);
    Ok(Interval::new(
        Bytes::new(feed_forward(1)?),
        Bytes::new(attention(1)?.max(feed_forward(2)?)),
        Bytes::new(attention(2)?.max(feed_forward(3)?)),
        Origin::Formula,
        "4*tokens*max(5*hidden + heads*context, 2*hidden + 2*intermediate)",
    ))
}

fn product(factors: &[u64]) -> Result<u64> {
    factors
        .iter()
        .try_fold(1, |product: u64, &factor| product.checked_mul(factor))
        .ok_or(Error::Overflow { what: WHAT })
}

fn sum(terms: &[u64]) -> Result<u64> {
    terms.iter().try_fold(0, |sum: u64, &term| sum.checked_add(term)).ok_or(Error::Overflow { what: WHAT })
}
