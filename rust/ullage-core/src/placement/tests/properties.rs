//! Random problems against brute force.

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use super::brute::World;
use super::*;

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
