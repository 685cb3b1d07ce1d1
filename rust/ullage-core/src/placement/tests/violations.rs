//! The validator finds every single lie.

use super::*;
use crate::error::Error;

/// What a dishonest solver would change.
type Lie = fn(&mut Placement);

fn problem() -> Problem {
    let items = vec![
        item("a", &[6, 1]),
        item("b", &[4, 1]),
        Item { replicas: 2, ..item("c", &[3, 1]) },
        item("d", &[1, 1]),
    ];
    let kinds = vec![
        kind("x", &[10, 9], Some(3)),
        Kind { cost: 2, reserve: vec![1, 0], ..kind("y", &[9, 9], Some(1)) },
    ];
    let rules = vec![
        Rule::Only { item: 0, spots: vec![Spot { kind: 0, copy: Some(1) }] },
        Rule::Together(vec![1, 3]),
        Rule::Apart(vec![0, 1]),
    ];
    Problem::new(resources(2), items, kinds, rules, Keep::All).unwrap()
}

#[test]
fn each_broken_fact_is_found() {
    let problem = problem();
    let placement = solved(&problem, Strategy::Auto);
    assert_eq!((placement.status, placement.cost), (Status::Optimal, 2));
    let lies: [(&str, Lie); 20] = [
        ("lost item", |placement| placement.assignment[0].clear()),
        ("listed as unplaced", |placement| placement.unplaced.push(1)),
        ("bin out of range", |placement| placement.assignment[0] = vec![9]),
        ("too short", |placement| placement.assignment.truncate(3)),
        ("a replica lost", |placement| placement.assignment[2].truncate(1)),
        ("replicas on one device", |placement| placement.assignment[2] = vec![0, 0]),
        ("wrong load", |placement| placement.bins[0].load[0] += 1),
        ("load of one resource missing", |placement| placement.bins[0].load.truncate(1)),
        ("unknown kind", |placement| placement.bins[0].kind = 7),
        ("unknown copy", |placement| placement.bins[0].copy = 3),
        ("listed twice", |placement| placement.bins.insert(1, placement.bins[0].clone())),
        ("pinned elsewhere", |placement| placement.bins[1].copy = 2),
        ("wrong value", |placement| placement.value -= 1),
        ("wrong cost", |placement| placement.cost += 1),
        ("bound above the cost", |placement| placement.lower_bound = 3),
        ("no proof of being optimal", |placement| placement.lower_bound = 1),
        ("merely feasible", |placement| placement.status = Status::Feasible),
        ("infeasible", |placement| placement.status = Status::Infeasible),
        ("a conflict of nothing", |placement| {
            placement.conflict = Some(Conflict { demands: Vec::new(), minimal: true });
        }),
        ("a value above all", |placement| placement.value_bound += 1),
    ];
    for (what, lie) in lies {
        let mut other = placement.clone();
        lie(&mut other);
        let found = validate(&problem, &other);
        assert!(matches!(found, Err(Error::Violation { .. })), "{what}: {found:?}\n{other:?}");
    }
}

/// `placement` with everything moved as `assignment` says, loads and cost as they then are.
fn moved(problem: &Problem, placement: &Placement, assignment: Vec<Vec<usize>>) -> Placement {
    let mut other = placement.clone();
    for bin in &mut other.bins {
        bin.load.fill(0);
    }
    for (item, places) in problem.items().iter().zip(&assignment) {
        for &place in places {
            for (load, demand) in other.bins[place].load.iter_mut().zip(&item.demand) {
                *load += demand;
            }
        }
    }
    other.assignment = assignment;
    other
}

#[test]
fn broken_rules_and_full_devices_are_found_behind_right_sums() {
    let problem = problem();
    let placement = solved(&problem, Strategy::Auto);
    let (pinned, other) = (placement.assignment[0][0], placement.assignment[1][0]);
    let both = placement.assignment[2].clone();
    for (assignment, word) in [
        (vec![vec![pinned], vec![other], both.clone(), vec![pinned]], "together"),
        (vec![vec![other], vec![pinned], both.clone(), vec![pinned]], "allowed"),
        (vec![vec![pinned], vec![pinned], both.clone(), vec![pinned]], "more than"),
    ] {
        match validate(&problem, &moved(&problem, &placement, assignment)) {
            Err(Error::Violation { fact }) => assert!(fact.contains(word), "{fact}"),
            found => panic!("{found:?}"),
        }
    }
}

#[test]
fn steps_that_overfill_or_do_not_arrive_are_found() {
    let items = vec![item("a", &[6]), item("b", &[5])];
    let kinds = vec![kind("x", &[10], Some(1)), kind("y", &[10], Some(1))];
    let problem = Problem::new(resources(1), items, kinds, Vec::new(), Keep::All).unwrap();
    let placement = solved(&problem, Strategy::Auto);
    let changes = Changes { add: vec![item("c", &[4])], ..Changes::default() };
    let repacking = repack(&problem, &placement, &changes, Strategy::Auto, 0, &Limits::default()).unwrap();
    validate_repacking(&repacking).unwrap();
    assert_eq!((repacking.migrations(), repacking.steps.len()), (0, 1));
    let mut lazy = repacking.clone();
    lazy.steps.clear();
    assert!(validate_repacking(&lazy).is_err());
    let mut twice = repacking.clone();
    twice.steps.push(twice.steps[0]);
    assert!(validate_repacking(&twice).is_err());
    let mut busy = repacking.clone();
    busy.before.swap(0, 1);
    assert!(validate_repacking(&busy).is_err());
}

#[test]
fn two_that_change_places_in_full_devices_need_one_to_step_aside() {
    let items = vec![item("a", &[6]), item("b", &[6])];
    let kinds = vec![kind("x", &[10], Some(1)), kind("y", &[10], Some(1))];
    let problem = Problem::new(resources(1), items, kinds, Vec::new(), Keep::All).unwrap();
    let placement = solved(&problem, Strategy::Auto);
    let home = placement.assignment[0][0];
    let away = Spot { kind: 1 - home, copy: None };
    let changes = Changes { rules: vec![Rule::Only { item: 0, spots: vec![away] }], ..Changes::default() };
    let repacking = repack(&problem, &placement, &changes, Strategy::Auto, 0, &Limits::default()).unwrap();
    validate_repacking(&repacking).unwrap();
    assert_eq!((repacking.placement.moved, repacking.migrations()), (12, 2));
    assert!(matches!(
        repacking.steps.as_slice(),
        [Step::Unload { .. }, Step::Move { .. }, Step::Load { .. }]
    ));
    let held = Changes { most_migrations: Some(1), ..changes };
    let refused = repack(&problem, &placement, &held, Strategy::Auto, 0, &Limits::default()).unwrap();
    assert_eq!(refused.placement.status, Status::Infeasible);
    assert!(refused.placement.conflict.unwrap().demands.contains(&Demand::Migrations));
}
