//! Weights as a runtime holds them.

use super::interval::{Interval, Origin};
use super::policy::{Policy, Values, WeightLayout};
use super::quantize::WeightFormat;
use crate::error::Result;
use crate::model::{Basis, Model, Tensor};
use crate::units::Bytes;

/// Bytes of all tensors, re-encoded in `format` where one is given.
///
/// # Errors
/// [`crate::Error::Overflow`] beyond 2^64 − 1 bytes.
pub(super) fn stored(model: &Model, format: Option<WeightFormat>) -> Result<Bytes> {
    format.map_or_else(|| Ok(model.tensor_bytes()), |format| format.model_bytes(model))
}

/// The weights in memory under `policy`.
///
/// # Errors
/// As [`stored`].
pub(super) fn weights(
    model: &Model,
    policy: &Policy,
    values: &Values,
    format: Option<WeightFormat>,
) -> Result<Interval> {
    let is_encoder =
        model.architecture.as_ref().is_some_and(|architecture| architecture.is_decoder == Some(false));
    let bounds = policy.weights.encoder.as_ref().filter(|_| is_encoder).unwrap_or(&policy.weights.bytes);
    let mut held = bounds.evaluate(values, "the weights")?;
    let second = second_head(&policy.weights, model);
    for bound in [&mut held.lo, &mut held.best, &mut held.hi] {
        *bound = Bytes::sum([*bound, second], "the weights")?;
    }
    if bounds.is_exact() {
        held.origin = match (format, &model.basis) {
            (Some(_), _) => Origin::Formula,
            (None, Basis::Size) => Origin::Assumed,
            (None, _) => Origin::Header,
        };
    }
    held.formula = match format {
        Some(format) => format!("{} in {format}", held.formula).into(),
        None if !second.is_zero() => format!("{} + a second token embedding", held.formula).into(),
        None => held.formula,
    };
    Ok(held)
}

/// The token embedding once more, where the runtime allocates a tied output head of its own.
fn second_head(layout: &WeightLayout, model: &Model) -> Bytes {
    let is_meant =
        model.architecture_name().is_some_and(|name| layout.second_head.iter().any(|other| other == name));
    if !is_meant || model.tensors.iter().any(Tensor::is_output_head) {
        return Bytes::ZERO;
    }
    let embeddings = model.tensors.iter().filter(|tensor| tensor.is_token_embedding());
    embeddings.map(|tensor| tensor.bytes).max().unwrap_or(Bytes::ZERO)
}
