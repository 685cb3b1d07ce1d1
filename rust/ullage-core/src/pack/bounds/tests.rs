//! No bound is above the best plan, each is what the validator computes, and they rank as the field says.

#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use proptest::prelude::{Just, ProptestConfig, prop, prop_assert, prop_oneof, proptest};

use super::*;
use crate::pack::tests::{naive, problem};
use crate::pack::{Limits, Strategy, solve, validate};

fn bins_of(all: &[Bound], name: &str) -> usize {
    all.iter().filter(|bound| bound.proof.name() == name).map(|bound| bound.bins).max().unwrap()
}

/// All bounds of items, for bins of one capacity.
fn all(sizes: &[u64], capacity: u64) -> Vec<Bound> {
    let problem = problem(sizes, &[(capacity, None)]);
    let (order, supply) = (Order::decreasing(&problem), Supply::of(&problem));
    let mut all = quick::quick(&order, &supply).unwrap();
    all.extend(thorough(&order.sizes, &supply));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bound_is_above_the_fewest_bins(sizes in prop::collection::vec(0_u64..30, 1..9), capacity in 29_u64..60) {
        let fewest = naive::fewest(&sizes, &vec![capacity; sizes.len()]).unwrap();
        for bound in all(&sizes, capacity) {
            prop_assert!(bound.bins <= fewest, "{bound:?}, {fewest} bins do");
        }
    }

    #[test]
    fn bounds_hold_where_many_items_fill_a_bin(sizes in prop::collection::vec(0_u64..13, 1..12), capacity in 12_u64..40) {
        let exact = solve(&problem(&sizes, &[(capacity, None)]), Strategy::Exact, 0, &Limits::default());
        for bound in all(&sizes, capacity) {
            prop_assert!(bound.bins <= exact.bins_used, "{bound:?}, {} bins do", exact.bins_used);
        }
    }

    #[test]
    fn the_validator_agrees_with_every_bound(
        sizes in prop::collection::vec(prop_oneof![0_u64..100, 20..40_u64, Just(0)], 1..40),
        capacity in prop_oneof![Just(100_u64), 99..130_u64],
    ) {
        let problem = problem(&sizes, &[(capacity, None)]);
        let plan = solve(&problem, Strategy::FirstFitDecreasing, 0, &Limits::default());
        for Bound { bins, proof } in all(&sizes, capacity) {
            let status = if bins == plan.bins_used { crate::pack::Status::Optimal } else { crate::pack::Status::Feasible };
            let mut claimed = plan.clone();
            (claimed.lower_bound, claimed.proof, claimed.status) = (bins, proof, status);
            validate(&problem, &claimed).unwrap();
            (claimed.lower_bound, claimed.status) = (bins + 1, crate::pack::Status::Feasible);
            prop_assert!(validate(&problem, &claimed).is_err(), "{proof:?} is worth more than {bins}");
        }
    }

    #[test]
    fn l3_is_at_least_l2_which_is_at_least_l1(sizes in prop::collection::vec(1_u64..100, 1..60)) {
        let all = all(&sizes, 100);
        prop_assert!(bins_of(&all, "threshold").max(bins_of(&all, "area")) <= bins_of(&all, "reduction"));
        prop_assert!(bins_of(&all, "area") <= bins_of(&all, "dual_feasible_function"));
    }
}

#[test]
fn each_bound_is_the_best_somewhere() {
    // Three of 34 do not fit together: rounding to thirds sees it, which neither sizes nor thresholds do.
    let thirds = all(&[34; 7], 100);
    assert_eq!((bins_of(&thirds, "area"), bins_of(&thirds, "threshold")), (3, 3));
    assert_eq!(bins_of(&thirds, "dual_feasible_function"), 4);
    let halves = all(&[51, 51, 51], 100);
    assert_eq!((bins_of(&halves, "area"), bins_of(&halves, "threshold")), (2, 3));
}

#[test]
fn items_of_no_size_need_no_bin() {
    for bound in all(&[10, 7, 5, 0, 0], 12) {
        assert!(bound.bins <= 2, "{bound:?}");
    }
}
