//! [`Master`]: the set-covering program over patterns, and column generation.

use std::collections::HashSet;

use crate::pack::columns::clock::Clock;
use crate::pack::columns::price::{Pricer, Prices};
use crate::pack::columns::simplex::{End, Program};
use crate::pack::columns::stock::{CuttingStock, Pattern};

/// What an item without a pattern costs.
const PENALTY: f64 = 4.0;
/// Reduced costs that count as zero, in units of whole prices.
const INDIFFERENT: i64 = 8;
/// The share of the best prices so far among those that patterns are looked for with (Wentges).
const SMOOTHING: f64 = 0.5;
/// Nodes of the pricer's search for the highest price, where its table is rounded.
const PROOF_NODES: u64 = 400_000;
const ROUNDS_BETWEEN_PURGES: usize = 8;

/// How column generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// No pattern improves the program.
    Converged,
    /// The bound equals the rounded-up value: no more patterns raise it.
    Bounded,
    /// The rounds allowed are over.
    Open,
    Stopped,
    Failed,
}

#[derive(Clone, Debug)]
pub(super) struct Master {
    pub(super) program: Program,
    /// The pattern of each column; `None` for artificial, slack and exchange columns.
    patterns: Vec<Option<Pattern>>,
    known: HashSet<Pattern>,
    pub(super) demand: Vec<u32>,
    /// Every item in exactly one pattern, instead of at least one.
    exact: bool,
    /// Goes on until no pattern improves the program, even where the bound is known.
    pub(super) thorough: bool,
    /// No solution has fewer bins than this.
    pub(super) bound: u64,
    /// The prices of the best bound, as a fraction, and the bound.
    centre: Option<(f64, Vec<f64>)>,
}

impl Master {
    /// A program that `patterns` and a pattern of each single type are part of.
    pub(super) fn new(demand: &[u32], exact: bool, patterns: impl IntoIterator<Item = Pattern>) -> Self {
        let rhs = demand.iter().map(|&demand| f64::from(demand)).collect();
        let mut master = Self {
            program: Program::new(rhs, PENALTY),
            patterns: vec![None; demand.len()],
            known: HashSet::new(),
            demand: demand.to_vec(),
            exact,
            thorough: false,
            bound: 0,
            centre: None,
        };
        if !exact {
            for row in 0..demand.len() {
                master.push(None, 0.0, &[(row as u32, -1.0)]);
            }
        }
        for pattern in patterns {
            master.add(pattern);
        }
        master
    }

    /// Starts from the patterns that hold as many of one type as a bin holds.
    pub(super) fn start_with_single_types(&mut self, stock: &CuttingStock) {
        for (row, &(size, demand)) in stock.types.iter().enumerate() {
            let copies = (stock.capacity / size).min(u64::from(demand)) as u32;
            if copies > 0 {
                let pattern: Pattern = [(row as u32, copies)].into();
                if let Some(column) = self.add(pattern) {
                    self.program.start_with(row, column);
                }
            }
        }
    }

    /// Lets a larger item's place be taken by the next smaller one, which keeps prices increasing in size.
    /// Returns how many columns that took.
    pub(super) fn add_exchanges(&mut self) -> usize {
        let rows = self.demand.len();
        for row in 1..rows as u32 {
            self.push(None, 0.0, &[(row - 1, -1.0), (row, 1.0)]);
        }
        rows - 1
    }

    /// Takes the exchanges out.
    pub(super) fn drop_exchanges(&mut self) {
        for column in 0..self.program.columns() {
            if self.patterns[column].is_none() && self.program.entries_of(column) == 2 {
                self.program.set_removed(column, true);
            }
        }
    }

    /// All patterns known.
    pub(super) fn patterns(&self) -> Vec<Pattern> {
        self.patterns.iter().flatten().cloned().collect()
    }

    fn push(&mut self, pattern: Option<Pattern>, cost: f64, entries: &[(u32, f64)]) -> usize {
        self.patterns.push(pattern);
        self.program.add(cost, entries.iter().copied())
    }

    /// Adds a pattern unless it is known.
    pub(super) fn add(&mut self, pattern: Pattern) -> Option<usize> {
        if pattern.is_empty() || !self.known.insert(pattern.clone()) {
            return None;
        }
        let entries: Vec<(u32, f64)> =
            pattern.iter().map(|&(row, copies)| (row, f64::from(copies))).collect();
        Some(self.push(Some(pattern), 1.0, &entries))
    }

    pub(super) fn pattern(&self, column: usize) -> Option<&Pattern> {
        self.patterns[column].as_ref()
    }

    /// The patterns in use and how often, by column.
    pub(super) fn used(&self) -> Vec<(usize, f64)> {
        let mut used: Vec<(usize, f64)> = self
            .program
            .basis()
            .iter()
            .copied()
            .filter(|&column| self.patterns[column].is_some())
            .map(|column| (column, self.program.value(column)))
            .filter(|&(_, value)| value > 1e-6)
            .collect();
        used.sort_unstable_by_key(|&(column, _)| column);
        used
    }

    /// Takes `times` copies of `pattern` as settled.
    pub(super) fn settle(&mut self, pattern: &[(u32, u32)], times: u32) {
        for &(row, copies) in pattern {
            let left = &mut self.demand[row as usize];
            *left = left.saturating_sub(copies * times);
            self.program.set_rhs(row as usize, f64::from(*left));
        }
        self.centre = None;
    }

    /// Takes out the patterns that hold more of a type than is left of it.
    pub(super) fn drop_improper(&mut self) {
        for (column, pattern) in self.patterns.iter().enumerate() {
            if let Some(pattern) = pattern
                && pattern.iter().any(|&(row, copies)| copies > self.demand[row as usize])
            {
                self.program.set_removed(column, true);
            }
        }
    }

    /// Generates patterns until the bound is known, or `rounds` are over.
    pub(super) fn converge(&mut self, pricer: &mut Pricer, clock: &Clock<'_, '_>, rounds: usize) -> Progress {
        self.bound = 0;
        let mut smoothing = SMOOTHING;
        for round in 1..=rounds {
            match self.program.primal(clock) {
                End::Optimal => {}
                End::Stopped => return Progress::Stopped,
                End::Failed => return Progress::Failed,
            }
            if round.is_multiple_of(ROUNDS_BETWEEN_PURGES) {
                self.purge();
            }
            let value = self.program.objective();
            let y = self.smoothed(smoothing);
            let highest = pricer.set_prices(pricer.scaled(&y));
            let one = pricer.prices().one;
            let found = pricer.best(one + INDIFFERENT, self.columns_per_round());
            let mut highest = highest;
            if found.is_empty() && !pricer.is_exact() {
                highest = pricer.highest(one, PROOF_NODES).unwrap_or(highest).min(highest);
            }
            self.note_bound(pricer.prices(), highest, &y);
            if self.bound as f64 >= value - 1e-3 && !self.thorough {
                return Progress::Bounded;
            }
            let mut improving = 0;
            for priced in found {
                if let Some(column) = self.add(priced.pattern)
                    && self.program.reduced_cost(column) < -1e-7
                {
                    improving += 1;
                }
            }
            if improving > 0 {
                smoothing = SMOOTHING;
            } else if smoothing > 0.0 && self.centre.is_some() {
                smoothing = if smoothing > 0.2 { 0.15 } else { 0.0 };
            } else {
                return Progress::Converged;
            }
            if clock.stopped() {
                return Progress::Stopped;
            }
        }
        Progress::Open
    }

    fn columns_per_round(&self) -> usize {
        (self.demand.len() / 2).clamp(20, 150)
    }

    fn smoothed(&self, share: f64) -> Vec<f64> {
        let y = self.program.prices();
        match &self.centre {
            Some((_, centre)) if share > 0.0 => {
                y.iter().zip(centre).map(|(y, centre)| share * centre + (1.0 - share) * y).collect()
            }
            _ => y.to_vec(),
        }
    }

    /// The bound that `prices` prove when no pattern is worth more than `highest` (Farley).
    fn note_bound(&mut self, prices: &Prices, highest: i64, y: &[f64]) {
        if highest <= 0 {
            return;
        }
        let usable = |price: i64| if self.exact { price } else { price.max(0) };
        let worth: i128 = prices
            .of
            .iter()
            .zip(&self.demand)
            .map(|(&price, &d)| i128::from(usable(price)) * i128::from(d))
            .sum();
        if worth <= 0 {
            return;
        }
        let bound = (worth + i128::from(highest) - 1) / i128::from(highest);
        self.bound = self.bound.max(u64::try_from(bound).unwrap_or(0));
        let fraction = worth as f64 / highest as f64;
        if self.centre.as_ref().is_none_or(|&(best, _)| fraction > best) {
            self.centre = Some((fraction, y.to_vec()));
        }
    }

    /// Forgets columns that are far from being used.
    fn purge(&mut self) {
        let rows = self.program.rows();
        if self.program.columns() < 4 * rows + 300 {
            return;
        }
        let mut costs: Vec<f64> =
            (0..self.program.columns()).map(|column| self.program.reduced_cost(column)).collect();
        let at = (2 * rows + 150).min(costs.len() - 1);
        let (_, &mut limit, _) = costs.select_nth_unstable_by(at, f64::total_cmp);
        let patterns = &self.patterns;
        let kept = self
            .program
            .retain(|program, column| patterns[column].is_none() || program.reduced_cost(column) <= limit);
        let mut old = std::mem::take(&mut self.patterns);
        self.patterns = kept.iter().map(|&column| old[column].take()).collect();
        self.known = self.patterns.iter().flatten().cloned().collect();
    }
}
