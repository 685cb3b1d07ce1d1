//! The parts against definitions: brute force, enumeration and a rational simplex method written for these tests.

use proptest::prelude::{Just, ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy;

use super::clock::Clock;
use super::cover::{Covered, Pool, cover};
use super::cuts::exhaust;
use super::master::{Master, Progress};
use super::price::{Knapsack, Pricer, Prices};
use super::stock::{CuttingStock, Pattern, Patterns, bins};
use super::{Outcome, solve};
use crate::solving::{Limits, Watch};

mod rational;

fn stock(capacity: u64, sizes: &[u64]) -> CuttingStock {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let types = sizes.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32)).collect();
    CuttingStock { capacity, types }
}

fn solved(stock: &CuttingStock) -> Outcome {
    let limits = Limits::default();
    solve(stock, usize::MAX, 0, &mut Watch::start(&limits))
}

/// Panics unless `patterns` hold every item once, in bins that hold them.
fn check(stock: &CuttingStock, patterns: &Patterns) {
    let mut left: Vec<u32> = stock.types.iter().map(|kind| kind.1).collect();
    for (pattern, times) in patterns {
        let load: u128 =
            pattern.iter().map(|&(k, n)| u128::from(stock.types[k as usize].0) * u128::from(n)).sum();
        assert!(load <= u128::from(stock.capacity));
        for &(kind, copies) in pattern {
            left[kind as usize] = left[kind as usize].checked_sub(copies * times).expect("too many copies");
        }
    }
    assert!(left.iter().all(|&left| left == 0), "items without a bin");
}

/// The fewest bins, by placing each item into every bin that holds it.
fn fewest(capacity: u64, sizes: &[u64]) -> usize {
    fn place(sizes: &[u64], rooms: &mut Vec<u64>, capacity: u64, best: &mut usize) {
        let Some((&size, rest)) = sizes.split_first() else {
            *best = rooms.len().min(*best);
            return;
        };
        if rooms.len() >= *best {
            return;
        }
        for bin in 0..rooms.len() {
            if rooms[bin] >= size && !rooms[..bin].contains(&rooms[bin]) {
                rooms[bin] -= size;
                place(rest, rooms, capacity, best);
                rooms[bin] += size;
            }
        }
        rooms.push(capacity - size);
        place(rest, rooms, capacity, best);
        rooms.pop();
    }
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let mut best = sizes.len();
    place(&sizes, &mut Vec::new(), capacity, &mut best);
    best
}

/// All patterns with copies up to the caps, the empty one among them.
fn patterns(capacity: u64, sizes: &[u64], caps: &[u32]) -> Vec<Vec<u32>> {
    let mut all = vec![Vec::new()];
    for (&size, &cap) in sizes.iter().zip(caps) {
        let longer = all.iter().flat_map(|pattern: &Vec<u32>| {
            let load: u64 = pattern.iter().zip(sizes).map(|(&copies, &size)| u64::from(copies) * size).sum();
            (0..=cap).filter(move |&n| load + u64::from(n) * size <= capacity).map(move |n| {
                let mut pattern = pattern.clone();
                pattern.push(n);
                pattern
            })
        });
        all = longer.collect();
    }
    all
}

fn knapsacks() -> impl Strategy<Value = (u64, Vec<u64>, Vec<u32>)> {
    (5_u64..40).prop_flat_map(|capacity| {
        let size = prop_oneof![1..=capacity, (capacity / 4).max(1)..=capacity / 2];
        prop::collection::btree_set(size, 1..6).prop_flat_map(move |sizes| {
            let sizes: Vec<u64> = sizes.into_iter().rev().collect();
            let caps = prop::collection::vec(0_u32..4, sizes.len());
            (Just(capacity), Just(sizes), caps)
        })
    })
}

fn instances() -> impl Strategy<Value = (u64, Vec<u64>)> {
    (4_u64..60).prop_flat_map(|capacity| {
        let size = prop_oneof![1..=capacity, (capacity / 5).max(1)..=(capacity / 2).max(1)];
        (Just(capacity), prop::collection::vec(size, 1..11))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn tiny_instances_are_solved_as_by_brute_force((capacity, sizes) in instances()) {
        let stock = stock(capacity, &sizes);
        let Outcome { best, bound, .. } = solved(&stock);
        let best = best.expect("a plan");
        check(&stock, &best);
        let fewest = fewest(capacity, &sizes);
        prop_assert_eq!((bins(&best), bound), (fewest, fewest));
    }

    #[test]
    fn the_pricer_finds_what_enumeration_finds(
        (capacity, sizes, caps) in knapsacks(),
        prices in prop::collection::vec(-50_i64..400, 6),
        waste in 0_u64..50,
        scale in prop_oneof![Just(1_u64), Just(1_u64 << 30)],
        pair in any::<Option<(u8, u8)>>(),
    ) {
        let types = sizes.len();
        let waste = waste.min(capacity);
        let pair = pair.map(|(a, b)| (u32::from(a) % types as u32, u32::from(b) % types as u32)).filter(|(a, b)| a != b);
        let (scaled, of) = (sizes.iter().map(|size| size * scale).collect(), prices[..types].to_vec());
        let knapsack =
            Knapsack { sizes: scaled, caps: caps.clone(), capacity: capacity * scale, waste: waste * scale };
        let fills = knapsack.fills() && scale == 1;
        let mut pricer = Pricer::new(knapsack);
        pricer.set_apart(pair.as_slice());
        let bound = pricer.set_prices(Prices { one: 100, of: of.clone() });
        let allowed = |pattern: &Vec<u32>| {
            let load: u64 = pattern.iter().zip(&sizes).map(|(&copies, &size)| u64::from(copies) * size).sum();
            let apart = pair.is_some_and(|(a, b)| pattern[a as usize] > 0 && pattern[b as usize] > 0);
            capacity - load <= waste && !apart
        };
        let price = |pattern: &Vec<u32>| -> i64 { pattern.iter().zip(&of).map(|(&copies, &price)| i64::from(copies) * price).sum() };
        // Without a limit on the waste, types that are worth nothing are left out.
        let all = patterns(capacity, &sizes, &caps).into_iter().filter(allowed);
        let best = all.filter(|pattern| fills || waste < capacity || !pattern.is_empty()).map(|pattern| price(&pattern)).max();
        if let Some(best) = best {
            prop_assert!(bound >= best);
            let highest = pricer.highest(100, 1_000_000);
            if fills || waste == capacity {
                prop_assert_eq!(highest, Some(best.max(100)));
                let found = pricer.best(100, 10);
                prop_assert_eq!(found.first().map_or(100, |found| found.price), best.max(100));
                for found in found {
                    let mut dense = vec![0; types];
                    found.pattern.iter().for_each(|&(kind, copies)| dense[kind as usize] = copies);
                    prop_assert!(allowed(&dense));
                    prop_assert_eq!(price(&dense), found.price);
                    prop_assert!(dense.iter().zip(&caps).all(|(copies, cap)| copies <= cap));
                }
            }
        }
    }

    #[test]
    fn a_pool_is_exhausted_as_by_brute_force((capacity, sizes) in instances(), more in 0_usize..2) {
        let stock = stock(capacity, &sizes);
        let demand: Vec<u32> = stock.types.iter().map(|kind| kind.1).collect();
        let kinds: Vec<u64> = stock.types.iter().map(|kind| kind.0).collect();
        let limit = stock.area() + more;
        // Sizes are prices: what a pattern falls short of a bin is the room that it leaves.
        let budget = (limit as u64 * capacity) as i64 - stock.total() as i64;
        let sparse = |dense: &Vec<u32>| -> Pattern { (0..).zip(dense.iter().copied()).filter(|item| item.1 > 0).collect() };
        let all = patterns(capacity, &kinds, &demand);
        let all = all.iter().map(sparse).filter(|pattern| !pattern.is_empty());
        let all = all.map(|pattern| ((u128::from(capacity) - stock.load(&pattern)) as i64, pattern));
        let pool = || Pool { patterns: all.clone().filter(|pattern| pattern.0 <= budget).collect(), budget };
        let limits = Limits::default();
        let mut watch = Watch::start(&limits);
        let clock = Clock::new(&mut watch);
        let possible = fewest(capacity, &sizes) <= limit;
        for found in [cover(&pool(), &demand, limit, u64::MAX, &clock), exhaust(pool(), &demand, limit, 10_000, &clock)] {
            match found {
                Covered::By(found) => {
                    check(&stock, &found);
                    prop_assert!(possible && bins(&found) <= limit);
                }
                Covered::Never => prop_assert!(!possible),
                Covered::Open => prop_assert!(false, "not settled"),
            }
        }
    }

    #[test]
    fn the_relaxation_is_that_of_all_patterns((capacity, sizes) in instances(), exact in any::<bool>()) {
        let stock = stock(capacity, &sizes);
        let demand: Vec<u32> = stock.types.iter().map(|kind| kind.1).collect();
        let kinds: Vec<u64> = stock.types.iter().map(|kind| kind.0).collect();
        let all = patterns(capacity, &kinds, &demand);
        let value = rational::covering(&all, &demand);
        let limits = Limits::default();
        let mut watch = Watch::start(&limits);
        let clock = Clock::new(&mut watch);
        let knapsack = Knapsack { sizes: kinds, caps: demand.clone(), capacity, waste: capacity };
        let mut pricer = Pricer::new(knapsack);
        let mut master = Master::new(&demand, exact, []);
        let end = master.converge(&mut pricer, &clock, 1000);
        prop_assert!(matches!(end, Progress::Converged | Progress::Bounded), "{:?}", end);
        // Covering and partition have the same value, since every part of a pattern is one.
        prop_assert_eq!(i128::from(master.bound), value.ceil());
        if end == Progress::Converged {
            prop_assert!((master.program.objective() - value.as_f64()).abs() < 1e-3);
        }
    }
}

#[test]
fn the_same_instance_gives_the_same_plan() {
    let sizes: Vec<u64> = (0..60).map(|i| 150 + (i * i * 37 + i * 11) % 400).collect();
    let stock = stock(1000, &sizes);
    let (first, second) = (solved(&stock), solved(&stock));
    check(&stock, first.best.as_ref().unwrap());
    assert_eq!((first.best, first.bound, first.nodes), (second.best, second.bound, second.nodes));
}

#[test]
fn an_interruption_leaves_the_plan_so_far() {
    let sizes: Vec<u64> = (0..200).map(|i| 5 + (i * i * 7919) % 690).collect();
    let stock = stock(1000, &sizes);
    let interrupted = || true;
    let limits = Limits { interrupted: Some(&interrupted), ..Limits::default() };
    let Outcome { best, bound, .. } = solve(&stock, usize::MAX, 0, &mut Watch::start(&limits));
    let best = best.unwrap();
    check(&stock, &best);
    assert!(bound >= stock.area() && bound <= bins(&best));
}

#[test]
fn extremes_are_solved_or_left_alone() {
    for (capacity, types, fewest) in [
        (u64::MAX, vec![(u64::MAX, 3)], 3),
        (u64::MAX, vec![(u64::MAX / 2 + 1, 5), (u64::MAX / 2, 5)], 5),
        (u64::MAX, vec![(u64::MAX / 3, 7), (1, 4_000_000_000)], 3),
        (10, vec![(1, 1_000_000)], 100_000),
        (7, vec![(3, 1_000_001)], 500_001),
        (1, vec![(1, 1)], 1),
        (9, vec![], 0),
    ] {
        let stock = CuttingStock { capacity, types };
        let outcome = solved(&stock);
        let best = outcome.best.unwrap();
        check(&stock, &best);
        assert_eq!((bins(&best), outcome.bound), (fewest, fewest), "{stock:?}");
    }
    let many =
        CuttingStock { capacity: 1 << 40, types: (1..=1_000_000).rev().map(|size| (size, 1)).collect() };
    let outcome = solved(&many);
    assert_eq!((outcome.best, outcome.bound), (None, 1));
    let demands =
        CuttingStock { capacity: 100, types: vec![(47, u32::MAX), (31, u32::MAX), (22, 4_000_000_019)] };
    let outcome = solved(&demands);
    check(&demands, &outcome.best.unwrap());
}
