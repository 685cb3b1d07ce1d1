//! The solvers that go beyond one pass, each by itself.

use std::ops::ControlFlow;

use proptest::prelude::{Just, ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use proptest::strategy::Strategy as _;

use super::*;
use crate::pack::completion::complete;
use crate::pack::heuristics::{minimum_slack, perturb};
use crate::pack::local;
use crate::pack::order::Order;
use crate::pack::packing::Packing;
use crate::pack::reduce::reduce;
use crate::pack::subsets::{fullest, subsets};
use crate::pack::supply::Supply;
use crate::pack::types::{Contents, Types};
use crate::solving::Watch;

fn types(sizes: &[u64]) -> Types {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    Types::of(&sizes)
}

/// Bins that hold just `sizes`, none over `capacity`.
fn is_packing(contents: &Contents, sizes: &[u64], capacity: u64) -> bool {
    let mut held: Vec<u64> = contents.iter().flatten().copied().collect();
    let mut sizes = sizes.to_vec();
    held.sort_unstable();
    sizes.sort_unstable();
    held == sizes && contents.iter().all(|content| content.iter().sum::<u64>() <= capacity)
}

fn items() -> impl proptest::strategy::Strategy<Value = (Vec<u64>, u64)> {
    let sizes = prop_oneof![
        prop::collection::vec(1_u64..20, 1..10),
        prop::collection::vec(6_u64..20, 1..10),
        prop::collection::vec(prop_oneof![Just(5_u64), Just(7), Just(8), Just(11)], 1..10),
    ];
    (sizes, 19_u64..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn bin_completion_finds_the_fewest_bins_and_proves_it((sizes, capacity) in items()) {
        let fewest = naive::fewest(&sizes, &vec![capacity; sizes.len()]).unwrap();
        let limits = Limits::default();
        let found = complete(&types(&sizes), capacity, 0, usize::MAX, &mut Watch::start(&limits));
        prop_assert!(found.is_proven);
        prop_assert_eq!(found.lower_bound, fewest);
        let best = found.best.unwrap();
        prop_assert_eq!(best.len(), fewest);
        prop_assert!(is_packing(&best, &sizes, capacity));
        let none = complete(&types(&sizes), capacity, 0, fewest, &mut Watch::start(&limits));
        prop_assert!(none.is_proven && none.best.is_none() && none.lower_bound == fewest);
    }

    #[test]
    fn some_best_plan_has_the_bins_of_a_reduction((sizes, capacity) in items()) {
        let mut rest = types(&sizes);
        let bins = reduce(&mut rest, capacity);
        let left = rest.expanded();
        let all: Contents = bins.iter().cloned().chain(left.iter().map(|&size| vec![size])).collect();
        prop_assert!(is_packing(&all, &sizes, capacity));
        let fewest = |sizes: &[u64]| naive::fewest(sizes, &vec![capacity; sizes.len()]).unwrap();
        prop_assert_eq!(bins.len() + fewest(&left), fewest(&sizes));
    }

    #[test]
    fn subsets_are_those_of_brute_force(sizes in prop::collection::vec(1_u64..12, 0..9), room in 0_u64..50, least in 1_u64..30) {
        let types = types(&sizes);
        let mut shown = Vec::new();
        let all = subsets(&types, room, least, usize::MAX, |chosen, sum| {
            let mut chosen: Vec<u64> = chosen.iter().map(|&index| types.size(index)).collect();
            assert_eq!(chosen.iter().sum::<u64>(), sum);
            chosen.sort_unstable();
            shown.push(chosen);
            ControlFlow::Continue(least)
        });
        prop_assert!(all);
        let mut expected: Vec<Vec<u64>> = (0_usize..1 << sizes.len())
            .map(|mask| (0..sizes.len()).filter(|item| mask >> item & 1 == 1).map(|item| sizes[item]).collect())
            .filter(|chosen: &Vec<u64>| (least..=room).contains(&chosen.iter().sum::<u64>()))
            .collect();
        for chosen in &mut expected {
            chosen.sort_unstable();
        }
        expected.sort();
        expected.dedup();
        shown.sort();
        let fullest: u64 = fullest(&types, room, usize::MAX).into_iter().map(|index| types.size(index)).sum();
        let most = subset_sums(&sizes).into_iter().filter(|&sum| sum <= room).max();
        prop_assert_eq!(Some(fullest), most);
        prop_assert_eq!(shown, expected);
    }

    #[test]
    fn minimum_slack_fills_each_bin_as_well_as_can_be((sizes, capacity) in items()) {
        let problem = problem(&sizes, &[(capacity, None)]);
        let (limits, supply) = (Limits::default(), Supply::of(&problem));
        for is_seeded in [false, true] {
            let bins = minimum_slack(&types(&sizes), &supply, is_seeded, &mut Watch::start(&limits)).unwrap();
            prop_assert!(is_packing(&bins, &sizes, capacity));
            let mut left = sizes.clone();
            left.sort_unstable_by(|a, b| b.cmp(a));
            for bin in &bins {
                let seed = if is_seeded { left.remove(0) } else { 0 };
                let most = subset_sums(&left).into_iter().map(|sum| sum + seed).filter(|&sum| sum <= capacity).max();
                prop_assert_eq!(Some(bin.iter().sum()), most);
                for size in bin.iter().skip(usize::from(is_seeded)) {
                    left.remove(left.iter().position(|other| other == size).unwrap());
                }
            }
        }
    }
}

fn subset_sums(sizes: &[u64]) -> Vec<u64> {
    sizes.iter().fold(vec![0], |sums, size| sums.iter().flat_map(|sum| [*sum, sum + size]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn searches_that_draw_lots_keep_to_the_rules_and_repeat(
        sizes in prop::collection::vec(prop_oneof![1_u64..60, 25_u64..35], 1..30),
        kinds in prop::collection::vec((60_u64..100, prop_oneof![Just(None), (1_u64..4).prop_map(Some)]), 1..3),
        seed in any::<u64>(),
    ) {
        let problem = problem(&sizes, &kinds);
        for strategy in [Strategy::LocalSearch, Strategy::PerturbedBinSlack] {
            let solve = || solve(&problem, strategy, seed, &Limits::default());
            let plan = solve();
            validate(&problem, &plan).unwrap();
            prop_assert_eq!(solve(), plan);
        }
    }
}

/// Triples that fill their bins, as in the hardest of the public instances, where first fit decreasing is far off.
fn triples(bins: u64) -> Vec<u64> {
    let mut random = crate::solving::Random(5);
    (0..bins)
        .flat_map(|_| {
            let large = 380 + random.below(110);
            let middle = 250 + random.below((1000 - large) / 2 - 249);
            [large, middle, 1000 - large - middle]
        })
        .collect()
}

#[test]
fn the_local_search_fills_bins_that_have_no_room_to_spare() {
    let sizes = triples(20);
    let problem = problem(&sizes, &[(1000, None)]);
    let greedy = solved(&problem, Strategy::FirstFitDecreasing);
    assert!(greedy.bins_used > 20);
    let (order, supply, limits) = (Order::decreasing(&problem), Supply::of(&problem), Limits::default());
    let mut best =
        Packing::of_contents(&order.sizes.iter().map(|&size| vec![size]).collect(), &order.sizes, &supply);
    local::search(&mut best, &order.sizes, &supply, 20, 1, 100, &mut Watch::start(&limits));
    assert_eq!(best.bins(), 20);
    assert!(is_packing(&best.contents(&order.sizes), &sizes, 1000));
}

#[test]
fn perturbation_never_takes_more_bins() {
    let sizes = triples(12);
    let mut contents: Contents = sizes.iter().map(|&size| vec![size]).collect();
    let limits = Limits::default();
    perturb(&mut contents, 1000, 12, 3, &mut Watch::start(&limits));
    assert!(is_packing(&contents, &sizes, 1000));
    assert!(contents.len() <= 14, "{} bins", contents.len());
}
