//! Fewer patterns by cuts: a program over all patterns of a pool, with inequalities that no solution breaks.
//!
//! Of three items at most one pattern of a solution holds two or more (subset-row inequalities of Jepsen, Petersen,
//! Spoorendonk and Pisinger, "Subset-row inequalities applied to the vehicle-routing problem with time windows", 2008).
//! Where the program's solution breaks some, they join it and it is solved again. Its prices, in whole numbers, then prove
//! that more bins are needed, or that some patterns are in no solution. What is left open is searched, and then split by a
//! pair of items: together or apart.

use std::collections::{BTreeMap, BTreeSet};

use crate::pack::columns::clock::Clock;
use crate::pack::columns::cover::{Covered, Pool, cover};
use crate::pack::columns::simplex::{End, Program};
use crate::pack::columns::stock::{Pattern, Patterns};

const PENALTY: f64 = 20.0;
const ROUNDS: usize = 12;
/// Nodes of the search for a cover in each node.
const COVER_NODES: u64 = 2000;
/// Nodes of the search for a cover where nothing can be branched on.
const LAST_NODES: u64 = 1_000_000;
/// Fractions that count as whole.
const WHOLE: f64 = 1e-3;
const CUTS_PER_ROUND: usize = 30;
/// By how much a cut must be broken.
const VIOLATION: f64 = 0.02;
/// Whole units of a price of one.
const SCALE: f64 = 8_388_608.0; // 2^23

/// What the cuts left.
enum Sharpened {
    /// These patterns hold every item.
    By(Patterns),
    /// Nothing does.
    Never,
    /// Nothing is proven, but the pool may be smaller; the pairs of single items that share patterns in part, and how far.
    Open(BTreeMap<(u32, u32), f64>),
}

/// Whether patterns of `pool` hold `demand` in at most `bins` bins: by cuts, search, and branching on pairs of items.
/// Looks at no more than `nodes` nodes.
pub(super) fn exhaust(
    pool: Pool,
    demand: &[u32],
    bins: usize,
    nodes: usize,
    clock: &Clock<'_, '_>,
) -> Covered {
    let mut open = vec![pool];
    let mut looked = 0;
    while let Some(mut pool) = open.pop() {
        looked += 1;
        if looked > nodes || clock.stopped() {
            return Covered::Open;
        }
        let shares = match sharpen(&mut pool, demand, bins, clock) {
            Sharpened::By(patterns) => return Covered::By(patterns),
            Sharpened::Never => continue,
            Sharpened::Open(shares) => shares,
        };
        match cover(&pool, demand, bins, COVER_NODES, clock) {
            Covered::By(patterns) => return Covered::By(patterns),
            Covered::Never => continue,
            Covered::Open => {}
        }
        let pair = shares.into_iter().min_by(|a, b| (a.1 - 0.5).abs().total_cmp(&(b.1 - 0.5).abs()));
        let Some(((a, b), _)) = pair else {
            // Only items of which there are several: the search alone goes on.
            match cover(&pool, demand, bins, LAST_NODES, clock) {
                Covered::Never => continue,
                settled => return settled,
            }
        };
        open.push(pool.only(|a_in, b_in| !(a_in && b_in), (a, b)));
        open.push(pool.only(|a_in, b_in| a_in == b_in, (a, b)));
    }
    Covered::Never
}

impl Pool {
    /// The patterns of which `keep` allows that they hold the first and the second of `pair`.
    fn only(&self, keep: impl Fn(bool, bool) -> bool, (a, b): (u32, u32)) -> Self {
        let holds = |pattern: &Pattern, kind: u32| pattern.iter().any(|item| item.0 == kind);
        let kept = self.patterns.iter().filter(|(_, pattern)| keep(holds(pattern, a), holds(pattern, b)));
        Self { patterns: kept.cloned().collect(), budget: self.budget }
    }
}

type Triple = [u32; 3];

/// Cuts the program of `pool` and drops patterns, until that helps no more.
fn sharpen(pool: &mut Pool, demand: &[u32], bins: usize, clock: &Clock<'_, '_>) -> Sharpened {
    let mut cuts: Vec<Triple> = Vec::new();
    for round in 1.. {
        let mut relaxed = Relaxed::new(pool, demand, &cuts);
        if relaxed.program.primal(clock) != End::Optimal {
            return Sharpened::Open(BTreeMap::new());
        }
        let used = relaxed.used(pool);
        if let Some(patterns) = whole(&used, demand, bins) {
            return Sharpened::By(patterns);
        }
        let (broken, shares) = (broken(&used, demand, &cuts), shares(&used, demand));
        let before = pool.patterns.len();
        if tighten(pool, demand, bins, &cuts, relaxed.program.prices()) {
            return Sharpened::Never;
        }
        let shrank = pool.patterns.len() < before - before / 8;
        if round >= ROUNDS || (broken.is_empty() && !shrank) {
            return Sharpened::Open(shares);
        }
        cuts.extend(broken);
    }
    Sharpened::Open(BTreeMap::new())
}

/// How often pairs of single items share a pattern, where that is neither never nor always.
fn shares(used: &[(&Pattern, f64)], demand: &[u32]) -> BTreeMap<(u32, u32), f64> {
    let mut shares: BTreeMap<(u32, u32), f64> = BTreeMap::new();
    for (pattern, value) in used {
        let single: Vec<u32> =
            pattern.iter().map(|item| item.0).filter(|&kind| demand[kind as usize] == 1).collect();
        for (at, &a) in single.iter().enumerate() {
            for &b in &single[at + 1..] {
                *shares.entry((a, b)).or_default() += value;
            }
        }
    }
    shares.retain(|_, share| (WHOLE..1.0 - WHOLE).contains(share));
    shares
}

/// The program over all patterns of a pool.
struct Relaxed {
    program: Program,
    /// The column of the first pattern; the others follow.
    first: usize,
}

impl Relaxed {
    fn new(pool: &Pool, demand: &[u32], cuts: &[Triple]) -> Self {
        let mut rhs: Vec<f64> = demand.iter().map(|&demand| f64::from(demand)).collect();
        rhs.resize(demand.len() + cuts.len(), 1.0);
        let mut program = Program::new(rhs, PENALTY);
        for row in demand.len()..demand.len() + cuts.len() {
            let slack = program.add(0.0, [(row as u32, 1.0)]);
            program.start_with(row, slack);
        }
        let first = program.columns();
        for (_, pattern) in &pool.patterns {
            let items = pattern.iter().map(|&(kind, copies)| (kind, f64::from(copies)));
            let hit = (demand.len() as u32..)
                .zip(cuts)
                .filter(|(_, cut)| hits(pattern, cut))
                .map(|(row, _)| (row, 1.0));
            program.add(1.0, items.chain(hit));
        }
        Self { program, first }
    }

    /// The patterns in use and how often.
    fn used<'a>(&self, pool: &'a Pool) -> Vec<(&'a Pattern, f64)> {
        let columns =
            self.program.basis().iter().filter_map(|&column| Some((column, column.checked_sub(self.first)?)));
        let values = columns.map(|(column, index)| (&pool.patterns[index].1, self.program.value(column)));
        values.filter(|&(_, value)| value > 1e-4).collect()
    }
}

/// Whether a pattern holds two or three of the items.
fn hits(pattern: &[(u32, u32)], cut: &Triple) -> bool {
    pattern.iter().filter(|(kind, _)| cut.contains(kind)).count() >= 2
}

/// The patterns if they are used whole numbers of times and hold every item.
fn whole(used: &[(&Pattern, f64)], demand: &[u32], bins: usize) -> Option<Patterns> {
    let mut left = demand.to_vec();
    let mut patterns = Patterns::new();
    for &(pattern, value) in used {
        let times = value.round() as u32;
        if (value - f64::from(times)).abs() > 1e-3 {
            return None;
        }
        for &(kind, copies) in pattern {
            left[kind as usize] = left[kind as usize].checked_sub(copies * times)?;
        }
        patterns.push((pattern.clone(), times));
    }
    patterns.retain(|&(_, times)| times > 0);
    let count: usize = patterns.iter().map(|&(_, times)| times as usize).sum();
    (left.iter().all(|&left| left == 0) && count <= bins).then_some(patterns)
}

/// Drops the patterns that the prices `y` of items and cuts rule out. Whether they rule out every solution.
///
/// With prices p of items and q >= 0 of cuts, let the worth of a pattern be the sum of its items' p less the q of the cuts
/// that it counts for. The patterns of a solution are worth at least sum(p d) - sum(q) in all; so what they fall short of
/// the highest worth sums to at most the budget.
fn tighten(pool: &mut Pool, demand: &[u32], bins: usize, cuts: &[Triple], y: &[f64]) -> bool {
    let largest = y.iter().fold(1.0_f64, |largest, y| largest.max(y.abs()));
    let scale = SCALE / largest.min(1024.0);
    let (items, rest) = y.split_at(demand.len());
    let values: Vec<i64> = items.iter().map(|y| (y * scale).floor() as i64).collect();
    let fines: Vec<i64> = rest.iter().map(|y| (-y * scale).ceil().max(0.0) as i64).collect();
    let worth = |pattern: &Pattern| {
        let items: i64 =
            pattern.iter().map(|&(kind, copies)| values[kind as usize] * i64::from(copies)).sum();
        let minus: i64 = cuts
            .iter()
            .zip(&fines)
            .filter(|&(cut, &fine)| fine > 0 && hits(pattern, cut))
            .map(|(_, fine)| fine)
            .sum();
        items - minus
    };
    let totals: Vec<i64> = pool.patterns.iter().map(|(_, pattern)| worth(pattern)).collect();
    let Some(&highest) = totals.iter().max() else { return true };
    let all: i64 = values.iter().zip(demand).map(|(&value, &demand)| value * i64::from(demand)).sum();
    let budget = bins as i64 * highest - (all - fines.iter().sum::<i64>());
    if highest > 0 && budget < 0 {
        return true;
    }
    if highest > 0 {
        let mut next = totals.iter().map(|total| highest - total);
        pool.patterns.retain_mut(|(shortfall, _)| {
            *shortfall = next.next().unwrap_or(0);
            *shortfall <= budget
        });
        pool.patterns.sort_by_key(|pattern| pattern.0);
        pool.budget = budget;
    }
    false
}

/// The triples of single items that are broken most, of which none is in `cuts`.
fn broken(used: &[(&Pattern, f64)], demand: &[u32], cuts: &[Triple]) -> Vec<Triple> {
    let kinds = demand.len();
    let mut beside: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); kinds];
    let mut holders: Vec<Vec<usize>> = vec![Vec::new(); kinds];
    for (index, (pattern, _)) in used.iter().enumerate() {
        let single = pattern.iter().map(|&(kind, _)| kind).filter(|&kind| demand[kind as usize] == 1);
        let single: Vec<u32> = single.collect();
        for &kind in &single {
            holders[kind as usize].push(index);
            beside[kind as usize].extend(single.iter().filter(|&&other| other != kind));
        }
    }
    let known: BTreeSet<&Triple> = cuts.iter().collect();
    let mut found: BTreeSet<(u64, Triple)> = BTreeSet::new();
    // The middle item shares patterns with both others, else the third adds nothing to a pair.
    for middle in 0..kinds as u32 {
        let neighbours: Vec<u32> = beside[middle as usize].iter().copied().collect();
        for (at, &a) in neighbours.iter().enumerate() {
            for &b in &neighbours[at + 1..] {
                let mut cut = [a, middle, b];
                cut.sort_unstable();
                let pair: Vec<usize> =
                    holders[middle as usize].iter().chain(&holders[a as usize]).copied().collect();
                let share = share(&pair, used, &cut);
                if share > 1.0 + VIOLATION && !known.contains(&cut) {
                    found.insert(((share * 1e6) as u64, cut));
                }
            }
        }
    }
    let mut often = vec![0; kinds];
    let mut chosen = Vec::new();
    for (_, cut) in found.into_iter().rev() {
        if chosen.len() < CUTS_PER_ROUND
            && cut.iter().all(|&kind| often[kind as usize] < 4)
            && !chosen.contains(&cut)
        {
            for &kind in &cut {
                often[kind as usize] += 1;
            }
            chosen.push(cut);
        }
    }
    chosen
}

/// How often patterns that hold two or three items of `cut` are used; `near` lists all of them, perhaps twice.
fn share(near: &[usize], used: &[(&Pattern, f64)], cut: &Triple) -> f64 {
    let mut near = near.to_vec();
    near.sort_unstable();
    near.dedup();
    near.into_iter().filter(|&index| hits(used[index].0, cut)).map(|index| used[index].1).sum()
}
