//! [`Table`]: for every layer, what each choice costs.

use super::answer::Choice;
use super::problem::{Problem, Variant, noise_of};
use crate::error::Result;
use crate::jit::cost::{Cost, Setting};
use crate::jit::layer::Layer;
use crate::jit::memory;
use crate::jit::policy::Policy;
use crate::jit::simulate;

/// A choice for a layer with what it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) choice: Choice,
    /// Seconds of storage link, decompressor and compute, if nobody else is at work.
    pub(super) tasks: [f64; 3],
    /// Seconds that the bus is busy with all three.
    pub(super) bus: f64,
    /// Bytes that stay between passes.
    pub(super) kept: u64,
    /// Bytes before the first pass.
    pub(super) load: u64,
    /// Bytes of scratch, where it needs any.
    pub(super) scratch: Option<u64>,
    /// Layers that it is made ready ahead.
    pub(super) depth: usize,
    /// Power of the error of all its weights.
    pub(super) noise: f64,
}

/// Every choice of every layer.
#[derive(Debug)]
pub(super) struct Table {
    /// Those that could be part of the best answer as far as these figures go.
    pub(super) rows: Vec<Vec<Row>>,
    /// All of them.
    pub(super) every: Vec<Vec<Choice>>,
    /// Seconds of a pass that no layer has.
    pub(super) floor: f64,
    /// Whether some choice has an engine work ahead of compute.
    pub(super) is_overlapped: bool,
}

/// Which working set seconds are taken at: a cache that holds all of a pass serves it faster.
#[derive(Clone, Copy, Debug)]
pub(super) enum At {
    /// The one at which each choice costs least: never more than what a plan costs.
    Best,
    /// One of so many bytes.
    WorkingSet(u64),
}

impl Table {
    /// # Errors
    /// [`crate::Error::Argument`] where the device lacks a rate that a policy needs.
    pub(super) fn new(problem: &Problem<'_>, at: At) -> Result<Self> {
        let profile = problem.profile;
        let threads = problem.options.threads.unwrap_or(profile.threads()).max(1);
        let setting = Setting { profile, threads, batch: problem.options.batch.max(1), working_set: 0 };
        let sets = match at {
            At::WorkingSet(bytes) => vec![bytes],
            At::Best => working_sets(problem),
        };
        let of = |(place, variants): (usize, &Vec<Variant>)| -> Result<Vec<Row>> {
            let elements = problem.elements(place);
            let mut rows = Vec::new();
            for (variant, stored) in variants.iter().enumerate() {
                let noise = match (stored.snr_db, problem.bounds.snr_db) {
                    (Some(ratio), _) => elements * noise_of(ratio),
                    (None, None) => 0.0,
                    (None, Some(_)) => continue, // nobody knows whether it may be taken
                };
                for &policy in problem.policies {
                    rows.push(row(&stored.layer, Choice { variant, policy }, noise, &setting, &sets)?);
                }
            }
            Ok(rows)
        };
        let rows: Vec<Vec<Row>> = problem.layers.iter().enumerate().map(of).collect::<Result<_>>()?;
        let every = rows.iter().map(|rows| rows.iter().map(|row| row.choice).collect()).collect();
        let rows: Vec<Vec<Row>> = rows.into_iter().map(undominated).collect();
        let is_overlapped = rows.iter().flatten().any(|row| row.tasks[0] > 0.0 || row.tasks[1] > 0.0);
        let floor = profile.floor.map_or(0.0, |figure| figure.value);
        Ok(Self { rows, every, floor, is_overlapped })
    }

    /// How many combinations there are; `None` beyond 2^64 − 1.
    pub(super) fn combinations(&self) -> Option<u64> {
        self.every.iter().try_fold(1_u64, |all, choices| all.checked_mul(choices.len() as u64))
    }
}

/// Working sets between which each choice costs least at one of: between timings, seconds are linear in its logarithm.
fn working_sets(problem: &Problem<'_>) -> Vec<u64> {
    if problem.profile.timings.is_empty() {
        return vec![0];
    }
    let sizes = |variants: &Vec<Variant>| -> (u64, u64) {
        let all =
            variants.iter().flat_map(|variant| problem.policies.iter().map(move |&policy| (variant, policy)));
        let bytes = all
            .map(|(variant, policy)| simulate::working_set(std::slice::from_ref(&variant.layer), &[policy]));
        bytes.fold((u64::MAX, 0), |(least, most), bytes| (least.min(bytes), most.max(bytes)))
    };
    let (mut least, mut most) = (0_u64, 0_u64);
    for (low, high) in problem.layers.iter().map(sizes) {
        (least, most) = (least.saturating_add(low), most.saturating_add(high));
    }
    let known = problem.profile.timings.iter().map(|timing| timing.working_set);
    let mut sets: Vec<u64> = known.filter(|set| (least..=most).contains(set)).chain([least, most]).collect();
    sets.sort_unstable();
    sets.dedup();
    sets
}

fn row(layer: &Layer, choice: Choice, noise: f64, setting: &Setting<'_>, sets: &[u64]) -> Result<Row> {
    let policy = choice.policy;
    let (mut tasks, mut bus) = ([f64::INFINITY; 3], f64::INFINITY);
    for &working_set in sets {
        let Cost { storage, decode, compute, .. } =
            Setting { working_set, ..*setting }.cost(layer, policy)?;
        let all = [storage, decode, compute];
        for (least, task) in tasks.iter_mut().zip(all) {
            *least = least.min(task.seconds);
        }
        bus = bus.min(all.iter().map(|task| task.seconds * task.bus).sum());
    }
    let (stored, dense) = memory::kept(layer, policy);
    let depth = usize::try_from(policy.prefetch()).unwrap_or(0);
    Ok(Row {
        choice,
        tasks,
        bus,
        kept: stored.saturating_add(dense),
        load: memory::at_load(std::slice::from_ref(layer), &[policy]),
        scratch: memory::needed(layer, policy, setting.threads),
        depth,
        noise,
    })
}

/// Leaves out what is no better than another in anything. Layers with scratch stand between those before and after them,
/// so that only such of one depth are compared with one another.
fn undominated(rows: Vec<Row>) -> Vec<Row> {
    let mut kept: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        if !kept.iter().any(|other| is_as_good(other, &row)) {
            kept.retain(|other| !is_as_good(&row, other));
            kept.push(row);
        }
    }
    kept
}

fn is_as_good(a: &Row, b: &Row) -> bool {
    let is_alike = match (a.scratch, b.scratch) {
        (None, None) => true,
        (Some(a_bytes), Some(b_bytes)) => a.depth == b.depth && a_bytes <= b_bytes,
        _ => false,
    };
    is_alike
        && a.tasks.iter().zip(&b.tasks).all(|(a, b)| a <= b)
        && a.bus <= b.bus
        && a.kept <= b.kept
        && a.load <= b.load
        && a.noise <= b.noise
}

/// The layers and policies of a choice for all.
pub(super) fn chosen(layers: &[Vec<Variant>], choices: &[Choice]) -> (Vec<Layer>, Vec<Policy>) {
    let pick = |(variants, choice): (&Vec<Variant>, &Choice)| {
        (variants[choice.variant].layer.clone(), choice.policy)
    };
    layers.iter().zip(choices).map(pick).unzip()
}
