//! [`simulate`](fn@simulate): layers under policies on a device, as a deterministic simulation of events.

use std::collections::HashMap;

use super::cost::{Basis, Bound, Cost, Setting};
use super::engine::{self, Event, Job, Resource};
use super::layer::Layer;
use super::memory::{self, Level, Plan};
use super::policy::Policy;
use super::profile::Profile;
use crate::error::{Error, Result};
use crate::units::Bytes;

/// What a device is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Threads that compute; those of the profile where absent. A thread that decodes ahead comes on top.
    pub threads: Option<u32>,
    /// Tokens or images of a pass; 0 reads as 1.
    pub batch: u64,
    /// Bytes that all of this may take: layers are kept hot, and streamed ones in memory, as far as it reaches. That of
    /// the profile does not count by itself.
    pub memory_limit: Option<Bytes>,
    /// Whether stored weights are read from storage before the first pass; else they are in memory already.
    pub from_storage: bool,
}

/// One layer in a pass.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerTime {
    /// Its name.
    pub name: String,
    /// The policy that it came to run under.
    pub policy: Policy,
    /// What it waits for most.
    pub bound: Bound,
    /// What its seconds rest on.
    pub basis: Basis,
    /// Seconds from the end of the layer before to its own; the first one's from the beginning of the pass.
    pub seconds: f64,
}

/// What a plan comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    /// Seconds of a pass, once everything is loaded.
    pub latency_s: f64,
    /// Seconds before the first pass can begin.
    pub load_s: f64,
    /// Seconds until the first pass is over.
    pub first_output_s: f64,
    /// Bytes over the memory bus in a pass.
    pub bytes_moved: Bytes,
    /// The most bytes at any time: loading or running, with all scratch memory.
    pub peak: Bytes,
    /// Bytes that stay between passes, scratch memory left out.
    pub resident: Bytes,
    /// Bytes of scratch memory, laid out by the arena planner.
    pub scratch: Bytes,
    /// Layers in order.
    pub layers: Vec<LayerTime>,
    /// Which layer kept what busy.
    pub timeline: Vec<Event>,
    /// Bytes in use over a pass.
    pub memory: Vec<Level>,
}

impl Simulation {
    /// Seconds that a resource was busy.
    #[must_use]
    pub fn busy_s(&self, resource: Resource) -> f64 {
        let own = self.timeline.iter().filter(|event| event.resource == resource);
        own.map(|event| event.end_s - event.start_s).sum()
    }

    /// The weakest of what its layers rest on.
    #[must_use]
    pub fn basis(&self) -> Basis {
        self.layers.iter().map(|layer| layer.basis).max().unwrap_or(Basis::Timed)
    }
}

/// Simulates a pass of `layers`, each under its policy, on the device of `profile`.
///
/// The same arguments give the same answer to the last bit.
///
/// ```
/// use ullage_core::jit::{Layer, Options, Origin, Policy, Profile, simulate};
///
/// let layer = Layer::new("ffn", &[4096, 4096], "palettized:4".parse()?)?;
/// let device = Profile::roofline("a core", 40e9, 100e9, Origin::Assumed);
/// let dense = simulate(&[layer.clone()], &[Policy::LoadTime], &device, &Options::default())?;
/// let fused = simulate(&[layer], &[Policy::Fused], &device, &Options::default())?;
/// assert!(fused.latency_s < dense.latency_s && fused.resident < dense.resident);
/// assert_eq!(dense.layers[0].bound.name(), "weight-memory-bound");
/// # Ok::<(), ullage_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] for another number of policies than layers, layers or policies that contradict themselves, a
/// profile without the rates that are needed, or a memory limit that the plan cannot be brought under;
/// [`Error::Overflow`] beyond 2^64 − 1 bytes.
pub fn simulate(
    layers: &[Layer],
    policies: &[Policy],
    profile: &Profile,
    options: &Options,
) -> Result<Simulation> {
    check_plan(layers, policies)?;
    profile.check()?;
    let threads = options.threads.unwrap_or(profile.threads()).max(1);
    let bare = Setting { profile, threads, batch: options.batch.max(1), working_set: 0 };
    let chosen = match options.memory_limit {
        Some(limit) => within(layers, policies, &bare, limit)?,
        None => policies.to_vec(),
    };
    let plan = memory::plan(layers, &chosen, threads)?;
    let setting = Setting { working_set: working_set(layers, &chosen), ..bare };
    let costs = costs(layers, &chosen, &setting)?;
    let jobs: Vec<Job> = costs
        .iter()
        .zip(&plan.after)
        .map(|(cost, &after)| Job { tasks: [cost.storage, cost.decode, cost.compute], after })
        .collect();
    let (timeline, latency) = engine::run(&jobs);
    let floor = profile.floor.map_or(0.0, |figure| figure.value);
    let load_s = load_seconds(layers, &chosen, &costs, profile, options)?;
    let size = sizes(layers, &chosen, &plan)?;
    Ok(Simulation {
        latency_s: latency + floor,
        load_s,
        first_output_s: load_s + latency + floor,
        bytes_moved: Bytes::new(costs.iter().fold(0, |sum, cost| sum.saturating_add(cost.moved))),
        peak: size.peak,
        resident: size.resident,
        scratch: Bytes::new(plan.height),
        layers: layer_times(layers, &chosen, &costs, &timeline),
        memory: memory::levels(size.resident.get(), &plan, &timeline),
        timeline,
    })
}

pub(super) fn check_plan(layers: &[Layer], policies: &[Policy]) -> Result<()> {
    if layers.len() != policies.len() || u32::try_from(layers.len()).is_err() {
        let reason = format!("{} policies for {} layers", policies.len(), layers.len());
        return Err(Error::Argument { name: "policies", reason });
    }
    layers.iter().try_for_each(Layer::check)?;
    policies.iter().try_for_each(|policy| policy.check())
}

/// Bytes that one pass reads again on the next.
pub(super) fn working_set(layers: &[Layer], policies: &[Policy]) -> u64 {
    let of = |(layer, &policy): (&Layer, &Policy)| match policy {
        Policy::LoadTime | Policy::KeepHot if !layer.is_dense() => layer.dense.get(),
        _ => layer.compressed.get(),
    };
    layers.iter().zip(policies).map(of).fold(0, u64::saturating_add)
}

/// Costs layer by layer; layers that are alike cost alike and are looked up once.
fn costs(layers: &[Layer], policies: &[Policy], setting: &Setting<'_>) -> Result<Vec<Cost>> {
    let mut known = HashMap::new();
    let mut all: Vec<Cost> = Vec::with_capacity(layers.len());
    let mut last: Option<(&Layer, Policy, Cost)> = None;
    for (layer, &policy) in layers.iter().zip(policies) {
        // The layer before is often alike, and compared sooner than it is looked up.
        if let Some((before, same, cost)) = last
            && same == policy
            && before.is_alike(layer)
        {
            all.push(cost);
            continue;
        }
        let key = (
            layer.scheme,
            policy,
            (layer.elements(), layer.rows(), layer.compressed),
            (layer.flops_per_token, layer.activations, layer.is_depthwise),
        );
        let cost = if let Some(&cost) = known.get(&key) {
            cost
        } else {
            let cost = setting.cost(layer, policy)?;
            known.insert(key, cost);
            cost
        };
        last = Some((layer, policy, cost));
        all.push(cost);
    }
    Ok(all)
}

struct Sizes {
    peak: Bytes,
    resident: Bytes,
}

fn sizes(layers: &[Layer], policies: &[Policy], plan: &Plan) -> Result<Sizes> {
    let kept = layers.iter().zip(policies).map(|(layer, &policy)| memory::kept(layer, policy));
    let resident = Bytes::sum(kept.flat_map(|(stored, dense)| [stored.into(), dense.into()]), "the weights")?;
    let running = Bytes::sum([resident, plan.height.into()], "the weights and scratch memory")?;
    Ok(Sizes { peak: running.max(Bytes::new(memory::at_load(layers, policies))), resident })
}

/// Seconds before the first pass: stored weights are read, then those decoded at load are.
fn load_seconds(
    layers: &[Layer],
    policies: &[Policy],
    costs: &[Cost],
    profile: &Profile,
    options: &Options,
) -> Result<f64> {
    let decoding: f64 = costs.iter().map(|cost| cost.load_s).sum();
    if !options.from_storage {
        return Ok(decoding);
    }
    let Some(storage) = profile.storage else {
        let reason = format!("{} has no rate of reading storage", profile.name);
        return Err(Error::Argument { name: "profile", reason });
    };
    let read = layers.iter().zip(policies).filter(|(_, policy)| !matches!(policy, Policy::Stream { .. }));
    let bytes = read.fold(0_u64, |sum, (layer, _)| sum.saturating_add(layer.compressed.get()));
    Ok(decoding + super::float(bytes) / storage.value)
}

fn layer_times(layers: &[Layer], policies: &[Policy], costs: &[Cost], timeline: &[Event]) -> Vec<LayerTime> {
    let mut before = 0.0;
    let computed = timeline.iter().filter(|event| event.resource == Resource::Compute);
    let rows = layers.iter().zip(policies).zip(costs).zip(computed);
    rows.map(|(((layer, &policy), cost), event)| {
        let seconds = event.end_s - before;
        before = event.end_s;
        LayerTime { name: layer.name.clone(), policy, bound: cost.bound, basis: cost.basis, seconds }
    })
    .collect()
}

/// Policies under a limit: first nothing is kept that need not be, then whatever saves most seconds for its bytes is, as
/// long as it fits. As every pass goes through the layers in one order, a set that stays is as good as any eviction.
fn within(layers: &[Layer], policies: &[Policy], setting: &Setting<'_>, limit: Bytes) -> Result<Vec<Policy>> {
    let cold = |&policy: &Policy| if policy == Policy::KeepHot { Policy::TILED } else { policy };
    let mut chosen: Vec<Policy> = policies.iter().map(cold).collect();
    let peak = |chosen: &[Policy]| -> Result<Bytes> {
        let plan = memory::plan(layers, chosen, setting.threads)?;
        Ok(sizes(layers, chosen, &plan)?.peak)
    };
    let least = peak(&chosen)?;
    let Some(mut left) = limit.checked_sub(least) else {
        let reason = format!("{least} are needed at least under these policies, and the limit is {limit}");
        return Err(Error::Argument { name: "memory_limit", reason });
    };
    let mut wishes: Vec<(f64, usize, Bytes)> = Vec::new();
    for (place, (layer, &policy)) in layers.iter().zip(policies).enumerate() {
        let more = match policy {
            Policy::KeepHot if !layer.is_dense() => layer.dense,
            Policy::Stream { .. } => layer.compressed,
            _ => continue,
        };
        let hot = hot(policy);
        let seconds = |policy| -> Result<f64> {
            let cost = setting.cost(layer, policy)?;
            Ok(cost.compute.seconds + cost.decode.seconds + cost.storage.seconds)
        };
        let saved = seconds(chosen[place])? - seconds(hot)?;
        wishes.push((saved / super::float(more.get().max(1)), place, more));
    }
    wishes.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for (saved, place, more) in wishes {
        if saved > 0.0
            && let Some(rest) = left.checked_sub(more)
        {
            chosen[place] = hot(policies[place]);
            left = rest;
        }
    }
    Ok(chosen)
}

/// What a layer runs under once it is kept.
const fn hot(policy: Policy) -> Policy {
    match policy {
        Policy::Stream { .. } => Policy::Fused,
        other => other,
    }
}
