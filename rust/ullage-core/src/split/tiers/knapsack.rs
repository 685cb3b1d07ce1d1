//! The knapsack of several capacities: class after class, all partial placements that could still be the best.

use super::classes::{Class, Room, plus};
use super::frontier::{Partial, thinned};
use super::prices::Prices;
use super::problem::Problem;
use crate::solving::Watch;

/// The most partial placements that are kept of one class.
const MOST: usize = 1 << 17;

/// The most that one partial placement may be continued by: beyond it the search gives up.
const MOST_BRANCHES: usize = 1 << 21;

/// What the knapsack is of.
pub(super) struct Knapsack<'a> {
    pub(super) classes: &'a [Class],
    pub(super) room: &'a Room,
    pub(super) prices: &'a Prices,
}

/// What came of it.
pub(super) struct Found {
    /// The tier of each piece, with the cost, where something cheaper than the best known was found.
    pub(super) best: Option<(Vec<usize>, u64)>,
    /// No placement in this room costs less than this and than the best.
    pub(super) bound: u64,
}

impl Knapsack<'_> {
    /// Looks for a placement of `pieces` pieces that costs less than `known`.
    pub(super) fn solve(&self, pieces: usize, known: u64, watch: &mut Watch<'_>) -> Found {
        let rests = self.prices.rests(self.classes);
        let root = Partial { cost: 0, used: [0; 4], before: 0, counts: [0; 4] };
        let root_bound = self.prices.bound(0, &root.used, rests[0]);
        if root_bound >= known {
            return Found { best: None, bound: known };
        }
        let scarce = self.scarce();
        let mut layers: Vec<Vec<Partial>> = vec![vec![root]];
        let mut bound = u64::MAX;
        for (index, class) in self.classes.iter().enumerate() {
            let rest = rests[index.saturating_add(1)];
            let mut next = Vec::new();
            let here = layers.last().map_or(&[][..], Vec::as_slice);
            for (before, partial) in here.iter().enumerate() {
                let before = u32::try_from(before).unwrap_or(u32::MAX);
                let mut branch = Branch { knapsack: self, class, rest, known, before, out: &mut next, watch };
                let is_done =
                    branch.grow(&self.dearest_first(class), class.pieces.len() as u64, partial, [0; 4]);
                if !is_done {
                    return Found { best: None, bound: root_bound };
                }
                if next.len() > MOST.saturating_mul(8) {
                    bound = bound.min(self.trim(&mut next, &scarce, rest));
                }
            }
            bound = bound.min(self.trim(&mut next, &scarce, rest));
            layers.push(next);
        }
        let last = layers.last().map_or(&[][..], Vec::as_slice);
        let best = last.iter().enumerate().min_by_key(|(_, partial)| partial.cost);
        let best = best.map(|(place, partial)| (self.traced(pieces, &layers, place), partial.cost));
        Found { best, bound: bound.max(root_bound) }
    }

    /// Tiers that could be over-full.
    fn scarce(&self) -> Vec<usize> {
        let most = |tier: usize| {
            let of = |class: &Class| {
                let used = class.choices.iter().map(|choice| choice.used[tier]).max().unwrap_or(0);
                used.saturating_mul(class.pieces.len() as u64)
            };
            self.classes.iter().map(of).fold(0, u64::saturating_add)
        };
        (0..Problem::MOST_TIERS).filter(|&tier| most(tier) > self.room.capacities[tier]).collect()
    }

    /// The choices of a class, that which costs most with its bytes paid for first.
    fn dearest_first(&self, class: &Class) -> Vec<usize> {
        let mut order: Vec<usize> = (0..class.choices.len()).collect();
        order.sort_by_key(|&choice| std::cmp::Reverse(self.prices.charged(&class.choices[choice])));
        order
    }

    /// Leaves the most promising of `partials`; a bound on those that had to go.
    fn trim(&self, partials: &mut Vec<Partial>, scarce: &[usize], rest: i128) -> u64 {
        *partials = thinned(std::mem::take(partials), scarce);
        if partials.len() <= MOST {
            return u64::MAX;
        }
        let bound = |partial: &Partial| self.prices.bound(partial.cost, &partial.used, rest);
        partials.sort_by_key(|partial| (bound(partial), partial.used, partial.cost));
        let gone = partials.split_off(MOST);
        gone.first().map_or(u64::MAX, bound)
    }

    /// The tier of each piece: of pieces alike, the first lie in the last tiers.
    fn traced(&self, pieces: usize, layers: &[Vec<Partial>], mut place: usize) -> Vec<usize> {
        let mut assignment = vec![0; pieces];
        for (class, layer) in self.classes.iter().zip(layers.iter().skip(1)).rev() {
            let Some(partial) = layer.get(place) else { break };
            let mut tiers: Vec<usize> = Vec::with_capacity(class.pieces.len());
            for (choice, &count) in class.choices.iter().zip(&partial.counts) {
                tiers.extend(std::iter::repeat_n(choice.tier, usize::try_from(count).unwrap_or(0)));
            }
            tiers.sort_unstable_by_key(|&tier| std::cmp::Reverse(tier));
            for (&piece, tier) in class.pieces.iter().zip(tiers) {
                assignment[piece] = tier;
            }
            place = usize::try_from(partial.before).unwrap_or(0);
        }
        assignment
    }
}

/// One partial placement and the next class.
struct Branch<'a, 'w> {
    knapsack: &'a Knapsack<'a>,
    class: &'a Class,
    rest: i128,
    known: u64,
    before: u32,
    out: &'a mut Vec<Partial>,
    watch: &'a mut Watch<'w>,
}

impl Branch<'_, '_> {
    /// Spreads `left` pieces over the `choices` in every way that could still be part of the best; whether it came to
    /// the end.
    fn grow(
        &mut self,
        choices: &[usize],
        left: u64,
        from: &Partial,
        counts: [u32; Problem::MOST_TIERS],
    ) -> bool {
        let Knapsack { room, prices, .. } = *self.knapsack;
        let Some((&choice, others)) = choices.split_first() else { return true };
        let taken = &self.class.choices[choice];
        // What is not spread yet will cost at least as much as if all of it took the cheapest choice.
        let cheapest = choices.last().map_or(0, |&last| prices.charged(&self.class.choices[last]));
        let first = if others.is_empty() { left } else { 0 };
        for count in first..=left {
            let used = plus(&from.used, &taken.used, count);
            let cost = from.cost.saturating_add(taken.cost.saturating_mul(count));
            let rest =
                cheapest.saturating_mul(i128::from(left.saturating_sub(count))).saturating_add(self.rest);
            if !room.holds(&used) || prices.bound(cost, &used, rest) >= self.known {
                return true; // with more of this choice, which is dearer than the rest, it gets no better
            }
            if self.watch.spent(1) || self.out.len() >= MOST_BRANCHES {
                return false;
            }
            let mut counts = counts;
            counts[choice] = u32::try_from(count).unwrap_or(u32::MAX);
            let partial = Partial { cost, used, before: self.before, counts };
            if count == left {
                self.out.push(partial);
            } else if !self.grow(others, left.saturating_sub(count), &partial, counts) {
                return false;
            }
        }
        true
    }
}
