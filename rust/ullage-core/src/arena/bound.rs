//! The highest load: no layout is lower than what is alive at one instant takes.
//!
//! With a common divisor `g` of all alignments, buffers alive at once occupy disjoint runs of whole cells of `g` bytes,
//! and only the topmost need not fill its last. So each size counts rounded up, and the largest rounding is taken off
//! again.

use std::collections::BTreeMap;

use crate::arena::problem::Problem;

/// A lower bound of the height, and the instant that proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) bytes: u64,
    pub(crate) at: i64,
}

/// The bound of `problem`, at the first instant that gives it; 0 at instant 0 where there is nothing.
pub(crate) fn highest_load(problem: &Problem) -> Bound {
    let cell = problem.buffers().iter().fold(0, |cell, buffer| divisor(cell, buffer.alignment));
    // Ends sort before starts at the same instant: lifetimes are half-open.
    let mut events: Vec<(i64, bool, u64, u64)> =
        Vec::with_capacity(problem.buffers().len().saturating_mul(2));
    for buffer in problem.buffers().iter().filter(|buffer| !buffer.size.is_zero()) {
        let size = buffer.size.get();
        let padded = size.checked_next_multiple_of(cell).unwrap_or(size);
        let padding = padded.saturating_sub(size);
        events.push((buffer.lower, true, padded, padding));
        events.push((buffer.upper, false, padded, padding));
    }
    events.sort_unstable();
    let (mut load, mut bound) = (0_u64, Bound { bytes: 0, at: 0 });
    let mut paddings: BTreeMap<u64, usize> = BTreeMap::new();
    for (at, is_start, padded, padding) in events {
        if is_start {
            load = load.saturating_add(padded);
            if padding > 0 {
                let count = paddings.entry(padding).or_default();
                *count = count.saturating_add(1);
            }
            let largest = paddings.last_key_value().map_or(0, |(&padding, _)| padding);
            let bytes = load.saturating_sub(largest);
            if bytes > bound.bytes {
                bound = Bound { bytes, at };
            }
        } else {
            load = load.saturating_sub(padded);
            drop_one(&mut paddings, padding);
        }
    }
    bound
}

fn drop_one(paddings: &mut BTreeMap<u64, usize>, padding: u64) {
    if let Some(count) = paddings.get_mut(&padding) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            paddings.remove(&padding);
        }
    }
}

/// The greatest common divisor.
fn divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a.checked_rem(b).unwrap_or(0));
    }
    a
}
