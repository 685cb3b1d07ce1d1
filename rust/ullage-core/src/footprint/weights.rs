//! Weights as a runtime holds them.

use super::interval::{Interval, Origin};
use super::policy::{Policy, Values};
use crate::codec::Scheme;
use crate::error::Result;
use crate::model::{Basis, Model};

/// The weights in memory under `policy`.
///
/// # Errors
/// [`crate::Error::Overflow`] beyond 2^64 − 1 bytes.
pub(super) fn weights(
    model: &Model,
    policy: &Policy,
    values: &Values,
    scheme: Option<Scheme>,
) -> Result<Interval> {
    let is_encoder =
        model.architecture.as_ref().is_some_and(|architecture| architecture.is_decoder == Some(false));
    let bounds = policy.weights.encoder.as_ref().filter(|_| is_encoder).unwrap_or(&policy.weights.bytes);
    let mut held = bounds.evaluate(values, "the weights")?;
    if bounds.is_exact() {
        held.origin = match (scheme, &model.basis) {
            (Some(_), _) => Origin::Formula,
            (None, Basis::Config) => Origin::Config,
            (None, Basis::Size) => Origin::Assumed,
            (None, _) => Origin::Header,
        };
    }
    held.formula = match scheme {
        Some(scheme) => format!("{} in {scheme}", held.formula).into(),
        None => held.formula,
    };
    Ok(held)
}
