//! Next fit: into the bin opened last, else into a new one. In O(n), one open bin at a time; at most 2 OPT bins.

use crate::pack::heuristics::{Heuristic, stops};
use crate::pack::packing::{Filling, Packing};

/// Packs by next fit, in the order of the sizes.
pub(super) fn next_fit(Heuristic { sizes, supply, opening, limits }: Heuristic<'_>) -> Packing {
    let mut filling = Filling::new(sizes.len(), supply, opening);
    let mut open: Option<u32> = None;
    for (position, &size) in sizes.iter().enumerate() {
        if stops(limits, position, position.saturating_add(1)) {
            break;
        }
        open = open.filter(|&bin| filling.room(bin) >= size).or_else(|| filling.open(size)).or(open);
        match open.filter(|&bin| filling.room(bin) >= size) {
            Some(bin) => drop(filling.place(bin, size, 1)),
            None => filling.leave_out(1),
        }
    }
    filling.into_packing()
}
