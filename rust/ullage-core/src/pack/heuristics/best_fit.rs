//! Best fit in any order: into the open bin that it leaves the least room in, the earliest opened of equals.
//!
//! At most 1.7 OPT bins (Dosa and Sgall, "Optimal analysis of best fit bin packing", ICALP 2014).

use std::collections::BTreeSet;

use crate::pack::heuristics::{Heuristic, stops};
use crate::pack::packing::{Filling, Packing};

/// Packs by best fit, in the order of the sizes.
pub(super) fn best_fit(Heuristic { sizes, supply, opening, limits }: Heuristic<'_>) -> Packing {
    let mut filling = Filling::new(sizes.len(), supply, opening);
    let mut by_room: BTreeSet<(u64, u32)> = BTreeSet::new();
    for (position, &size) in sizes.iter().enumerate() {
        if stops(limits, position, position.saturating_add(1)) {
            break;
        }
        let tightest = by_room.range((size, 0)..).next().copied();
        if let Some(tightest) = tightest {
            by_room.remove(&tightest);
        }
        let Some(bin) = tightest.map(|(_, bin)| bin).or_else(|| filling.open(size)) else {
            filling.leave_out(1);
            continue;
        };
        let (_, room) = filling.place(bin, size, 1);
        by_room.insert((room, bin));
    }
    filling.into_packing()
}
