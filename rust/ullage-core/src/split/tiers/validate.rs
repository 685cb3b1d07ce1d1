//! [`validate`](fn@validate): a placement checked against its problem by someone who does not know how it was made.

use super::answer::{Infeasibility, Placement};
use super::problem::{Cut, Problem};
use crate::error::{Error, Result};
use crate::solving::Status;

/// Checks every fact that `placement` states.
///
/// Not checkable, and taken on trust: that no other is faster, and that the limits named leave none.
///
/// # Errors
/// [`Error::Violation`] with the first violated fact.
pub fn validate(problem: &Problem, placement: &Placement) -> Result<()> {
    let Placement { status, assignment, latency, lower_bound, .. } = placement;
    let is_complete = !assignment.is_empty();
    let agrees = match status {
        Status::Optimal => is_complete && latency == lower_bound,
        Status::Feasible => is_complete && latency > lower_bound,
        Status::Infeasible => !is_complete && placement.reason.is_some(),
        Status::Timeout => !is_complete && placement.reason.is_none(),
    };
    holds(agrees, || {
        let placed = assignment.len();
        format!("{status} with {placed} pieces placed, {latency} ps and a lower bound of {lower_bound}")
    })?;
    if let Some(reason) = &placement.reason {
        let is_true = reason_is_true(problem, reason);
        return holds(is_true, || {
            format!("the reason for infeasibility is not true: {}", reason.explain(problem))
        });
    }
    if !is_complete {
        return Ok(());
    }
    every_piece_is_somewhere(problem, assignment)?;
    let time: u64 = assignment.iter().enumerate().map(|(piece, &tier)| problem.time(piece, tier)).sum();
    holds(time == *latency, || format!("a step takes {time} ps, given as {latency}"))?;
    loads_are_true(problem, placement)
}

fn holds(fact: bool, broken: impl FnOnce() -> String) -> Result<()> {
    if fact { Ok(()) } else { Err(Error::Violation { fact: broken() }) }
}

fn every_piece_is_somewhere(problem: &Problem, assignment: &[usize]) -> Result<()> {
    let pieces = problem.pieces().len();
    holds(assignment.len() == pieces, || format!("{} of {pieces} pieces are placed", assignment.len()))?;
    let missing = assignment.iter().position(|&tier| tier >= problem.tiers().len());
    holds(missing.is_none(), || format!("piece {} lies in a tier that there is not", missing.unwrap_or(0)))?;
    let is_cut = problem.cut() == Cut::Anywhere || assignment.is_sorted_by(|before, after| before >= after);
    holds(is_cut, || "a piece lies in a later tier than one before it".to_owned())
}

fn loads_are_true(problem: &Problem, placement: &Placement) -> Result<()> {
    let fetched = placement.assignment.iter().zip(problem.pieces());
    let fetched =
        fetched.filter(|(tier, _)| problem.is_fetched(**tier)).map(|(_, piece)| piece.weights.get());
    let buffer = u128::from(fetched.max().unwrap_or(0)).saturating_mul(problem.buffers().into());
    holds(buffer == u128::from(placement.buffer.get()), || {
        format!("the buffers take {buffer} bytes, given as {}", placement.buffer.get())
    })?;
    holds(placement.loads.len() == problem.tiers().len(), || {
        format!("{} loads for {} tiers", placement.loads.len(), problem.tiers().len())
    })?;
    for (index, (tier, given)) in problem.tiers().iter().zip(&placement.loads).enumerate() {
        let load = load(problem, &placement.assignment, index, buffer);
        holds(load == u128::from(given.get()), || {
            format!("{:?} holds {load} bytes, given as {}", tier.name, given.get())
        })?;
        holds(load <= u128::from(tier.usable()), || {
            format!("{:?} holds {load} bytes and has room for {}", tier.name, tier.usable())
        })?;
    }
    Ok(())
}

/// The bytes in tier `index`, of which `buffer` where it fetches anything.
fn load(problem: &Problem, assignment: &[usize], index: usize, buffer: u128) -> u128 {
    let worker = |tier: usize| problem.tiers().get(tier).map(|tier| tier.worker);
    let mut load: u128 = 0;
    let (mut computes, mut fetches) = (false, false);
    for (piece, &tier) in problem.pieces().iter().zip(assignment) {
        if tier == index {
            load = load.saturating_add(piece.weights.get().into());
        }
        if worker(tier) == Some(index) {
            load = load.saturating_add(piece.state.get().into());
            computes = true;
            fetches = fetches || tier != index;
        }
    }
    if computes {
        let workspace = problem.pieces().iter().map(|piece| piece.workspace.get()).max().unwrap_or(0);
        load = load.saturating_add(workspace.into());
    }
    if fetches { load.saturating_add(buffer) } else { load }
}

fn reason_is_true(problem: &Problem, reason: &Infeasibility) -> bool {
    match reason {
        Infeasibility::PieceTooLarge { piece } => {
            let Some(alone) = problem.pieces().get(*piece) else { return false };
            let workspace = problem.pieces().iter().map(|piece| piece.workspace.get()).max().unwrap_or(0);
            (0..problem.tiers().len()).all(|tier| {
                let worker = problem.tiers()[tier].worker;
                let buffers = if worker == tier { 0 } else { problem.buffers() };
                (0..problem.tiers().len()).any(|place| {
                    let mut load: u128 = 0;
                    if place == tier {
                        load = load.saturating_add(alone.weights.get().into());
                    }
                    if place == worker {
                        let buffer = u128::from(alone.weights.get()).saturating_mul(buffers.into());
                        load = load.saturating_add(alone.state.get().into()).saturating_add(workspace.into());
                        load = load.saturating_add(buffer);
                    }
                    load > u128::from(problem.tiers()[place].usable())
                })
            })
        }
        Infeasibility::TooLittleMemory { needed, available } => {
            let own = problem.pieces().iter().map(|piece| piece.weights.saturating_add(piece.state).get());
            let rooms = problem.tiers().iter().map(super::problem::Tier::usable);
            *needed == own.fold(0, u64::saturating_add)
                && *available == rooms.fold(0, u64::saturating_add)
                && needed > available
        }
        Infeasibility::Limits { tiers } => tiers.len() == problem.tiers().len() && tiers.contains(&true),
    }
}
