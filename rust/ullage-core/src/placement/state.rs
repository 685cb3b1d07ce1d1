//! [`State`]: a placement being made, which can be undone step by step.

use crate::placement::model::{Model, Unit, covers};

/// What is minimised, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Score {
    /// The value of what is left over.
    pub(super) dropped: u64,
    /// Bytes that leave the device they were on.
    pub(super) moved: u64,
    /// Of the devices in use.
    pub(super) cost: u64,
}

impl Score {
    /// Worse than any other.
    pub(super) const WORST: Self = Self { dropped: u64::MAX, moved: u64::MAX, cost: u64::MAX };
}

/// A finished placement in the solvers' terms.
#[derive(Clone, Debug)]
pub(super) struct Solution {
    pub(super) score: Score,
    /// For each unit its bins, none where it is left over.
    pub(super) places: Vec<Vec<u32>>,
    /// The class of each bin.
    pub(super) class_of: Vec<u32>,
}

/// A device that may hold something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bin {
    pub(super) class: usize,
    pub(super) free: Vec<u64>,
    /// Of which it holds a member.
    pub(super) groups: Vec<u32>,
    pub(super) members: usize,
}

/// A placement being made.
#[derive(Clone)]
pub(super) struct State<'a> {
    pub(super) model: &'a Model,
    pub(super) bins: Vec<Bin>,
    /// Devices of each class that are no bin yet.
    pub(super) left: Vec<usize>,
    pub(super) places: Vec<Vec<u32>>,
    /// Of what is placed; what is left over is for its user to add.
    pub(super) moved: u64,
    pub(super) cost: u64,
    pub(super) moves: u64,
}

impl<'a> State<'a> {
    pub(super) fn new(model: &'a Model) -> Self {
        let mut state = Self {
            model,
            bins: Vec::new(),
            left: model.classes.iter().map(|class| class.count).collect(),
            places: vec![Vec::new(); model.units.len()],
            moved: 0,
            cost: 0,
            moves: 0,
        };
        for &class in &model.homes {
            state.open(class);
        }
        state
    }

    pub(super) fn unit(&self, unit: usize) -> &'a Unit {
        &self.model.units[unit]
    }

    /// Makes a device of `class` a bin, which costs nothing while it is empty.
    pub(super) fn open(&mut self, class: usize) -> usize {
        let free = self.model.classes[class].usable.clone();
        self.left[class] = self.left[class].saturating_sub(1);
        self.bins.push(Bin { class, free, groups: Vec::new(), members: 0 });
        self.bins.len().saturating_sub(1)
    }

    /// Takes back the last [`State::open`].
    pub(super) fn close(&mut self) {
        if let Some(bin) = self.bins.pop() {
            self.left[bin.class] = self.left[bin.class].saturating_add(1);
        }
    }

    /// Whether a replica of `unit` may join `bin`.
    pub(super) fn admits(&self, bin: usize, unit: usize) -> bool {
        let (bin, index) = (&self.bins[bin], bin);
        let unit = self.unit(unit);
        covers(&bin.free, &unit.demand)
            && unit.is_possible
            && unit.allowed.is_none_or(|set| self.model.allowed[set][bin.class])
            && !unit.groups.iter().any(|group| bin.groups.contains(group))
            && self.model.moving(unit, index).1 <= self.model.most_moves.saturating_sub(self.moves)
    }

    /// Whether a replica of `unit` may go onto a device of `class` that is no bin yet.
    pub(super) fn admits_new(&self, class: usize, unit: usize) -> bool {
        let unit = self.unit(unit);
        self.left[class] > 0
            && self.model.suits(unit, class)
            && unit.away.1 <= self.model.most_moves.saturating_sub(self.moves)
    }

    pub(super) fn put(&mut self, unit: usize, index: usize) {
        let model = self.model;
        let (needs, bin) = (&model.units[unit], &mut self.bins[index]);
        if bin.members == 0 {
            self.cost = self.cost.saturating_add(model.classes[bin.class].cost);
        }
        bin.members = bin.members.saturating_add(1);
        bin.groups.extend_from_slice(&needs.groups);
        for (free, &demand) in bin.free.iter_mut().zip(&needs.demand) {
            *free = free.saturating_sub(demand);
        }
        let (bytes, items) = model.moving(needs, index);
        self.moved = self.moved.saturating_add(bytes);
        self.moves = self.moves.saturating_add(items);
        self.places[unit].push(u32::try_from(index).unwrap_or(u32::MAX));
    }

    /// Takes back a [`State::put`].
    pub(super) fn take(&mut self, unit: usize, index: usize) {
        let model = self.model;
        let (needs, bin) = (&model.units[unit], &mut self.bins[index]);
        bin.members = bin.members.saturating_sub(1);
        if bin.members == 0 {
            self.cost = self.cost.saturating_sub(model.classes[bin.class].cost);
        }
        bin.groups.retain(|group| !needs.groups.contains(group));
        for (free, &demand) in bin.free.iter_mut().zip(&needs.demand) {
            *free = free.saturating_add(demand);
        }
        let (bytes, items) = model.moving(needs, index);
        self.moved = self.moved.saturating_sub(bytes);
        self.moves = self.moves.saturating_sub(items);
        let places = &mut self.places[unit];
        if let Some(place) = places.iter().rposition(|&place| place as usize == index) {
            places.remove(place);
        }
    }

    /// Takes all replicas of `unit` back.
    pub(super) fn take_all(&mut self, unit: usize) {
        while let Some(&bin) = self.places[unit].last() {
            self.take(unit, bin as usize);
        }
    }

    /// The score, where all units without a place are left over.
    pub(super) fn score(&self) -> Score {
        let left = self.model.units.iter().zip(&self.places).filter(|(_, places)| places.is_empty());
        let dropped = left.fold(0, |sum: u64, (unit, _)| sum.saturating_add(unit.value));
        Score { dropped, moved: self.moved, cost: self.cost }
    }

    pub(super) fn solution(&self) -> Solution {
        Solution {
            score: self.score(),
            places: self.places.clone(),
            class_of: self.bins.iter().map(|bin| u32::try_from(bin.class).unwrap_or(u32::MAX)).collect(),
        }
    }

    /// The state that `solution` stands for.
    pub(super) fn restored(model: &'a Model, solution: &Solution) -> Self {
        let mut state = Self::new(model);
        for &class in solution.class_of.iter().skip(model.homes.len()) {
            state.open(class as usize);
        }
        for (unit, places) in solution.places.iter().enumerate() {
            for &bin in places {
                state.put(unit, bin as usize);
            }
        }
        state
    }
}
