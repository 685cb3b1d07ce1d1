//! Facts that hold for every problem.

use proptest::prelude::{Just, ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as _;

use super::naive;
use super::*;
use crate::pack::best_fit::best_fit;
use crate::pack::bounds::lower_bound;
use crate::pack::decreasing::Decreasing;
use crate::pack::first_fit::first_fit;
use crate::pack::packing::Packing;
use crate::pack::supply::{Opening, Supply};

type Kinds = Vec<(u64, Option<u64>)>;

fn kinds(largest: u64) -> impl proptest::strategy::Strategy<Value = Kinds> {
    let count = prop_oneof![Just(None), (1_u64..4).prop_map(Some), Just(Some(1_000_000_000_000_000_000))];
    prop::collection::vec((1..=largest, count), 1..4)
}

/// Problems small enough for brute force, with many ties.
fn tiny() -> impl proptest::strategy::Strategy<Value = (Vec<u64>, Kinds)> {
    (prop::collection::vec(0_u64..13, 0..9), kinds(20))
}

fn larger() -> impl proptest::strategy::Strategy<Value = (Vec<u64>, Kinds)> {
    let size = prop_oneof![0_u64..30, 0_u64..2000, Just(7)];
    (prop::collection::vec(size, 0..150), kinds(1500))
}

/// Every bin of the problem, no more of a kind than there are items.
fn all_bins(sizes: &[u64], kinds: &[(u64, Option<u64>)]) -> Vec<u64> {
    let copies = |&(capacity, count): &(u64, Option<u64>)| {
        let count = count.map_or(sizes.len(), |count| sizes.len().min(usize::try_from(count).unwrap()));
        std::iter::repeat_n(capacity, count)
    };
    kinds.iter().flat_map(copies).collect()
}

/// The bin of each item, and the capacity of each bin.
fn by_item(packing: &Packing, order: &Decreasing, supply: &Supply) -> (Vec<u64>, Vec<Option<usize>>) {
    let mut bin_of = vec![None; order.items.len()];
    for (&item, &bin) in order.items.iter().zip(&packing.bin_of) {
        bin_of[item as usize] = (bin != Packing::NOWHERE).then_some(bin as usize);
    }
    (packing.class_of.iter().map(|&class| supply.classes[class as usize].capacity).collect(), bin_of)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn exact_agrees_with_brute_force((sizes, kinds) in tiny()) {
        let problem = problem(&sizes, &kinds);
        let fewest = naive::fewest(&sizes, &all_bins(&sizes, &kinds));
        let order = Decreasing::of(&problem);
        match (lower_bound(&order, &Supply::of(&problem)), fewest) {
            (Ok(bound), Some(fewest)) => prop_assert!(bound.bins <= fewest),
            (Err(reason), Some(fewest)) => prop_assert!(false, "{reason}, yet {fewest} bins do"),
            (_, None) => {}
        }
        for strategy in Strategy::ALL {
            let plan = solved(&problem, strategy);
            let exact = matches!(strategy, Strategy::Auto | Strategy::Exact);
            match (plan.status, fewest) {
                (Status::Optimal, Some(fewest)) => prop_assert_eq!(plan.bins_used, fewest),
                (Status::Feasible, Some(fewest)) => prop_assert!(!exact && plan.bins_used >= fewest),
                (Status::Infeasible, None) => {}
                (Status::Timeout, _) => prop_assert!(!exact),
                (status, fewest) => prop_assert!(false, "{status}, brute force says {fewest:?}"),
            }
        }
    }

    #[test]
    fn heuristics_do_what_their_definition_says((sizes, kinds) in larger()) {
        let problem = problem(&sizes, &kinds);
        let (order, supply) = (Decreasing::of(&problem), Supply::of(&problem));
        for opening in [Opening::Largest, Opening::Tightest] {
            // The definition is about the bins that a plan may need, so that it opens the same ones.
            let bins: Vec<u64> =
                supply.classes.iter().flat_map(|class| std::iter::repeat_n(class.capacity, class.copies)).collect();
            let tightest = opening == Opening::Tightest;
            let (open, bin_of) = naive::decreasing(&sizes, bins.clone(), tightest, naive::first);
            let packing = first_fit(&order.sizes, &supply, opening, &Limits::default());
            let capacities: Vec<u64> = open.iter().map(|bin| bin.0).collect();
            prop_assert_eq!(by_item(&packing, &order, &supply), (capacities, bin_of));
            let (open, bin_of) = naive::decreasing(&sizes, bins, tightest, naive::best);
            let packing = best_fit(&order.sizes, &supply, opening, &Limits::default());
            let capacities: Vec<u64> = open.iter().map(|bin| bin.0).collect();
            prop_assert_eq!(by_item(&packing, &order, &supply), (capacities, bin_of));
        }
    }

    #[test]
    fn every_plan_is_valid_and_repeats((sizes, kinds) in larger()) {
        let problem = problem(&sizes, &kinds);
        for strategy in [Strategy::FirstFitDecreasing, Strategy::BestFitDecreasing] {
            prop_assert_eq!(solved(&problem, strategy), solved(&problem, strategy));
        }
    }

    #[test]
    fn hostile_sizes_neither_panic_nor_lie(
        sizes in prop::collection::vec(prop_oneof![Just(u64::MAX), Just(0), Just(1), any::<u64>()], 0..7),
        kinds in prop::collection::vec(
            (prop_oneof![Just(u64::MAX), Just(1), 1..u64::MAX], prop_oneof![Just(None), (1..=u64::MAX).prop_map(Some)]),
            1..4,
        ),
    ) {
        let problem = problem(&sizes, &kinds);
        for strategy in Strategy::ALL {
            solved(&problem, strategy);
        }
    }

    #[test]
    fn a_stopped_search_still_tells_the_truth((sizes, kinds) in larger()) {
        let problem = problem(&sizes, &kinds);
        let limits = Limits { time: Some(std::time::Duration::ZERO), interrupted: None, progress: None };
        let plan = solve(&problem, Strategy::Exact, &limits);
        validate(&problem, &plan).unwrap();
        let limits = Limits { time: None, interrupted: Some(&|| true), progress: None };
        let plan = solve(&problem, Strategy::Exact, &limits);
        validate(&problem, &plan).unwrap();
        prop_assert_eq!((plan.bins_used, plan.nodes), (0, 0));
    }
}
