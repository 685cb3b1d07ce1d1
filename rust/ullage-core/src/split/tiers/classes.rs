//! [`Room`] and [`Class`]: the problem as a knapsack, for one size of the buffers.

use std::collections::HashMap;

use super::problem::Problem;

/// A figure for each tier.
pub(super) type PerTier = [u64; Problem::MOST_TIERS];

/// A tier that a piece may lie in, and what it takes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Choice {
    pub(super) tier: usize,
    pub(super) cost: u64,
    pub(super) used: PerTier,
}

/// Pieces that are alike.
pub(super) struct Class {
    /// The pieces, ascending.
    pub(super) pieces: Vec<usize>,
    /// At least one.
    pub(super) choices: Vec<Choice>,
}

/// What is left of each tier for weights and states once workspaces and buffers are taken.
pub(super) struct Room {
    pub(super) capacities: PerTier,
    /// The largest piece that may be fetched.
    pub(super) largest: u64,
    /// Tiers that can compute.
    works: [bool; Problem::MOST_TIERS],
}

impl Room {
    /// The room of `problem` with buffers for fetched pieces of at most `largest` bytes; `None` where these do not fit.
    pub(super) fn of(problem: &Problem, largest: u64) -> Option<Self> {
        Self::with(problem, largest, largest.saturating_mul(problem.buffers()))
    }

    /// The room in which every piece may be fetched and no buffer is needed: what fits any other fits it.
    pub(super) fn widest(problem: &Problem) -> Option<Self> {
        let largest = problem.pieces().iter().map(|piece| piece.weights.get()).max().unwrap_or(0);
        Self::with(problem, largest, 0)
    }

    fn with(problem: &Problem, largest: u64, buffers: u64) -> Option<Self> {
        let workspace = problem.pieces().iter().map(|piece| piece.workspace.get()).max().unwrap_or(0);
        let mut room =
            Self { capacities: [0; Problem::MOST_TIERS], largest, works: [false; Problem::MOST_TIERS] };
        let fetching = (0..problem.tiers().len()).find(|&tier| problem.is_fetched(tier));
        let worker = fetching.map(|tier| problem.tiers()[tier].worker);
        for (index, tier) in problem.tiers().iter().enumerate() {
            room.capacities[index] = tier.usable();
            if tier.worker != index {
                continue;
            }
            if let Some(rest) = tier.usable().checked_sub(workspace) {
                (room.capacities[index], room.works[index]) = (rest, true);
            }
            if worker == Some(index) {
                room.capacities[index] = room.capacities[index].checked_sub(buffers)?;
            }
        }
        Some(room)
    }

    /// The tiers that `piece` may lie in.
    pub(super) fn choices(&self, problem: &Problem, piece: usize) -> Vec<Choice> {
        let it = &problem.pieces()[piece];
        let mut choices = Vec::with_capacity(problem.tiers().len());
        for (index, tier) in problem.tiers().iter().enumerate() {
            let is_movable = tier.worker == index || it.weights.get() <= self.largest;
            let mut used = [0; Problem::MOST_TIERS];
            used[index] = it.weights.get();
            used[tier.worker] = used[tier.worker].saturating_add(it.state.get());
            if is_movable && self.works[tier.worker] && self.holds(&used) {
                choices.push(Choice { tier: index, cost: problem.time(piece, index), used });
            }
        }
        choices
    }

    pub(super) fn holds(&self, used: &PerTier) -> bool {
        used.iter().zip(&self.capacities).all(|(used, capacity)| used <= capacity)
    }

    /// The pieces of `problem`, those alike together; `None` where one has no choice.
    pub(super) fn classes(&self, problem: &Problem) -> Option<Vec<Class>> {
        let mut index: HashMap<Vec<Choice>, usize> = HashMap::new();
        let mut classes: Vec<Class> = Vec::new();
        for piece in 0..problem.pieces().len() {
            let choices = self.choices(problem, piece);
            if choices.is_empty() {
                return None;
            }
            let place = *index.entry(choices).or_insert_with_key(|choices| {
                classes.push(Class { pieces: Vec::new(), choices: choices.clone() });
                classes.len().saturating_sub(1)
            });
            classes[place].pieces.push(piece);
        }
        Some(classes)
    }
}

/// The sum of two figures a tier, the second taken `times` times.
pub(super) fn plus(a: &PerTier, b: &PerTier, times: u64) -> PerTier {
    std::array::from_fn(|tier| a[tier].saturating_add(b[tier].saturating_mul(times)))
}
