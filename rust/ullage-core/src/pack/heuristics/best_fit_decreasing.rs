//! Best fit on decreasing sizes (BFD): each item into the open bin that it leaves the least room in, the earliest opened
//! of equals.
//!
//! The same 11/9 guarantee holds as for first fit (Johnson, Demers, Ullman, Garey, Graham, "Worst-case performance bounds
//! for simple one-dimensional packing algorithms", SIAM J. Comput. 3, 1974).
//!
//! Because sizes do not increase, the bins with enough room are a stack, the tightest on top: bins that become fit for
//! the present item had too little room for the last one, hence less than all on the stack; the bin just used was the
//! tightest and got tighter; and a bin is opened only onto an empty stack.

use std::cmp::Reverse;

use crate::pack::heuristics::arrivals::Arrivals;
use crate::pack::heuristics::{Heuristic, stops};
use crate::pack::packing::{Filling, Packing};

/// Packs by best fit; the sizes must not increase.
pub(super) fn best_fit_decreasing(Heuristic { sizes, supply, opening, limits }: Heuristic<'_>) -> Packing {
    let mut filling = Filling::new(sizes.len(), supply, opening);
    let mut arrivals = Arrivals::of(sizes);
    let mut fitting: Vec<u32> = Vec::new();
    let mut position = 0_usize;
    for run in sizes.chunk_by(|a, b| a == b) {
        let Some(&size) = run.first() else { continue };
        let known = fitting.len();
        arrivals.release(size, |bin| fitting.push(bin));
        if let Some(new @ [_, _, ..]) = fitting.get_mut(known..) {
            new.sort_unstable_by_key(|&bin| Reverse((filling.room(bin), bin)));
        }
        let end = position.saturating_add(run.len());
        if stops(limits, position, end) {
            break;
        }
        while position < end {
            let left = end.saturating_sub(position);
            let Some(bin) = fitting.pop().or_else(|| filling.open(size)) else {
                filling.leave_out(left);
                break;
            };
            let (placed, room) = filling.place(bin, size, left);
            position = position.saturating_add(placed);
            if room < size {
                arrivals.expect(bin, room);
            } else {
                fitting.push(bin);
            }
        }
        position = end;
    }
    filling.into_packing()
}
