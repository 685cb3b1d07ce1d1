//! The solvers against the definitions: brute force, naive heuristics, and the validator in every test.

#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

mod assignments;
mod naive;
mod outcomes;
mod properties;
mod violations;

use super::*;
use crate::units::Bytes;

/// A problem of nameless items and kinds `(capacity, count)`.
fn problem(sizes: &[u64], kinds: &[(u64, Option<u64>)]) -> Problem {
    let kind = |(index, &(capacity, count)): (usize, &(u64, Option<u64>))| BinKind {
        name: index.to_string(),
        capacity: Bytes::new(capacity),
        count,
    };
    let kinds = kinds.iter().enumerate().map(kind).collect();
    Problem::from_sizes(sizes.iter().copied().map(Bytes::new).collect(), kinds).unwrap()
}

/// Solves without limits, and validates.
fn solved(problem: &Problem, strategy: Strategy) -> Plan {
    let plan = solve(problem, strategy, &Limits::default());
    validate(problem, &plan).unwrap_or_else(|error| panic!("{strategy}: {error}\n{problem:?}\n{plan:?}"));
    plan
}
