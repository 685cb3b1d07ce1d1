//! Bounds by dual feasible functions: see [`DualFunction`].
//!
//! Before the function, sizes are cut at some c of at most half the capacity C: below c they count nothing, above C - c as
//! C (the function `f_0` of Martello and Toth). With sums over the decreasing sizes, all cuts of one function are looked at
//! in one pass, so that the whole takes the number of parameters times the number of sizes.

use crate::pack::bounds::Bound;
use crate::pack::plan::{DualFunction, Proof};
use crate::pack::types::Types;
use crate::units::Bytes;

/// Values of functions computed at most: tens of milliseconds.
const MOST_VALUES: usize = 1 << 22;
/// The largest parameter of functions that round to multiples of a k-th of a bin; finer ones bring nothing but the area.
const FINEST: u64 = 100;

/// The best of all functions, parameters and cuts.
pub(super) fn dual(types: &Types, capacity: u64) -> Bound {
    let mut best = Bound { bins: 0, proof: Proof::Area };
    let mut left = MOST_VALUES;
    for (function, parameter) in parameters(types, capacity) {
        let Some(rest) = left.checked_sub(types.len().max(1)) else { break };
        left = rest;
        let (bins, cut) = best_cut(types, capacity, function, parameter);
        if bins > best.bins {
            best = Bound { bins, proof: Proof::Dual { function, parameter, cut: Bytes::new(cut) } };
        }
    }
    best
}

/// Functions with the parameters worth a look. `Counting` changes only where it counts one size more often.
fn parameters(types: &Types, capacity: u64) -> impl Iterator<Item = (DualFunction, u64)> {
    let coarse = (1..=FINEST).flat_map(|k| {
        let vanderbeck = (k > 1).then_some((DualFunction::Vanderbeck, k));
        [Some((DualFunction::FeketeSchepers, k)), vanderbeck].into_iter().flatten()
    });
    let half = capacity / 2;
    let sizes = types.sizes.iter().copied();
    let mut counted: Vec<u64> = sizes
        .flat_map(|size| [size, capacity.saturating_sub(size), size / 2, capacity.saturating_sub(size) / 2])
        .chain((2..=FINEST).filter_map(|k| capacity.checked_div(k)))
        .filter(|&k| (1..=half).contains(&k))
        .collect();
    counted.sort_unstable_by(|a, b| b.cmp(a));
    counted.dedup();
    coarse.chain(counted.into_iter().map(|k| (DualFunction::Counting, k)))
}

/// The largest bound over all cuts of a function, and the cut.
///
/// Each size is a cut: as it rises, sizes join the full ones at the front and leave at the end.
#[expect(clippy::arithmetic_side_effects, reason = "sums of fewer than 2^32 values below 2^72")]
fn best_cut(types: &Types, capacity: u64, function: DualFunction, parameter: u64) -> (usize, u64) {
    let whole = value(function, parameter, capacity, capacity);
    let mut sum: u128 = 0;
    let mut values = Vec::with_capacity(types.len());
    for (size, count) in types.iter() {
        let value = value(function, parameter, size, capacity) * u128::from(count);
        sum += value;
        values.push(value);
    }
    let bins = |sum: u128| usize::try_from(sum.div_ceil(whole.max(1))).unwrap_or(usize::MAX);
    let mut best = (bins(sum), 0);
    let mut full = 0;
    let smallest_first = types.sizes.iter().copied().zip(values.iter().copied()).rev();
    // At last everything below half counts nothing.
    for (cut, value) in
        smallest_first.take_while(|&(size, _)| size <= capacity / 2).chain([(capacity / 2, 0)])
    {
        while let Some(value) = values.get(full)
            && types.size(full) > capacity - cut
        {
            sum += whole * u128::from(types.count(full)) - value;
            full += 1;
        }
        if bins(sum) > best.0 {
            best = (bins(sum), cut);
        }
        sum -= value;
    }
    best
}

/// The function at `size`, at most 2^72.
#[expect(clippy::arithmetic_side_effects, reason = "u128 of u64 factors; sizes are at most the capacity")]
fn value(function: DualFunction, k: u64, size: u64, capacity: u64) -> u128 {
    let half = u128::from(size) * 2;
    match function {
        DualFunction::FeketeSchepers => {
            let (quotient, remainder) = quotient(k + 1, size, capacity);
            if remainder == 0 { u128::from(k) * u128::from(size) } else { quotient * u128::from(capacity) }
        }
        DualFunction::Counting => {
            let (k, whole) = (k.max(1), u128::from(capacity / k.max(1)));
            match half.cmp(&u128::from(capacity)) {
                std::cmp::Ordering::Less => u128::from(size / k) * 2,
                std::cmp::Ordering::Equal => whole,
                std::cmp::Ordering::Greater => 2 * (whole - u128::from((capacity - size) / k)),
            }
        }
        DualFunction::Vanderbeck => {
            let below = |size: u64| {
                let (quotient, remainder) = quotient(k, size, capacity);
                2 * (quotient + u128::from(remainder > 0)).saturating_sub(1)
            };
            match half.cmp(&u128::from(capacity)) {
                std::cmp::Ordering::Less => below(size),
                std::cmp::Ordering::Equal => u128::from(k - 1),
                std::cmp::Ordering::Greater => 2 * u128::from(k - 1) - below(capacity - size),
            }
        }
    }
}

/// `factor * size / capacity` with its remainder, in short words where they suffice: a long division costs ten times as
/// much.
#[expect(clippy::arithmetic_side_effects, reason = "products of u64 in u128; the capacity is not zero")]
fn quotient(factor: u64, size: u64, capacity: u64) -> (u128, u64) {
    let capacity = capacity.max(1);
    if let Some(product) = factor.checked_mul(size) {
        return (u128::from(product / capacity), product % capacity);
    }
    let product = u128::from(factor) * u128::from(size);
    let remainder = product % u128::from(capacity);
    (product / u128::from(capacity), u64::try_from(remainder).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

    use super::*;

    /// The most that sizes of a sum of at most `capacity` are worth, as an unbounded knapsack.
    fn most(function: DualFunction, k: u64, capacity: u64, cut: u64) -> u128 {
        let worth = |size: u64| match size {
            size if size > capacity - cut => value(function, k, capacity, capacity),
            size if size < cut => 0,
            size => value(function, k, size, capacity),
        };
        let mut best = vec![0_u128];
        for room in 1..=capacity {
            let with = |size: u64| best[usize::try_from(room - size).unwrap()] + worth(size);
            best.push((1..=room).map(with).max().unwrap());
        }
        best[usize::try_from(capacity).unwrap()]
    }

    #[test]
    fn no_bin_is_worth_more_than_a_full_one() {
        for capacity in 1..30 {
            for k in 1..20 {
                for cut in 0..=capacity / 2 {
                    let mut functions = vec![DualFunction::FeketeSchepers];
                    functions.extend((k <= capacity / 2).then_some(DualFunction::Counting));
                    functions.extend((k > 1).then_some(DualFunction::Vanderbeck));
                    for function in functions {
                        let whole = value(function, k, capacity, capacity);
                        assert!(
                            most(function, k, capacity, cut) <= whole,
                            "{function:?} {k} {capacity} {cut}"
                        );
                    }
                }
            }
        }
    }
}
