//! Problems whose answer is known.

use super::*;

fn problem(items: Vec<Item>, kinds: Vec<Kind>, rules: Vec<Rule>, keep: Keep) -> Problem {
    let width = kinds[0].capacity.len();
    Problem::new(resources(width), items, kinds, rules, keep).unwrap()
}

fn demands(problem: &Problem) -> Vec<Demand> {
    let conflict = solved(problem, Strategy::Auto).conflict.expect("infeasible");
    assert!(conflict.minimal);
    conflict.demands
}

#[test]
fn nothing_to_place_needs_nothing() {
    let problem = problem(Vec::new(), vec![kind("a", &[1], None)], Vec::new(), Keep::All);
    let found = solved(&problem, Strategy::Auto);
    assert_eq!((found.status, found.cost, found.bins.len()), (Status::Optimal, 0, 0));
}

#[test]
fn the_cheaper_mix_of_devices_is_found_and_proven() {
    // Two small devices at 3 hold all four; one large one costs 7; three at 2 would be too small for an 8.
    let kinds = vec![
        Kind { cost: 7, ..kind("large", &[32], None) },
        Kind { cost: 3, ..kind("small", &[16], None) },
        Kind { cost: 2, ..kind("tiny", &[7], None) },
    ];
    let items = (0..4).map(|index| item(&format!("i{index}"), &[8])).collect();
    let found = solved(&problem(items, kinds, Vec::new(), Keep::All), Strategy::Auto);
    assert_eq!((found.status, found.cost, found.lower_bound), (Status::Optimal, 6, 6));
}

#[test]
fn every_resource_counts() {
    let items = (0..6).map(|index| item(&format!("i{index}"), &[1, 5])).collect();
    let found =
        solved(&problem(items, vec![kind("a", &[100, 10], None)], Vec::new(), Keep::All), Strategy::Auto);
    assert_eq!((found.status, found.cost), (Status::Optimal, 3));
    assert_eq!(found.proof, Proof::Cover { resource: 1 });
}

#[test]
fn the_dearest_model_is_kept_where_not_all_fit() {
    let mut items = vec![item("a", &[6]), item("b", &[5]), item("c", &[5]), item("d", &[9])];
    for (item, value) in items.iter_mut().zip([7, 5, 5, 8]) {
        item.value = value;
    }
    let problem = problem(items, vec![kind("x", &[10], Some(1))], Vec::new(), Keep::BestValue);
    let found = solved(&problem, Strategy::Auto);
    assert_eq!((found.status, found.value, found.unplaced), (Status::Optimal, 10, vec![0, 3]));
}

#[test]
fn a_replica_that_finds_no_second_device_is_to_blame_alone() {
    let items =
        vec![item("small", &[1]), Item { replicas: 2, ..item("llama-70b", &[140]) }, item("other", &[2])];
    let kinds = vec![kind("node-0", &[320], Some(1)), kind("node-1", &[80], Some(1))];
    let problem = problem(items, kinds, Vec::new(), Keep::All);
    assert_eq!(demands(&problem), [Demand::Item(1), Demand::Replicas(1), Demand::Resource(0)]);
    let text = explain(&problem, &demands(&problem), None);
    assert_eq!(
        text,
        "\"llama-70b\" needs 140 B of r0 on each of 2 different devices, and only \"node-0\" holds that"
    );
}

#[test]
fn rules_that_contradict_each_other_are_to_blame() {
    let items = vec![item("a", &[1]), item("b", &[1]), item("c", &[1])];
    let rules = vec![Rule::Together(vec![0, 1]), Rule::Apart(vec![0, 2]), Rule::Together(vec![1, 2])];
    let problem = problem(items, vec![kind("x", &[10], Some(3))], rules, Keep::All);
    let expected = [
        Demand::Item(0),
        Demand::Item(1),
        Demand::Item(2),
        Demand::Rule(0),
        Demand::Rule(1),
        Demand::Rule(2),
    ];
    assert_eq!(demands(&problem), expected);
}

#[test]
fn a_reserve_is_to_blame_where_it_takes_the_room() {
    let items = vec![item("a", &[9])];
    let kinds = vec![Kind { reserve: vec![2], ..kind("x", &[10], Some(1)) }];
    let problem = problem(items, kinds, Vec::new(), Keep::All);
    assert_eq!(demands(&problem), [Demand::Item(0), Demand::Resource(0), Demand::Reserve]);
}

#[test]
fn a_pin_to_one_copy_is_kept() {
    let items = vec![item("a", &[1]), item("b", &[1])];
    let rules = vec![Rule::Only { item: 1, spots: vec![Spot { kind: 0, copy: Some(5) }] }];
    let problem = problem(items, vec![kind("x", &[10], Some(8))], rules, Keep::All);
    let found = solved(&problem, Strategy::Auto);
    assert_eq!((found.cost, found.bins[0].copy), (1, 5));
}

#[test]
fn many_items_on_many_devices_are_placed_near_the_bound() {
    let mut seed = 1_u64;
    let mut next = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let items = (0..400).map(|index| item(&format!("i{index}"), &[1 + next(40), 1 + next(40)])).collect();
    let kinds = vec![kind("x", &[100, 100], None), Kind { cost: 3, ..kind("y", &[310, 290], Some(20)) }];
    let problem = problem(items, kinds, Vec::new(), Keep::All);
    let found = solved(&problem, Strategy::Greedy);
    assert!(found.cost * 100 <= found.lower_bound * 112, "{} of {}", found.cost, found.lower_bound);
}
