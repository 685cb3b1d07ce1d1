//! Best fit among few open bins (bounded-space best fit, `BBF_k`): what a loading dock with k places can do.
//!
//! An item goes into the open bin that it leaves the least room in. Where it fits into none, a bin is opened, and if k are
//! open already the fullest of them is closed for good. For k of at least 2 the asymptotic ratio is that of best fit, 1.7
//! (Csirik and Johnson, "Bounded space on-line bin packing: best is better than first", Algorithmica 31, 2001). With k
//! = 1 it is next fit. Time O(n k).

use std::num::NonZeroU32;

use crate::pack::heuristics::{Heuristic, stops};
use crate::pack::packing::{Filling, Packing};

/// Packs by best fit among at most `most` open bins, in the order of the sizes.
pub(super) fn best_k_fit(
    Heuristic { sizes, supply, opening, limits }: Heuristic<'_>,
    most: NonZeroU32,
) -> Packing {
    let mut filling = Filling::new(sizes.len(), supply, opening);
    let mut open: Vec<u32> = Vec::new();
    for (position, &size) in sizes.iter().enumerate() {
        if stops(limits, position, position.saturating_add(1)) {
            break;
        }
        let fitting = open.iter().copied().filter(|&bin| filling.room(bin) >= size);
        let tightest = fitting.min_by_key(|&bin| (filling.room(bin), bin));
        let Some(bin) = tightest.or_else(|| filling.open(size)) else {
            filling.leave_out(1);
            continue;
        };
        if tightest.is_none() {
            if open.len() >= most.get() as usize {
                let fullest =
                    (0..open.len()).min_by_key(|&place| open.get(place).map(|&bin| (filling.room(bin), bin)));
                fullest.map(|place| open.swap_remove(place));
            }
            open.push(bin);
        }
        filling.place(bin, size, 1);
    }
    filling.into_packing()
}
