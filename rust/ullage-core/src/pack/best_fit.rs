//! Best fit: each item into the open bin that it leaves the least room in, the earliest opened of equals.
//!
//! On decreasing sizes (BFD) the same 11/9 guarantee holds as for first fit (Johnson, Demers, Ullman, Garey, Graham,
//! "Worst-case performance bounds for simple one-dimensional packing algorithms", SIAM J. Comput. 3, 1974).
//!
//! Because sizes do not increase, the bins with enough room are a stack, the tightest on top: bins that become fit for
//! the present item had too little room for the last one, hence less than all on the stack; the bin just used was the
//! tightest and got tighter; and a bin is opened only onto an empty stack.

use crate::pack::packing::Packing;
use crate::pack::supply::{Opening, Stock, Supply};
use crate::pack::waiting::Waiting;
use crate::solving::Limits;

/// Packs `sizes`, which must not increase.
pub(crate) fn best_fit(sizes: &[u64], supply: &Supply, opening: Opening, limits: &Limits<'_>) -> Packing {
    let mut packing = Packing::with_capacity(sizes.len());
    let mut stock = Stock::new(supply, opening);
    let mut waiting = Waiting::for_sizes(sizes);
    let mut fitting: Vec<(u64, u32)> = Vec::new();
    for chunk in sizes.chunks(Limits::ITEMS_BETWEEN_CHECKS) {
        if limits.interrupted() {
            break;
        }
        for &size in chunk {
            while let Some(bin) = waiting.pop(size) {
                fitting.push(bin);
            }
            let Some((room, bin)) = fitting.pop().or_else(|| packing.open(&mut stock, size)) else {
                packing.leave_out();
                continue;
            };
            packing.bin_of.push(bin);
            let room = room.saturating_sub(size);
            if room >= size {
                fitting.push((room, bin));
            } else {
                waiting.push(room, bin);
            }
        }
    }
    packing.give_up_at(sizes.len());
    packing
}
