//! First fit: each item into the earliest opened bin that holds it.
//!
//! On decreasing sizes (FFD) and equal bins it uses at most 11/9 of the fewest bins, plus 6/9 (Dósa, "The tight bound
//! of first fit decreasing bin-packing algorithm is FFD(I) <= 11/9 OPT(I) + 6/9", ESCAPE 2007). A tree of maxima over
//! the open bins finds the bin in O(log n) (Johnson, "Fast algorithms for bin packing", J. Comput. Syst. Sci. 8, 1974).

use crate::pack::packing::Packing;
use crate::pack::solve::Limits;
use crate::pack::supply::{Opening, Stock, Supply};

/// Packs `sizes` in the order given.
pub(crate) fn first_fit(sizes: &[u64], supply: &Supply, opening: Opening, limits: &Limits<'_>) -> Packing {
    let mut packing = Packing::with_capacity(sizes.len());
    let mut stock = Stock::new(supply, opening);
    let mut open = MaxTree::default();
    for chunk in sizes.chunks(Limits::ITEMS_BETWEEN_CHECKS) {
        if limits.interrupted() {
            break;
        }
        for &size in chunk {
            let bin = open.take(size).or_else(|| {
                let (class, capacity) = stock.open(size)?;
                packing.class_of.push(u32::try_from(class).ok()?);
                Some(open.push(capacity.saturating_sub(size)))
            });
            packing.bin_of.push(bin.unwrap_or(Packing::NOWHERE));
            packing.unplaced = packing.unplaced.saturating_add(usize::from(bin.is_none()));
        }
    }
    packing.give_up_at(sizes.len());
    packing
}

/// The room left in each open bin, under a tree of maxima.
///
/// ```text
/// level 0   [ 9  4 .. ]                     the maximum of each node below
/// level 1   [ 7 2 9 1 5 3 0 8 | 4 0 0 ... ]   one entry a bin, WIDTH to a node
/// ```
#[derive(Default)]
struct MaxTree {
    /// From the root down; the last level has one entry a bin. All are padded to whole nodes with zeros.
    levels: Vec<Vec<[u64; WIDTH]>>,
    bins: usize,
}

/// Children of a node: one cache line.
const WIDTH: usize = 8;

#[expect(clippy::arithmetic_side_effects, reason = "positions below the number of bins, at most 2^32")]
impl MaxTree {
    /// Puts `size` into the first bin with room for it.
    #[inline]
    fn take(&mut self, size: u64) -> Option<u32> {
        if self.bins == 0 {
            return None;
        }
        let mut at = 0;
        for level in &self.levels {
            let node = level.get(at)?;
            let fits = node.iter().position(|&room| room >= size)?;
            at = at * WIDTH + fits;
        }
        let bin = u32::try_from(at).ok()?;
        let room = self.levels.last()?[at / WIDTH][at % WIDTH];
        self.lower(at, room - size);
        Some(bin)
    }

    /// Sets the room of bin `at` to less than before, and the maxima above it.
    #[inline]
    fn lower(&mut self, mut at: usize, mut room: u64) {
        for level in self.levels.iter_mut().rev() {
            let node = &mut level[at / WIDTH];
            let before = std::mem::replace(&mut node[at % WIDTH], room);
            let highest = node.iter().copied().max().unwrap_or(0);
            if before < highest {
                break; // another child was the maximum, and still is
            }
            room = highest;
            at /= WIDTH;
        }
    }

    /// Adds a bin with `room` left.
    fn push(&mut self, room: u64) -> u32 {
        let mut at = self.bins;
        self.bins += 1;
        let full = WIDTH.saturating_pow(u32::try_from(self.levels.len()).unwrap_or(u32::MAX));
        if self.levels.is_empty() || at >= full {
            let highest = self.levels.first().and_then(|root| root[0].iter().copied().max()).unwrap_or(0);
            self.levels.insert(0, vec![[highest, 0, 0, 0, 0, 0, 0, 0]]);
        }
        for level in self.levels.iter_mut().rev() {
            if at / WIDTH == level.len() {
                level.push([0; WIDTH]);
            }
            let slot = &mut level[at / WIDTH][at % WIDTH];
            *slot = room.max(*slot);
            at /= WIDTH;
        }
        u32::try_from(self.bins - 1).unwrap_or(u32::MAX)
    }
}
