//! What makes a model fit: a search over everything that can be changed.
//!
//! The remedies are not advice: each is a set of changes whose footprint was computed anew, in full. They are ordered by
//! how much they give up, see [`Change::loss`].

use super::alteration::{Alteration, Estimator, Scope};
use super::answer::Answer;
use super::change::Change;
use super::device::{Availability, Device};
use super::interval::Interval;
use super::measured::Correction;
use super::policy::Policy;
use super::workload::Workload;
use crate::error::Result;
use crate::model::{Basis, Model};
use crate::units::Bytes;

/// Changes that make a model fit, or nearly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// What to change, all of it together, each with the bytes it saves when made alone, by the most likely figures.
    pub changes: Vec<(Change, Bytes)>,
    /// The footprint's total after the changes.
    pub required: Interval,
    /// What the device then offers.
    pub available: Availability,
    /// The answer after the changes.
    pub answer: Answer,
    /// Bytes saved against the unchanged footprint, by the most likely figures.
    pub saves: Bytes,
}

/// The most remedies that a verdict lists.
const REMEDIES: usize = 6;

/// The most changes asked for at once.
const MOST_CHANGES: usize = 4;

/// Shortest context and smallest micro-batch that a remedy proposes.
const SHORTEST_CONTEXT: u64 = 2048;
const SMALLEST_MICRO_BATCH: u64 = 128;

/// The least lossy sets of changes after which `model` fits `device`, or after which the most likely figures do; what they
/// require is the estimate, or its `correction` where `before` was measured.
///
/// # Errors
/// [`crate::Error::Overflow`] where a footprint passes 2^64 − 1 bytes.
pub(super) fn remedies(
    model: &Model,
    workload: &Workload,
    policy: &Policy,
    device: &Device,
    before: &Interval,
    correction: Option<Correction>,
) -> Result<Vec<Remedy>> {
    if let Basis::Published { .. } = model.basis {
        return Ok(of_device(device, before));
    }
    let estimator = Estimator::new(model, policy);
    let search = Search { estimator, workload, policy, device, before, correction };
    let mut candidates = Vec::new();
    for changes in search.combinations()? {
        candidates.extend(search.candidate(&changes)?);
    }
    candidates.extend(search.offloads()?);
    let mut kept = least_lossy(candidates, workload);
    for remedy in &mut kept {
        for (change, saves) in &mut remedy.changes {
            let alone = search.estimate(&[*change])?;
            *saves = before.best.saturating_sub(alone.best);
        }
    }
    Ok(kept)
}

/// A published total cannot be recomputed; all that can be changed is the device.
fn of_device(device: &Device, before: &Interval) -> Vec<Remedy> {
    let unchanged = Answer::of(before, &device.available);
    let raised = device.raised.map(|(raise, available)| Remedy {
        changes: vec![(Change::Device(raise), Bytes::ZERO)],
        required: before.clone(),
        available,
        answer: Answer::of(before, &available),
        saves: Bytes::ZERO,
    });
    let is_short = before.best > device.available.best;
    raised.into_iter().filter(|remedy| helps(remedy, unchanged, is_short)).collect()
}

/// Whether `remedy` answers better than `unchanged`, or fits by the most likely figures that were short before.
fn helps(remedy: &Remedy, unchanged: Answer, is_short: bool) -> bool {
    let fits_likely = remedy.answer == Answer::Depends && remedy.required.best <= remedy.available.best;
    remedy.answer < unchanged || (is_short && fits_likely)
}

/// `candidates` without those that another makes needless, the surest and least lossy first.
fn least_lossy(mut candidates: Vec<Remedy>, workload: &Workload) -> Vec<Remedy> {
    let loss = |remedy: &Remedy| {
        remedy.changes.iter().fold(0_u64, |sum, (change, _)| sum.saturating_add(change.loss(workload)))
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
    kept
}

/// Whether `better`, which gives up no more, asks for the same kinds of change or fewer and answers as well.
fn makes_needless(better: &Remedy, remedy: &Remedy) -> bool {
    let kinds = |remedy: &Remedy| {
        remedy.changes.iter().map(|(change, _)| std::mem::discriminant(change)).collect::<Vec<_>>()
    };
    let asked = kinds(remedy);
    better.answer <= remedy.answer && kinds(better).iter().all(|kind| asked.contains(kind))
}

struct Search<'a> {
    estimator: Estimator<'a>,
    workload: &'a Workload,
    policy: &'a Policy,
    device: &'a Device,
    before: &'a Interval,
    correction: Option<Correction>,
}

impl Search<'_> {
    fn estimate(&self, changes: &[Change]) -> Result<Interval> {
        let mut alteration = Alteration::none(*self.workload);
        for change in changes {
            change.apply(&mut alteration);
        }
        let estimated = self.estimator.estimate(&alteration)?.total;
        Ok(match &self.correction {
            Some(correction) => correction.apply(&estimated),
            None => estimated,
        })
    }

    /// The remedy that `changes` are, if they help.
    fn candidate(&self, changes: &[Change]) -> Result<Option<Remedy>> {
        let required = self.estimate(changes)?;
        let raised = self.device.raised.filter(|(raise, _)| changes.contains(&Change::Device(*raise)));
        let available = raised.map_or(self.device.available, |(_, available)| available);
        let remedy = Remedy {
            changes: changes.iter().map(|&change| (change, Bytes::ZERO)).collect(),
            answer: Answer::of(&required, &available),
            saves: self.before.best.saturating_sub(required.best),
            required,
            available,
        };
        let unchanged = Answer::of(self.before, &self.device.available);
        let is_short = self.before.best > self.device.available.best;
        Ok(Some(remedy).filter(|remedy| helps(remedy, unchanged, is_short)))
    }

    /// Every set of at most [`MOST_CHANGES`] changes, at most one from each lever, except the empty one.
    fn combinations(&self) -> Result<Vec<Vec<Change>>> {
        let mut sets: Vec<Vec<Change>> = vec![Vec::new()];
        for lever in self.levers()? {
            let longer: Vec<Vec<Change>> = sets
                .iter()
                .filter(|set| set.len() < MOST_CHANGES)
                .flat_map(|set| lever.iter().map(|&change| [set.as_slice(), &[change]].concat()))
                .collect();
            sets.extend(longer);
        }
        Ok(sets.into_iter().filter(|set| !set.is_empty()).collect())
    }

    /// What can be changed, one list of choices a lever.
    fn levers(&self) -> Result<Vec<Vec<Change>>> {
        let stages = self.estimator.stages(&Alteration::none(*self.workload))?;
        let is_pipeline = stages.len() > 1;
        let mut levers: Vec<Vec<Change>> = Vec::new();
        levers.extend(self.device.raised.map(|(raise, _)| vec![Change::Device(raise)]));
        if is_pipeline {
            levers.push(vec![Change::Sequence]);
        }
        if self.estimator.has_towers() && self.is_generating() {
            levers.push(vec![Change::TextOnly]);
        }
        if is_pipeline || self.is_graph_of_images() {
            levers.push([4, 16].map(Change::Tiles).to_vec());
        }
        levers.extend(self.of_workload());
        levers.push(self.of_weights(&stages));
        Ok(levers)
    }

    fn of_workload(&self) -> Vec<Vec<Change>> {
        let mut levers = Vec::new();
        let halved = |from: u64| std::iter::successors(Some(from), |size| Some(size / 2)).skip(1);
        if self.workload.batch > 1 {
            levers.push(
                halved(self.workload.batch).take_while(|&batch| batch > 0).map(Change::Batch).collect(),
            );
        }
        if !self.is_generating() {
            return levers;
        }
        if !self.workload.flash_attention {
            levers.push(vec![Change::FlashAttention]);
        }
        if self.workload.micro_batch > SMALLEST_MICRO_BATCH {
            levers.push(vec![Change::MicroBatch(SMALLEST_MICRO_BATCH)]);
        }
        let smaller = |dtype: &&super::KvDtype| dtype.bytes_per_32() < self.workload.kv_dtype.bytes_per_32();
        levers.push(
            self.policy.kv_dtypes.iter().filter(smaller).map(|&dtype| Change::KvCache(dtype)).collect(),
        );
        let contexts = halved(self.workload.context).take_while(|&context| context >= SHORTEST_CONTEXT);
        levers.push(contexts.map(Change::Context).collect());
        levers
    }

    fn of_weights(&self, stages: &[(&'static str, Bytes)]) -> Vec<Change> {
        let schemes = || self.policy.schemes.iter();
        let mut choices: Vec<Change> = schemes().map(|&scheme| Change::Weights(scheme, Scope::All)).collect();
        if let Some((largest, _)) = stages.iter().max_by_key(|(_, size)| *size).filter(|_| stages.len() > 1) {
            choices.extend(schemes().map(|&scheme| Change::Weights(scheme, Scope::Largest(largest))));
        }
        choices
    }

    fn is_generating(&self) -> bool {
        let architecture = self.estimator.model.architecture.as_ref();
        architecture.is_some_and(|architecture| architecture.is_decoder != Some(false))
    }

    /// Whether it works on images, as far as a stored graph without a vocabulary tells.
    fn is_graph_of_images(&self) -> bool {
        let model = self.estimator.model;
        model.graph.is_some() && model.architecture.is_none()
    }

    /// The fewest layers that must move to the host, alone or with one scheme for the weights.
    fn offloads(&self) -> Result<Vec<Remedy>> {
        let architecture = self.estimator.model.architecture.as_ref();
        let layers = architecture.map_or(0, |architecture| architecture.layers.len());
        if !self.policy.offload || !self.device.is_discrete || layers == 0 {
            return Ok(Vec::new());
        }
        let schemes = self.policy.schemes.iter().map(|&scheme| vec![Change::Weights(scheme, Scope::All)]);
        let mut found = Vec::new();
        for base in std::iter::once(Vec::new()).chain(schemes) {
            found.extend(self.fewest_offloaded(&base, layers)?);
        }
        Ok(found)
    }

    /// What is needed falls with every layer that moves, so the fewest are found by bisection.
    fn fewest_offloaded(&self, base: &[Change], layers: usize) -> Result<Option<Remedy>> {
        let with = |count| [base, &[Change::Offload(count, layers)]].concat();
        let fits = |count| self.estimate(&with(count)).map(|needed| needed.hi <= self.device.available.lo);
        if !fits(layers)? {
            return Ok(None);
        }
        let (mut too_few, mut enough) = (0, layers);
        while enough.saturating_sub(too_few) > 1 {
            let middle = too_few.midpoint(enough);
            if fits(middle)? { enough = middle } else { too_few = middle }
        }
        self.candidate(&with(enough))
    }
}
