//! First fit on decreasing sizes (FFD): each item into the bin opened first among those with enough room.
//!
//! FFD uses at most 11/9 OPT + 6/9 bins (Dosa, "The tight bound of first fit decreasing bin-packing algorithm is
//! FFD(I) <= 11/9 OPT(I) + 6/9", ESCAPE 2007).
//!
//! Because sizes do not increase, a bin with enough room for one item has enough for the next until it is used. The bins
//! with enough room are therefore a [`Bits`], which tells the first in a few steps; the others wait in [`Arrivals`].

use crate::pack::heuristics::arrivals::Arrivals;
use crate::pack::heuristics::bits::Bits;
use crate::pack::heuristics::{Heuristic, stops};
use crate::pack::packing::{Filling, Packing};

/// Packs by first fit; the sizes must not increase.
pub(super) fn first_fit_decreasing(Heuristic { sizes, supply, opening, limits }: Heuristic<'_>) -> Packing {
    let mut filling = Filling::new(sizes.len(), supply, opening);
    let mut arrivals = Arrivals::of(sizes);
    let mut fitting = Bits::of(supply.bins());
    let mut position = 0_usize;
    for run in sizes.chunk_by(|a, b| a == b) {
        let Some(&size) = run.first() else { continue };
        arrivals.release(size, |bin| fitting.insert(bin));
        let end = position.saturating_add(run.len());
        if stops(limits, position, end) {
            break;
        }
        while position < end {
            let opened = fitting.first().or_else(|| {
                let bin = filling.open(size)?;
                fitting.insert(bin);
                Some(bin)
            });
            let left = end.saturating_sub(position);
            let Some(bin) = opened else {
                filling.leave_out(left);
                break;
            };
            let (placed, room) = filling.place(bin, size, left);
            position = position.saturating_add(placed);
            if room < size {
                fitting.remove(bin);
                arrivals.expect(bin, room);
            }
        }
        position = end;
    }
    filling.into_packing()
}
