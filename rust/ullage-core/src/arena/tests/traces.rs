//! Traces of training steps, with a hundred thousand buffers and more: near the highest load, without looking at all
//! pairs.

use super::*;
use crate::solving::Random;

/// A forward and a backward pass: activations live until their gradient, the rest for some operators.
fn training(operators: u32, seed: u64) -> Vec<Row> {
    let mut random = Random(seed);
    let mut below = |count: u64| i64::try_from(random.below(count)).unwrap();
    let end = 2 * i64::from(operators);
    let mut rows = Vec::new();
    for at in 0..i64::from(operators) {
        let back = end - at;
        for (lower, upper, size) in [
            (at, back + 1, 65_536 << below(4)),
            (at, at + 1 + below(3), 1024 * (1 + below(512))),
            (back, back + 2, 4096 * (1 + below(512))),
            (back, if below(5) > 0 { back + 1 + below(4) } else { end + 2 }, 1024 * (1 + below(64))),
        ] {
            rows.push((lower, upper, size.unsigned_abs()));
        }
    }
    rows
}

#[test]
fn a_hundred_thousand_buffers_come_within_a_hundredth() {
    let problem = problem(&training(25_000, 1), 1, None);
    let limits = Limits { time: Some(std::time::Duration::from_mins(1)), interrupted: None, progress: None };
    // The search for less would take all the time that there is.
    let enough = Bytes::new(solve(&problem, Strategy::BestFit, 0, &limits).lower_bound.get() / 100 * 101);
    let problem = Problem::new(problem.buffers().to_vec(), None, Some(enough)).unwrap();
    let layout = solve(&problem, Strategy::Auto, 0, &limits);
    validate(&problem, &layout).unwrap();
    assert!(matches!(layout.status, Status::Optimal | Status::Feasible), "{} of {enough:?}", layout.height);
}
