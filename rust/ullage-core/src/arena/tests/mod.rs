//! The solvers against the definitions: brute force, naive heuristics, and the validator in every test.

#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

mod conditions;
mod csv;
mod exact;
mod naive;
mod outcomes;
mod properties;
mod traces;
mod violations;

use super::*;
use crate::units::Bytes;

/// `(lower, upper, size)`.
type Row = (i64, i64, u64);

fn buffer((lower, upper, size): Row, alignment: u64) -> Buffer {
    Buffer { lower, upper, size: Bytes::new(size), alignment }
}

fn problem(rows: &[Row], alignment: u64, capacity: Option<u64>) -> Problem {
    let buffers = rows.iter().map(|&row| buffer(row, alignment)).collect();
    Problem::new(buffers, None, capacity.map(Bytes::new)).unwrap()
}

/// Solves without a time limit, and validates.
fn solved(problem: &Problem, strategy: Strategy) -> Layout {
    let layout = solve(problem, strategy, 0, &Limits::default());
    validate(problem, &layout).unwrap_or_else(|error| panic!("{strategy}: {error}\n{problem:?}\n{layout:?}"));
    layout
}
