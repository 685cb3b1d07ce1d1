//! First fit in any order: into the bin opened first among those with enough room.
//!
//! At most 1.7 OPT bins (Dosa and Sgall, "First fit bin packing: a tight analysis", STACS 2013).

use crate::pack::heuristics::{Heuristic, stops};
use crate::pack::packing::{Filling, Packing};

/// Packs by first fit, in the order of the sizes.
pub(super) fn first_fit(Heuristic { sizes, supply, opening, limits }: Heuristic<'_>) -> Packing {
    let mut filling = Filling::new(sizes.len(), supply, opening);
    let mut rooms = Tournament::new();
    for (position, &size) in sizes.iter().enumerate() {
        if stops(limits, position, position.saturating_add(1)) {
            break;
        }
        let Some(bin) = rooms.first(size).or_else(|| filling.open(size)) else {
            filling.leave_out(1);
            continue;
        };
        let (_, room) = filling.place(bin, size, 1);
        rooms.set(bin as usize, room);
    }
    filling.into_packing()
}

/// Rooms of bins in the order of opening, and above each two the larger: a knock-out tournament.
///
/// ```text
///            9            nodes[1]
///       4         9       nodes[2..4]
///     4   1     9   0     nodes[4..8], the bins; those not open have no room
/// ```
struct Tournament {
    /// As an implicit binary tree; one more than there are rooms, for `nodes[0]` is no node.
    nodes: Vec<Option<u64>>,
}

impl Tournament {
    fn new() -> Self {
        Self { nodes: vec![None; 2] }
    }

    fn leaves(&self) -> usize {
        self.nodes.len() / 2
    }

    /// The first bin with room for `size`.
    fn first(&self, size: u64) -> Option<u32> {
        let holds =
            |node: usize| self.nodes.get(node).is_some_and(|&room| room.is_some_and(|room| room >= size));
        let mut node = 1;
        if !holds(node) {
            return None;
        }
        while node < self.leaves() {
            node = node.saturating_mul(2);
            node = if holds(node) { node } else { node.saturating_add(1) };
        }
        u32::try_from(node.saturating_sub(self.leaves())).ok()
    }

    fn set(&mut self, bin: usize, room: u64) {
        while bin >= self.leaves() {
            self.double();
        }
        let mut node = bin.saturating_add(self.leaves());
        let mut largest = Some(room);
        while let Some(slot) = self.nodes.get_mut(node) {
            *slot = largest;
            if node <= 1 {
                break;
            }
            largest = largest.max(self.nodes.get(node ^ 1).copied().flatten());
            node /= 2;
        }
    }

    fn double(&mut self) {
        let leaves = self.leaves();
        let rooms: Vec<Option<u64>> = self.nodes.get(leaves..).unwrap_or_default().to_vec();
        self.nodes = vec![None; leaves.saturating_mul(4)];
        for (bin, room) in rooms.into_iter().enumerate() {
            if let Some(room) = room {
                self.set(bin, room);
            }
        }
    }
}
