//! What a stored graph keeps in memory at once.
//!
//! Two figures bound it. The **peak** is the most bytes that are live at one step: no plan takes less. What is
//! **planned** is the height of an arena laid out greedily by size (Pisarchyk and Lee, "Efficient Memory Management for
//! Deep Neural Net Inference", 2020): the largest value first, each in the smallest gap that holds it between the values
//! that are alive with it, as TFLite's arena planner does.

use std::cmp::Reverse;

use crate::error::Result;
use crate::model::Graph;
use crate::units::Bytes;

const WHAT: &str = "the arena of the graph";

/// Alignment of values in the arena, TFLite's default.
const ALIGNMENT: u64 = 64;

/// Values laid out against one another; beyond, the next smaller ones get an arena of their own above. This keeps the
/// time from growing as the square of the graph.
const LAID_OUT_TOGETHER: usize = 4096;

/// What the values of a graph take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Liveness {
    /// The most bytes live at one step.
    pub(super) peak: Bytes,
    /// The arena of a static plan.
    pub(super) planned: Bytes,
    /// Values that are in neither figure, because nothing says how large they are.
    pub(super) unsized_values: u64,
}

/// A value whose size is known.
#[derive(Clone, Copy, Debug)]
struct Sized {
    size: Bytes,
    lower: u64,
    upper: u64,
}

/// A value with a place in the arena.
#[derive(Clone, Copy, Debug)]
struct Placed {
    offset: Bytes,
    value: Sized,
}

/// What `graph` keeps for `context` tokens of `batch` sequences. What an exporter planned is both figures.
///
/// # Errors
/// [`crate::Error::Overflow`] where they pass 2^64 − 1 bytes.
pub(super) fn live(graph: &Graph, context: u64, batch: u64) -> Result<Liveness> {
    let mut unsized_values = graph.unsized_values;
    if let Some(planned) = graph.planned {
        return Ok(Liveness { peak: planned, planned, unsized_values });
    }
    let mut values = Vec::with_capacity(graph.buffers.len());
    for buffer in &graph.buffers {
        match buffer.size.bytes(context, batch)? {
            Some(size) => values.push(Sized { size, lower: buffer.lower, upper: buffer.upper }),
            None => unsized_values = unsized_values.saturating_add(1),
        }
    }
    values.retain(|value| !value.size.is_zero() && value.lower < value.upper);
    let planned = height(values.clone())?;
    Ok(Liveness { peak: peak(&values)?, planned, unsized_values })
}

/// The most bytes live at once.
fn peak(values: &[Sized]) -> Result<Bytes> {
    // Ends sort before starts at the same step: lifetimes are half-open.
    let ends = values.iter().map(|value| (value.upper, false, value.size));
    let mut events: Vec<_> = values.iter().map(|value| (value.lower, true, value.size)).chain(ends).collect();
    events.sort_unstable();
    let (mut live, mut peak) = (Bytes::ZERO, Bytes::ZERO);
    for (_, is_start, size) in events {
        live = if is_start { Bytes::sum([live, size], WHAT)? } else { live.saturating_sub(size) };
        peak = peak.max(live);
    }
    Ok(peak)
}

/// The height of the arena that holds `values`.
fn height(mut values: Vec<Sized>) -> Result<Bytes> {
    values.sort_unstable_by_key(|value| (Reverse(value.size), value.lower, value.upper));
    let mut height = Bytes::ZERO;
    for together in values.chunks(LAID_OUT_TOGETHER) {
        let top = |placed: Placed| Bytes::sum([placed.offset, placed.value.size], WHAT);
        let mut arena = Bytes::ZERO;
        for placed in place(together)? {
            arena = arena.max(top(placed)?);
        }
        height = Bytes::sum([aligned(height)?, arena], WHAT)?;
    }
    Ok(height)
}

/// Places for `values` in order, none overlapping another that is alive with it; sorted by offset.
fn place(values: &[Sized]) -> Result<Vec<Placed>> {
    let mut arena: Vec<Placed> = Vec::with_capacity(values.len());
    for &value in values {
        let offset = smallest_gap(&arena, value)?;
        let index = arena.partition_point(|placed| placed.offset <= offset);
        arena.insert(index, Placed { offset, value });
    }
    Ok(arena)
}

/// Where the smallest gap begins that holds `value` between those alive with it, or else where they end.
fn smallest_gap(arena: &[Placed], value: Sized) -> Result<Bytes> {
    let mut end = Bytes::ZERO;
    let mut best: Option<(Bytes, Bytes)> = None;
    let neighbours =
        arena.iter().filter(|other| other.value.lower < value.upper && value.lower < other.value.upper);
    for other in neighbours {
        let gap = other.offset.saturating_sub(end);
        if gap >= value.size && best.is_none_or(|(smallest, _)| gap < smallest) {
            best = Some((gap, end));
        }
        end = end.max(aligned(Bytes::sum([other.offset, other.value.size], WHAT)?)?);
    }
    Ok(best.map_or(end, |(_, offset)| offset))
}

fn aligned(offset: Bytes) -> Result<Bytes> {
    let aligned = offset.get().checked_next_multiple_of(ALIGNMENT).map(Bytes::new);
    aligned.ok_or(crate::Error::Overflow { what: WHAT })
}

#[cfg(test)]
mod tests;
