//! The bounds that cost next to nothing, and the cheap proofs that there is no complete plan.
//!
//! *Area*: the fewest of the largest bins whose capacities cover the total size; for equal bins this is L1 =
//! ceil(total / capacity). *Threshold*: L2 of Martello and Toth ("Lower bounds and reduction procedures for the bin
//! packing problem", Discrete Applied Mathematics 28, 1990) for the largest capacity, which holds for unlike bins too,
//! since larger bins never need more. With C the capacity and a threshold t <= C/2, let J1 hold the items above C - t,
//! J2 the others above C/2, J3 the others of at least t. No two of J1 and J2 share a bin, and those of J3 fit only
//! beside J2, so that
//!
//! L2(t) = |J1| + |J2| + max(0, ceil((size(J3) - (|J2| C - size(J2))) / C)).

use crate::pack::bounds::{checked, largest};
use crate::pack::order::Order;
use crate::pack::plan::{Infeasibility, Proof};
use crate::pack::supply::Supply;
use crate::units::Bytes;

/// A number of bins that no complete plan goes below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) bins: usize,
    pub(crate) proof: Proof,
}

/// The larger of the bounds here, or why there is no complete plan.
pub(crate) fn lower_bound(order: &Order, supply: &Supply) -> Result<Bound, Infeasibility> {
    quick(order, supply).map(|all| largest(&all))
}

/// Area and threshold.
pub(super) fn quick(order: &Order, supply: &Supply) -> Result<Vec<Bound>, Infeasibility> {
    let (Some(&size), Some(&item)) = (order.sizes.first(), order.items.first()) else {
        return Ok(vec![Bound { bins: 0, proof: Proof::Area }]);
    };
    let largest = supply.largest();
    if size > largest {
        let (size, largest) = (Bytes::new(size), Bytes::new(largest));
        return Err(Infeasibility::ItemTooLarge { item: item as usize, size, largest });
    }
    enough_capacity(&order.sizes, supply)?;
    let area = Bound { bins: area(order.total(), supply), proof: Proof::Area };
    let (bins, threshold) = threshold(&order.sizes, largest);
    let threshold = checked(Bound { bins, proof: Proof::Threshold(threshold) }, supply)?;
    Ok(vec![area, threshold])
}

/// Checks, for every capacity, that what fits into no bin of it or smaller has enough room in the larger ones.
fn enough_capacity(sizes: &[u64], supply: &Supply) -> Result<(), Infeasibility> {
    let (mut available, mut needed, mut counted) = (0_u128, 0_u128, 0_usize);
    for (index, class) in supply.classes.iter().enumerate() {
        available = available.saturating_add(u128::from(class.capacity).saturating_mul(class.copies as u128));
        let above = supply.classes.get(index.saturating_add(1)).map_or(0, |next| next.capacity);
        let rest = sizes.get(counted..).unwrap_or_default();
        let larger = rest.partition_point(|&size| size > above);
        let sum: u128 = rest.iter().take(larger).map(|&size| u128::from(size)).sum();
        (needed, counted) = (needed.saturating_add(sum), counted.saturating_add(larger));
        if needed > available {
            return Err(Infeasibility::TooLittleCapacity { above: Bytes::new(above), needed, available });
        }
    }
    Ok(())
}

/// The fewest of the largest bins that cover `total`, at least one. All bins where they do not.
fn area(total: u128, supply: &Supply) -> usize {
    let (mut rest, mut bins) = (total, 0_usize);
    for class in &supply.classes {
        let needed = rest.div_ceil(u128::from(class.capacity).max(1));
        let taken = usize::try_from(needed).map_or(class.copies, |needed| needed.min(class.copies));
        bins = bins.saturating_add(taken);
        rest = rest.saturating_sub(u128::from(class.capacity).saturating_mul(taken as u128));
    }
    bins.max(1)
}

/// The largest L2(t) and its t, over all t that are sizes of items.
///
/// As t falls along the decreasing sizes, J3 grows at its end and J1 gives items to J2, so both are kept as sums.
#[expect(clippy::arithmetic_side_effects, reason = "u128 sums of fewer than 2^32 u64 terms; counts of items")]
pub(crate) fn threshold(sizes: &[u64], capacity: u64) -> (usize, Bytes) {
    let half = sizes.partition_point(|&size| size > capacity / 2);
    let (large, small) = sizes.split_at(half);
    // Without J3 the bound is the number of items above half.
    let mut best = (0, Bytes::new(capacity / 2));
    let mut beyond = half; // J1 is large[..beyond]
    let (mut slack, mut filling) = (0_u128, 0_u128);
    for run in small.chunk_by(|a, b| a == b) {
        let threshold = run[0];
        while beyond > 0 && large[beyond - 1] <= capacity - threshold {
            beyond -= 1;
            slack += u128::from(capacity - large[beyond]);
        }
        filling += u128::from(threshold) * run.len() as u128;
        let excess = filling.saturating_sub(slack);
        if excess > best.0 {
            best = (excess, Bytes::new(threshold));
        }
    }
    let more = usize::try_from(best.0.div_ceil(u128::from(capacity).max(1))).unwrap_or(usize::MAX);
    (half.saturating_add(more), best.1)
}
