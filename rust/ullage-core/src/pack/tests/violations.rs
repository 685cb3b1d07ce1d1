//! The validator finds every single lie.

use super::*;
use crate::error::Error;

/// What a dishonest solver would change.
type Lie = fn(&mut Plan);

fn fact(problem: &Problem, plan: &Plan) -> String {
    match validate(problem, plan) {
        Err(Error::Violation { fact }) => fact,
        other => panic!("{other:?} for {plan:?}"),
    }
}

#[test]
fn each_broken_fact_of_a_complete_plan_is_found() {
    let problem = problem(&[6, 5, 4, 3], &[(10, Some(2)), (20, Some(1))]);
    let plan = solved(&problem, Strategy::Auto);
    assert_eq!((plan.bins_used, plan.lower_bound), (1, 1));
    let lies: [(&str, Lie); 15] = [
        ("lost item", |plan| plan.assignment[1] = None),
        ("listed twice", |plan| plan.unplaced.push(1)),
        ("bin out of range", |plan| plan.assignment[0] = Some(9)),
        ("too short", |plan| plan.assignment.truncate(3)),
        ("too long", |plan| plan.assignment.push(Some(0))),
        ("wrong load", |plan| plan.bins[0].load = Bytes::new(1)),
        ("wrong capacity", |plan| plan.bins[0].capacity = Bytes::new(100)),
        ("wrong kind", |plan| plan.bins[0].kind = 7),
        ("wrong copy", |plan| plan.bins[0].copy = 5),
        ("twice the same bin", |plan| plan.bins.push(plan.bins[0])),
        ("too many bins used", |plan| plan.bins_used = 2),
        ("bound above the plan", |plan| plan.lower_bound = 2),
        ("bound too low to be optimal", |plan| plan.lower_bound = 0),
        ("feasible without a gap", |plan| plan.status = Status::Feasible),
        ("a reason for nothing", |plan| plan.reason = Some(Infeasibility::SearchExhausted)),
    ];
    for (name, lie) in lies {
        let mut broken = plan.clone();
        lie(&mut broken);
        assert!(!fact(&problem, &broken).is_empty(), "{name}");
    }
}

#[test]
fn an_overfull_bin_is_found_even_where_loads_would_wrap() {
    let problem = problem(&[u64::MAX, u64::MAX, 2], &[(u64::MAX, None)]);
    let mut plan = solved(&problem, Strategy::Auto);
    assert_eq!(plan.bins_used, 3);
    plan.bins.truncate(1);
    (plan.assignment, plan.bins_used, plan.lower_bound) = (vec![Some(0); 3], 1, 1);
    assert!(fact(&problem, &plan).contains("more than its capacity"));
}

#[test]
fn a_bound_without_its_proof_is_found() {
    let problem = problem(&[6, 6, 3, 3], &[(9, None)]);
    let mut plan = solved(&problem, Strategy::Auto);
    (plan.status, plan.lower_bound, plan.proof) = (Status::Optimal, 2, Proof::Area);
    validate(&problem, &plan).unwrap();
    // Two bins hold all; a plan of three that claims to be optimal has no proof.
    plan.bins.push(PlannedBin { copy: 2, load: Bytes::new(3), ..plan.bins[1] });
    let moved = plan.assignment.iter().rposition(Option::is_some).unwrap();
    let from = plan.assignment[moved].unwrap();
    plan.bins[from].load = Bytes::new(plan.bins[from].load.get() - 3);
    (plan.assignment[moved], plan.bins_used, plan.lower_bound) = (Some(2), 3, 3);
    assert!(fact(&problem, &plan).contains("lower bound"));
    plan.proof = Proof::Threshold(Bytes::new(3));
    assert!(fact(&problem, &plan).contains("lower bound"));
}

#[test]
fn an_untrue_reason_is_found() {
    let problem = problem(&[5, 5, 5], &[(7, Some(2))]);
    let plan = solved(&problem, Strategy::Auto);
    for reason in [
        Infeasibility::ItemTooLarge { item: 0, size: Bytes::new(5), largest: Bytes::new(7) },
        Infeasibility::ItemTooLarge { item: 9, size: Bytes::new(5), largest: Bytes::new(4) },
        Infeasibility::TooLittleCapacity { above: Bytes::ZERO, needed: 16, available: 14 },
        Infeasibility::TooLittleCapacity { above: Bytes::new(5), needed: 0, available: 14 },
        Infeasibility::TooFewBins { proof: Proof::Threshold(Bytes::new(4)), needed: 3, available: 2 },
        Infeasibility::TooFewBins { proof: Proof::Threshold(Bytes::new(3)), needed: 4, available: 2 },
    ] {
        assert!(
            fact(&problem, &Plan { reason: Some(reason), ..plan.clone() }).contains("not true"),
            "{reason}"
        );
    }
    assert!(fact(&problem, &Plan { reason: None, ..plan.clone() }).contains("infeasible"));
    assert!(fact(&problem, &Plan { lower_bound: 2, ..plan }).contains("infeasible"));
}
