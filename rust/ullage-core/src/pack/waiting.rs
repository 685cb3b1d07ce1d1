//! [`Waiting`]: open bins with too little room for the present item.

use std::collections::BinaryHeap;

/// A queue of bins by room, the largest first and of equal rooms the last opened first.
///
/// The items come in stretches, and a bin waits unsorted for the first stretch with an item that fits; only then does
/// it enter the heap, which so stays small enough for the nearest cache.
///
/// ```text
/// sizes   9 9 8 7 | 7 6 5 5 | 3 2 2 1        a stretch is 4096 items
/// floors        7         5         1        its smallest item
/// later           |  5, 6   |  1, 4, 2       bins by room; now in the first stretch
/// ```
pub(crate) struct Waiting {
    /// Bins with room for some item of the present stretch.
    soon: BinaryHeap<(u64, u32)>,
    /// The smallest item of each stretch.
    floors: Vec<u64>,
    /// Bins by the first stretch with an item that fits. Fuller ones are dropped.
    later: Vec<Vec<(u64, u32)>>,
    stretch: usize,
}

const STRETCH: usize = 4096;

impl Waiting {
    /// For items of `sizes`, which must not increase.
    pub(crate) fn for_sizes(sizes: &[u64]) -> Self {
        let floors: Vec<u64> = sizes.chunks(STRETCH).filter_map(|stretch| stretch.last().copied()).collect();
        Self { soon: BinaryHeap::new(), later: vec![Vec::new(); floors.len()], floors, stretch: 0 }
    }

    #[inline]
    pub(crate) fn push(&mut self, room: u64, bin: u32) {
        let first = self.floors.partition_point(|&floor| floor > room);
        if first <= self.stretch {
            self.soon.push((room, bin));
        } else if let Some(later) = self.later.get_mut(first) {
            later.push((room, bin));
        }
    }

    /// The next bin, if it has room for `size`, which must not exceed that of an earlier call.
    #[inline]
    pub(crate) fn pop(&mut self, size: u64) -> Option<(u64, u32)> {
        while self.floors.get(self.stretch).is_some_and(|&floor| size < floor) {
            self.stretch = self.stretch.saturating_add(1);
            self.soon.extend(self.later.get_mut(self.stretch).map(std::mem::take).unwrap_or_default());
        }
        let &(room, _) = self.soon.peek()?;
        if room < size { None } else { self.soon.pop() }
    }
}
