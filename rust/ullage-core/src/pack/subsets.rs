//! Choices of items for one bin, in the order of a dictionary whose letters are the sizes, the largest first.

use std::ops::ControlFlow;

use crate::pack::types::Types;

/// Shows `visit` every choice of `types` that sums to at least `least` and at most `room`, with its sum, until it breaks or
/// `most` steps are done; whether all were shown. From `visit` comes the least sum of what is still to be shown.
///
/// A choice is a list of positions in `types`, none smaller than the one before.
pub(crate) fn subsets(
    types: &Types,
    room: u64,
    mut least: u64,
    most: usize,
    mut visit: impl FnMut(&[usize], u64) -> ControlFlow<(), u64>,
) -> bool {
    let mut left = types.counts.clone();
    let rest = sums_of_rest(types);
    let (mut chosen, mut sum, mut from) = (Vec::new(), 0_u64, 0_usize);
    for _ in 0..most {
        let reachable = u128::from(sum).saturating_add(rest.get(from).copied().unwrap_or(0));
        let next = if reachable < u128::from(least) {
            None
        } else {
            largest(types, &left, from, room.saturating_sub(sum))
        };
        if let Some(next) = next {
            chosen.push(next);
            sum = sum.saturating_add(types.size(next));
            if let Some(left) = left.get_mut(next) {
                *left = left.saturating_sub(1);
            }
            from = next;
            if sum >= least {
                match visit(&chosen, sum) {
                    ControlFlow::Continue(new) => least = new,
                    ControlFlow::Break(()) => return false,
                }
            }
        } else {
            let Some(gone) = chosen.pop() else { return true };
            sum = sum.saturating_sub(types.size(gone));
            if let Some(left) = left.get_mut(gone) {
                *left = left.saturating_add(1);
            }
            from = gone.saturating_add(1);
        }
    }
    false
}

/// For each position the sum of all items from there on.
fn sums_of_rest(types: &Types) -> Vec<u128> {
    let mut sums = Vec::with_capacity(types.len());
    let mut sum = 0_u128;
    for (size, count) in types.iter().rev() {
        sum = sum.saturating_add(u128::from(size).saturating_mul(u128::from(count)));
        sums.push(sum);
    }
    sums.reverse();
    sums
}

/// The largest size that is left, at most `room`, from position `from` on.
fn largest(types: &Types, left: &[u32], from: usize, room: u64) -> Option<usize> {
    let rest = types.sizes.get(from..)?;
    let first = from.saturating_add(rest.partition_point(|&size| size > room));
    (first..types.len()).find(|&index| left.get(index).is_some_and(|&left| left > 0))
}

/// The choice that fills `room` best, the first of equals, as far as `most` steps reach.
pub(crate) fn fullest(types: &Types, room: u64, most: usize) -> Vec<usize> {
    let mut best = Vec::new();
    subsets(types, room, 1, most, |chosen, sum| {
        best = chosen.to_vec();
        if sum == room { ControlFlow::Break(()) } else { ControlFlow::Continue(sum.saturating_add(1)) }
    });
    best
}
