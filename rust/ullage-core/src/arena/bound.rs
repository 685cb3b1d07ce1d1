//! The highest load: no layout is lower than what is alive at one instant takes.
//!
//! With a common divisor `g` of all alignments, buffers alive at once occupy disjoint runs of whole cells of `g` bytes,
//! and only the topmost need not fill its last. So each size counts rounded up, and the largest rounding is taken off
//! again.

use std::collections::BTreeMap;

use crate::arena::solution::Proof;
use crate::arena::spans::Spans;

/// A lower bound of the height, and why it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) bytes: u64,
    pub(crate) proof: Proof,
}

/// The better of the highest load and the highest end of what is fixed.
pub(crate) fn lower_bound(spans: &Spans) -> Bound {
    let load = highest_load(spans);
    let fixed = spans.fixed_height();
    if fixed > load.bytes { Bound { bytes: fixed, proof: Proof::Fixed } } else { load }
}

/// The bound of `spans`, at the first instant that gives it; 0 at instant 0 where there is nothing.
fn highest_load(spans: &Spans) -> Bound {
    let cell = spans.all.iter().fold(0, |cell, span| divisor(cell, span.alignment));
    // Ends sort before starts at the same instant: lifetimes are half-open.
    let mut events: Vec<(u32, bool, u64, u64)> = Vec::with_capacity(spans.all.len().saturating_mul(2));
    for (index, span) in spans.all.iter().enumerate() {
        let padded = span.size.checked_next_multiple_of(cell).unwrap_or(span.size);
        let padding = padded.saturating_sub(span.size);
        for &(lower, upper) in spans.lives(index) {
            events.push((lower, true, padded, padding));
            events.push((upper, false, padded, padding));
        }
    }
    events.sort_unstable();
    let (mut load, mut bound) = (0_u64, Bound { bytes: 0, proof: Proof::Load { at: 0 } });
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
                bound = Bound { bytes, proof: Proof::Load { at: spans.instant(at) } };
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
pub(crate) fn divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a.checked_rem(b).unwrap_or(0));
    }
    a
}
