//! Local search with fewer bins than known, after the consistent neighbourhood search of Buljubasic and Vasquez
//! ("Consistent neighborhood search for one-dimensional bin packing and two-dimensional vector packing", Computers &
//! Operations Research 76, 2016).
//!
//! What is searched are packings of some of the items into two bins fewer than there may be; they hold no more than fits,
//! and the items left over are to become few enough for the two. A move puts at most two items left over in the place of
//! at most two items of a bin; the best that is not tabu is made, and an item that went out stays out for a while. Where
//! that brings nothing for long, items of two bins trade places as long as full bins become fuller.

use crate::pack::packing::Packing;
use crate::pack::subsets::fullest;
use crate::pack::supply::Supply;
use crate::pack::types::{Contents, Types};
use crate::solving::{Random, Watch};

/// Moves without a smaller rest before items trade places, for each bin and item left over at least one.
const MOVES: usize = 300;
/// Rounds of moves and trades that bring nothing in a row.
const ROUNDS: usize = 2_000;
/// For few items fewer rounds: so many an item.
const ROUNDS_OF_ITEM: usize = 20;
/// Moves for which an item that went out stays out, at least; up to as many more are drawn.
const TENURE: u64 = 5;
/// Items of a bin, and items left over, that moves are made of.
const MOST_ITEMS: usize = 40;
/// Bins that are filled anew at once.
const MOST_REFILLED: u64 = 4;
/// Steps to find what of the rest fills a bin.
const MOST_STEPS: usize = 1 << 12;

/// Looks for packings of fewer bins than `best`, one fewer at a time, down to `enough`. `patience` is a share of the
/// rounds, in hundredths.
pub(crate) fn search(
    best: &mut Packing,
    sizes: &[u64],
    supply: &Supply,
    enough: usize,
    seed: u64,
    patience: usize,
    watch: &mut Watch<'_>,
) {
    let capacities: Vec<u64> =
        supply.classes.iter().flat_map(|class| std::iter::repeat_n(class.capacity, class.copies)).collect();
    let mut random = Random(seed);
    loop {
        let is_complete = best.unplaced == 0;
        let bins = if is_complete { best.bins().saturating_sub(1) } else { capacities.len() };
        if is_complete && bins < enough {
            return;
        }
        let Some(capacities) = capacities.get(..bins) else { return };
        let Some(contents) = Search::start(best, sizes, capacities, supply).run(&mut random, patience, watch)
        else {
            return;
        };
        let found = Packing::of_contents(&contents, sizes, supply);
        if !found.beats(best) {
            return;
        }
        *best = found;
        watch.found(Some(best.bins() as u64), 0);
    }
}

/// Items of a bin; sizes, for equal items are the same.
struct Bin {
    capacity: u64,
    load: u64,
    items: Vec<u64>,
}

impl Bin {
    fn room(&self) -> u64 {
        self.capacity.saturating_sub(self.load)
    }

    fn add(&mut self, size: u64) {
        self.load = self.load.saturating_add(size);
        self.items.push(size);
    }

    fn remove(&mut self, size: u64) {
        if let Some(place) = self.items.iter().position(|&item| item == size) {
            self.items.swap_remove(place);
            self.load = self.load.saturating_sub(size);
        }
    }
}

/// An item left over, and the move from which on it may go in again.
#[derive(Clone, Copy)]
struct Left {
    size: u64,
    free_at: u64,
}

/// Items that go out of a bin and into it, at most two each; zero for none.
#[derive(Clone, Copy)]
struct Move {
    bin: usize,
    out: [u64; 2],
    into: [u64; 2],
    /// By how much the rest becomes smaller.
    gain: i128,
}

struct Search {
    bins: Vec<Bin>,
    /// What the two bins aside hold.
    aside: [u64; 2],
    rest: Vec<Left>,
    moves: u64,
}

impl Search {
    /// The items of `packing` in bins of `capacities`, which do not increase, but the two smallest; as many bins fewer as
    /// needed are emptied, those with the smallest loads.
    fn start(packing: &Packing, sizes: &[u64], capacities: &[u64], supply: &Supply) -> Self {
        let mut bins: Vec<Bin> = packing
            .class_of
            .iter()
            .map(|&class| supply.classes.get(class as usize).map_or(0, |class| class.capacity))
            .map(|capacity| Bin { capacity, load: 0, items: Vec::new() })
            .collect();
        let mut rest = Vec::new();
        for (&bin, &size) in packing.bin_of.iter().zip(sizes).filter(|(_, size)| **size > 0) {
            match bins.get_mut(bin as usize) {
                Some(bin) => bin.add(size),
                None => rest.push(Left { size, free_at: 0 }),
            }
        }
        let (kept, aside) = capacities.split_at(capacities.len().saturating_sub(2));
        bins.sort_by_key(|bin| std::cmp::Reverse(bin.load));
        let emptied = bins.split_off(kept.len().min(bins.len()));
        rest.extend(emptied.iter().flat_map(|bin| &bin.items).map(|&size| Left { size, free_at: 0 }));
        // Bins by capacity: what stands in the i-th largest fits into the i-th largest there is.
        bins.sort_by_key(|bin| std::cmp::Reverse(bin.capacity));
        bins.resize_with(kept.len(), || Bin { capacity: 0, load: 0, items: Vec::new() });
        for (bin, &capacity) in bins.iter_mut().zip(kept) {
            bin.capacity = capacity;
        }
        let aside = [0, 1].map(|place| aside.get(place).copied().unwrap_or(0));
        Self { bins, aside, rest, moves: 0 }
    }

    /// Moves until everything has a place. `None` when time or patience ends.
    fn run(mut self, random: &mut Random, patience: usize, watch: &mut Watch<'_>) -> Option<Contents> {
        let mut stale = 0_usize;
        let mut least = u128::MAX;
        let rounds = ROUNDS.min(ROUNDS_OF_ITEM.saturating_mul(self.items()));
        while stale < rounds.saturating_mul(patience).div_ceil(100) {
            if let Some(contents) = self.complete() {
                return Some(contents);
            }
            let before = least;
            if self.improve(&mut least, random, watch) {
                continue;
            }
            for _ in 0..self.bins.len() {
                self.refill(random);
                if watch.spent(MOST_STEPS / 16) {
                    return None;
                }
                if self.size_of_rest() < least {
                    break;
                }
            }
            stale = if self.size_of_rest().min(least) < before { 0 } else { stale.saturating_add(1) };
            if stale % 8 == 7 {
                self.trade(random);
            }
            if watch.look() {
                return None;
            }
        }
        None
    }

    /// Makes moves; whether the rest became small enough to try the bins aside.
    fn improve(&mut self, least: &mut u128, random: &mut Random, watch: &mut Watch<'_>) -> bool {
        let mut idle = 0;
        while idle < MOVES {
            let Some(best) = self.best_move(random) else { return false };
            if watch.spent(self.bins.len().saturating_mul(self.rest.len())) {
                return false;
            }
            self.make(best, random);
            let size = self.size_of_rest();
            idle = if size < *least { 0 } else { idle.saturating_add(1) };
            if size < *least {
                *least = size;
                let [first, second] = self.aside.map(u128::from);
                if size <= first.saturating_add(second) && self.fits_aside().is_some() {
                    return true;
                }
            }
        }
        false
    }

    /// The move with the largest gain whose items may go in; of equals one drawn by lot.
    fn best_move(&self, random: &mut Random) -> Option<Move> {
        let mut free: Vec<u64> =
            self.rest.iter().filter(|left| left.free_at <= self.moves).map(|left| left.size).collect();
        free.sort_unstable_by(|a, b| b.cmp(a));
        let into = pairs(&free);
        let mut best: Option<Move> = None;
        let mut ties = 0_u64;
        for (bin, held) in self.bins.iter().enumerate() {
            let mut items = held.items.clone();
            items.sort_unstable_by(|a, b| b.cmp(a));
            for (out_sum, out) in std::iter::once((0, [0, 0])).chain(pairs(&items)) {
                let room = u128::from(held.room()).saturating_add(out_sum);
                // Pairs by falling sums: the first that fits is the best.
                let first = into.partition_point(|&(sum, _)| sum > room);
                let Some(&(sum, into)) = into.get(first) else { continue };
                let gain = i128::try_from(sum)
                    .unwrap_or(i128::MAX)
                    .saturating_sub(i128::try_from(out_sum).unwrap_or(0));
                let is_same = out == into;
                ties = match best {
                    _ if is_same => continue,
                    Some(best) if gain < best.gain => continue,
                    Some(best) if gain == best.gain => ties.saturating_add(1),
                    _ => 1,
                };
                if random.below(ties) == 0 {
                    best = Some(Move { bin, out, into, gain });
                }
            }
        }
        best
    }

    fn make(&mut self, Move { bin, out, into, .. }: Move, random: &mut Random) {
        self.moves = self.moves.saturating_add(1);
        let Some(bin) = self.bins.get_mut(bin) else { return };
        for size in out.into_iter().filter(|&size| size > 0) {
            bin.remove(size);
            let free_at = self.moves.saturating_add(TENURE).saturating_add(random.below(TENURE));
            self.rest.push(Left { size, free_at });
        }
        for size in into.into_iter().filter(|&size| size > 0) {
            bin.add(size);
            let moves = self.moves;
            let place = self.rest.iter().position(|left| left.size == size && left.free_at <= moves);
            place.map(|place| self.rest.swap_remove(place));
        }
    }

    /// Lets items of two bins trade places where that makes the fuller bin fuller, and at times where it does not.
    fn trade(&mut self, random: &mut Random) {
        if self.bins.len() < 2 {
            return;
        }
        for _ in 0..self.bins.len().saturating_mul(20) {
            let (one, two) = (random.position(self.bins.len()), random.position(self.bins.len()));
            let Ok([one, two]) = self.bins.get_disjoint_mut([one, two]) else { continue };
            let give = if one.items.is_empty() { 0 } else { one.items[random.position(one.items.len())] };
            // The largest item that the first bin can take for its own.
            let room = one.room().saturating_add(give);
            let take =
                two.items.iter().copied().filter(|&size| size <= room && size != give).max().unwrap_or(0);
            let fits = two.room().saturating_add(take) >= give;
            let is_better = take > give && one.load.saturating_add(take).saturating_sub(give) > two.load;
            if fits && take > 0 && (is_better || random.below(8) == 0) {
                one.remove(give);
                two.remove(take);
                one.add(take);
                if give > 0 {
                    two.add(give);
                }
            }
        }
    }

    fn items(&self) -> usize {
        self.bins.iter().map(|bin| bin.items.len()).sum::<usize>().saturating_add(self.rest.len())
    }

    fn size_of_rest(&self) -> u128 {
        self.rest.iter().map(|left| u128::from(left.size)).sum()
    }

    /// Fills a few bins anew with what they hold and what is left over, each from an item drawn by lot; kept if no more is
    /// left over then.
    fn refill(&mut self, random: &mut Random) {
        let count = random.below(MOST_REFILLED).saturating_add(1);
        let mut drawn: Vec<usize> = (0..count).map(|_| random.position(self.bins.len())).collect();
        drawn.sort_unstable();
        drawn.dedup();
        let held =
            drawn.iter().filter_map(|&bin| self.bins.get(bin)).flat_map(|bin| bin.items.iter().copied());
        let mut sizes: Vec<u64> = held.chain(self.rest.iter().map(|left| left.size)).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let mut types = Types::of(&sizes);
        let mut filled = Vec::with_capacity(drawn.len());
        for &bin in &drawn {
            types.drop_empty();
            let capacity = self.bins.get(bin).map_or(0, |bin| bin.capacity);
            let seed = random.position(types.len());
            let size = types.size(seed);
            let mut items = Vec::new();
            if size > 0 && size <= capacity {
                types.take(seed);
                items.push(size);
            }
            let load: u64 = items.iter().sum();
            for index in fullest(&types, capacity.saturating_sub(load), MOST_STEPS) {
                items.push(types.size(index));
                types.take(index);
            }
            filled.push(items);
        }
        if types.total() > self.size_of_rest() {
            return;
        }
        for (&bin, items) in drawn.iter().zip(filled) {
            if let Some(bin) = self.bins.get_mut(bin) {
                bin.load = items.iter().fold(0, |sum, &size| sum.saturating_add(size));
                bin.items = items;
            }
        }
        self.rest = types.expanded().into_iter().map(|size| Left { size, free_at: 0 }).collect();
    }

    /// What of the rest goes into the first of the bins aside, if the other holds what is left then.
    fn fits_aside(&self) -> Option<[Vec<u64>; 2]> {
        let mut sizes: Vec<u64> = self.rest.iter().map(|left| left.size).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let mut types = Types::of(&sizes);
        let [first, second] = self.aside;
        let chosen = fullest(&types, first, MOST_STEPS);
        for &index in &chosen {
            types.take(index);
        }
        let held = chosen.iter().map(|&index| types.size(index)).collect();
        (types.total() <= u128::from(second)).then(|| [held, types.expanded()])
    }

    fn complete(&self) -> Option<Contents> {
        let aside = self.fits_aside()?;
        Some(self.bins.iter().map(|bin| bin.items.clone()).chain(aside).collect())
    }
}

/// One or two of `items`, which do not increase, with their sums, by falling sums. The same sizes stand there once; of many
/// items some are looked at, spread over the sizes.
fn pairs(items: &[u64]) -> Vec<(u128, [u64; 2])> {
    let twice = |run: &[u64]| run.iter().copied().take(2).collect::<Vec<_>>();
    let distinct: Vec<u64> = items.chunk_by(|a, b| a == b).flat_map(twice).collect();
    let stride = distinct.len().div_ceil(MOST_ITEMS).max(1);
    let items: Vec<u64> = distinct.into_iter().step_by(stride).collect();
    let mut pairs: Vec<(u128, [u64; 2])> = Vec::with_capacity(items.len().saturating_mul(4));
    for (place, &one) in items.iter().enumerate() {
        pairs.push((u128::from(one), [one, 0]));
        let others = items.iter().skip(place.saturating_add(1));
        pairs.extend(others.map(|&other| (u128::from(one).saturating_add(u128::from(other)), [one, other])));
    }
    pairs.sort_unstable_by(|a, b| b.cmp(a));
    pairs.dedup();
    pairs
}
