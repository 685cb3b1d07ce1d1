//! Best fit: each item into the open bin that it leaves the least room in, the earliest opened of equals.
//!
//! On decreasing sizes (BFD) the same 11/9 guarantee holds as for first fit (Johnson, Demers, Ullman, Garey, Graham,
//! "Worst-case performance bounds for simple one-dimensional packing algorithms", SIAM J. Comput. 3, 1974). The open
//! bins stand in a map ordered by room; those with less room than the smallest item are dropped from it.

use std::collections::BTreeSet;

use crate::pack::packing::Packing;
use crate::pack::solve::Limits;
use crate::pack::supply::{Opening, Stock, Supply};

/// Packs `sizes`, which must not increase.
pub(crate) fn best_fit(sizes: &[u64], supply: &Supply, opening: Opening, limits: &Limits<'_>) -> Packing {
    let mut packing = Packing::with_capacity(sizes.len());
    let mut stock = Stock::new(supply, opening);
    let mut open: BTreeSet<(u64, u32)> = BTreeSet::new();
    let smallest = sizes.last().copied().unwrap_or(0);
    for chunk in sizes.chunks(Limits::ITEMS_BETWEEN_CHECKS) {
        if limits.interrupted() {
            break;
        }
        for &size in chunk {
            let tightest = open.range((size, 0)..).next().copied();
            let taken = tightest.inspect(|bin| {
                open.remove(bin);
            });
            let taken = taken.or_else(|| {
                let (class, capacity) = stock.open(size)?;
                let bin = u32::try_from(packing.class_of.len()).ok()?;
                packing.class_of.push(u32::try_from(class).ok()?);
                Some((capacity, bin))
            });
            let Some((room, bin)) = taken else {
                packing.bin_of.push(Packing::NOWHERE);
                packing.unplaced = packing.unplaced.saturating_add(1);
                continue;
            };
            packing.bin_of.push(bin);
            let room = room.saturating_sub(size);
            if room >= smallest {
                open.insert((room, bin));
            }
        }
    }
    packing.give_up_at(sizes.len());
    packing
}
