//! Does it fit, and if not, what makes it fit?

use super::answer::Answer;
use super::device::{Availability, Device};
use super::estimate;
use super::interval::Interval;
use super::measured::Correction;
use super::policy::Policy;
use super::remedy::{Remedy, remedies};
use super::workload::Workload;
use crate::error::Result;
use crate::model::Model;
use crate::units::Bytes;

/// Whether a footprint fits a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub answer: Answer,
    /// What is needed.
    pub required: Interval,
    /// What the device offers.
    pub available: Availability,
    /// How much is missing by the most likely figures; zero if they fit.
    pub short_by: Bytes,
    /// How much is to spare by the most likely figures; zero if they do not fit.
    pub margin: Bytes,
    /// What makes it fit, the least lossy first; empty if it fits as it is.
    pub remedies: Vec<Remedy>,
}

/// Judges whether `model` under `workload` fits `device`, and finds what makes it fit.
///
/// # Errors
/// [`crate::Error::Overflow`] where a footprint passes 2^64 − 1 bytes.
pub fn fit(model: &Model, workload: &Workload, policy: &Policy, device: &Device) -> Result<Verdict> {
    judged(model, workload, policy, device, None)
}

/// The same of a model whose footprint was measured: its total is `measured` as [`super::Footprint::measured`] gives it,
/// and what a remedy requires is that less what the remedy saves by the estimates.
///
/// # Errors
/// [`crate::Error::Overflow`] where a footprint passes 2^64 − 1 bytes.
pub fn fit_measured(
    model: &Model,
    workload: &Workload,
    policy: &Policy,
    device: &Device,
    measured: &Interval,
) -> Result<Verdict> {
    judged(model, workload, policy, device, Some(measured))
}

fn judged(
    model: &Model,
    workload: &Workload,
    policy: &Policy,
    device: &Device,
    measured: Option<&Interval>,
) -> Result<Verdict> {
    let estimated = estimate(model, workload, policy)?.total;
    let required = measured.unwrap_or(&estimated).clone();
    let correction = measured.map(|measured| Correction::new(estimated, measured.clone()));
    let available = device.available;
    let answer = Answer::of(&required, &available);
    let remedies = match answer {
        Answer::Yes => Vec::new(),
        Answer::Depends | Answer::No => remedies(model, workload, policy, device, &required, correction)?,
    };
    let short_by = required.best.saturating_sub(available.best);
    let margin = available.best.saturating_sub(required.best);
    Ok(Verdict { answer, required, available, short_by, margin, remedies })
}
