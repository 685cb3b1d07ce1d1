//! Diving: settle the patterns that the program uses most, solve again, and so on until every item has a bin.

use crate::pack::columns::clock::Clock;
use crate::pack::columns::master::{Master, Progress};
use crate::pack::columns::price::Pricer;
use crate::pack::columns::simplex::End;
use crate::pack::columns::stock::{CuttingStock, Pattern, Patterns, bins};

/// Rounds of column generation after each step.
const ROUNDS: usize = 12;
/// Fractions from here on are settled together with the largest.
const NEARLY_WHOLE: f64 = 0.85;

/// Looks for a solution of at most `target` bins. `turn` tells apart attempts: each passes over other patterns.
pub(super) fn dive(
    stock: &CuttingStock,
    root: &Master,
    pricer: &mut Pricer,
    target: usize,
    turn: usize,
    clock: &Clock<'_, '_>,
) -> Option<Patterns> {
    let (caps, waste) = (pricer.knapsack().caps.clone(), pricer.knapsack().waste);
    let found = descend(stock, root, pricer, target, turn, clock);
    pricer.set_caps(&caps);
    pricer.set_waste(waste);
    found
}

fn descend(
    stock: &CuttingStock,
    root: &Master,
    pricer: &mut Pricer,
    target: usize,
    turn: usize,
    clock: &Clock<'_, '_>,
) -> Option<Patterns> {
    let caps = pricer.knapsack().caps.clone();
    // What the bins may leave in all; where that is less than a bin, none leaves more.
    let mut spare = (target as u128 * u128::from(stock.capacity)).saturating_sub(stock.total());
    let is_tight = pricer.knapsack().fills();
    let mut master = root.clone();
    let mut settled = Patterns::new();
    let mut depth = 0;
    loop {
        let before = settled.len();
        if !settle_whole(stock, &mut master, &mut settled) {
            settle_largest(stock, &mut master, &mut settled, skipped(turn, depth));
            depth += 1;
        }
        let rest = stock.first_fit(&master.demand);
        if bins(&settled) + bins(&rest) <= target {
            settled.extend(rest);
            return Some(settled);
        }
        if bins(&settled) >= target {
            return None;
        }
        if is_tight {
            for (pattern, times) in &settled[before..] {
                let left = u128::from(stock.capacity).saturating_sub(stock.load(pattern));
                spare = spare.checked_sub(left * u128::from(*times))?;
            }
            pricer.set_waste(u64::try_from(spare).unwrap_or(u64::MAX));
        }
        master.drop_improper();
        let left: Vec<u32> = caps.iter().zip(&master.demand).map(|(&cap, &demand)| cap.min(demand)).collect();
        pricer.set_caps(&left);
        if master.program.dual(clock) == End::Stopped {
            return None;
        }
        match master.converge(pricer, clock, ROUNDS) {
            Progress::Stopped | Progress::Failed => return None,
            Progress::Converged | Progress::Bounded | Progress::Open => {}
        }
        if bins(&settled) as u64 + master.bound > target as u64 {
            return None;
        }
    }
}

/// How many of the largest fractions attempt `turn` passes over at `depth`: none, but for one step an attempt.
fn skipped(turn: usize, depth: usize) -> usize {
    match turn.checked_sub(1) {
        Some(turn) if turn % 8 == depth => 1 + turn / 8,
        _ => 0,
    }
}

/// Settles what the program uses a whole number of times.
fn settle_whole(stock: &CuttingStock, master: &mut Master, settled: &mut Patterns) -> bool {
    let mut any = false;
    for (column, value) in master.used() {
        let times = (value + 1e-4).floor() as u32;
        if times > 0
            && let Some(pattern) = master.pattern(column).cloned()
        {
            any |= settle(stock, master, settled, &pattern, times);
        }
    }
    any
}

fn settle_largest(stock: &CuttingStock, master: &mut Master, settled: &mut Patterns, skip: usize) {
    let mut used = master.used();
    used.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let skip = skip.min(used.len().saturating_sub(1));
    for (rank, &(column, value)) in used.iter().enumerate().skip(skip) {
        if rank > skip && value < NEARLY_WHOLE {
            return;
        }
        if let Some(pattern) = master.pattern(column).cloned() {
            settle(stock, master, settled, &pattern, 1);
        }
    }
    if used.is_empty() {
        // Only left-overs below the precision: the largest item alone.
        if let Some(kind) = master.demand.iter().position(|&demand| demand > 0) {
            settle(stock, master, settled, &[(kind as u32, 1)], 1);
        }
    }
}

/// Settles `pattern` as often as the items last, at most `times`; the last without what is no longer wanted, and with
/// its room filled.
fn settle(
    stock: &CuttingStock,
    master: &mut Master,
    settled: &mut Patterns,
    pattern: &[(u32, u32)],
    times: u32,
) -> bool {
    let whole =
        pattern.iter().map(|&(kind, copies)| master.demand[kind as usize] / copies).min().unwrap_or(0);
    let whole = if times == 1 { 0 } else { whole.min(times) };
    if whole > 0 {
        master.settle(pattern, whole);
        settled.push((pattern.into(), whole));
    }
    let last = if whole < times { trimmed(stock, &master.demand, pattern) } else { Pattern::default() };
    if !last.is_empty() {
        master.settle(&last, 1);
        settled.push((last, 1));
        return true;
    }
    whole > 0
}

fn trimmed(stock: &CuttingStock, demand: &[u32], pattern: &[(u32, u32)]) -> Pattern {
    let mut copies = vec![0; demand.len()];
    let mut room = stock.capacity;
    let mut cut = false;
    for &(kind, wanted) in pattern {
        let kind = kind as usize;
        copies[kind] = wanted.min(demand[kind]);
        cut |= copies[kind] < wanted;
        room -= u64::from(copies[kind]) * stock.types[kind].0;
    }
    if cut || room > 0 {
        for (kind, &(size, _)) in stock.types.iter().enumerate() {
            let more = u64::from(demand[kind] - copies[kind]).min(room / size);
            copies[kind] += more as u32;
            room -= more * size;
        }
    }
    (0..).zip(copies).filter(|&(_, copies)| copies > 0).collect()
}
