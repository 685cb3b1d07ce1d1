//! Branch and price for many equal bins, exactly.
//!
//! Items of equal size are one *type*; what one bin holds is a *pattern*. The program of Gilmore and Gomory ("A linear
//! programming approach to the cutting-stock problem", Operations Research 9, 1961) covers every type with as few
//! patterns as possible. Its value, rounded up, is nearly always the fewest bins. What happens, until bound and best
//! plan meet:
//!
//! 1. *Column generation*: `master` solves the program with the patterns known by `simplex`, `price` finds patterns that
//!    improve it, until there is none. Prices in whole numbers then prove the bound ([`master`] says how).
//! 2. *Diving*: `dive` settles what the program uses most, solves again, and so on.
//! 3. *Decision*: may so many bins as the bound be enough? Then the room that they leave in all is known, no bin leaves
//!    more, and most patterns are out. `tree` branches on pairs of items until the answer is proven. If not enough, the
//!    bound is one more.
//!
//! Everything is the same in every run; the clock decides only when to stop.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "indices and counts are below 2^32 and prices below 2^24, by construction; sums of sizes are in u128"
)]

mod clock;
mod cover;
mod cuts;
mod dive;
mod factor;
mod groups;
mod master;
mod price;
mod search;
mod simplex;
pub(crate) mod stock;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use search::search;

use crate::solving::Watch;
use clock::Clock;
use cover::{Covered, Pool};
use cuts::exhaust;
use dive::dive;
use master::{Master, Progress};
use price::{Knapsack, Pricer};
use stock::{CuttingStock, Pattern, Patterns, bins};
use tree::{Tree, Verdict};

/// Attempts to dive, with all patterns and with the nearly full ones. Each passes over another pattern.
const DIVES: usize = 3;
/// Where sizes are too large for an exact table, nearly full patterns are not told apart as well.
const ROUNDED_DIVES: usize = 20;
const FULL_DIVES: usize = 8;
/// Beyond so many types the program is too large to be solved in sensible time.
const MOST_TYPES: usize = 2000;
/// Beyond so many items the tree, which tells all items apart, is.
const MOST_ITEMS: usize = 1500;
const ROUNDS: usize = 10_000;
/// Beyond so many bins no pool is searched, which goes a level down with every bin.
const MOST_BINS: usize = 2000;
/// Prices that are tried for a pool of patterns.
const PRICES: u64 = 6;
/// Patterns beyond which no pool is kept, and up to which no smaller one is looked for.
const MOST_PATTERNS: usize = 30_000;
const FEW_PATTERNS: usize = 400;
/// Nodes of a pool's tree that are looked at, times its patterns.
const POOL_WORK: usize = 400_000;

/// What is known in the end.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// A plan of fewer bins than were to be beaten, if one was found.
    pub(crate) best: Option<Patterns>,
    /// No plan has fewer bins.
    pub(crate) bound: usize,
    /// Programs of the root and of the nodes of the tree.
    pub(crate) nodes: u64,
}

/// Looks for a plan of fewer than `to_beat` bins, given that none has fewer than `bound`, until that is settled.
///
/// Every size must fit, and sizes must strictly decrease.
pub(crate) fn solve(stock: &CuttingStock, to_beat: usize, bound: usize, watch: &mut Watch<'_>) -> Outcome {
    let demand: Vec<u32> = stock.types.iter().map(|&(_, demand)| demand).collect();
    let clock = Clock::new(watch);
    let mut solver = Solver { stock, demand, clock, best: None, upper: to_beat, bound, nodes: 0 };
    solver.bound = bound.max(stock.area());
    if stock.types.len() <= MOST_TYPES {
        solver.run();
    }
    Outcome { best: solver.best, bound: solver.bound, nodes: solver.nodes }
}

struct Solver<'a, 'b, 'c> {
    stock: &'a CuttingStock,
    demand: Vec<u32>,
    clock: Clock<'b, 'c>,
    best: Option<Patterns>,
    upper: usize,
    bound: usize,
    nodes: u64,
}

impl Solver<'_, '_, '_> {
    fn run(&mut self) {
        let plain = self.stock.first_fit(&self.demand);
        self.offer(plain.clone());
        if self.settled() || self.clock.stopped() {
            return;
        }
        let mut pricer = Pricer::new(self.knapsack(self.stock.capacity));
        let mut master = Master::new(&self.demand, false, plain.into_iter().map(|(pattern, _)| pattern));
        master.start_with_single_types(self.stock);
        self.nodes = 1;
        self.relax(&mut master, &mut pricer);
        let dives = if pricer.is_exact() { DIVES } else { ROUNDED_DIVES };
        for turn in 0..dives {
            if self.settled() || self.clock.stopped() {
                break;
            }
            if let Some(found) = dive(self.stock, &master, &mut pricer, self.upper - 1, turn, &self.clock) {
                self.offer(found);
            }
        }
        while !self.settled() && !self.clock.stopped() {
            let seeds = master.patterns();
            match self.decide(seeds) {
                Verdict::Possible(found) => self.offer(found),
                Verdict::Impossible => self.raise(self.bound + 1),
                Verdict::Unknown => return,
            }
        }
    }

    fn settled(&self) -> bool {
        self.bound >= self.upper
    }

    fn offer(&mut self, found: Patterns) {
        if bins(&found) < self.upper {
            self.upper = bins(&found);
            self.best = Some(found);
            self.clock.found(self.upper, self.bound);
        }
    }

    fn raise(&mut self, bound: usize) {
        if bound > self.bound {
            self.bound = bound;
            self.clock.found(self.upper, self.bound);
        }
    }

    /// All types, in bins that leave at most `waste`.
    fn knapsack(&self, waste: u64) -> Knapsack {
        let capacity = self.stock.capacity;
        let caps =
            self.stock.types.iter().map(|&(size, demand)| u64::from(demand).min(capacity / size) as u32);
        let sizes = self.stock.types.iter().map(|&(size, _)| size).collect();
        Knapsack { caps: caps.collect(), sizes, capacity, waste }
    }

    /// Solves the program: with prices that increase in size first, which converges sooner, then without.
    fn relax(&mut self, master: &mut Master, pricer: &mut Pricer) {
        let exchanges = master.add_exchanges();
        for exchanging in [true, false] {
            if !exchanging {
                master.drop_exchanges();
                master.program.dual(&self.clock);
            }
            let end = master.converge(pricer, &self.clock, ROUNDS);
            self.raise(usize::try_from(master.bound).unwrap_or(usize::MAX));
            if matches!(end, Progress::Stopped | Progress::Failed) || exchanges == 0 || self.settled() {
                return;
            }
        }
    }

    /// Whether as many bins as the bound are enough.
    fn decide(&mut self, seeds: Vec<Pattern>) -> Verdict {
        let room = (self.bound as u128 * u128::from(self.stock.capacity)).saturating_sub(self.stock.total());
        let waste = u64::try_from(room).unwrap_or(u64::MAX).min(self.stock.capacity);
        let full = |pattern: &Pattern| {
            self.stock.load(pattern).saturating_add(u128::from(waste)) >= u128::from(self.stock.capacity)
        };
        let seeds = seeds.into_iter().filter(full);
        let mut pricer = Pricer::new(self.knapsack(waste));
        let mut master = Master::new(&self.demand, true, seeds);
        master.thorough = true;
        let end = master.converge(&mut pricer, &self.clock, ROUNDS);
        if master.bound > self.bound as u64 {
            return Verdict::Impossible;
        }
        if matches!(end, Progress::Stopped | Progress::Failed) {
            return Verdict::Unknown;
        }
        for turn in 0..FULL_DIVES {
            if let Some(found) = dive(self.stock, &master, &mut pricer, self.bound, turn, &self.clock) {
                return Verdict::Possible(found);
            }
        }
        if self.bound <= MOST_BINS
            && let Some(pool) = self.pool(&mut master.clone(), &mut pricer)
        {
            let nodes = POOL_WORK / pool.patterns.len().max(1);
            match exhaust(pool, &self.demand, self.bound, nodes, &self.clock) {
                Covered::By(found) => return Verdict::Possible(found),
                Covered::Never => return Verdict::Impossible,
                Covered::Open => {}
            }
        }
        if self.stock.items() > MOST_ITEMS {
            return Verdict::Unknown;
        }
        let mut tree = Tree::new(self.stock, self.bound, waste, &master.patterns());
        let verdict = tree.search(&self.clock);
        self.nodes += tree.nodes();
        verdict
    }

    /// The patterns that a plan of so many bins as the bound can use, if prices are found that leave few.
    ///
    /// Means of prices that are the best for slightly different demands rule out more than any of them.
    fn pool(&self, master: &mut Master, pricer: &mut Pricer) -> Option<Pool> {
        let mut sum = vec![0.0; self.demand.len()];
        let mut best: Option<Pool> = None;
        for turn in 1..=PRICES {
            if !pricer.is_exact() || best.as_ref().is_some_and(|best| best.patterns.len() <= FEW_PATTERNS) {
                break;
            }
            if turn > 1 {
                master.program.shake(turn);
                master.program.dual(&self.clock);
                if master.converge(pricer, &self.clock, ROUNDS) != Progress::Converged {
                    break;
                }
            }
            sum.iter_mut().zip(master.program.prices()).for_each(|(sum, price)| *sum += price);
            let mean: Vec<f64> = sum.iter().map(|sum| sum / turn as f64).collect();
            let whole = pricer.scaled(&mean);
            let worth: i64 = whole.of.iter().zip(&self.demand).map(|(&price, &d)| price * i64::from(d)).sum();
            let highest = pricer.set_prices(whole);
            if highest <= 0 {
                break;
            }
            let budget = self.bound as i64 * highest - worth;
            let most = best.as_ref().map_or(MOST_PATTERNS, |best| best.patterns.len());
            if let Some(found) = pricer.all(highest - budget, most, 20 * MOST_PATTERNS as u64) {
                let mut patterns: Vec<(i64, Pattern)> =
                    found.into_iter().map(|priced| (highest - priced.price, priced.pattern)).collect();
                patterns.sort_by_key(|pattern| pattern.0);
                best = Some(Pool { patterns, budget });
            }
        }
        best
    }
}
