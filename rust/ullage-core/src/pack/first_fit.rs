//! First fit: each item into the earliest opened bin that holds it.
//!
//! On decreasing sizes (FFD) and equal bins it uses at most 11/9 of the fewest bins, plus 6/9 (Dósa, "The tight bound
//! of first fit decreasing bin-packing algorithm is FFD(I) <= 11/9 OPT(I) + 6/9", ESCAPE 2007).
//!
//! Because sizes do not increase, a bin that has enough room keeps it until it is used. The bins with enough room are
//! therefore a heap by the order of opening, the others wait for smaller items; each item moves few bins, so the whole
//! takes O(n log n).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::pack::packing::Packing;
use crate::pack::supply::{Opening, Stock, Supply};
use crate::pack::waiting::Waiting;
use crate::solving::Limits;

/// Packs `sizes`, which must not increase.
pub(crate) fn first_fit(sizes: &[u64], supply: &Supply, opening: Opening, limits: &Limits<'_>) -> Packing {
    let mut packing = Packing::with_capacity(sizes.len());
    let mut stock = Stock::new(supply, opening);
    let mut waiting = Waiting::for_sizes(sizes);
    let mut fitting: BinaryHeap<Reverse<(u32, u64)>> = BinaryHeap::new();
    for chunk in sizes.chunks(Limits::ITEMS_BETWEEN_CHECKS) {
        if limits.interrupted() {
            break;
        }
        for &size in chunk {
            while let Some((room, bin)) = waiting.pop(size) {
                fitting.push(Reverse((bin, room)));
            }
            if fitting.is_empty() {
                let Some((room, bin)) = packing.open(&mut stock, size) else {
                    packing.leave_out();
                    continue;
                };
                fitting.push(Reverse((bin, room)));
            }
            let Some(mut first) = fitting.peek_mut() else { continue };
            let Reverse((bin, room)) = &mut *first;
            *room = room.saturating_sub(size);
            packing.bin_of.push(*bin);
            if *room < size {
                waiting.push(*room, *bin);
                std::collections::binary_heap::PeekMut::pop(first);
            }
        }
    }
    packing.give_up_at(sizes.len());
    packing
}
