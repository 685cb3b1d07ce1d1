//! Bin completion: exact search that decides bin after bin which items fill it, for bins of one capacity.
//!
//! For each number of bins from the lower bound on, the largest item left gets the contents that leave no more waste than
//! so many bins may have in all, the fullest first (Korf, "A new algorithm for optimal bin packing", AAAI 2002; the order by
//! numbers of bins is the iterative weakening of Schreiber and Korf, "Improved bin completion for optimal bin packing and
//! number partitioning", IJCAI 2013). What is cut:
//!
//! - *dominance*: a content in which an item left out could take the place of others no larger in sum;
//! - *bound*: L2 of the rest is above the bins left;
//! - *memory*: the same items are left with no more bins as where nothing was found before.
//!
//! Few items a bin make this fast. Where a bin has more than [`MOST_CONTENTS`] contents the rest of them is left out, and
//! nothing is proven.

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::pack::bounds::threshold;
use crate::pack::reduce::reduce;
use crate::pack::subsets::subsets;
use crate::pack::types::{Contents, Types};
use crate::solving::Watch;

/// Contents of a bin that are looked at.
const MOST_CONTENTS: usize = 1 << 12;
/// Steps to find these.
const MOST_STEPS: usize = 1 << 17;
/// Counts kept of items left where nothing was found: 64 MiB.
const MOST_MEMORY: usize = 1 << 24;
/// All subsets of so many items of a content are tried against items left out, of more items pairs alone.
const FEW_ITEMS: usize = 8;

/// What bin completion found.
pub(crate) struct Completed {
    /// A packing with fewer bins than were to beat.
    pub(crate) best: Option<Contents>,
    /// No packing has fewer bins.
    pub(crate) lower_bound: usize,
    /// Nothing is better than `best`, or than what was to beat.
    pub(crate) is_proven: bool,
    pub(crate) nodes: u64,
}

/// Looks for a packing of fewer than `to_beat` bins, knowing that fewer than `known` do not do. No size is zero or above
/// the capacity.
pub(crate) fn complete(
    types: &Types,
    capacity: u64,
    known: usize,
    to_beat: usize,
    watch: &mut Watch<'_>,
) -> Completed {
    let mut rest = types.clone();
    let forced = reduce(&mut rest, capacity);
    rest.drop_empty();
    let mut found = Completed { best: None, lower_bound: known.max(forced.len()), is_proven: true, nodes: 0 };
    while found.lower_bound < to_beat {
        let bins = found.lower_bound.saturating_sub(forced.len());
        let mut search = Search {
            rest: rest.clone(),
            capacity,
            failed: HashMap::new(),
            memory: 0,
            nodes: 0,
            is_complete: true,
        };
        let contents = search.pack(bins, watch);
        found.nodes = found.nodes.saturating_add(search.nodes);
        if let Some(contents) = contents {
            found.best = Some(forced.iter().cloned().chain(contents).collect());
            return found;
        }
        if !search.is_complete {
            found.is_proven = false;
            return found;
        }
        found.lower_bound = found.lower_bound.saturating_add(1);
        watch.found(None, found.lower_bound as u64);
    }
    found
}

struct Search {
    /// Items that are in no bin yet.
    rest: Types,
    capacity: u64,
    /// Counts of items left, and the most bins that they do not fit into.
    failed: HashMap<Box<[u32]>, usize>,
    memory: usize,
    nodes: u64,
    /// Everything was looked at.
    is_complete: bool,
}

/// A bin being decided: the positions of its items, for each content that is left to try, the best last.
struct Level {
    contents: Vec<Vec<usize>>,
    /// The content that is being tried.
    tried: Vec<usize>,
    counts: Box<[u32]>,
}

impl Search {
    /// A packing into `bins` bins; `None` if there is none, or where the search is not complete.
    fn pack(&mut self, bins: usize, watch: &mut Watch<'_>) -> Option<Contents> {
        if self.rest.items() == 0 {
            return Some(Contents::new());
        }
        let mut path = vec![self.level(bins)?];
        loop {
            if watch.spent(self.rest.len().saturating_mul(16)) {
                self.is_complete = false;
                return None;
            }
            let depth = path.len();
            let level = path.last_mut()?;
            level.tried.drain(..).for_each(|index| self.rest.put(index));
            let Some(content) = level.contents.pop() else {
                let level = path.pop()?;
                self.remember(level.counts, bins.saturating_sub(depth.saturating_sub(1)));
                continue;
            };
            for &index in &content {
                self.rest.take(index);
            }
            level.tried = content;
            if self.rest.counts.iter().all(|&count| count == 0) {
                let size = |&index: &usize| self.rest.size(index);
                return Some(path.iter().map(|level| level.tried.iter().map(size).collect()).collect());
            }
            path.extend(self.level(bins.saturating_sub(depth)));
        }
    }

    /// What may be in the bin of the largest item left, while there are `bins`; `None` if that leads nowhere.
    fn level(&mut self, bins: usize) -> Option<Level> {
        self.nodes = self.nodes.saturating_add(1);
        let whole = u128::from(self.capacity).saturating_mul(bins as u128);
        let waste = whole.checked_sub(self.rest.total())?;
        let counts: Box<[u32]> = self.rest.counts.as_slice().into();
        if self.failed.get(&counts).is_some_and(|&most| bins <= most) {
            return None;
        }
        if threshold(&self.rest.expanded(), self.capacity).0 > bins {
            return None;
        }
        let first = self.rest.counts.iter().position(|&count| count > 0);
        let Some(first) = first else {
            return Some(Level { contents: Vec::new(), tried: Vec::new(), counts });
        };
        self.rest.take(first);
        let contents = self.contents(first, waste);
        self.rest.put(first);
        Some(Level { contents, tried: Vec::new(), counts })
    }

    /// The contents beside item `first`, which is taken, the best last.
    fn contents(&mut self, first: usize, waste: u128) -> Vec<Vec<usize>> {
        let room = self.capacity.saturating_sub(self.rest.size(first));
        let least = u64::try_from(u128::from(room).saturating_sub(waste)).unwrap_or(0);
        let mut found: Vec<(u64, Vec<usize>)> = Vec::new();
        if least == 0 && !self.is_dominated(&[], room) {
            found.push((0, vec![first]));
        }
        let is_complete = subsets(&self.rest, room, least.max(1), MOST_STEPS, |chosen, sum| {
            if self.is_dominated(chosen, room.saturating_sub(sum)) {
                return ControlFlow::Continue(least.max(1));
            }
            if found.len() >= MOST_CONTENTS {
                return ControlFlow::Break(());
            }
            found.push((sum, std::iter::once(first).chain(chosen.iter().copied()).collect()));
            ControlFlow::Continue(least.max(1))
        });
        self.is_complete &= is_complete;
        // Stable: of equal sums the earlier, which has the larger items, is the better.
        found.reverse();
        found.sort_by_key(|(sum, _)| *sum);
        found.into_iter().map(|(_, content)| content).collect()
    }

    /// Whether an item not chosen fits in the place of some of `chosen`, or of none, no larger in sum, and is larger than one.
    fn is_dominated(&self, chosen: &[usize], slack: u64) -> bool {
        let used = |index: usize| chosen.iter().filter(|&&other| other == index).count();
        let replaces = |sum: u64, parts: usize| {
            let fits = sum.saturating_add(slack);
            let start = self.rest.sizes.partition_point(|&size| size > fits);
            let able =
                self.rest.sizes.iter().enumerate().skip(start).take_while(|&(_, &size)| size >= sum.max(1));
            let mut able = able.filter(|&(_, &size)| size > sum || parts > 1);
            able.any(|(index, _)| self.rest.count(index) as usize > used(index))
        };
        if replaces(0, 0) {
            return true;
        }
        if chosen.len() <= FEW_ITEMS {
            return (1_usize..1 << chosen.len()).any(|mask| {
                let part = chosen.iter().enumerate().filter(|&(place, _)| mask >> place & 1 == 1);
                let sum = part.map(|(_, &index)| self.rest.size(index)).fold(0_u64, u64::saturating_add);
                replaces(sum, mask.count_ones() as usize)
            });
        }
        chosen.iter().enumerate().any(|(place, &one)| {
            let size = self.rest.size(one);
            let others = chosen.iter().skip(place.saturating_add(1));
            replaces(size, 1)
                || others.into_iter().any(|&other| replaces(size.saturating_add(self.rest.size(other)), 2))
        })
    }

    fn remember(&mut self, counts: Box<[u32]>, bins: usize) {
        if self.is_complete && self.memory < MOST_MEMORY {
            self.memory = self.memory.saturating_add(counts.len());
            let most = self.failed.entry(counts).or_insert(bins);
            *most = bins.max(*most);
        }
    }
}
