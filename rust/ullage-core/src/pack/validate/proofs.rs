//! What each bound is by its definition.

use crate::pack::plan::{DualFunction, Proof};
use crate::pack::problem::Problem;
use crate::pack::validate::{largest_bin, largest_bins};
use crate::units::Bytes;

/// The bins that `proof` shows to be needed; `None` for a search, which shows nothing but itself.
pub(super) fn bins(problem: &Problem, proof: Proof) -> Option<usize> {
    match proof {
        Proof::Area => Some(area(problem)),
        Proof::Threshold(threshold) => Some(by_threshold(problem.sizes(), largest_bin(problem), threshold)),
        Proof::Dual { function, parameter, cut } => {
            Some(by_function(problem, function, parameter, cut).unwrap_or(0))
        }
        Proof::Reduction { left_out } => Some(by_reduction(problem, left_out)),
        Proof::Search => None,
    }
}

/// The fewest of the largest bins that cover the total size, and one if there is any item.
fn area(problem: &Problem) -> usize {
    let mut rest = problem.total_size();
    let covering = largest_bins(problem, Bytes::ZERO).take_while(|&capacity| {
        let needed = rest > 0;
        rest = rest.saturating_sub(u128::from(capacity));
        needed
    });
    covering.count().max(usize::from(!problem.sizes().is_empty()))
}

/// L2 of Martello and Toth at `threshold` (at most half a bin).
fn by_threshold(sizes: &[Bytes], capacity: Bytes, threshold: Bytes) -> usize {
    let capacity = u128::from(capacity.get());
    let threshold = u128::from(threshold.get());
    if threshold.saturating_mul(2) > capacity {
        return 0;
    }
    let (mut large, mut slack, mut filling) = (0_usize, 0_u128, 0_u128);
    for size in sizes.iter().map(|size| u128::from(size.get())) {
        if size > capacity.saturating_sub(threshold) {
            large = large.saturating_add(1);
        } else if size.saturating_mul(2) > capacity {
            large = large.saturating_add(1);
            slack = slack.saturating_add(capacity.saturating_sub(size));
        } else if size >= threshold {
            filling = filling.saturating_add(size);
        }
    }
    let more = filling.saturating_sub(slack).div_ceil(capacity.max(1));
    large.saturating_add(usize::try_from(more).unwrap_or(usize::MAX))
}

/// The sum of a dual feasible function over what its value at the capacity is; `None` for parameters without meaning.
fn by_function(problem: &Problem, function: DualFunction, k: u64, cut: Bytes) -> Option<usize> {
    let capacity = u128::from(largest_bin(problem).get());
    let (k, cut) = (u128::from(k), u128::from(cut.get()));
    let value = |size: u128| -> Option<u128> {
        let above = |below: u128, whole: u128| whole.checked_sub(below);
        match function {
            DualFunction::FeketeSchepers => {
                let product = k.checked_add(1)?.checked_mul(size)?;
                let is_multiple = product.is_multiple_of(capacity);
                if is_multiple {
                    k.checked_mul(size)
                } else {
                    product.checked_div(capacity)?.checked_mul(capacity)
                }
            }
            DualFunction::Counting => {
                let (whole, twice) = (capacity.checked_div(k)?.checked_mul(2)?, size.checked_mul(2)?);
                match twice.cmp(&capacity) {
                    std::cmp::Ordering::Less => size.checked_div(k)?.checked_mul(2),
                    std::cmp::Ordering::Equal => capacity.checked_div(k),
                    std::cmp::Ordering::Greater => {
                        above(capacity.checked_sub(size)?.checked_div(k)?.checked_mul(2)?, whole)
                    }
                }
            }
            DualFunction::Vanderbeck => {
                let steps = |size: u128| {
                    Some(k.checked_mul(size)?.div_ceil(capacity).saturating_sub(1).saturating_mul(2))
                };
                let whole = k.checked_sub(1)?.checked_mul(2)?;
                match size.checked_mul(2)?.cmp(&capacity) {
                    std::cmp::Ordering::Less => steps(size),
                    std::cmp::Ordering::Equal => k.checked_sub(1),
                    std::cmp::Ordering::Greater => above(steps(capacity.checked_sub(size)?)?, whole),
                }
            }
        }
    };
    let counts_once = function == DualFunction::Counting && k.checked_mul(2)? > capacity;
    if capacity == 0 || k == 0 || counts_once || cut.checked_mul(2)? > capacity {
        return None;
    }
    let whole = value(capacity)?;
    let mut sum = 0_u128;
    for size in problem.sizes().iter().map(|size| u128::from(size.get())) {
        sum = sum.checked_add(match size {
            _ if size > capacity.checked_sub(cut)? => whole,
            _ if size < cut => 0,
            _ => value(size)?,
        })?;
    }
    usize::try_from(if whole == 0 { 0 } else { sum.div_ceil(whole) }).ok()
}

/// L3 of Martello and Toth: see [`Proof::Reduction`].
fn by_reduction(problem: &Problem, left_out: usize) -> usize {
    let capacity = largest_bin(problem);
    // Of items of no size one would dominate two, which keeps neither from its bin.
    let mut rest: Vec<u64> = problem.sizes().iter().map(|size| size.get()).filter(|&size| size > 0).collect();
    rest.sort_unstable_by(|a, b| b.cmp(a));
    let mut packed = 0_usize;
    for round in 0..=left_out {
        if round > 0 {
            rest.pop();
        }
        loop {
            let bins = dominant_bins(&mut rest, capacity.get());
            packed = packed.saturating_add(bins);
            if bins == 0 {
                break;
            }
        }
    }
    let total: u128 = rest.iter().map(|&size| u128::from(size)).sum();
    let area = usize::try_from(total.div_ceil(u128::from(capacity.get()).max(1))).unwrap_or(0);
    let sizes: Vec<Bytes> = rest.iter().copied().map(Bytes::new).collect();
    let half = Bytes::new(capacity.get() / 2);
    let thresholds = sizes.iter().copied().chain([half]);
    let bins = thresholds.map(|threshold| by_threshold(&sizes, capacity, threshold)).max().unwrap_or(0);
    packed.saturating_add(bins.max(area))
}

/// Takes, for each item in turn, a content out that dominates every other with this item. `rest` does not increase.
fn dominant_bins(rest: &mut Vec<u64>, capacity: u64) -> usize {
    let (mut position, mut bins) = (0, 0_usize);
    while let Some(&size) = rest.get(position) {
        let mut others = rest.clone();
        others.remove(position);
        let Some(partners) = dominant_partners(&others, u128::from(capacity.saturating_sub(size))) else {
            position = position.saturating_add(1);
            continue;
        };
        for partner in partners {
            if let Some(place) = others.iter().position(|&other| other == partner) {
                others.remove(place);
                position = position.saturating_sub(usize::from(place < position));
            }
        }
        *rest = others;
        bins = bins.saturating_add(1);
    }
    bins
}

/// Which of `others`, that do not increase, dominate every other choice that sums to at most `room`.
fn dominant_partners(others: &[u64], room: u128) -> Option<Vec<u64>> {
    let sum_of_smallest = |count: usize| -> Option<u128> {
        let start = others.len().checked_sub(count)?;
        Some(others.iter().skip(start).map(|&size| u128::from(size)).sum())
    };
    let fit = |count: usize| sum_of_smallest(count).is_some_and(|sum| sum <= room);
    if !fit(1) {
        return Some(Vec::new());
    }
    let place = others.iter().position(|&size| u128::from(size) <= room)?;
    let first = *others.get(place)?;
    if u128::from(first) == room || !fit(2) {
        return Some(vec![first]);
    }
    if fit(3) {
        return None;
    }
    // No three fit, so a choice is one item or two. What two sum to at most `first` it dominates.
    let undominated = |floor: Option<u64>| {
        let strictly = |size: u64| floor.is_none_or(|floor| size > floor && size < first);
        others.iter().enumerate().any(|(place, &one)| {
            let fitting = |other: u64| u128::from(one).saturating_add(u128::from(other)) <= room;
            let mut smaller = others.iter().skip(place.saturating_add(1)).copied();
            let other = smaller.find(|&other| fitting(other));
            other.is_some_and(|other| {
                strictly(one)
                    && strictly(other)
                    && u128::from(one).saturating_add(u128::from(other)) > u128::from(first)
            })
        })
    };
    if !undominated(None) {
        return Some(vec![first]);
    }
    let left = room.saturating_sub(u128::from(first));
    let second = others.iter().enumerate().find(|&(other, &size)| other != place && u128::from(size) <= left);
    let second = *second?.1;
    (!undominated(Some(second))).then(|| vec![first, second])
}
