//! Dominance: bins that some best plan has (the reduction procedure MTRP of Martello and Toth, "Lower bounds and reduction
//! procedures for the bin packing problem", Discrete Applied Mathematics 28, 1990).
//!
//! One content of a bin dominates another if the other can be split into parts, each no larger than an item of the one and
//! no two on the same: then any plan with the other becomes, by trading the parts for these items, a plan with the one.
//! What dominates every content that has a certain item may therefore be packed and forgotten.

use crate::pack::types::{Contents, Types};

/// Packs, again and again, the largest item with a content that dominates all of its contents. The rest stays in `types`.
pub(crate) fn reduce(types: &mut Types, capacity: u64) -> Contents {
    let mut bins = Contents::new();
    loop {
        let known = bins.len();
        for index in 0..types.len() {
            while let Some(partners) = dominant(types, index, capacity) {
                types.take(index);
                for &partner in &partners {
                    types.take(partner);
                }
                bins.push(std::iter::once(index).chain(partners).map(|index| types.size(index)).collect());
            }
        }
        if bins.len() == known {
            return bins;
        }
    }
}

/// What to pack with an item of type `index`, if one content dominates all others that have it.
fn dominant(types: &mut Types, index: usize, capacity: u64) -> Option<Vec<usize>> {
    if types.count(index) == 0 {
        return None;
    }
    types.take(index);
    let partners = partners(types, capacity.saturating_sub(types.size(index)));
    types.put(index);
    partners
}

/// Which of `types` fill a `room`, so that no other choice is better; without a choice none.
fn partners(types: &Types, room: u64) -> Option<Vec<usize>> {
    let smallest = smallest_three(types);
    let sum = |count: usize| -> Option<u64> {
        smallest.get(..count)?.iter().try_fold(0_u64, |sum, &size| sum.checked_add(size))
    };
    let fit = |count: usize| sum(count).is_some_and(|sum| sum <= room);
    if !fit(1) {
        return Some(Vec::new());
    }
    let first = largest_within(types, room, None)?;
    let size = types.size(first);
    if size == room || !fit(2) {
        return Some(vec![first]);
    }
    if fit(3) {
        return None;
    }
    if !has_pair(types, size, room, |_| true) {
        return Some(vec![first]);
    }
    let second = largest_within(types, room.saturating_sub(size), Some(first))?;
    let floor = types.size(second);
    let between = |other: u64| other > floor && other < size;
    (!has_pair(types, size, room, between)).then(|| vec![first, second])
}

/// The sizes of the three smallest items, or of as many as there are.
fn smallest_three(types: &Types) -> Vec<u64> {
    let items = types.iter().rev().flat_map(|(size, count)| std::iter::repeat_n(size, count.min(3) as usize));
    items.take(3).collect()
}

/// The largest type of size at most `room`, one item of type `used` being gone.
fn largest_within(types: &Types, room: u64, used: Option<usize>) -> Option<usize> {
    let first = types.sizes.partition_point(|&size| size > room);
    (first..types.len()).find(|&index| types.count(index) > u32::from(used == Some(index)))
}

/// Whether two items of an `eligible` size sum to more than `above` and at most `room`.
fn has_pair(types: &Types, above: u64, room: u64, eligible: impl Fn(u64) -> bool) -> bool {
    let able: Vec<(u64, u32)> =
        types.iter().filter(|&(size, count)| count > 0 && size <= room && eligible(size)).collect();
    let mut low = able.len();
    able.iter().enumerate().any(|(high, &(size, count))| {
        // The largest partner that fits: as sizes fall, it grows.
        while low > 0
            && able.get(low.saturating_sub(1)).is_some_and(|&(other, _)| other <= room.saturating_sub(size))
        {
            low = low.saturating_sub(1);
        }
        let partner = if low == high && count == 1 { low.saturating_add(1) } else { low };
        able.get(partner)
            .is_some_and(|&(other, _)| u128::from(size).saturating_add(u128::from(other)) > u128::from(above))
    })
}
