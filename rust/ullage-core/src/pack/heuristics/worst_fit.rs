//! Worst fit: into the open bin with the most room, the earliest opened of equals. At most 2 OPT bins; loads come out even.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::pack::heuristics::{Heuristic, stops};
use crate::pack::packing::{Filling, Packing};

/// Packs by worst fit, in the order of the sizes.
pub(super) fn worst_fit(Heuristic { sizes, supply, opening, limits }: Heuristic<'_>) -> Packing {
    let mut filling = Filling::new(sizes.len(), supply, opening);
    let mut by_room: BinaryHeap<(u64, Reverse<u32>)> = BinaryHeap::new();
    for (position, &size) in sizes.iter().enumerate() {
        if stops(limits, position, position.saturating_add(1)) {
            break;
        }
        if by_room.peek().is_none_or(|&(room, _)| room < size) {
            let Some(bin) = filling.open(size) else {
                filling.leave_out(1);
                continue;
            };
            by_room.push((filling.room(bin), Reverse(bin)));
        }
        // A bin just opened holds the item while no other open one does: it has the most room.
        if let Some(mut top) = by_room.peek_mut() {
            let (room, Reverse(bin)) = &mut *top;
            *room = filling.place(*bin, size, 1).1;
        }
    }
    filling.into_packing()
}
