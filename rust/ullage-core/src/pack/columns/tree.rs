//! [`Tree`]: whether so many bins are enough, by branching on pairs of items (Ryan and Foster, "An integer programming
//! approach to scheduling", 1981).
//!
//! Every item is in exactly one pattern, and items of equal size are told apart. A fractional solution of the program has
//! two items that share a bin only in part: they are together in one branch and apart in the other. A node ends once its
//! program provably needs more bins, or with whole numbers. Its columns stay for the next nodes; those that its decisions
//! forbid get the price of an item without a pattern, so that the basis stays feasible and leads on.

use std::collections::{BTreeMap, HashSet};

use crate::pack::columns::clock::Clock;
use crate::pack::columns::groups::Groups;
use crate::pack::columns::price::{Knapsack, Pricer};
use crate::pack::columns::simplex::{End, Program};
use crate::pack::columns::stock::{CuttingStock, Pattern, Patterns};

/// What an item without a pattern costs, and a pattern that is forbidden.
const PENALTY: f64 = 20.0;
const COLUMNS_PER_ROUND: usize = 60;
/// Variants of a pattern with other copies of its types.
const MOST_TURNS: u32 = 3;
/// Nodes of the pricer's search for a proof that no pattern is worth more.
const PROOF_NODES: u64 = 100_000;
/// Prices above a bin's in whole units that may be rounding.
const INDIFFERENT: i64 = 8;
/// Fractions that count as whole.
const WHOLE: f64 = 1e-3;

/// The answer to the question whether so many bins are enough.
pub(super) enum Verdict {
    Possible(Patterns),
    Impossible,
    Unknown,
}

pub(super) struct Tree<'a> {
    stock: &'a CuttingStock,
    bins: usize,
    waste: u64,
    /// The type of each item.
    kinds: Vec<u32>,
    /// The size of each item, largest first.
    sizes: Vec<u64>,
    program: Program,
    /// The items of each column, ascending; none for artificial ones.
    columns: Vec<Box<[u32]>>,
    known: HashSet<Box<[u32]>>,
    nodes: u64,
}

/// Pairs that share a bin and pairs that do not.
#[derive(Clone, Debug, Default)]
struct Node {
    together: Vec<(u32, u32)>,
    apart: Vec<(u32, u32)>,
}

enum Relaxed {
    /// More bins are needed.
    Impossible,
    /// Not proven so; what the node keeps together and apart.
    Open(Groups),
    Stopped,
}

impl<'a> Tree<'a> {
    /// A tree for `bins` bins that leave at most `waste` each, with `patterns` to start from.
    pub(super) fn new(stock: &'a CuttingStock, bins: usize, waste: u64, patterns: &[Pattern]) -> Self {
        let mut first = Vec::with_capacity(stock.types.len());
        let (mut kinds, mut sizes) = (Vec::new(), Vec::new());
        for (kind, &(size, demand)) in (0..).zip(&stock.types) {
            first.push(kinds.len() as u32);
            kinds.extend(std::iter::repeat_n(kind, demand as usize));
            sizes.extend(std::iter::repeat_n(size, demand as usize));
        }
        let rows = sizes.len();
        let program = Program::new(vec![1.0; rows], PENALTY);
        let columns = vec![Box::default(); rows];
        let mut tree =
            Self { stock, bins, waste, kinds, sizes, program, columns, known: HashSet::new(), nodes: 0 };
        // Each copy of a type takes its turn, so that all of them have patterns.
        let turns = stock.types.iter().map(|&(_, demand)| demand).max().unwrap_or(1).min(MOST_TURNS);
        for turn in 0..turns {
            for pattern in patterns {
                let items = pattern.iter().flat_map(|&(kind, copies)| {
                    let (start, demand) = (first[kind as usize], stock.types[kind as usize].1);
                    (0..copies).map(move |copy| start + (copy + turn) % demand)
                });
                let mut items: Vec<u32> = items.collect();
                items.sort_unstable();
                tree.add(items.into());
            }
        }
        tree
    }

    pub(super) fn nodes(&self) -> u64 {
        self.nodes
    }

    fn add(&mut self, items: Box<[u32]>) -> bool {
        let new = self.known.insert(items.clone());
        if new {
            self.program.add(1.0, items.iter().map(|&item| (item, 1.0)));
            self.columns.push(items);
        }
        new
    }

    /// Depth first, the pair together before it is apart.
    pub(super) fn search(&mut self, clock: &Clock<'_, '_>) -> Verdict {
        let mut open = vec![Node::default()];
        let mut proven = true;
        while let Some(node) = open.pop() {
            self.nodes += 1;
            let groups = match self.relax(&node, clock) {
                Relaxed::Stopped => return Verdict::Unknown,
                Relaxed::Impossible => continue,
                Relaxed::Open(groups) => groups,
            };
            let Some(pair) = self.branching_pair(&groups) else {
                match self.whole_solution() {
                    Some(patterns) => return Verdict::Possible(patterns),
                    // Whole but not a solution: an item without a pattern, where no proof against the node was found.
                    None => proven = false,
                }
                continue;
            };
            let mut apart = node.clone();
            apart.apart.push(pair);
            open.push(apart);
            let mut together = node;
            together.together.push(pair);
            open.push(together);
        }
        if proven { Verdict::Impossible } else { Verdict::Unknown }
    }

    /// The columns in use that the node allows, and how often.
    fn used(&self) -> impl Iterator<Item = (&[u32], f64)> + '_ {
        let allowed = self.program.basis().iter().filter(|&&column| !self.program.is_banned(column));
        let values = allowed.map(|&column| (&*self.columns[column], self.program.value(column)));
        values.filter(|(items, value)| *value > 1e-4 && !items.is_empty())
    }

    /// The columns in use as patterns, if they are a solution.
    fn whole_solution(&self) -> Option<Patterns> {
        let mut covered = vec![false; self.sizes.len()];
        let mut patterns = Patterns::new();
        for (items, _) in self.used().filter(|&(_, value)| value > 0.5) {
            let mut copies: BTreeMap<u32, u32> = BTreeMap::new();
            for &item in items {
                if std::mem::replace(&mut covered[item as usize], true) {
                    return None;
                }
                *copies.entry(self.kinds[item as usize]).or_default() += 1;
            }
            patterns.push((copies.into_iter().collect(), 1));
        }
        (covered.iter().all(|&covered| covered) && patterns.len() <= self.bins).then_some(patterns)
    }

    /// The pair that most looks like sharing a bin without doing so wholly; of alike ones the larger.
    fn branching_pair(&self, groups: &Groups) -> Option<(u32, u32)> {
        let mut shares: BTreeMap<(u32, u32), f64> = BTreeMap::new();
        for (items, value) in self.used() {
            for (at, &a) in items.iter().enumerate() {
                for &b in &items[at + 1..] {
                    *shares.entry((a, b)).or_default() += value;
                }
            }
        }
        let mut best: Option<(f64, (u32, u32))> = None;
        for (pair, share) in shares {
            if (WHOLE..1.0 - WHOLE).contains(&share) && !groups.decided(pair) {
                let size = (self.sizes[pair.0 as usize] as f64 + self.sizes[pair.1 as usize] as f64)
                    / self.stock.capacity as f64;
                let score = 0.05 * size - (share - 0.6).abs();
                if best.is_none_or(|(other, _)| score > other) {
                    best = Some((score, pair));
                }
            }
        }
        best.map(|(_, pair)| pair)
    }

    /// Solves the program of a node, as far as it takes to know whether it needs more bins.
    fn relax(&mut self, node: &Node, clock: &Clock<'_, '_>) -> Relaxed {
        let groups = Groups::new(&self.sizes, self.stock.capacity, &node.together, &node.apart);
        let Some(mut groups) = groups else { return Relaxed::Impossible };
        for (column, items) in self.columns.iter().enumerate().skip(self.sizes.len()) {
            let allowed = groups.allow(items);
            self.program.set_banned(column, !allowed, if allowed { 1.0 } else { PENALTY });
        }
        let sizes: Vec<u64> = groups.of.iter().map(|group| group.0).collect();
        let caps = vec![1; sizes.len()];
        let mut pricer =
            Pricer::new(Knapsack { sizes, caps, capacity: self.stock.capacity, waste: self.waste });
        pricer.set_apart(&groups.apart);
        loop {
            if self.program.primal(clock) != End::Optimal || clock.stopped() {
                return Relaxed::Stopped;
            }
            if self.is_enough() {
                return Relaxed::Open(groups);
            }
            let found = match self.price(&mut pricer, &groups) {
                Priced::Impossible => return Relaxed::Impossible,
                Priced::Columns(found) => found,
            };
            let mut any = false;
            for items in found {
                any |= self.add(items);
            }
            if !any {
                return Relaxed::Open(groups);
            }
        }
    }

    /// Whether the program needs no more bins, without items that lack a pattern.
    fn is_enough(&self) -> bool {
        let rows = self.sizes.len();
        let lacking =
            self.program.basis().iter().filter(|&&column| column < rows || self.program.is_banned(column));
        let lacking: f64 = lacking.map(|&column| self.program.value(column)).sum();
        let value: f64 = self.program.prices().iter().sum();
        lacking < WHOLE && value < self.bins as f64 + 1e-6
    }

    /// Looks for patterns that improve the program, and whether its prices prove that it needs more bins.
    fn price(&self, pricer: &mut Pricer, groups: &Groups) -> Priced {
        let whole = pricer.scaled(&groups.prices(self.program.prices()));
        let (one, worth) = (whole.one, whole.of.iter().sum::<i64>());
        // Prices of which all fit into `highest` a pattern prove that worth / highest bins are needed.
        let proves =
            |highest: i64| highest > 0 && i128::from(worth) > self.bins as i128 * i128::from(highest);
        if proves(pricer.set_prices(whole)) {
            return Priced::Impossible;
        }
        let found = pricer.best(one + INDIFFERENT, COLUMNS_PER_ROUND);
        let least = found.first().map_or(one, |best| best.price);
        if proves(least) && pricer.highest(least, PROOF_NODES).is_some_and(proves) {
            return Priced::Impossible;
        }
        Priced::Columns(found.iter().map(|priced| groups.items(&priced.pattern)).collect())
    }
}

enum Priced {
    Impossible,
    Columns(Vec<Box<[u32]>>),
}
