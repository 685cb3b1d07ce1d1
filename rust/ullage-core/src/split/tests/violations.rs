//! The validator sees what is wrong.

use super::problems;
use crate::solving::{Limits, Random, Status};
use crate::split::{Objective, Split, Stage, solve, tiers, validate};
use crate::units::Bytes;

#[test]
fn no_figure_can_be_changed_unseen() {
    let mut random = Random(3);
    let mut changed = 0;
    for round in 0..400 {
        let problem = problems::problem(&mut random, Objective::ALL[round % 4]);
        let split = solve(&problem, &Limits::default());
        if split.status != Status::Optimal {
            continue;
        }
        let with = |change: &dyn Fn(&mut Split)| {
            let mut other = split.clone();
            change(&mut other);
            assert!(validate(&problem, &other).is_err(), "{problem:?} {other:?}");
        };
        let stage = |change: fn(&mut Stage)| move |split: &mut Split| change(&mut split.stages[0]);
        with(&stage(|stage| stage.load = stage.load.saturating_add(Bytes::new(1))));
        with(&stage(|stage| stage.time += 1));
        with(&stage(|stage| stage.transfer += 1));
        with(&stage(|stage| stage.first += 1));
        with(&stage(|stage| stage.end += 1));
        with(&stage(|stage| stage.place = 4));
        with(&|split| split.value += 1);
        with(&|split| split.latency += 1);
        with(&|split| split.bottleneck += 1);
        with(&|split| split.status = Status::Feasible);
        with(&|split| split.status = Status::Infeasible);
        with(&|split| split.stages.push(split.stages[0]));
        with(&|split| split.stages.truncate(split.stages.len() - 1));
        changed += 1;
    }
    assert!(changed > 100);
}

#[test]
fn no_figure_of_a_placement_can_be_changed_unseen() {
    let mut random = Random(4);
    let mut changed = 0;
    for _ in 0..400 {
        let problem = super::tiers::problem(&mut random, 6);
        let placement = tiers::solve(&problem, &Limits::default());
        if placement.status != Status::Optimal {
            continue;
        }
        let with = |change: &dyn Fn(&mut tiers::Placement)| {
            let mut other = placement.clone();
            change(&mut other);
            assert!(tiers::validate(&problem, &other).is_err(), "{problem:?} {other:?}");
        };
        with(&|placement| placement.assignment[0] = 3);
        with(&|placement| placement.assignment.truncate(placement.assignment.len() - 1));
        with(&|placement| placement.loads[0] = placement.loads[0].saturating_add(Bytes::new(1)));
        with(&|placement| placement.loads.truncate(placement.loads.len() - 1));
        with(&|placement| placement.buffer = placement.buffer.saturating_add(Bytes::new(1)));
        with(&|placement| placement.latency += 1);
        with(&|placement| placement.lower_bound += 1);
        with(&|placement| placement.status = Status::Feasible);
        with(&|placement| placement.status = Status::Infeasible);
        changed += 1;
    }
    assert!(changed > 100);
}
