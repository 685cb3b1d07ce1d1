//! Random problems against brute force.

use proptest::prelude::{Just, ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy as Generator;

use super::brute::World;
use super::*;

/// Brute force takes its time: 600, or as many more as `PROPTEST_CASES` says.
fn cases() -> u32 {
    ProptestConfig::default().cases.max(600)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn the_exact_answer_is_that_of_brute_force(problem in small(6)) {
        let best = World::of(&problem).best();
        let found = solved(&problem, Strategy::Exact);
        match best {
            None => prop_assert_eq!(found.status, Status::Infeasible),
            Some((dropped, _, cost)) => {
                prop_assert_eq!(found.status, Status::Optimal);
                prop_assert_eq!((found.value, found.cost), (problem.total_value() - dropped, cost));
            }
        }
    }

    #[test]
    fn heuristics_are_valid_and_their_bounds_are_true(problem in small(6), local in any::<bool>()) {
        let best = World::of(&problem).best();
        let found = solved(&problem, if local { Strategy::LocalSearch } else { Strategy::Greedy });
        let Some((dropped, _, cost)) = best else {
            prop_assert!(matches!(found.status, Status::Infeasible | Status::Timeout));
            return Ok(());
        };
        prop_assert!(found.status != Status::Infeasible);
        prop_assert!(found.value_bound >= problem.total_value() - dropped);
        if found.value == problem.total_value() - dropped {
            prop_assert!(found.lower_bound <= cost);
        }
        if found.status == Status::Optimal {
            prop_assert_eq!((found.value, found.cost), (problem.total_value() - dropped, cost));
        }
    }

    #[test]
    fn a_conflict_is_impossible_and_minimal(problem in small(5)) {
        let found = solved(&problem, Strategy::Auto);
        let Some(conflict) = found.conflict else { return Ok(()) };
        prop_assert!(conflict.minimal);
        let with = |demands: Vec<Demand>| World { demands, ..World::of(&problem) }.best();
        prop_assert_eq!(with(conflict.demands.clone()), None, "{:?}", conflict);
        for given_up in &conflict.demands {
            let rest: Vec<Demand> = conflict.demands.iter().filter(|demand| *demand != given_up).copied().collect();
            prop_assert!(with(rest).is_some(), "{:?} without {:?} is impossible still", conflict, given_up);
        }
    }
}

/// A problem, and what changes: items that go, demands and replicas that come, how much may move.
type Change = (Problem, Vec<usize>, Vec<(Vec<u64>, u32)>, Option<u64>);

fn changing() -> impl Generator<Value = Change> {
    small(4).prop_flat_map(|problem| {
        let (items, width) = (problem.items().len(), problem.resources().len());
        let gone = proptest::sample::subsequence((0..items).collect::<Vec<_>>(), 0..=items);
        let come = proptest::collection::vec((proptest::collection::vec(0..=9_u64, width), 1..=2_u32), 0..=2);
        (Just(problem), gone, come, proptest::option::of(0..=3_u64))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn a_repack_moves_no_more_than_brute_force((problem, remove, come, most_migrations) in changing()) {
        let placement = solved(&problem, Strategy::Greedy);
        let add = come.into_iter().enumerate().map(|(index, (demand, replicas))| {
            Item { name: format!("new{index}"), demand, value: 3, replicas }
        });
        let changes = Changes { add: add.collect(), remove, rules: Vec::new(), most_migrations };
        let repacking = repack(&problem, &placement, &changes, Strategy::Exact, 3, &Limits::default()).unwrap();
        if let Err(error) = validate_repacking(&repacking) {
            panic!("{error}\n{repacking:?}");
        }
        let world = World {
            homes: repacking.before.clone(),
            most_moves: most_migrations.unwrap_or(u64::MAX),
            ..World::of(&repacking.problem)
        };
        let found = &repacking.placement;
        match world.best() {
            None => prop_assert_eq!(found.status, Status::Infeasible),
            Some((dropped, moved, cost)) => {
                let value = repacking.problem.total_value() - dropped;
                prop_assert_eq!((found.value, found.moved, found.cost), (value, moved, cost));
                prop_assert_eq!(found.status, Status::Optimal);
            }
        }
    }
}
