//! [`validate`](fn@validate): a layout checked against its problem by someone who does not know how it was made.

use std::collections::BTreeMap;

use crate::arena::problem::{Buffer, Problem};
use crate::arena::solution::{Infeasibility, Layout, Proof};
use crate::error::{Error, Result};
use crate::solving::Status;
use crate::units::Bytes;

/// Checks every fact that `layout` states, in O(n log n).
///
/// # Errors
/// [`Error::Violation`] with the first violated fact.
pub fn validate(problem: &Problem, layout: &Layout) -> Result<()> {
    let height = check_offsets(problem, &layout.offsets)?;
    holds(height == u128::from(layout.height.get()), || {
        format!("the highest buffer ends at {height}, the height is given as {}", layout.height.get())
    })?;
    let Proof::Load { at } = layout.proof;
    let load = load(problem, at);
    holds(u128::from(layout.lower_bound.get()) <= load, || {
        format!("the lower bound is {}, at {at} only {load} bytes are needed", layout.lower_bound.get())
    })?;
    status_agrees(problem, layout)
}

/// Checks that every buffer has an offset that its alignment allows and that no two alive at once share a byte; gives
/// the height.
///
/// # Errors
/// [`Error::Violation`] with the first violated fact.
pub fn check_offsets(problem: &Problem, offsets: &[Bytes]) -> Result<u128> {
    let (given, buffers) = (offsets.len(), problem.buffers().len());
    holds(given == buffers, || format!("{given} offsets are given for {buffers} buffers"))?;
    for (index, (buffer, offset)) in problem.buffers().iter().zip(offsets).enumerate() {
        holds(offset.get().is_multiple_of(buffer.alignment), || {
            format!(
                "buffer {index} lies at {}, no multiple of its alignment {}",
                offset.get(),
                buffer.alignment
            )
        })?;
    }
    nobody_shares(problem, offsets)?;
    let ends = problem.buffers().iter().zip(offsets);
    let height =
        ends.map(|(b, offset)| u128::from(offset.get()).saturating_add(u128::from(b.size.get()))).max();
    Ok(height.unwrap_or(0))
}

fn holds(fact: bool, broken: impl FnOnce() -> String) -> Result<()> {
    if fact { Ok(()) } else { Err(Error::Violation { fact: broken() }) }
}

/// Goes through time with what is alive, by offset: disjoint before, a newcomer can only touch its two neighbours.
fn nobody_shares(problem: &Problem, offsets: &[Bytes]) -> Result<()> {
    let mut events: Vec<(i64, bool, usize, u64, u128)> = Vec::new();
    for (index, (buffer, offset)) in problem.buffers().iter().zip(offsets).enumerate() {
        let &Buffer { lower, upper, size, .. } = buffer;
        if !size.is_zero() {
            let end = u128::from(offset.get()).saturating_add(u128::from(size.get()));
            // Whoever ends at an instant has gone before whoever begins then.
            events.push((lower, true, index, offset.get(), end));
            events.push((upper, false, index, offset.get(), end));
        }
    }
    events.sort_unstable();
    let mut alive: BTreeMap<u64, (u128, usize)> = BTreeMap::new();
    for (at, is_start, index, offset, end) in events {
        if !is_start {
            alive.remove(&offset);
            continue;
        }
        let below = alive.range(..=offset).next_back().filter(|&(_, &(top, _))| top > u128::from(offset));
        let above = alive.range(offset..).next().filter(|&(&start, _)| u128::from(start) < end);
        if let Some((_, &(_, other))) = below.or(above) {
            return holds(false, || format!("buffers {other} and {index} share bytes at {at}"));
        }
        alive.insert(offset, (end, index));
    }
    Ok(())
}

/// Bytes that any layout needs at the instant `at`, as [`Proof::Load`] defines them.
fn load(problem: &Problem, at: i64) -> u128 {
    let cell = problem.buffers().iter().fold(0_u64, |mut a, buffer| {
        let mut b = buffer.alignment;
        while b > 0 {
            (a, b) = (b, a.checked_rem(b).unwrap_or(0));
        }
        a
    });
    let cell = u128::from(cell.max(1));
    let (mut sum, mut largest_padding) = (0_u128, 0_u128);
    for buffer in problem.buffers().iter().filter(|b| b.lower <= at && at < b.upper && !b.size.is_zero()) {
        let size = u128::from(buffer.size.get());
        let padded = size.div_ceil(cell).saturating_mul(cell);
        sum = sum.saturating_add(padded);
        largest_padding = largest_padding.max(padded.saturating_sub(size));
    }
    sum.saturating_sub(largest_padding)
}

fn status_agrees(problem: &Problem, layout: &Layout) -> Result<()> {
    let &Layout { status, height, lower_bound, reason, .. } = layout;
    let capacity = problem.capacity();
    let is_within = capacity.is_none_or(|capacity| height <= capacity);
    let is_hopeless = capacity.is_some_and(|capacity| lower_bound > capacity);
    let agrees = match status {
        Status::Optimal => is_within && height == lower_bound,
        Status::Feasible => is_within && height > lower_bound,
        Status::Infeasible => is_hopeless,
        Status::Timeout => !is_within && !is_hopeless,
    };
    let shown = capacity.map_or_else(|| "no".to_owned(), |capacity| capacity.get().to_string());
    holds(agrees, || {
        let (height, bound) = (height.get(), lower_bound.get());
        format!("{status} with a height of {height}, a lower bound of {bound} and {shown} capacity")
    })?;
    holds(reason.is_some() == (status == Status::Infeasible), || {
        format!("{status}, and the reason for infeasibility is {reason:?}")
    })?;
    match reason {
        Some(Infeasibility::LoadTooHigh { at, load: given, capacity: limit }) => holds(
            Some(limit) == capacity && given > limit && u128::from(given.get()) <= load(problem, at),
            || {
                format!(
                    "the reason for infeasibility is not true: at {at}, {} of {}",
                    given.get(),
                    limit.get()
                )
            },
        ),
        None => Ok(()),
    }
}
