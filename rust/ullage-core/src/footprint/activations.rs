//! Which of a policy's formulas speaks of a model.

use super::interval::{Interval, Origin};
use super::policy::{Bounds, ByKind, Values};
use super::workload::Workload;
use crate::error::Result;
use crate::model::{Basis, Model};

/// What `formulas` give for `model` under `workload`, of whose stored graph `unsized_values` are of unknown size.
///
/// # Errors
/// [`crate::Error::Overflow`] beyond 2^64 − 1 bytes.
pub(super) fn by_kind(
    formulas: &ByKind,
    model: &Model,
    workload: &Workload,
    values: &Values,
    what: &'static str,
    unsized_values: u64,
) -> Result<Interval> {
    let known = formula(formulas, model, workload).evaluate(values, what)?;
    if unsized_values == 0 {
        return Ok(known);
    }
    let guess = formulas.unknown.evaluate(values, what)?;
    Ok(Interval::new(
        known.lo,
        known.best.max(guess.best),
        known.hi.max(guess.hi),
        Origin::Assumed,
        known.formula,
    ))
}

fn formula<'a>(formulas: &'a ByKind, model: &Model, workload: &Workload) -> &'a Bounds {
    if matches!(model.basis, Basis::Size | Basis::Published { .. }) {
        return &formulas.unknown;
    }
    // Of a denoiser or a pipeline no width is known that a formula could take.
    if model.basis == Basis::Config && model.architecture.as_ref().is_none_or(|found| found.hidden == 0) {
        return &formulas.unknown;
    }
    let kind = model.architecture.as_ref().map(|architecture| architecture.is_decoder);
    match (kind, &model.graph) {
        (_, Some(_)) => &formulas.graph,
        (Some(Some(true)), None) if workload.flash_attention => &formulas.decoder,
        (Some(Some(true)), None) => formulas.decoder_unfused.as_ref().unwrap_or(&formulas.decoder),
        (Some(_), None) => &formulas.encoder,
        (None, None) => &formulas.unknown,
    }
}
