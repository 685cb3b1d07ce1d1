//! Every way of cutting the pieces into one run a tier, the last run in the first tier.

use super::classes::PerTier;
use super::problem::Problem;
use crate::solving::Watch;

/// The best cut so far.
pub(super) struct Search<'a, 'w> {
    problem: &'a Problem,
    /// A row of times for each tier.
    times: Vec<Vec<u64>>,
    workspace: u64,
    /// The first piece of each tier's run, with the cost.
    best: Option<(PerTier, u64)>,
    watch: &'a mut Watch<'w>,
    is_stopped: bool,
}

/// What the runs of the first tiers take.
#[derive(Clone, Copy)]
struct Taken {
    cost: u64,
    /// Weights and states.
    used: PerTier,
    /// Whether each tier computes anything.
    works: [bool; Problem::MOST_TIERS],
    /// The largest piece that is fetched.
    largest: u64,
}

/// The tier of each piece by the best cut with its cost, and whether all cuts were looked at.
pub(super) fn search(problem: &Problem, watch: &mut Watch<'_>) -> (Option<(Vec<usize>, u64)>, bool) {
    let pieces = problem.pieces().len();
    let row = |tier: usize| (0..pieces).map(|piece| problem.time(piece, tier)).collect();
    let mut search = Search {
        problem,
        times: (0..problem.tiers().len()).map(row).collect(),
        workspace: problem.pieces().iter().map(|piece| piece.workspace.get()).max().unwrap_or(0),
        best: None,
        watch,
        is_stopped: false,
    };
    let nothing = Taken { cost: 0, used: [0; 4], works: [false; 4], largest: 0 };
    search.fill(0, pieces, nothing, [0; 4]);
    let best = search.best.map(|(firsts, cost)| (assigned(&firsts, pieces, problem.tiers().len()), cost));
    (best, !search.is_stopped)
}

fn assigned(firsts: &PerTier, pieces: usize, tiers: usize) -> Vec<usize> {
    let of = |piece: usize| (0..tiers).find(|&tier| firsts[tier] <= piece as u64).unwrap_or(0);
    (0..pieces).map(of).collect()
}

impl Search<'_, '_> {
    /// Gives `tier` every run that ends before piece `end`, the shortest first.
    fn fill(&mut self, tier: usize, end: usize, mut taken: Taken, mut firsts: PerTier) {
        let is_last = tier.saturating_add(1) == self.problem.tiers().len();
        for first in (0..=end).rev() {
            if first < end && !self.add(&mut taken, tier, first) {
                return;
            }
            if self.is_stopped || self.best.is_some_and(|(_, best)| taken.cost >= best) {
                return; // a longer run costs no less
            }
            firsts[tier] = first as u64;
            if first == 0 {
                let rest = firsts.iter_mut().take(self.problem.tiers().len()).skip(tier.saturating_add(1));
                rest.for_each(|first| *first = 0);
                self.best = Some((firsts, taken.cost));
            } else if !is_last {
                self.fill(tier.saturating_add(1), first, taken, firsts);
            }
        }
    }

    /// Adds a piece to the run of `tier`; whether everything still fits.
    fn add(&mut self, taken: &mut Taken, tier: usize, piece: usize) -> bool {
        let it = &self.problem.pieces()[piece];
        let worker = self.problem.tiers()[tier].worker;
        taken.cost = taken.cost.saturating_add(self.times[tier][piece]);
        taken.used[tier] = taken.used[tier].saturating_add(it.weights.get());
        taken.used[worker] = taken.used[worker].saturating_add(it.state.get());
        taken.works[worker] = true;
        if worker != tier {
            taken.largest = taken.largest.max(it.weights.get());
        }
        self.is_stopped = self.watch.spent(1);
        let buffers = taken.largest.saturating_mul(self.problem.buffers());
        let fetching = (0..self.problem.tiers().len()).find(|&tier| self.problem.is_fetched(tier));
        let fetcher = fetching.map(|tier| self.problem.tiers()[tier].worker);
        self.problem.tiers().iter().enumerate().all(|(index, tier)| {
            let workspace = if taken.works[index] { self.workspace } else { 0 };
            let buffers = if fetcher == Some(index) { buffers } else { 0 };
            taken.used[index].saturating_add(workspace).saturating_add(buffers) <= tier.usable()
        })
    }
}
