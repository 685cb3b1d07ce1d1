//! [`blame`]: which demands of an infeasible problem cannot be met together, by giving up one after the other.

use crate::placement::active::Active;
use crate::placement::bounds::Bounds;
use crate::placement::conflict::{Conflict, Demand};
use crate::placement::greedy::{FITS, MEASURES, OPENINGS, Taste, Weights, by_unit, order_by};
use crate::placement::model::{Homes, Model};
use crate::placement::problem::Problem;
use crate::placement::search::{Aim, search};
use crate::placement::state::Score;
use crate::solving::Watch;

/// The most nodes of a search that asks whether what is left is possible.
const MOST_NODES: u64 = 20_000;

/// Demands of `problem` that cannot be met together, and the nodes that it took to find them.
///
/// A deletion filter: every demand is given up in turn, and stays given up where the others are impossible without it.
/// What is left after that is minimal, if every question was answered.
pub(super) fn blame(problem: &Problem, homes: Option<&Homes>, watch: &mut Watch<'_>) -> (Conflict, u64) {
    let mut left = Demand::all(problem, homes.is_some_and(|homes| homes.most_moves.is_some()));
    let mut nodes = 0_u64;
    let mut ask = |demands: &[Demand], watch: &mut Watch<'_>| {
        let (answer, took) = is_possible(problem, homes, demands, watch);
        nodes = nodes.saturating_add(took);
        answer
    };
    let mut size = left.len().checked_div(2).unwrap_or(0);
    while size > 1 && !watch.look() {
        give_up(&mut left, size, |demands| ask(demands, watch) == Some(false));
        size = size.min(left.len()).checked_div(2).unwrap_or(0);
    }
    let mut minimal = true;
    give_up(&mut left, 1, |demands| {
        let answer = if watch.look() { None } else { ask(demands, watch) };
        minimal = minimal && answer.is_some();
        answer == Some(false)
    });
    left.sort_unstable();
    (Conflict { demands: left, minimal }, nodes)
}

/// Takes out every stretch of `size` demands without which the rest is impossible still.
fn give_up(left: &mut Vec<Demand>, size: usize, mut is_impossible: impl FnMut(&[Demand]) -> bool) {
    let mut at = 0;
    while at < left.len() {
        let end = at.saturating_add(size).min(left.len());
        let rest: Vec<Demand> = left[..at].iter().chain(&left[end..]).copied().collect();
        if is_impossible(&rest) {
            *left = rest;
        } else {
            at = end;
        }
    }
}

/// Whether `demands` can be met together; `None` where that is not found out. With the nodes it took.
fn is_possible(
    problem: &Problem,
    homes: Option<&Homes>,
    demands: &[Demand],
    watch: &mut Watch<'_>,
) -> (Option<bool>, u64) {
    let mut model = Model::of(problem, &Active::only(problem, demands), homes);
    model.may_drop = false;
    let weights = Weights::of(&model);
    for opening in OPENINGS {
        let order = order_by(&model, &weights, MEASURES[0], true);
        let tried = by_unit(&model, &weights, &order, Taste { fit: FITS[1], opening }, watch);
        if tried.score.dropped == 0 {
            return (Some(true), 0);
        }
    }
    let any = Score { dropped: 0, ..Score::WORST };
    let aim = Aim { to_beat: any, enough: any, most_nodes: MOST_NODES };
    let found = search(&model, &Bounds::new(&model), aim, watch);
    let answer = if found.best.is_some() { Some(true) } else { found.proven.then_some(false) };
    (answer, found.nodes)
}
