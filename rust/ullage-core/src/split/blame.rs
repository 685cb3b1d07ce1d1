//! Why a chain cannot be cut: the piece, the memory or the run of pieces to blame.

use super::answer::Infeasibility;
use super::problem::{Place, Problem};
use super::route::Route;
use super::segment::Costs;

/// How far the pieces from some first one reach when every place takes as many as it can.
pub(super) struct Filled {
    /// The piece after the last that has a place.
    pub(super) reach: usize,
    /// Positions in the order of places that took some, with the first piece of each.
    pub(super) stops: Vec<(usize, usize)>,
}

/// Fills the places in `order` with pieces from `from` on. No other way of cutting them reaches further, as fewer
/// pieces never take more memory.
pub(super) fn furthest(problem: &Problem, costs: &Costs, order: &[usize], from: usize) -> Filled {
    let mut filled = Filled { reach: from, stops: Vec::new() };
    for (index, &place) in order.iter().enumerate() {
        let end = extended(problem, costs, place, filled.reach);
        if end > filled.reach {
            filled.stops.push((index, filled.reach));
            filled.reach = end;
        }
    }
    filled
}

/// Where a run that begins with `first` must end in `place`.
fn extended(problem: &Problem, costs: &Costs, place: usize, first: usize) -> usize {
    let usable = problem.places()[place].usable();
    let mut run = costs.run(place, first);
    let fitting = (first..costs.len()).take_while(|&piece| run.add(piece) <= usable);
    first.saturating_add(fitting.count())
}

/// How far the pieces from `from` on reach by the best way of `route`.
fn reach(problem: &Problem, costs: &Costs, route: &Route, from: usize) -> usize {
    let mut reached: Vec<usize> = Vec::with_capacity(route.stops.len());
    let mut most = from;
    for stop in &route.stops {
        let first = stop.before.iter().map(|&earlier| reached[earlier]).max().unwrap_or(from);
        let end = extended(problem, costs, stop.place, first);
        most = most.max(end);
        reached.push(end);
    }
    most
}

/// Why there is no split; by `route` it is known that there is none, without one only what is plain is told.
pub(super) fn reason(problem: &Problem, costs: &Costs, route: Option<&Route>) -> Option<Infeasibility> {
    let rooms = || problem.places().iter().map(Place::usable);
    let largest = rooms().max().unwrap_or(0);
    let alone = (0..costs.len()).map(|piece| (piece, costs.run(0, piece).add(piece)));
    if let Some((piece, needed)) = alone.into_iter().find(|&(_, needed)| needed > largest) {
        return Some(Infeasibility::PieceTooLarge { piece, needed, largest });
    }
    let (needed, available) = (problem.chain().bytes().get(), rooms().fold(0, u64::saturating_add));
    if needed > available {
        return Some(Infeasibility::TooLittleMemory { needed, available });
    }
    let route = route?;
    let end = reach(problem, costs, route, 0).saturating_add(1);
    // The last piece from which `end` is not reached: from any before it, it is not either.
    let (mut first, mut beyond) = (0, end);
    while beyond.saturating_sub(first) > 1 {
        let middle = first.saturating_add(beyond.saturating_sub(first) >> 1);
        if reach(problem, costs, route, middle) < end {
            first = middle;
        } else {
            beyond = middle;
        }
    }
    Some(Infeasibility::NoCut { first, end })
}
