//! Facts that hold for every problem.

use proptest::prelude::{Just, ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;

use super::*;

fn row(instants: i64, largest: u64) -> impl Generator<Value = Row> {
    (-instants..instants, 1..=instants, 0..=largest)
        .prop_map(|(lower, length, size)| (lower, lower + length, size))
}

/// Problems small enough for brute force, with many ties.
fn tiny() -> impl Generator<Value = (Vec<Row>, Vec<u64>)> {
    let alignment = prop_oneof![4 => Just(1_u64), 1 => Just(2), 1 => Just(4), 1 => Just(6)];
    prop::collection::vec((row(5, 9), alignment), 0..7).prop_map(|all| all.into_iter().unzip())
}

fn larger() -> impl Generator<Value = Vec<Row>> {
    prop_oneof![prop::collection::vec(row(30, 1000), 0..80), prop::collection::vec(row(6, 5), 0..40)]
}

fn aligned(rows: &[Row], alignments: &[u64], capacity: Option<u64>) -> Problem {
    let buffers = rows.iter().zip(alignments).map(|(&row, &alignment)| buffer(row, alignment)).collect();
    Problem::new(buffers, None, capacity.map(Bytes::new)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_is_lower_than_brute_force((rows, alignments) in tiny()) {
        let least = naive::least_height(&rows, &alignments);
        for strategy in Strategy::ALL {
            let limits = Limits { time: Some(std::time::Duration::from_millis(300)), interrupted: None, progress: None };
            let problem = aligned(&rows, &alignments, None);
            let layout = solve(&problem, strategy, 0, &limits);
            validate(&problem, &layout).unwrap();
            prop_assert!(layout.lower_bound.get() <= least && least <= layout.height.get());
            if strategy == Strategy::Auto && alignments.iter().all(|&a| a == 1) {
                prop_assert_eq!(layout.height.get(), least, "so small a problem is searched whole");
            }
        }
    }

    #[test]
    fn a_capacity_is_met_or_known_to_be_hopeless((rows, alignments) in tiny(), capacity in 0_u64..40) {
        let least = naive::least_height(&rows, &alignments);
        let problem = aligned(&rows, &alignments, Some(capacity));
        let limits = Limits { time: Some(std::time::Duration::from_millis(20)), interrupted: None, progress: None };
        let layout = solve(&problem, Strategy::Auto, 0, &limits);
        validate(&problem, &layout).unwrap();
        match layout.status {
            Status::Optimal | Status::Feasible => prop_assert!(least <= capacity),
            Status::Infeasible => prop_assert!(least > capacity),
            Status::Timeout => {}
        }
    }

    #[test]
    fn the_bound_is_the_highest_load(rows in larger()) {
        let layout = solved(&problem(&rows, 1, None), Strategy::BestFit);
        prop_assert_eq!(layout.lower_bound.get(), naive::highest_load(&rows));
    }

    #[test]
    fn first_fit_does_what_its_definition_says(rows in larger()) {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&index| (rows[index].0, std::cmp::Reverse(rows[index].2)));
        let layout = solved(&problem(&rows, 1, None), Strategy::FirstFit);
        prop_assert_eq!(layout.height.get(), naive::lowest_in_order(&rows, &order));
    }

    #[test]
    fn every_layout_is_valid_and_repeats(rows in larger(), alignment in prop_oneof![Just(1_u64), Just(64), Just(12)]) {
        let problem = problem(&rows, alignment, None);
        // The searches end by the clock: to prove an optimum of eighty buffers can take longer than anybody waits.
        let is_search = |strategy| matches!(strategy, Strategy::Auto | Strategy::Exact);
        for strategy in Strategy::ALL.into_iter().filter(|&strategy| !is_search(strategy)) {
            prop_assert_eq!(solved(&problem, strategy), solved(&problem, strategy));
        }
    }

    #[test]
    fn an_exact_search_that_ends_repeats((rows, alignments) in tiny()) {
        let problem = aligned(&rows, &alignments, None);
        prop_assert_eq!(solved(&problem, Strategy::Exact), solved(&problem, Strategy::Exact));
    }

    #[test]
    fn auto_is_never_above_the_heuristics_whatever_the_seed(rows in larger(), seed in any::<u64>()) {
        let problem = problem(&rows, 1, None);
        let limits = Limits { time: Some(std::time::Duration::from_millis(5)), interrupted: None, progress: None };
        let layout = solve(&problem, Strategy::Auto, seed, &limits);
        validate(&problem, &layout).unwrap();
        for strategy in [Strategy::FirstFit, Strategy::BestFit] {
            prop_assert!(layout.height <= solved(&problem, strategy).height);
        }
    }

    #[test]
    fn hostile_numbers_neither_panic_nor_lie(
        rows in prop::collection::vec((any::<i64>(), any::<i64>(), any::<u64>(), any::<u64>()), 0..5),
        shift in 0_u32..64,
    ) {
        let buffers = rows.iter().map(|&(lower, upper, size, alignment)| Buffer {
            lower,
            upper,
            size: Bytes::new(size >> shift),
            alignment: alignment >> shift,
        });
        if let Ok(problem) = Problem::new(buffers.collect(), None, Some(Bytes::new(u64::MAX))) {
            for strategy in Strategy::ALL {
                solved(&problem, strategy);
            }
        }
    }
}
