//! Does it fit, and if not, what makes it fit?
//!
//! The remedies are not advice: each is a set of changes whose footprint was computed anew, in full. They are ordered
//! by how much they give up. That order is an opinion (the entitlement costs nothing but a form, a shorter batch
//! only speed, coarser weights quality, ever more steeply below 4 bits) and stands in one place, [`Change::loss`].

use std::fmt;

use super::device::{Availability, Device};
use super::interval::Interval;
use super::policy::Policy;
use super::quantize::WeightFormat;
use super::workload::{KvDtype, Workload};
use super::{Footprint, estimate, estimate_as};
use crate::error::Result;
use crate::model::{Basis, Model};
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

    fn of(required: &Interval, available: &Availability) -> Self {
        if required.hi <= available.lo {
            Self::Yes
        } else if required.lo > available.hi {
            Self::No
        } else {
            Self::Depends
        }
    }
}

/// One thing that can be changed to make a model fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Ask iOS for the increased-memory-limit entitlement.
    Entitlement,
    /// Take so many sequences at once.
    Batch(u64),
    /// Keep so many tokens.
    Context(u64),
    /// Store keys and values so.
    KvCache(KvDtype),
    /// Store weights so.
    Weights(WeightFormat),
}

impl Change {
    /// How much the change gives up, in units that only order remedies.
    fn loss(self, asked: &Workload) -> u64 {
        match self {
            Self::Entitlement => 1,
            Self::Batch(_) => 4,
            Self::KvCache(_) => 6,
            Self::Context(context) => {
                let halvings = asked.context.checked_div(context).and_then(u64::checked_ilog2).unwrap_or(0);
                u64::from(halvings).saturating_mul(8)
            }
            Self::Weights(WeightFormat::Q8_0) => 5,
            Self::Weights(WeightFormat::Q6K) => 9,
            Self::Weights(WeightFormat::Q5K) => 14,
            Self::Weights(WeightFormat::Q4K) => 22,
            Self::Weights(WeightFormat::Q3K) => 60,
            Self::Weights(WeightFormat::Q2K) => 120,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entitlement => f.write_str("increased-memory-limit entitlement"),
            Self::Batch(batch) => write!(f, "batch {batch}"),
            Self::Context(context) => write!(f, "context {context}"),
            Self::KvCache(dtype) => write!(f, "KV cache {}", dtype.name()),
            Self::Weights(format) => write!(f, "weights {format}"),
        }
    }
}

/// Changes that make a model fit, or nearly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// What to change, all of it together.
    pub changes: Vec<Change>,
    /// The footprint's total after the changes.
    pub required: Interval,
    /// What the device then offers.
    pub available: Availability,
    /// The answer after the changes.
    pub answer: Answer,
    /// Bytes saved against the unchanged footprint, by the most likely figures.
    pub saves: Bytes,
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
    /// What makes it fit, the least lossy first; empty if it fits as it is.
    pub remedies: Vec<Remedy>,
}

/// The most remedies that a verdict lists.
const REMEDIES: usize = 6;

/// Shortest context and largest number of halvings that a remedy proposes.
const SHORTEST_CONTEXT: u64 = 2048;

/// Judges whether `model` under `workload` fits `device`, and finds what makes it fit.
///
/// # Errors
/// [`crate::Error::Overflow`] where a footprint passes 2^64 − 1 bytes.
pub fn fit(model: &Model, workload: &Workload, policy: &Policy, device: &Device) -> Result<Verdict> {
    let required = estimate(model, workload, policy)?.total;
    let available = device.available;
    let answer = Answer::of(&required, &available);
    let remedies = if answer == Answer::Yes {
        Vec::new()
    } else {
        remedies(model, workload, policy, device, &required)?
    };
    let short_by = required.best.saturating_sub(available.best);
    Ok(Verdict { answer, required, available, short_by, remedies })
}

fn remedies(
    model: &Model,
    workload: &Workload,
    policy: &Policy,
    device: &Device,
    before: &Interval,
) -> Result<Vec<Remedy>> {
    let unchanged = Answer::of(before, &device.available);
    let mut candidates = Vec::new();
    for changes in combinations(model, workload, device) {
        let required = apply(model, workload, policy, &changes)?.total;
        let entitled = device.entitled.filter(|_| changes.contains(&Change::Entitlement));
        let available = entitled.unwrap_or(device.available);
        let answer = Answer::of(&required, &available);
        if answer < unchanged || (answer == Answer::Depends && required.best <= available.best) {
            let saves = before.best.saturating_sub(required.best);
            candidates.push(Remedy { changes, required, available, answer, saves });
        }
    }
    let loss = |remedy: &Remedy| {
        remedy.changes.iter().fold(0_u64, |sum, change| sum.saturating_add(change.loss(workload)))
    };
    candidates.sort_by_key(|remedy| (loss(remedy), remedy.changes.len()));
    let mut kept: Vec<Remedy> = Vec::new();
    for remedy in candidates {
        if !kept.iter().any(|better| makes_needless(better, &remedy)) {
            kept.push(remedy);
        }
    }
    kept.sort_by_key(|remedy| (remedy.answer, loss(remedy)));
    kept.truncate(REMEDIES);
    Ok(kept)
}

/// Whether `better`, which gives up no more, asks for the same kinds of change or fewer and answers as well.
fn makes_needless(better: &Remedy, remedy: &Remedy) -> bool {
    let kinds = |remedy: &Remedy| remedy.changes.iter().map(std::mem::discriminant).collect::<Vec<_>>();
    let asked = kinds(remedy);
    better.answer <= remedy.answer && kinds(better).iter().all(|kind| asked.contains(kind))
}

/// Every set of changes worth trying: the product of the levers that this model and device have.
fn combinations(model: &Model, workload: &Workload, device: &Device) -> Vec<Vec<Change>> {
    let mut levers: Vec<Vec<Change>> = Vec::new();
    if device.entitled.is_some() {
        levers.push(vec![Change::Entitlement]);
    }
    if let Basis::Published { .. } = model.basis {
        return product(&levers);
    }
    if workload.batch > 1 {
        levers.push(vec![Change::Batch(1)]);
    }
    if model.architecture.as_ref().is_some_and(|architecture| architecture.is_decoder != Some(false)) {
        levers.push(vec![Change::KvCache(KvDtype::Q8_0)]);
        let halved = std::iter::successors(Some(workload.context), |context| Some(context / 2)).skip(1);
        levers.push(halved.take_while(|&context| context >= SHORTEST_CONTEXT).map(Change::Context).collect());
    }
    levers.push(WeightFormat::ALL.map(Change::Weights).to_vec());
    product(&levers)
}

/// Every choice of at most one change from each lever, except the empty one.
fn product(levers: &[Vec<Change>]) -> Vec<Vec<Change>> {
    let mut sets: Vec<Vec<Change>> = vec![Vec::new()];
    for lever in levers {
        let longer =
            sets.iter().flat_map(|set| lever.iter().map(|&change| [set.as_slice(), &[change]].concat()));
        let longer: Vec<_> = longer.collect();
        sets.extend(longer);
    }
    sets.into_iter().filter(|set| !set.is_empty()).collect()
}

fn apply(model: &Model, workload: &Workload, policy: &Policy, changes: &[Change]) -> Result<Footprint> {
    let mut altered = *workload;
    let mut format = None;
    for &change in changes {
        match change {
            Change::Entitlement => {}
            Change::Batch(batch) => altered.batch = batch,
            Change::Context(context) => altered.context = context,
            Change::KvCache(dtype) => altered.kv_dtype = dtype,
            Change::Weights(weights) => format = Some(weights),
        }
    }
    estimate_as(model, &altered, policy, format)
}
