//! Exact depth-first branch and bound, one item a level.
//!
//! Items are taken from the largest to the smallest. Each goes into an open bin, the tightest first, or opens one.
//! Branches that cannot lead to a better plan, or lead to one that another branch covers, are cut:
//!
//! - *bound*: open bins, and the fewest more whose capacity covers what the room in them does not;
//! - *equal room*: of open bins with equal room one is tried, of bins to open one a capacity; none smaller than a
//!   capacity of which there is a bin for every item left;
//! - *perfect fit*: an item that fills a bin exactly goes there; whatever else a plan puts there can trade places with it;
//! - *equal items* are placed in the order of the room that their bins had before the first of them: see [`Rank`].
//!
//! The clock is read here and nowhere else, every [`NODES_BETWEEN_CHECKS`] nodes.

use std::collections::BTreeSet;

use crate::pack::packing::Packing;
use crate::pack::supply::Supply;
use crate::solving::Watch;

const NODES_BETWEEN_CHECKS: u64 = 1024;

/// What an exact search found.
pub(crate) struct Found {
    /// The best complete plan, if one beat the number of bins to beat.
    pub(crate) best: Option<Packing>,
    /// No complete plan has fewer bins.
    pub(crate) lower_bound: usize,
    /// Nothing is better than the best, or than the number to beat where nothing was found.
    pub(crate) is_proven: bool,
    pub(crate) nodes: u64,
}

/// Looks for complete plans of fewer than `to_beat` bins, and stops at one of `enough` bins: none has fewer.
///
/// `sizes` must not increase. Items of size zero join the first bin.
pub(crate) fn search(
    sizes: &[u64],
    supply: &Supply,
    to_beat: usize,
    enough: usize,
    watch: &mut Watch<'_>,
) -> Found {
    let positive = sizes.partition_point(|&size| size > 0);
    let mut tree = Tree::new(sizes.get(..positive).unwrap_or_default(), supply, to_beat);
    let mut found = Found { best: None, lower_bound: enough, is_proven: false, nodes: 0 };
    if positive == 0 {
        return found;
    }
    loop {
        if found.nodes.is_multiple_of(NODES_BETWEEN_CHECKS) && watch.look() {
            return found;
        }
        found.nodes = found.nodes.saturating_add(1);
        if tree.path.len() == positive {
            tree.to_beat = tree.bins.len();
            found.best = Some(tree.packing(sizes.len()));
            watch.found(Some(tree.to_beat as u64), 0);
            if tree.to_beat <= enough {
                found.is_proven = true;
                return found;
            }
            tree.ascend();
            continue;
        }
        match tree.next_choice() {
            Some(choice) => tree.descend(choice),
            None if tree.path.is_empty() => {
                found.is_proven = true;
                return found;
            }
            None => tree.ascend(),
        }
    }
}

/// The order in which equal items try bins: by the room before the first of them, then bins to open by class.
///
/// Two plans that differ by a permutation of equal items are one plan. Of these only that one is built in which no
/// item ranks below its equal predecessor; staying in the predecessor's bin keeps the rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Open { room: u64 },
    New { class: usize },
}

#[derive(Clone, Copy, Debug)]
enum Choice {
    /// The bin of the equal predecessor.
    Same,
    /// The open bin with this room that was opened first.
    Open {
        room: u64,
    },
    New {
        class: usize,
    },
}

struct Step {
    bin: u32,
    /// The bin's room before, its capacity if it was opened for this item.
    room: u64,
    opened: bool,
    rank: Rank,
}

struct Bin {
    class: usize,
    room: u64,
}

struct Tree<'a> {
    sizes: &'a [u64],
    supply: &'a Supply,
    to_beat: usize,
    path: Vec<Step>,
    /// What was tried last at each level down to the present one.
    tried: Vec<Option<Choice>>,
    bins: Vec<Bin>,
    by_room: BTreeSet<(u64, u32)>,
    /// Copies of each class that are not open.
    left: Vec<usize>,
    /// Sizes of the items not placed.
    rest: u128,
    /// Room in open bins where the smallest item still fits.
    room: u128,
}

impl<'a> Tree<'a> {
    fn new(sizes: &'a [u64], supply: &'a Supply, to_beat: usize) -> Self {
        Self {
            sizes,
            supply,
            to_beat,
            path: Vec::with_capacity(sizes.len()),
            tried: vec![None],
            bins: Vec::new(),
            by_room: BTreeSet::new(),
            left: supply.classes.iter().map(|class| class.copies).collect(),
            rest: sizes.iter().map(|&size| u128::from(size)).sum(),
            room: 0,
        }
    }

    /// The next bin to try for the item at this level.
    fn next_choice(&self) -> Option<Choice> {
        let depth = self.path.len();
        let size = *self.sizes.get(depth)?;
        let previous = self.path.last().filter(|_| self.sizes.get(depth.wrapping_sub(1)) == Some(&size));
        let same = previous.and_then(|step| self.bins.get(step.bin as usize)).map(|bin| bin.room);
        let tried = self.tried.last().copied().flatten();
        if tried.is_none() && same == Some(size) {
            return Some(Choice::Same);
        }
        if self.by_room.range((size, 0)..=(size, u32::MAX)).next().is_some() {
            return tried.is_none().then_some(Choice::Open { room: size });
        }
        let lowest = previous.map_or(Rank::Open { room: size }, |step| step.rank);
        let from = match tried {
            None if same.is_some_and(|room| room >= size) => return Some(Choice::Same),
            None | Some(Choice::Same) => lowest,
            Some(Choice::Open { room }) => {
                room.checked_add(1).map_or(Rank::New { class: 0 }, |room| Rank::Open { room }).max(lowest)
            }
            Some(Choice::New { class }) => {
                if self.left.get(class).is_some_and(|&left| left >= self.sizes.len().saturating_sub(depth)) {
                    return None;
                }
                Rank::New { class: class.saturating_add(1) }
            }
        };
        let first_class = match from {
            Rank::Open { room } => {
                if let Some(&(room, _)) = self.by_room.range((room, 0)..).next() {
                    return Some(Choice::Open { room });
                }
                0
            }
            Rank::New { class } => class,
        };
        let classes = self.supply.classes.iter().zip(&self.left).enumerate().skip(first_class);
        let mut holding = classes.take_while(|(_, (class, _))| class.capacity >= size);
        holding.find(|(_, (_, left))| **left > 0).map(|(class, _)| Choice::New { class })
    }

    /// Places the item of this level, unless the bound forbids it.
    fn descend(&mut self, choice: Choice) {
        if let Some(tried) = self.tried.last_mut() {
            *tried = Some(choice);
        }
        let Some(step) = self.step(choice) else { return };
        let size = self.sizes.get(self.path.len()).copied().unwrap_or(0);
        self.place(step, size);
        if self.fewest_bins().is_none_or(|bins| bins >= self.to_beat) {
            self.undo();
        } else {
            self.tried.push(None);
        }
    }

    fn step(&self, choice: Choice) -> Option<Step> {
        match choice {
            Choice::Same => {
                let Step { bin, rank, .. } = *self.path.last()?;
                let room = self.bins.get(bin as usize)?.room;
                Some(Step { bin, room, opened: false, rank })
            }
            Choice::Open { room } => {
                let &(_, bin) = self.by_room.range((room, 0)..=(room, u32::MAX)).next()?;
                Some(Step { bin, room, opened: false, rank: Rank::Open { room } })
            }
            Choice::New { class } => {
                let room = self.supply.classes.get(class)?.capacity;
                let bin = u32::try_from(self.bins.len()).ok()?;
                Some(Step { bin, room, opened: true, rank: Rank::New { class } })
            }
        }
    }

    fn place(&mut self, step: Step, size: u64) {
        let Step { bin, room, opened, rank } = step;
        if let (true, Rank::New { class }) = (opened, rank) {
            self.bins.push(Bin { class, room });
            if let Some(left) = self.left.get_mut(class) {
                *left = left.saturating_sub(1);
            }
        } else {
            self.unlist(bin, room);
        }
        self.list(bin, room.saturating_sub(size));
        self.rest = self.rest.saturating_sub(u128::from(size));
        self.path.push(step);
    }

    fn undo(&mut self) {
        let Some(Step { bin, room, opened, .. }) = self.path.pop() else { return };
        let size = self.sizes.get(self.path.len()).copied().unwrap_or(0);
        self.rest = self.rest.saturating_add(u128::from(size));
        self.unlist(bin, room.saturating_sub(size));
        if !opened {
            self.list(bin, room);
        } else if let Some(left) = self.bins.pop().and_then(|bin| self.left.get_mut(bin.class)) {
            *left = left.saturating_add(1);
        }
    }

    fn ascend(&mut self) {
        self.tried.pop();
        self.undo();
    }

    /// Notes the room of `bin`, if the smallest item fits there.
    fn list(&mut self, bin: u32, room: u64) {
        if let Some(bin) = self.bins.get_mut(bin as usize) {
            bin.room = room;
        }
        if room >= self.smallest() {
            self.by_room.insert((room, bin));
            self.room = self.room.saturating_add(u128::from(room));
        }
    }

    fn unlist(&mut self, bin: u32, room: u64) {
        if self.by_room.remove(&(room, bin)) {
            self.room = self.room.saturating_sub(u128::from(room));
        }
    }

    fn smallest(&self) -> u64 {
        self.sizes.last().copied().unwrap_or(0)
    }

    /// Fewer bins than this do not complete what stands; `None` if all bins do not.
    fn fewest_bins(&self) -> Option<usize> {
        let mut excess = self.rest.saturating_sub(self.room);
        let mut bins = self.bins.len();
        for (class, &left) in self.supply.classes.iter().zip(&self.left) {
            if excess == 0 {
                break;
            }
            let needed =
                usize::try_from(excess.div_ceil(u128::from(class.capacity).max(1))).unwrap_or(usize::MAX);
            let taken = needed.min(left);
            bins = bins.saturating_add(taken);
            excess = excess.saturating_sub(u128::from(class.capacity).saturating_mul(taken as u128));
        }
        (excess == 0).then_some(bins)
    }

    fn packing(&self, items: usize) -> Packing {
        let mut bin_of: Vec<u32> = self.path.iter().map(|step| step.bin).collect();
        bin_of.resize(items, 0);
        let class_of = self.bins.iter().map(|bin| u32::try_from(bin.class).unwrap_or(u32::MAX)).collect();
        Packing { bin_of, class_of, unplaced: 0 }
    }
}
