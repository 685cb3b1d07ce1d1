//! Always the buffer that can lie lowest, on what is placed already; of equally low ones the first of an order.
//!
//! No gap that somebody fits into is left below, so that every layout is *canonical* (Moffitt et al., ASPLOS 2024):
//! each buffer rests on the bottom or on another.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::arena::neighbours::Neighbours;
use crate::arena::spans::Spans;

/// The spans in the order in which they come to lie, for `order` among equally low ones. What `handicaps` has for a span
/// is added to how low that could lie.
pub(crate) fn lowest_first(
    spans: &Spans,
    neighbours: &Neighbours,
    order: &[u32],
    handicaps: &[u64],
) -> Vec<u32> {
    let handicap = |index: u32| handicaps.get(index as usize).copied().unwrap_or(0);
    // Floors only rise: an entry of the queue that is out of date comes too early, and goes back with the true floor.
    let mut floors = vec![0_u64; spans.all.len()];
    let mut queue: BinaryHeap<Reverse<(u64, u32, u32)>> =
        (0_u32..).zip(order).map(|(rank, &index)| Reverse((handicap(index), rank, index))).collect();
    let mut placed = Vec::with_capacity(order.len());
    while let Some(Reverse((known, rank, index))) = queue.pop() {
        let (Some(span), Some(&floor)) = (spans.all.get(index as usize), floors.get(index as usize)) else {
            continue;
        };
        let key = floor.saturating_add(handicap(index));
        if key > known {
            queue.push(Reverse((key, rank, index)));
            continue;
        }
        let top = span.align(floor).saturating_add(span.size);
        for &other in neighbours.of_span(index as usize) {
            if let Some(floor) = floors.get_mut(other as usize) {
                *floor = top.max(*floor);
            }
        }
        placed.push(index);
    }
    placed
}
