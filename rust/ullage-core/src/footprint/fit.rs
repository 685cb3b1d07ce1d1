//! Does it fit, and if not, what makes it fit?

use super::device::{Availability, Device};
use super::estimate;
use super::interval::Interval;
use super::policy::Policy;
use super::remedy::{Remedy, remedies};
use super::workload::Workload;
use crate::error::Result;
use crate::model::Model;
use crate::units::Bytes;

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// The most it can need is certainly there.
    Yes,
    /// The intervals overlap.
    Depends,
    /// Even the least it can need is certainly not there.
    No,
}

impl Answer {
    /// The word used in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Depends => "depends",
            Self::No => "no",
        }
    }

    pub(super) fn of(required: &Interval, available: &Availability) -> Self {
        if required.hi <= available.lo {
            Self::Yes
        } else if required.lo > available.hi {
            Self::No
        } else {
            Self::Depends
        }
    }
}

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
    let required = estimate(model, workload, policy)?.total;
    let available = device.available;
    let answer = Answer::of(&required, &available);
    let remedies = match answer {
        Answer::Yes => Vec::new(),
        Answer::Depends | Answer::No => remedies(model, workload, policy, device, &required)?,
    };
    let short_by = required.best.saturating_sub(available.best);
    let margin = available.best.saturating_sub(required.best);
    Ok(Verdict { answer, required, available, short_by, margin, remedies })
}
