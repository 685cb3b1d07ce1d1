//! The validator sees what is wrong.

use super::problems;
use crate::solving::{Limits, Random, Status};
use crate::split::{Objective, Split, Stage, solve, validate};
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
