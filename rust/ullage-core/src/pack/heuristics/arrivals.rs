//! [`Arrivals`]: bins with too little room for the present item, until one comes that fits.

use std::collections::BinaryHeap;

/// Bins by their room, for sizes that do not increase.
///
/// Rooms are told apart by their leading bits alone, and a bin waits unsorted with those of its kind until the sizes come
/// so low; only these few are sorted.
///
/// ```text
/// sizes   19 18 16 | 14 11 11 10 | 9 8 5 | 3 2 1      leading bits 3, 2, 1, 0; now at 14
/// near                10, 11                          rooms of the present kind, sorted
/// heads                            9, 8    3, 2, 2    rooms of smaller kinds, lists
/// ```
pub(super) struct Arrivals {
    lowest: u64,
    shift: u32,
    /// By the leading bits of a room above the lowest size: the bin that joined last.
    heads: Vec<u32>,
    /// By bin the one that joined before it, and its room.
    nexts: Vec<(u32, u64)>,
    /// The leading bits of the present size. The lists from there on are empty.
    present: usize,
    /// Rooms of the present kind, increasing.
    near: Vec<(u64, u32)>,
    /// Those that joined since.
    late: BinaryHeap<(u64, u32)>,
}

const NONE: u32 = u32::MAX;
/// So many lists stay in a near cache.
const MOST_TABLE_BITS: u32 = 17;

impl Arrivals {
    /// For items of `sizes`, which must not increase.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "bits of numbers; the first size is not below the last"
    )]
    pub(super) fn of(sizes: &[u64]) -> Self {
        let (lowest, highest) = (sizes.last().map_or(0, |&size| size), sizes.first().map_or(0, |&size| size));
        let range_bits = u64::BITS - (highest - lowest).leading_zeros();
        let table_bits = (usize::BITS - sizes.len().leading_zeros()).min(MOST_TABLE_BITS);
        let shift = range_bits.saturating_sub(table_bits);
        let present = usize::try_from((highest - lowest) >> shift).map_or(0, |last| last + 1);
        Self {
            lowest,
            shift,
            heads: vec![NONE; present],
            nexts: Vec::new(),
            present,
            near: Vec::new(),
            late: BinaryHeap::new(),
        }
    }

    /// Notes that `bin` has `room`, too little for the present item. Bins are numbered from zero without gaps.
    #[inline]
    pub(super) fn expect(&mut self, bin: u32, room: u64) {
        let Some(above) = room.checked_sub(self.lowest) else { return };
        let kind = usize::try_from(above >> self.shift).unwrap_or(usize::MAX);
        if kind >= self.present {
            self.late.push((room, bin));
            return;
        }
        if bin as usize >= self.nexts.len() {
            self.nexts.resize((bin as usize).saturating_add(1), (NONE, 0));
        }
        if let (Some(head), Some(next)) = (self.heads.get_mut(kind), self.nexts.get_mut(bin as usize)) {
            *next = (std::mem::replace(head, bin), room);
        }
    }

    /// Hands every bin with room for `size` to `arrive`; sizes must not increase.
    #[inline]
    pub(super) fn release(&mut self, size: u64, mut arrive: impl FnMut(u32)) {
        let kind = usize::try_from(size.saturating_sub(self.lowest) >> self.shift).unwrap_or(usize::MAX);
        if self.present > kind {
            self.near.drain(..).for_each(|(_, bin)| arrive(bin));
            self.late.drain().for_each(|(_, bin)| arrive(bin));
        }
        while self.present > kind {
            self.present = self.present.saturating_sub(1);
            let Some(head) = self.heads.get_mut(self.present) else { continue };
            let mut bin = std::mem::replace(head, NONE);
            while let Some(&(next, room)) = self.nexts.get(bin as usize) {
                if room >= size {
                    arrive(bin);
                } else {
                    self.near.push((room, bin));
                }
                bin = next;
            }
            self.near.sort_unstable();
        }
        while let Some((_, bin)) = self.near.pop_if(|&mut (room, _)| room >= size) {
            arrive(bin);
        }
        while let Some(&(room, bin)) = self.late.peek()
            && room >= size
        {
            arrive(bin);
            self.late.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_bin_arrives_with_the_first_item_that_it_has_room_for(
            mut sizes in prop::collection::vec(prop_oneof![0_u64..9, any::<u64>(), Just(u64::MAX)], 1..60),
            rooms in prop::collection::vec(prop_oneof![0_u64..9, any::<u64>()], 0..60),
        ) {
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            let mut arrivals = Arrivals::of(&sizes);
            let (mut waiting, mut released) = (Vec::new(), Vec::new());
            for (position, &size) in sizes.iter().enumerate() {
                released.clear();
                arrivals.release(size, |bin| released.push(bin));
                released.sort_unstable();
                let (mut expected, rest): (Vec<(u32, u64)>, _) = waiting.into_iter().partition(|&(_, room)| room >= size);
                expected.sort_unstable();
                prop_assert_eq!(&released, &expected.iter().map(|&(bin, _)| bin).collect::<Vec<_>>());
                waiting = rest;
                if let Some(&room) = rooms.get(position).filter(|&&room| room < size) {
                    let bin = u32::try_from(position).unwrap();
                    arrivals.expect(bin, room);
                    waiting.push((bin, room));
                }
            }
        }
    }
}
