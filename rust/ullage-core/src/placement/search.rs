//! Exact depth-first branch and bound, one unit a level, its replicas one after the other.
//!
//! Each replica goes onto a bin or opens one; where not all must be kept, a unit may be left over. Branches that cannot
//! lead to a better score, or lead to one that another branch covers, are cut:
//!
//! - *bounds*: see [`Bounds`]; and units that fit nowhere any more, or not where they stand;
//! - *memory*: partial placements like one that was searched through and had cost no more: see [`Memo`];
//! - *equal bins*: of bins of one class with the same room and groups one is tried, of devices to open one a class;
//! - *equal units* and the replicas of one unit are placed in the order of their [`Rank`]s, which takes every set of bins
//!   once. Where one of several equal units is left over, so are those after it.

use crate::placement::bounds::Bounds;
use crate::placement::memo::Memo;
use crate::placement::model::Model;
use crate::placement::state::{Score, Solution, State};
use crate::solving::Watch;

/// What the search found.
pub(super) struct Found {
    /// The best, if it is better than the score to beat.
    pub(super) best: Option<Solution>,
    /// Nothing is better than the best, or than the score to beat where nothing was found.
    pub(super) proven: bool,
    pub(super) nodes: u64,
}

/// When to be content, and when to give up.
#[derive(Clone, Copy)]
pub(super) struct Aim {
    /// Only what scores less is of interest.
    pub(super) to_beat: Score,
    /// What scores no more ends the search.
    pub(super) enough: Score,
    pub(super) most_nodes: u64,
}

/// The order in which the replicas of a unit, and equal units, try bins: by position, then devices to open by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Bin(usize),
    New(usize),
    LeftOver,
}

/// A way to place a replica.
#[derive(Clone, Copy)]
struct Choice {
    /// Bytes moved, cost of opening, room left: the least is tried first.
    key: (u64, u64, u64),
    rank: Rank,
    /// The bin of the equal unit before.
    is_same: bool,
    bin: Option<usize>,
}

struct Tree<'a, 'w, 'l> {
    model: &'a Model,
    bounds: &'a Bounds,
    state: State<'a>,
    order: Vec<usize>,
    /// Whether the unit at this place equals the one before.
    repeats: Vec<bool>,
    /// Rank and bin of the unit at each place, and the number of bins before the first of its equals.
    trail: Vec<(Rank, usize, usize)>,
    /// Units not placed or left over.
    open: Vec<bool>,
    dropped: u64,
    memo: Memo,
    best: Option<Solution>,
    incumbent: Score,
    enough: Score,
    nodes: u64,
    most_nodes: u64,
    stopped: bool,
    watch: &'w mut Watch<'l>,
}

/// Looks for what scores less than `aim.to_beat`.
pub(super) fn search(model: &Model, bounds: &Bounds, aim: Aim, watch: &mut Watch<'_>) -> Found {
    let (order, repeats) = branching_order(model);
    let mut tree = Tree {
        model,
        bounds,
        state: State::new(model),
        trail: vec![(Rank::LeftOver, 0, 0); order.len()],
        order,
        repeats,
        open: vec![true; model.units.len()],
        dropped: 0,
        memo: Memo::new(),
        best: None,
        incumbent: aim.to_beat,
        enough: aim.enough,
        nodes: 0,
        most_nodes: aim.most_nodes,
        stopped: false,
        watch,
    };
    tree.unit(0);
    let content = tree.best.is_some() && tree.incumbent <= aim.enough;
    Found { proven: content || !tree.stopped, best: tree.best, nodes: tree.nodes }
}

/// The units with the fewest places to go first, then the largest; equal ones side by side.
fn branching_order(model: &Model) -> (Vec<usize>, Vec<bool>) {
    let width = model.resources;
    let largest: Vec<u64> = (0..width)
        .map(|resource| model.classes.iter().map(|class| class.usable[resource]).max().unwrap_or(0).max(1))
        .collect();
    let keys: Vec<(bool, u128)> = model
        .units
        .iter()
        .map(|unit| {
            let suited = (0..model.classes.len()).filter(|&class| model.suits(unit, class));
            let places = suited.fold(0_usize, |sum, class| sum.saturating_add(model.classes[class].count));
            let is_free = places > unit.copies.saturating_mul(2);
            let parts = unit.demand.iter().zip(&largest).map(|(&demand, &whole)| {
                u128::from(demand).saturating_mul(1 << 32).checked_div(u128::from(whole)).unwrap_or(0)
            });
            (is_free, u128::MAX.saturating_sub(parts.max().unwrap_or(0)))
        })
        .collect();
    let mut order: Vec<usize> = (0..model.units.len()).collect();
    order.sort_by(|&a, &b| {
        let (one, other) = (&model.units[a], &model.units[b]);
        let tie =
            |unit: usize| (&model.units[unit].demand, model.units[unit].allowed, &model.units[unit].groups);
        keys[a].cmp(&keys[b]).then_with(|| other.value.cmp(&one.value)).then_with(|| tie(a).cmp(&tie(b)))
    });
    let equal = |a: usize, b: usize| {
        let (a, b) = (&model.units[a], &model.units[b]);
        (a.copies, b.copies) == (1, 1)
            && a.is_possible == b.is_possible
            && (&a.demand, a.value, a.allowed, &a.groups) == (&b.demand, b.value, b.allowed, &b.groups)
            && a.away == (0, 0)
            && b.away == (0, 0)
    };
    let mut repeats = vec![false; order.len()];
    for (at, pair) in order.windows(2).enumerate() {
        repeats[at.saturating_add(1)] = equal(pair[0], pair[1]);
    }
    (order, repeats)
}

impl Tree<'_, '_, '_> {
    /// Decides on the unit at place `at` and on all after it.
    fn unit(&mut self, at: usize) {
        self.nodes = self.nodes.saturating_add(1);
        let work =
            self.order.len().saturating_sub(at).saturating_mul(self.state.bins.len().saturating_add(1));
        if self.nodes >= self.most_nodes || self.watch.spent(work.saturating_mul(4)) {
            self.stopped = true;
        }
        let Some(&unit) = self.order.get(at) else { return self.finish() };
        if self.stopped || self.is_hopeless(at) || self.was_here(at) {
            return;
        }
        self.open[unit] = false;
        let before = at.checked_sub(1).filter(|_| self.repeats[at]).map(|before| self.trail[before]);
        if before.is_none_or(|(rank, ..)| rank != Rank::LeftOver) {
            self.replica(at, 0, before);
        }
        let value = self.model.units[unit].value;
        if self.model.may_drop && !self.stopped {
            self.trail[at] = (Rank::LeftOver, 0, 0);
            self.dropped = self.dropped.saturating_add(value);
            self.unit(at.saturating_add(1));
            self.dropped = self.dropped.saturating_sub(value);
        }
        self.open[unit] = true;
    }

    /// Whether a partial placement that is as good for all that comes was searched through. Within a run of equal units
    /// what comes depends on the rank of the one before, too: there nothing is remembered.
    fn was_here(&mut self, at: usize) -> bool {
        if self.repeats[at] {
            return false;
        }
        let spent = [self.dropped, self.state.moved, self.state.cost, self.state.moves];
        self.memo.knows(at, &self.order[at..], &self.state, spent)
    }

    /// Decides on a replica, then on the next. `before` has the rank that it may not fall below.
    fn replica(&mut self, at: usize, copy: usize, before: Option<(Rank, usize, usize)>) {
        let unit = self.order[at];
        if copy == self.model.units[unit].copies {
            return self.unit(at.saturating_add(1));
        }
        for choice in self.choices(unit, copy, before) {
            let (bin, is_new) = match (choice.bin, choice.rank) {
                (Some(bin), _) => (bin, false),
                (None, Rank::New(class)) => (self.state.open(class), true),
                (None, _) => continue,
            };
            let edge = before.filter(|_| copy == 0).map_or_else(
                || self.state.bins.len().saturating_sub(usize::from(is_new)),
                |(_, _, edge)| edge,
            );
            self.state.put(unit, bin);
            let step = (choice.rank, bin, edge);
            if copy == 0 {
                self.trail[at] = step;
            }
            self.replica(at, copy.saturating_add(1), Some(step));
            self.state.take(unit, bin);
            if is_new {
                self.state.close();
            }
            if self.stopped {
                return;
            }
        }
    }

    fn choices(&self, unit: usize, copy: usize, before: Option<(Rank, usize, usize)>) -> Vec<Choice> {
        let (state, model) = (&self.state, self.model);
        let mut choices: Vec<Choice> = Vec::new();
        let demand = model.units[unit].demand.first().copied().unwrap_or(0);
        let room = |free: &[u64]| free.first().copied().unwrap_or(0).saturating_sub(demand);
        // Of an earlier replica the bin itself is out of question; of an equal unit it is as good as its rank.
        let (first_bin, last_bin, first_class) = match before {
            None => (0, state.bins.len(), 0),
            Some((rank, _, edge)) => {
                let last = if copy == 0 { edge } else { state.bins.len() };
                match rank {
                    Rank::Bin(bin) => (bin.saturating_add(1), last, 0),
                    Rank::New(class) => (last, last, class),
                    Rank::LeftOver => (last, last, model.classes.len()),
                }
            }
        };
        let opening = |bin: usize| {
            let bin = &state.bins[bin];
            if bin.members == 0 { model.classes[bin.class].cost } else { 0 }
        };
        if let Some((rank, bin, _)) = before.filter(|_| copy == 0)
            && state.admits(bin, unit)
        {
            choices.push(Choice { key: (0, 0, 0), rank, is_same: true, bin: Some(bin) });
        }
        for bin in first_bin..last_bin {
            let twin = |choice: &Choice| {
                choice.bin.is_some_and(|other| !choice.is_same && self.are_twins(bin, other))
            };
            if state.admits(bin, unit) && !choices.iter().any(twin) {
                let moved = model.moving(&model.units[unit], bin).0;
                let key = (moved, opening(bin), room(&state.bins[bin].free));
                choices.push(Choice { key, rank: Rank::Bin(bin), is_same: false, bin: Some(bin) });
            }
        }
        for class in first_class..model.classes.len() {
            if state.admits_new(class, unit) {
                let Some(kind) = model.classes.get(class) else { continue };
                let key = (model.units[unit].away.0, kind.cost, room(&kind.usable));
                choices.push(Choice { key, rank: Rank::New(class), is_same: false, bin: None });
            }
        }
        choices.sort_by_key(|choice| choice.key);
        choices
    }

    fn are_twins(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.state.bins[a], &self.state.bins[b]);
        if a.class != b.class || a.free != b.free || a.groups.len() != b.groups.len() {
            return false;
        }
        let sorted = |groups: &[u32]| {
            let mut groups = groups.to_vec();
            groups.sort_unstable();
            groups
        };
        a.groups.is_empty() || sorted(&a.groups) == sorted(&b.groups)
    }

    fn finish(&mut self) {
        let score = self.state.score();
        if score < self.incumbent && (self.model.may_drop || score.dropped == 0) {
            self.incumbent = score;
            self.best = Some(self.state.solution());
            if score.dropped == 0 && score.moved == 0 {
                self.watch.found(Some(score.cost), 0);
            }
            self.stopped = self.stopped || score <= self.enough;
        }
    }

    /// Whether nothing below scores less than the best.
    fn is_hopeless(&self, at: usize) -> bool {
        let model = self.model;
        let mut mask = self.open.clone();
        let mut stuck = 0_u64;
        for &unit in &self.order[at..] {
            if self.has_places(unit) {
                continue;
            }
            if !model.may_drop {
                return true;
            }
            mask[unit] = false;
            stuck = stuck.saturating_add(model.units[unit].value);
        }
        let mut dropped = self.dropped.saturating_add(stuck);
        if dropped > self.incumbent.dropped {
            return true;
        }
        if model.may_drop {
            let rest = self.order[at..].iter().filter(|&&unit| mask[unit]);
            let rest = rest.fold(0_u64, |sum, &unit| sum.saturating_add(model.units[unit].value));
            dropped = dropped.saturating_add(rest.saturating_sub(self.bounds.most_value(&self.state, &mask)));
            if dropped > self.incumbent.dropped {
                return true;
            }
            // What is worth more than may still be left over must be placed.
            let budget = self.incumbent.dropped.saturating_sub(self.dropped);
            for &unit in &self.order[at..] {
                mask[unit] = mask[unit] && model.units[unit].value > budget;
            }
        }
        let Some((more, _)) = self.bounds.more_cost(&self.state, &mask) else { return true };
        let Some(moved) = self.bytes_forced(at, &mask) else { return true };
        let least = Score {
            dropped,
            moved: self.state.moved.saturating_add(moved),
            cost: self.state.cost.saturating_add(more),
        };
        least >= self.incumbent
    }

    /// Whether there are enough bins and devices left for `unit`.
    fn has_places(&self, unit: usize) -> bool {
        let copies = self.model.units[unit].copies;
        let mut places = 0_usize;
        for bin in 0..self.state.bins.len() {
            places = places.saturating_add(usize::from(self.state.admits(bin, unit)));
            if places >= copies {
                return true;
            }
        }
        for class in 0..self.model.classes.len() {
            if self.state.admits_new(class, unit) {
                places = places.saturating_add(self.state.left[class]);
            }
            if places >= copies {
                return true;
            }
        }
        false
    }

    /// Bytes of replicas that cannot stay where they stand; `None` where more would have to move than may.
    fn bytes_forced(&self, at: usize, mask: &[bool]) -> Option<u64> {
        if self.model.homes.is_empty() {
            return Some(0);
        }
        let (mut bytes, mut items) = (0_u64, 0_u64);
        for &unit in self.order[at..].iter().filter(|&&unit| mask[unit]) {
            let needs = &self.model.units[unit];
            let stays = |home: &&(u32, u64, u64)| {
                home.1 == 0 && home.2 == 0 && self.state.admits(home.0 as usize, unit)
            };
            let staying = needs.home.iter().filter(stays).count();
            let forced = needs.copies.saturating_sub(staying) as u64;
            let partly = needs.home.iter().filter(|home| home.2 > 0);
            let (least_bytes, least_items) =
                partly.fold(needs.away, |least, home| (least.0.min(home.1), least.1.min(home.2)));
            bytes = bytes.saturating_add(least_bytes.saturating_mul(forced));
            items = items.saturating_add(least_items.saturating_mul(forced));
        }
        (self.state.moves.saturating_add(items) <= self.model.most_moves).then_some(bytes)
    }
}
