//! [`validate`](fn@validate): a split checked against its problem by someone who does not know how it was made.

use std::collections::HashMap;

use super::answer::{Infeasibility, Split, Stage};
use super::problem::{Objective, Order, Place, Problem, fill};
use crate::error::{Error, Result};
use crate::solving::Status;

/// The most selections of places that a proof of infeasibility is checked over.
const MOST_SELECTIONS: usize = 1 << 14;

/// Checks every fact that `split` states.
///
/// Not checkable, and taken on trust: that no other split is better, and that none exists where the order is free and
/// the places are of very many kinds.
///
/// # Errors
/// [`Error::Violation`] with the first violated fact.
pub fn validate(problem: &Problem, split: &Split) -> Result<()> {
    let is_complete = !split.stages.is_empty();
    let agrees = match split.status {
        Status::Optimal => is_complete && split.value == split.lower_bound,
        Status::Feasible => is_complete && split.value > split.lower_bound,
        Status::Infeasible => !is_complete && split.reason.is_some(),
        Status::Timeout => !is_complete && split.reason.is_none(),
    };
    holds(agrees, || {
        let Split { status, value, lower_bound, stages, .. } = split;
        format!("{status} with {} stages, value {value} and lower bound {lower_bound}", stages.len())
    })?;
    if let Some(reason) = split.reason {
        return reason_holds(problem, reason);
    }
    if !is_complete {
        return Ok(());
    }
    stages_cover(problem, split)?;
    let mut sum = Totals::default();
    for (index, stage) in split.stages.iter().enumerate() {
        let next = split.stages.get(index.saturating_add(1));
        stage_holds(problem, index, stage, next, &mut sum)?;
    }
    holds(sum.latency == u128::from(split.latency), || {
        format!("the stages take {} ps, the latency is given as {}", sum.latency, split.latency)
    })?;
    holds(sum.bottleneck == split.bottleneck, || {
        format!("the slowest takes {} ps, the bottleneck is given as {}", sum.bottleneck, split.bottleneck)
    })?;
    let value = match problem.objective() {
        Objective::Latency => split.latency,
        Objective::Throughput => split.bottleneck,
        Objective::Devices => split.stages.len() as u64,
        Objective::Balance => sum.fullest,
    };
    holds(value == split.value, || {
        format!("the {} is {value}, given as {}", problem.objective(), split.value)
    })
}

#[derive(Default)]
struct Totals {
    latency: u128,
    bottleneck: u64,
    fullest: u64,
}

fn holds(fact: bool, broken: impl FnOnce() -> String) -> Result<()> {
    if fact { Ok(()) } else { Err(Error::Violation { fact: broken() }) }
}

/// Every piece is in one stage, in order, and every place has at most one.
fn stages_cover(problem: &Problem, split: &Split) -> Result<()> {
    let mut next = 0;
    let mut taken: HashMap<usize, usize> = HashMap::new();
    let mut last_place = None;
    for (index, stage) in split.stages.iter().enumerate() {
        holds(stage.first == next && stage.end > stage.first, || {
            format!("stage {index} holds the pieces {} to {}, {next} comes next", stage.first, stage.end)
        })?;
        next = stage.end;
        holds(stage.place < problem.places().len(), || {
            format!("stage {index} is in device {}, which the problem lacks", stage.place)
        })?;
        if let Some(first) = taken.insert(stage.place, index) {
            return holds(false, || format!("stages {first} and {index} are both in device {}", stage.place));
        }
        let is_in_order = problem.order() == Order::Any || last_place.is_none_or(|last| last < stage.place);
        holds(is_in_order, || format!("stage {index} passes the devices against their order"))?;
        last_place = Some(stage.place);
    }
    let pieces = problem.chain().pieces().len();
    holds(next == pieces, || format!("the stages end at piece {next}, the chain at {pieces}"))
}

/// The bytes that a place holds with the pieces from `first` until before `end`.
fn held(problem: &Problem, first: usize, end: usize) -> u128 {
    let chain = problem.chain();
    let pieces = chain.pieces().get(first..end).unwrap_or_default();
    let own: u128 = pieces
        .iter()
        .map(|piece| u128::from(piece.weights.get()).saturating_add(piece.state.get().into()))
        .sum();
    let is_here = |pieces: &[usize]| pieces.iter().any(|piece| (first..end).contains(piece));
    let shared = chain.shared().iter().filter(|tensor| is_here(&tensor.pieces));
    let shared: u128 = shared.map(|tensor| u128::from(tensor.bytes.get())).sum();
    let workspace = pieces.iter().map(|piece| piece.workspace.get()).max().unwrap_or(0);
    own.saturating_add(shared).saturating_add(workspace.into())
}

fn stage_holds(
    problem: &Problem,
    index: usize,
    stage: &Stage,
    next: Option<&Stage>,
    sum: &mut Totals,
) -> Result<()> {
    let load = held(problem, stage.first, stage.end);
    let Some(place) = problem.places().get(stage.place) else { return Ok(()) };
    holds(load == u128::from(stage.load.get()), || {
        format!("stage {index} holds {load} bytes, given as {}", stage.load.get())
    })?;
    holds(load <= u128::from(place.usable()), || {
        format!("stage {index} holds {load} bytes, {:?} has room for {}", place.name, place.usable())
    })?;
    let pieces = problem.chain().pieces().get(stage.first..stage.end).unwrap_or_default();
    let time: u64 = pieces.iter().map(|piece| piece.time(place.bandwidth, place.flops)).sum();
    holds(time == stage.time, || format!("stage {index} takes {time} ps, given as {}", stage.time))?;
    let output = pieces.last().map_or(0, |piece| piece.output.get());
    let (transfer, slowest) = next.map_or((0, 0), |next| problem.transfer(stage.place, next.place, output));
    holds(transfer == stage.transfer, || {
        format!("stage {index} hands over in {transfer} ps, given as {}", stage.transfer)
    })?;
    sum.latency = sum.latency.saturating_add(time.into()).saturating_add(transfer.into());
    sum.bottleneck = sum.bottleneck.max(time).max(slowest);
    sum.fullest = sum.fullest.max(fill(stage.load.get(), place.usable()));
    Ok(())
}

fn reason_holds(problem: &Problem, reason: Infeasibility) -> Result<()> {
    let rooms = || problem.places().iter().map(Place::usable);
    let fact = match reason {
        Infeasibility::PieceTooLarge { piece, needed, largest } => {
            piece < problem.chain().pieces().len()
                && held(problem, piece, piece.saturating_add(1)) == u128::from(needed)
                && rooms().max() == Some(largest)
                && needed > largest
        }
        Infeasibility::TooLittleMemory { needed, available } => {
            problem.chain().bytes().get() == needed
                && rooms().fold(0, u64::saturating_add) == available
                && needed > available
        }
        Infeasibility::NoCut { first, end } => {
            first < end
                && end <= problem.chain().pieces().len()
                && can_be_cut(problem, first, end) != Some(true)
                && can_be_cut(problem, first.saturating_add(1), end) != Some(false)
                && can_be_cut(problem, first, end.saturating_sub(1)) != Some(false)
        }
    };
    holds(fact, || format!("the reason for infeasibility is not true: {}", reason.explain(problem)))
}

/// Whether the pieces from `first` until before `end` can be cut so that every run fits; `None` where there are too
/// many selections of places to tell.
fn can_be_cut(problem: &Problem, first: usize, end: usize) -> Option<bool> {
    let extended = |from: usize, room: u64| {
        (from..end)
            .take_while(|&last| held(problem, from, last.saturating_add(1)) <= u128::from(room))
            .count()
            .saturating_add(from)
    };
    if problem.order() == Order::Given {
        let reached = problem.places().iter().fold(first, |from, place| extended(from, place.usable()));
        return Some(reached >= end);
    }
    let mut rooms: Vec<(u64, usize)> = Vec::new();
    for room in problem.places().iter().map(Place::usable) {
        match rooms.iter_mut().find(|(known, _)| *known == room) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => rooms.push((room, 1)),
        }
    }
    // How far each selection reaches; a selection that leaves out a place reaches no further than one with it.
    let mut layer: HashMap<Vec<usize>, usize> =
        HashMap::from([(rooms.iter().map(|&(_, count)| count).collect(), first)]);
    for _ in problem.places() {
        let mut after: HashMap<Vec<usize>, usize> = HashMap::new();
        for (left, from) in &layer {
            for (kind, &(room, _)) in rooms.iter().enumerate() {
                let Some(fewer) = left[kind].checked_sub(1) else { continue };
                let mut rest = left.clone();
                rest[kind] = fewer;
                let reached = after.entry(rest).or_insert(first);
                *reached = (*reached).max(extended(*from, room));
            }
        }
        if after.len() > MOST_SELECTIONS {
            return None;
        }
        layer = after;
    }
    Some(layer.values().any(|&reached| reached >= end))
}
