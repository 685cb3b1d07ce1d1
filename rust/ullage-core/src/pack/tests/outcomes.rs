//! What the outcome is called, with its reason, on problems worked out by hand.

use super::*;
use crate::error::Error;

#[test]
fn nothing_to_pack_is_packed() {
    let plan = solved(&problem(&[], &[(10, None), (5, Some(1))]), Strategy::Auto);
    assert_eq!((plan.status, plan.bins_used, plan.lower_bound, plan.gap()), (Status::Optimal, 0, 0, Some(0)));
    assert_eq!(plan.bins.len(), 1, "the only copy of a kind is listed though empty");
}

#[test]
fn items_of_no_size_go_somewhere() {
    for strategy in Strategy::ALL {
        let plan = solved(&problem(&[0, 0, 0], &[(10, None)]), strategy);
        assert_eq!((plan.status, plan.bins_used), (Status::Optimal, 1));
        let plan = solved(&problem(&[0, 10, 0], &[(10, Some(1))]), strategy);
        assert_eq!(plan.assignment, [Some(0); 3]);
    }
}

#[test]
fn an_item_larger_than_every_bin_is_named() {
    let plan = solved(&problem(&[3, 12, 11], &[(10, None), (7, Some(2))]), Strategy::Auto);
    let (size, largest) = (Bytes::new(12), Bytes::new(10));
    assert_eq!(plan.reason, Some(Infeasibility::ItemTooLarge { item: 1, size, largest }));
    assert_eq!((plan.unplaced, plan.nodes), (vec![1, 2], 0));
}

#[test]
fn too_little_room_is_said_in_bytes() {
    let plan = solved(&problem(&[5, 5, 5], &[(7, Some(2))]), Strategy::Auto);
    let reason = Infeasibility::TooLittleCapacity { above: Bytes::ZERO, needed: 15, available: 14 };
    assert_eq!(plan.reason, Some(reason));
    // In all there is room, but not in the one bin that holds such items.
    let plan = solved(&problem(&[50, 50, 1], &[(80, Some(1)), (24, None)]), Strategy::Auto);
    let reason = Infeasibility::TooLittleCapacity { above: Bytes::new(24), needed: 100, available: 80 };
    assert_eq!(plan.reason, Some(reason));
}

#[test]
fn too_few_bins_are_counted() {
    let plan = solved(&problem(&[6, 6, 6, 1], &[(10, Some(2))]), Strategy::FirstFitDecreasing);
    let Some(Infeasibility::TooFewBins { needed, available, .. }) = plan.reason else { panic!("{plan:?}") };
    assert_eq!((needed, available), (3, 2));
}

#[test]
fn what_no_bound_sees_the_search_proves() {
    let sizes = [8, 8, 4, 4, 4, 4];
    let plan = solved(&problem(&sizes, &[(9, Some(2)), (15, Some(1))]), Strategy::Exact);
    assert_eq!(plan.reason, Some(Infeasibility::SearchExhausted));
    let heuristic = solved(&problem(&sizes, &[(9, Some(2)), (15, Some(1))]), Strategy::BestFitDecreasing);
    assert_eq!(heuristic.status, Status::Timeout);
    assert_eq!(heuristic.gap(), None);
}

#[test]
fn the_search_betters_the_heuristics() {
    let problem = problem(&[4, 3, 3, 2, 2, 2], &[(8, None)]);
    let heuristic = solved(&problem, Strategy::FirstFitDecreasing);
    let exact = solved(&problem, Strategy::Exact);
    assert_eq!((heuristic.status, heuristic.gap()), (Status::Feasible, Some(1)));
    assert_eq!((exact.status, exact.bins_used), (Status::Optimal, 2));
}

#[test]
fn scarce_large_bins_are_kept_for_large_items() {
    let plan = solved(&problem(&[6, 5, 5], &[(10, Some(1)), (6, Some(1))]), Strategy::FirstFitDecreasing);
    assert_eq!((plan.status, plan.assignment), (Status::Optimal, vec![Some(1), Some(0), Some(0)]));
}

#[test]
fn positions_are_kinds_where_each_kind_is_one_bin() {
    let plan = solved(&problem(&[9, 29], &[(10, Some(1)), (20, Some(1)), (30, Some(1))]), Strategy::Auto);
    assert_eq!(plan.bins.iter().map(|bin| bin.kind).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(plan.assignment, [Some(1), Some(2)]);
    assert_eq!(plan.bins_used, 2);
}

#[test]
fn equal_kinds_are_used_in_the_order_given() {
    let plan = solved(&problem(&[5; 4], &[(5, Some(1)), (5, Some(2)), (5, None)]), Strategy::Auto);
    let bins: Vec<(usize, u64)> = plan.bins.iter().map(|bin| (bin.kind, bin.copy)).collect();
    assert_eq!(bins, [(0, 0), (1, 0), (1, 1), (2, 0)]);
}

#[test]
fn a_quintillion_copies_cost_nothing() {
    let plan = solved(
        &problem(&[5; 4], &[(5, Some(1_000_000_000_000_000_000)), (4, Some(u64::MAX))]),
        Strategy::Auto,
    );
    assert_eq!((plan.status, plan.bins.len()), (Status::Optimal, 4));
}

#[test]
fn ten_thousand_items_are_searched_without_deep_recursion() {
    let sizes: Vec<u64> = (0..10_000).map(|index| 1 + index * 7919 % 997).collect();
    let limits =
        Limits { time: Some(std::time::Duration::from_millis(200)), interrupted: None, progress: None };
    let problem = problem(&sizes, &[(1000, None)]);
    validate(&problem, &solve(&problem, Strategy::Exact, 0, &limits)).unwrap();
}

#[test]
fn nonsense_is_refused_by_name() {
    let kind =
        |name: &str, capacity, count| BinKind { name: name.into(), capacity: Bytes::new(capacity), count };
    let item = |name: &str| Item { name: name.into(), size: Bytes::new(1) };
    for (items, kinds, expected) in [
        (vec![], vec![], "bins"),
        (vec![], vec![kind("a", 1, None), kind("b", 0, None)], "bins[1]"),
        (vec![], vec![kind("a", 1, Some(0))], "bins[0]"),
        (vec![], vec![kind("a", 1, None), kind("a", 2, None)], "bins[1]"),
        (vec![item("x"), item("y"), item("x")], vec![kind("a", 1, None)], "items[2]"),
    ] {
        let Err(Error::Problem { field, .. }) = Problem::new(items, kinds) else { panic!("{expected}") };
        assert_eq!(field, expected);
    }
    assert!(matches!("fastest".parse::<Strategy>(), Err(Error::Argument { name: "strategy", .. })));
    for strategy in Strategy::ALL {
        assert_eq!(strategy.to_string().parse::<Strategy>().unwrap(), strategy);
    }
}

#[test]
fn names_are_the_users_or_positions() {
    let problem = problem(&[1, 2], &[(3, Some(1)), (3, Some(2))]);
    assert_eq!(problem.item_name(1).as_deref(), Some("item:1"));
    assert_eq!(problem.item_name(2), None);
    assert_eq!(problem.bin_name(0, 0).as_deref(), Some("0"));
    assert_eq!(problem.bin_name(1, 1).as_deref(), Some("1:1"));
}

/// Three items to a bin, all bins full (as in Falkenauer's triplets): only the right triples do.
#[test]
fn triplets_are_solved() {
    let mut random = crate::solving::Random(7);
    let mut sizes = Vec::new();
    for _ in 0..20 {
        let first = 380 + random.below(110);
        let second = 250 + random.below((1000 - first) / 2 - 250 + 1);
        sizes.extend([first, second, 1000 - first - second]);
    }
    let plan = solved(&problem(&sizes, &[(1000, None)]), Strategy::Exact);
    assert_eq!((plan.status, plan.bins_used), (Status::Optimal, 20));
}
