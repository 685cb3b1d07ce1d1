//! [`Cover`]: whether some of a few patterns hold every item exactly once, by exhaustive search.
//!
//! Prices in whole numbers at which no pattern is worth more than a bin say what each pattern falls short of it. In a
//! solution of so many bins the shortfalls sum to what the bins are worth above all items: where that is little, few
//! patterns are left, and a path soon has no shortfall left to spend. The type with the fewest patterns is placed next
//! (Knuth, "Dancing links", 2000).

use crate::pack::columns::clock::Clock;
use crate::pack::columns::stock::{Pattern, Patterns};

/// Nodes between two looks at the clock.
const NODES_BETWEEN_CHECKS: u64 = 256;

/// Patterns with what each falls short of a bin, and what all in a solution may.
pub(super) struct Pool {
    pub(super) patterns: Vec<(i64, Pattern)>,
    pub(super) budget: i64,
}

/// What a search found.
pub(super) enum Covered {
    /// These patterns hold every item.
    By(Patterns),
    /// Nothing does.
    Never,
    /// The nodes ran out.
    Open,
}

struct Search<'a> {
    pool: &'a Pool,
    /// Items of each type without a pattern.
    left: Vec<u32>,
    /// Patterns that hold each type, with the copies.
    holders: Vec<Vec<(u32, u32)>>,
    /// Reasons not to use each pattern: types of which it holds too many, and choices against it.
    barred: Vec<u32>,
    /// Patterns of each type that are not barred.
    usable: Vec<u32>,
    budget: i64,
    chosen: Vec<u32>,
    /// The most patterns that may be chosen: cuts leave the budget some room for more.
    bins: usize,
    nodes: u64,
}

/// Looks for at most `bins` patterns of `pool` that hold `demand`, for at most `nodes` nodes.
pub(super) fn cover(pool: &Pool, demand: &[u32], bins: usize, nodes: u64, clock: &Clock<'_, '_>) -> Covered {
    let mut search = Search::new(pool, demand, bins, nodes);
    match search.place(clock) {
        Some(true) => {
            Covered::By(search.chosen.iter().map(|&p| (pool.patterns[p as usize].1.clone(), 1)).collect())
        }
        Some(false) => Covered::Never,
        None => Covered::Open,
    }
}

impl<'a> Search<'a> {
    fn new(pool: &'a Pool, demand: &[u32], bins: usize, nodes: u64) -> Self {
        let mut holders = vec![Vec::new(); demand.len()];
        for (index, (_, pattern)) in (0..).zip(&pool.patterns) {
            for &(kind, copies) in pattern {
                holders[kind as usize].push((index, copies));
            }
        }
        let usable = holders.iter().map(|holders| holders.len() as u32).collect();
        let barred = vec![0; pool.patterns.len()];
        Self {
            left: demand.to_vec(),
            holders,
            barred,
            usable,
            budget: pool.budget,
            chosen: Vec::new(),
            bins,
            pool,
            nodes,
        }
    }

    /// Whether the items left can be placed; `None` if nodes or time run out.
    fn place(&mut self, clock: &Clock<'_, '_>) -> Option<bool> {
        self.nodes = self.nodes.checked_sub(1)?;
        if self.nodes.is_multiple_of(NODES_BETWEEN_CHECKS) && clock.stopped() {
            return None;
        }
        let open = (0..self.left.len()).filter(|&kind| self.left[kind] > 0);
        let Some(kind) = open.min_by_key(|&kind| self.usable[kind]) else { return Some(true) };
        if self.chosen.len() >= self.bins {
            return Some(false);
        }
        let mut tried = Vec::new();
        let mut outcome = Some(false);
        for at in 0..self.holders[kind].len() {
            let (pattern, _) = self.holders[kind][at];
            let shortfall = self.pool.patterns[pattern as usize].0;
            if self.barred[pattern as usize] > 0 {
                continue;
            }
            if shortfall <= self.budget {
                self.choose(pattern, shortfall);
                outcome = self.place(clock);
                if outcome != Some(false) {
                    break;
                }
                self.take_back(pattern, shortfall);
            }
            // What holds this type without the pattern is still to be looked at.
            self.bar(pattern);
            tried.push(pattern);
        }
        if outcome == Some(false) {
            for pattern in tried {
                self.unbar(pattern);
            }
        }
        outcome
    }

    fn choose(&mut self, pattern: u32, shortfall: i64) {
        self.budget -= shortfall;
        self.chosen.push(pattern);
        for &(kind, copies) in &self.pool.patterns[pattern as usize].1 {
            let before = self.left[kind as usize];
            self.left[kind as usize] = before - copies;
            for at in 0..self.holders[kind as usize].len() {
                let (other, held) = self.holders[kind as usize][at];
                if held > before - copies && held <= before {
                    self.bar(other);
                }
            }
        }
    }

    fn take_back(&mut self, pattern: u32, shortfall: i64) {
        for &(kind, copies) in self.pool.patterns[pattern as usize].1.iter().rev() {
            let before = self.left[kind as usize] + copies;
            for at in 0..self.holders[kind as usize].len() {
                let (other, held) = self.holders[kind as usize][at];
                if held > before - copies && held <= before {
                    self.unbar(other);
                }
            }
            self.left[kind as usize] = before;
        }
        self.chosen.pop();
        self.budget += shortfall;
    }

    fn bar(&mut self, pattern: u32) {
        self.barred[pattern as usize] += 1;
        if self.barred[pattern as usize] == 1 {
            for &(kind, _) in &self.pool.patterns[pattern as usize].1 {
                self.usable[kind as usize] -= 1;
            }
        }
    }

    fn unbar(&mut self, pattern: u32) {
        self.barred[pattern as usize] -= 1;
        if self.barred[pattern as usize] == 0 {
            for &(kind, _) in &self.pool.patterns[pattern as usize].1 {
                self.usable[kind as usize] += 1;
            }
        }
    }
}
