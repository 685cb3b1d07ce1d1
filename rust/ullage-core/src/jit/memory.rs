//! Bytes over time: what stays, what is scratch, and where scratch lies.

use super::engine::{Event, Resource};
use super::layer::Layer;
use super::policy::{Policy, Scratch};
use super::profile::{Cache, Profile};
use crate::arena::{self, Buffer, Limits, Problem, Strategy};
use crate::error::{Error, Result};
use crate::units::Bytes;

/// Bytes in use from an instant on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Seconds since the pass began.
    pub at_s: f64,
    /// Weights, stored and decoded, and scratch that holds something.
    pub bytes: Bytes,
}

/// What a cache beside a core is taken to hold where nothing is known of it.
const NEAR_CACHE: u64 = 1 << 20;
/// Offsets in scratch memory are multiples of a cache line.
const LINE: u64 = 64;
/// Each piece of a streamed layer begins with a cache line, and none has more than four.
const PADDING: u64 = 4 * LINE;
const OVERFLOW: Error = Error::Overflow { what: "the scratch memory" };

/// Bytes of scratch that `layer` needs at a time, with so many threads.
pub(super) fn scratch_of(layer: &Layer, scratch: Scratch, threads: u32) -> u64 {
    match scratch {
        Scratch::Layer => layer.dense.get(),
        Scratch::Tile(bytes) => {
            let row = layer.row().saturating_mul(2);
            let shared = layer.rows().div_ceil(u64::from(threads.max(1)));
            let rows = bytes.get().checked_div(row).unwrap_or(1).clamp(1, shared.max(1));
            rows.saturating_mul(row).saturating_mul(u64::from(threads.max(1)))
        }
    }
}

/// The cache of the second level, or what it is taken to be.
pub(super) fn near_cache(profile: &Profile) -> u64 {
    near(&profile.caches)
}

/// The one of the second level among `caches`.
pub(super) fn near(caches: &[Cache]) -> u64 {
    let second = caches.iter().filter(|cache| cache.level == 2).map(|cache| cache.bytes);
    second.max().unwrap_or(NEAR_CACHE)
}

/// Where scratch lies for every layer that needs some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Offset and bytes by layer, where it has scratch.
    pub(crate) places: Vec<Option<(u64, u64)>>,
    /// Bytes of all scratch.
    pub(crate) height: u64,
    /// For every layer, the one whose end makes room for it.
    pub(crate) after: Vec<Option<u32>>,
}

/// Plans scratch for layers under their policies: a buffer lives from when it may be filled until it was multiplied.
///
/// # Errors
/// [`Error::Overflow`] beyond 2^63 bytes.
pub(crate) fn plan(layers: &[Layer], policies: &[Policy], threads: u32) -> Result<Plan> {
    let mut plan = Plan { places: vec![None; layers.len()], height: 0, after: vec![None; layers.len()] };
    // Ahead counts layers that need scratch, not all: what is multiplied where it lies holds nobody up.
    let mut using: Vec<usize> = Vec::new();
    let mut buffers = Vec::new();
    for (place, (layer, &policy)) in layers.iter().zip(policies).enumerate() {
        let Some(bytes) = needed(layer, policy, threads) else { continue };
        let depth = usize::try_from(policy.prefetch()).map_err(|_| OVERFLOW)?;
        let freed = using.len().checked_sub(depth.saturating_add(1)).map(|index| using[index]);
        let tick = |place: usize| i64::try_from(place).map_err(|_| OVERFLOW);
        let from = freed.map_or(0, |freed| freed.saturating_add(1));
        plan.after[place] = freed.and_then(|freed| u32::try_from(freed).ok());
        let upper = tick(place.saturating_add(1))?;
        buffers.push(Buffer { lower: tick(from)?, upper, size: Bytes::new(bytes), alignment: LINE });
        using.push(place);
    }
    let sizes: Vec<u64> = buffers.iter().map(|buffer| buffer.size.get()).collect();
    let (offsets, height) = lay_out(buffers)?;
    for ((&place, offset), bytes) in using.iter().zip(&offsets).zip(sizes) {
        plan.places[place] = Some((offset.get(), bytes));
    }
    plan.height = height.get();
    Ok(plan)
}

/// Offsets of buffers that come in the order of their beginnings, and where the highest of them ends.
fn lay_out(buffers: Vec<Buffer>) -> Result<(Vec<Bytes>, Bytes)> {
    if let Some(found) = in_turns(&buffers) {
        return Ok(found);
    }
    let problem = Problem::new(buffers, None, None)?;
    let solve = |strategy| arena::solve(&problem, strategy, 0, &Limits::default());
    // As many buffers live at once as layers are decoded ahead: the order of their beginnings is as good as any but for
    // few sizes, and takes the least time.
    let first = solve(Strategy::FirstFit);
    if first.gap() == Bytes::ZERO {
        return Ok((first.offsets, first.height));
    }
    let other = solve(Strategy::GreedyBySize);
    let lower = if other.height < first.height { other } else { first };
    Ok((lower.offsets, lower.height))
}

/// Buffers that end in the order of their beginnings, put in turn into as many places as are ever needed at once. No two
/// in one place overlap: all those between them would be alive as well. `None` where places so made are together higher
/// than the highest load, so that another layout may be lower.
fn in_turns(buffers: &[Buffer]) -> Option<(Vec<Bytes>, Bytes)> {
    let is_in_order =
        buffers.is_sorted_by_key(|buffer| buffer.lower) && buffers.is_sorted_by_key(|buffer| buffer.upper);
    if !is_in_order || buffers.is_empty() {
        return None;
    }
    let size = |buffer: &Buffer| buffer.size.get().checked_next_multiple_of(LINE);
    let (mut ended, mut load, mut highest, mut most) = (0_usize, 0_u64, 0_u64, 1_usize);
    for (place, buffer) in buffers.iter().enumerate() {
        while ended < place && buffers[ended].upper <= buffer.lower {
            load = load.saturating_sub(size(&buffers[ended])?);
            ended = ended.saturating_add(1);
        }
        load = load.checked_add(size(buffer)?)?;
        highest = highest.max(load);
        most = most.max(place.saturating_add(1).saturating_sub(ended));
    }
    let mut sizes = vec![0; most];
    for turn in buffers.chunks(most) {
        for (place, buffer) in sizes.iter_mut().zip(turn) {
            *place = size(buffer)?.max(*place);
        }
    }
    let ends = sizes.iter().scan(0_u64, |end, size| {
        *end = end.saturating_add(*size);
        Some(*end)
    });
    let starts: Vec<Bytes> = std::iter::once(0).chain(ends).map(Bytes::new).collect();
    let (&height, starts) = starts.split_last()?;
    if height.get() > highest {
        return None;
    }
    Some((starts.iter().copied().cycle().take(buffers.len()).collect(), height))
}

/// Bytes of scratch for `layer` under `policy`; `None` where it needs none.
pub(super) fn needed(layer: &Layer, policy: Policy, threads: u32) -> Option<u64> {
    match policy {
        Policy::JustInTime { scratch, .. } if !layer.is_dense() => Some(scratch_of(layer, scratch, threads)),
        Policy::Stream { .. } => Some(layer.compressed.get().saturating_add(PADDING)),
        _ => None,
    }
}

/// Bytes that stay between passes: stored weights, decoded ones.
pub(super) fn kept(layer: &Layer, policy: Policy) -> (u64, u64) {
    let (stored, dense) = (layer.compressed.get(), layer.dense.get());
    match policy {
        Policy::Stream { .. } => (0, 0),
        _ if layer.is_dense() => (stored, 0),
        Policy::LoadTime => (0, dense),
        Policy::KeepHot => (stored, dense),
        Policy::JustInTime { .. } | Policy::Fused => (stored, 0),
    }
}

/// The most bytes before the first pass: what is dropped once all layers are loaded is there until then.
pub(super) fn at_load(layers: &[Layer], policies: &[Policy]) -> u64 {
    let of = |(layer, &policy): (&Layer, &Policy)| {
        let (stored, dense) = kept(layer, policy);
        let dropped = if policy == Policy::LoadTime { layer.compressed.get() } else { 0 };
        let is_dropped = policy == Policy::LoadTime && !layer.is_dense();
        stored.saturating_add(dense).saturating_add(if is_dropped { dropped } else { 0 })
    };
    layers.iter().zip(policies).map(of).fold(0, u64::saturating_add)
}

/// Bytes in use over a pass, from what stays and the events of what needs scratch.
pub(super) fn levels(resident: u64, plan: &Plan, events: &[Event]) -> Vec<Level> {
    let mut spans: Vec<Option<(f64, f64)>> = vec![None; plan.places.len()];
    for event in events {
        let layer = event.layer as usize;
        let has_scratch = plan.places.get(layer).is_some_and(Option::is_some);
        if has_scratch {
            let span = spans[layer].get_or_insert((event.start_s, event.end_s));
            span.0 = span.0.min(event.start_s);
            if event.resource == Resource::Compute {
                span.1 = event.end_s;
            }
        }
    }
    let with_bytes =
        spans.iter().zip(&plan.places).filter_map(|(span, place)| Some((span.as_ref()?, place.as_ref()?)));
    let mut changes: Vec<(f64, bool, u64)> = with_bytes
        .flat_map(|(&(start, end), &(_, bytes))| [(start, true, bytes), (end, false, bytes)])
        .collect();
    // What is freed at an instant makes room for what begins then.
    changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut now = resident;
    let mut levels = vec![Level { at_s: 0.0, bytes: Bytes::new(resident) }];
    for (at_s, is_taken, bytes) in changes {
        now = if is_taken { now.saturating_add(bytes) } else { now.saturating_sub(bytes) };
        match levels.last_mut() {
            #[expect(clippy::float_cmp, reason = "the very same instant, copied")]
            Some(last) if last.at_s == at_s => last.bytes = Bytes::new(now),
            _ => levels.push(Level { at_s, bytes: Bytes::new(now) }),
        }
    }
    levels
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn turns_never_overlap_and_are_as_high_as_the_load(
            sizes in prop::collection::vec(1_u64..2000, 1..40), depth in 0_i64..5, lives in prop::collection::vec(1_i64..6, 40),
        ) {
            let mut upper = 0;
            let buffers: Vec<Buffer> = (0_i64..).zip(&sizes).zip(lives).map(|((place, &size), life)| {
                let lower = place.saturating_sub(depth).max(0);
                upper = upper.max(lower.saturating_add(life));
                Buffer { lower, upper, size: Bytes::new(size), alignment: LINE }
            }).collect();
            let load = |instant: i64| -> u64 {
                let alive = buffers.iter().filter(|buffer| (buffer.lower..buffer.upper).contains(&instant));
                alive.map(|buffer| buffer.size.get().next_multiple_of(LINE)).sum()
            };
            let highest = (0..=upper).map(load).max().unwrap_or(0);
            let found = in_turns(&buffers);
            let are_alike = sizes.iter().all(|size| size.div_ceil(LINE) == sizes[0].div_ceil(LINE));
            prop_assert!(found.is_some() || !are_alike);
            let Some((offsets, height)) = found else { return Ok(()) };
            prop_assert_eq!(height.get(), highest);
            let problem = Problem::new(buffers, None, None).unwrap();
            let layout = arena::solve(&problem, arena::Strategy::FirstFit, 0, &Limits::default());
            prop_assert!(height.get() < layout.height.get() + LINE);
            for (a, one) in problem.buffers().iter().enumerate() {
                prop_assert!(offsets[a].get().is_multiple_of(LINE));
                prop_assert!(offsets[a].get() + one.size.get() <= height.get());
                for (b, other) in problem.buffers().iter().enumerate().skip(a + 1) {
                    let is_apart = one.upper <= other.lower || other.upper <= one.lower;
                    let (low, high) = if offsets[a] < offsets[b] { (a, b) } else { (b, a) };
                    let below = offsets[low].get() + problem.buffers()[low].size.get();
                    prop_assert!(is_apart || below <= offsets[high].get(), "{a} and {b}");
                }
            }
        }
    }
}
