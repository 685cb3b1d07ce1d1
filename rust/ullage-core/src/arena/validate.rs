//! [`validate`](fn@validate): a layout checked against its problem by someone who does not know how it was made.

use std::collections::BTreeMap;

use crate::arena::problem::Problem;
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
    let occupations = occupations(problem, &layout.offsets);
    holds(height == u128::from(layout.height.get()), || {
        format!("the highest buffer ends at {height}, the height is given as {}", layout.height.get())
    })?;
    let bound = u128::from(layout.lower_bound.get());
    match layout.proof {
        Proof::Load { at } => {
            let load = load(problem, &occupations, at);
            holds(bound <= load, || {
                format!("the lower bound is {bound}, at {at} only {load} bytes are needed")
            })?;
        }
        Proof::Fixed => {
            let is_fixed = |index: usize| problem.conditions().fixed.get(index).is_some_and(Option::is_some);
            let fixed =
                occupations.iter().filter(|occupation| occupation.buffers.iter().any(|&i| is_fixed(i)));
            let end = fixed.map(Occupation::end).max().unwrap_or(0);
            holds(bound <= end, || format!("the lower bound is {bound}, fixed buffers end at {end}"))?;
        }
        // Only another search could tell; that it is above no layout is checked with the status.
        Proof::Search => {
            holds(bound <= height, || format!("the lower bound {bound} is above the height {height}"))?;
        }
    }
    status_agrees(problem, layout, &occupations)
}

/// Checks that every buffer has an offset that its alignment and its conditions allow and that no two alive at once
/// share a byte; gives the height.
///
/// # Errors
/// [`Error::Violation`] with the first violated fact.
pub fn check_offsets(problem: &Problem, offsets: &[Bytes]) -> Result<u128> {
    let (given, buffers) = (offsets.len(), problem.buffers().len());
    holds(given == buffers, || format!("{given} offsets are given for {buffers} buffers"))?;
    offsets_are_allowed(problem, offsets)?;
    let occupations = occupations(problem, offsets);
    nobody_shares(&occupations)?;
    Ok(occupations.iter().map(Occupation::end).max().unwrap_or(0))
}

/// Bytes in use by a buffer, or by a group of them as one.
struct Occupation {
    buffers: Vec<usize>,
    offset: u64,
    size: u64,
    /// One after the other.
    lives: Vec<(i64, i64)>,
}

impl Occupation {
    fn end(&self) -> u128 {
        u128::from(self.offset).saturating_add(u128::from(self.size))
    }

    fn is_alive(&self, at: i64) -> bool {
        self.lives.iter().any(|&(lower, upper)| lower <= at && at < upper)
    }

    /// A number whose multiple the offset is in every layout: the least common multiple of the buffers' alignments, or
    /// of so many of them as have one below 2^128.
    fn alignment(&self, problem: &Problem) -> u128 {
        let alignments = self.buffers.iter().filter_map(|&index| problem.buffers().get(index));
        alignments.fold(1, |whole: u128, buffer| {
            let next = u128::from(buffer.alignment);
            let factor = next.checked_div(divisor(whole, next)).unwrap_or(1);
            whole.checked_mul(factor).unwrap_or(whole)
        })
    }
}

/// Whether each offset suits the alignment, is the one that is fixed, and the same throughout a group.
fn offsets_are_allowed(problem: &Problem, offsets: &[Bytes]) -> Result<()> {
    let conditions = problem.conditions();
    let mut groups: BTreeMap<u32, (usize, u64)> = BTreeMap::new();
    for (index, (buffer, offset)) in problem.buffers().iter().zip(offsets).enumerate() {
        let offset = offset.get();
        holds(offset.is_multiple_of(buffer.alignment), || {
            format!("buffer {index} lies at {offset}, no multiple of its alignment {}", buffer.alignment)
        })?;
        if let Some(fixed) = conditions.fixed.get(index).copied().flatten() {
            holds(offset == fixed.get(), || {
                format!("buffer {index} lies at {offset}, and is fixed at {}", fixed.get())
            })?;
        }
        if let Some(group) = conditions.groups.get(index).copied().flatten() {
            let &mut (first, other) = groups.entry(group).or_insert((index, offset));
            holds(offset == other, || {
                format!("buffer {index} lies at {offset}, and {first} of the same group at {other}")
            })?;
        }
    }
    Ok(())
}

/// What takes room.
fn occupations(problem: &Problem, offsets: &[Bytes]) -> Vec<Occupation> {
    let conditions = problem.conditions();
    // Buffers without a group are groups of their own, behind all those that are given.
    let mut groups: BTreeMap<(Option<u32>, usize), Occupation> = BTreeMap::new();
    for (index, (buffer, offset)) in problem.buffers().iter().zip(offsets).enumerate() {
        let group = conditions.groups.get(index).copied().flatten();
        let key = (group, if group.is_some() { 0 } else { index });
        let one = groups.entry(key).or_insert_with(|| Occupation {
            buffers: Vec::new(),
            offset: offset.get(),
            size: 0,
            lives: Vec::new(),
        });
        one.buffers.push(index);
        one.size = one.size.max(buffer.size.get());
        let mut begin = buffer.lower;
        for &(lower, upper) in conditions.gaps.get(index).map_or(&[][..], Vec::as_slice) {
            one.lives.push((begin, lower));
            begin = upper;
        }
        one.lives.push((begin, buffer.upper));
    }
    let mut all: Vec<Occupation> = groups.into_values().filter(|one| one.size > 0).collect();
    for one in all.iter_mut().filter(|one| one.buffers.len() > 1) {
        one.lives = disjoint(&one.lives);
    }
    all
}

/// The same times without overlaps.
fn disjoint(lives: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut events: Vec<(i64, i32)> =
        lives.iter().flat_map(|&(lower, upper)| [(lower, -1), (upper, 1)]).collect();
    // At the same instant beginnings come first, so that times that touch become one.
    events.sort_unstable();
    let (mut open, mut begin, mut all) = (0_usize, 0, Vec::new());
    for (at, change) in events {
        if change < 0 {
            begin = if open == 0 { at } else { begin };
            open = open.saturating_add(1);
        } else {
            open = open.saturating_sub(1);
            if open == 0 {
                all.push((begin, at));
            }
        }
    }
    all
}

fn holds(fact: bool, broken: impl FnOnce() -> String) -> Result<()> {
    if fact { Ok(()) } else { Err(Error::Violation { fact: broken() }) }
}

/// Goes through time with what is alive, by offset: disjoint before, a newcomer can only touch its two neighbours.
fn nobody_shares(occupations: &[Occupation]) -> Result<()> {
    let mut events: Vec<(i64, bool, usize, u64, u128)> = Vec::new();
    for one in occupations {
        let index = one.buffers.first().copied().unwrap_or(0);
        for &(lower, upper) in &one.lives {
            // Whoever ends at an instant has gone before whoever begins then.
            events.push((lower, true, index, one.offset, one.end()));
            events.push((upper, false, index, one.offset, one.end()));
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

/// The greatest common divisor.
fn divisor(mut a: u128, mut b: u128) -> u128 {
    while b > 0 {
        (a, b) = (b, a.checked_rem(b).unwrap_or(0));
    }
    a
}

/// Bytes that any layout needs at the instant `at`, as [`Proof::Load`] defines them.
fn load(problem: &Problem, occupations: &[Occupation], at: i64) -> u128 {
    let cell = occupations.iter().fold(0, |cell, one| divisor(cell, one.alignment(problem))).max(1);
    let (mut sum, mut largest_padding) = (0_u128, 0_u128);
    for one in occupations.iter().filter(|one| one.is_alive(at)) {
        let size = u128::from(one.size);
        let padded = size.div_ceil(cell).saturating_mul(cell);
        sum = sum.saturating_add(padded);
        largest_padding = largest_padding.max(padded.saturating_sub(size));
    }
    sum.saturating_sub(largest_padding)
}

fn status_agrees(problem: &Problem, layout: &Layout, occupations: &[Occupation]) -> Result<()> {
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
    let proven =
        |limit: Bytes, given: Bytes| Some(limit) == capacity && given > limit && given <= lower_bound;
    let (is_true, shown) = match reason {
        None => return Ok(()),
        Some(Infeasibility::LoadTooHigh { at, load: given, capacity: limit }) => {
            let is_needed = u128::from(given.get()) <= load(problem, occupations, at);
            (proven(limit, given) && is_needed, format!("at {at}, {} of {}", given.get(), limit.get()))
        }
        Some(Infeasibility::FixedTooHigh { end, capacity: limit }) => (
            proven(limit, end) && layout.proof == Proof::Fixed,
            format!("fixed until {} of {}", end.get(), limit.get()),
        ),
        Some(Infeasibility::Exhausted { capacity: limit }) => {
            (Some(limit) == capacity && layout.proof == Proof::Search, format!("a search of {}", limit.get()))
        }
    };
    holds(is_true, || format!("the reason for infeasibility is not true: {shown}"))
}
