//! The dynamic program: the best way to have placed the first pieces, for every number of them and every last place.

use super::problem::{Problem, fill};
use super::route::Route;
use super::segment::Costs;
use crate::solving::Watch;

/// What a way costs: the first figure counts, the second among equals.
pub(super) type Score = (u64, u64);

const NONE: Score = (u64::MAX, u64::MAX);

/// How the cost of a way follows from that of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Times add up; then the number of places.
    Time,
    /// The number of places; then the times.
    Places,
    /// The slowest stage or transfer.
    Slowest,
    /// The fullest place.
    Fullest,
}

/// What no part of a way may exceed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    /// Picoseconds of a stage or of a transfer.
    pub(super) time: u64,
    /// The share of a place that is taken, as [`fill`] counts.
    pub(super) fill: u64,
}

impl Caps {
    pub(super) const NONE: Self = Self { time: u64::MAX, fill: u64::MAX };
}

/// A complete way: stops with the first piece of each, and what it costs.
pub(super) struct Found {
    pub(super) stops: Vec<(usize, usize)>,
    pub(super) score: Score,
}

/// What came of a search.
pub(super) enum Outcome {
    /// The best way of all.
    Best(Found),
    /// There is none.
    None,
    /// It was stopped.
    Stopped,
}

impl Outcome {
    /// What was found, else what `other` found.
    pub(super) fn or(self, other: Self) -> Self {
        if matches!(self, Self::Best(_)) { self } else { other }
    }
}

#[derive(Clone, Copy)]
struct Cell {
    score: Score,
    /// The stop before and the first piece of this one; the stop is `u32::MAX` at the start.
    before: (u32, u32),
}

impl Rule {
    /// The cost of a way of `before` with a transfer that takes `sum` in all and `most` on its slowest link.
    fn transferred(self, before: Score, (sum, most): (u64, u64)) -> Score {
        match self {
            Self::Time => (before.0.saturating_add(sum), before.1),
            Self::Places => (before.0, before.1.saturating_add(sum)),
            Self::Slowest => (before.0.max(most), 0),
            Self::Fullest => before,
        }
    }

    /// The cost of a way of `before` with one more stage.
    fn staged(self, before: Score, time: u64, share: u64) -> Score {
        match self {
            Self::Time => (before.0.saturating_add(time), before.1.saturating_add(1)),
            Self::Places => (before.0.saturating_add(1), before.1.saturating_add(time)),
            Self::Slowest => (before.0.max(time), 0),
            Self::Fullest => (before.0.max(share), 0),
        }
    }
}

/// The best way of `route` for all pieces.
pub(super) fn search(
    problem: &Problem,
    costs: &Costs,
    route: &Route,
    rule: Rule,
    caps: Caps,
    watch: &mut Watch<'_>,
) -> Outcome {
    let width = costs.len().saturating_add(1);
    let counts_fill = rule == Rule::Fullest || caps.fill < u64::MAX;
    let blank = Cell { score: NONE, before: (u32::MAX, 0) };
    let mut cells = vec![blank; route.stops.len().saturating_mul(width)];
    for stop in 0..route.stops.len() {
        let entries = entries(problem, costs, route, stop, rule, caps, &cells);
        if watch.spent(width.saturating_mul(route.stops[stop].before.len())) {
            return Outcome::Stopped;
        }
        let place = route.stops[stop].place;
        let usable = problem.places()[place].usable();
        let row = &mut cells[stop.saturating_mul(width)..][..width];
        for (first, (entry, before)) in entries.into_iter().enumerate() {
            if entry == NONE {
                continue;
            }
            let mut run = costs.run(place, first);
            for piece in first..costs.len() {
                let held = run.add(piece);
                let share = if counts_fill { fill(held, usable) } else { 0 };
                if held > usable || share > caps.fill || run.time > caps.time {
                    break;
                }
                let score = rule.staged(entry, run.time, share);
                let cell = &mut row[piece.saturating_add(1)];
                if score < cell.score {
                    *cell = Cell { score, before: (before, u32::try_from(first).unwrap_or(u32::MAX)) };
                }
                if watch.spent(1) {
                    return Outcome::Stopped;
                }
            }
        }
    }
    best(&cells, width)
}

/// The least cost with which `stop` can begin at each piece, and the stop before.
fn entries(
    problem: &Problem,
    costs: &Costs,
    route: &Route,
    stop: usize,
    rule: Rule,
    caps: Caps,
    cells: &[Cell],
) -> Vec<(Score, u32)> {
    let width = costs.len().saturating_add(1);
    let here = &route.stops[stop];
    let mut entries = vec![(NONE, u32::MAX); costs.len()];
    if here.is_first {
        entries[0].0 = (0, 0);
    }
    for &earlier in &here.before {
        let from = route.stops[earlier].place;
        let row = &cells[earlier.saturating_mul(width)..][..width];
        for (first, entry) in entries.iter_mut().enumerate().skip(1) {
            if row[first].score >= entry.0 {
                continue; // no transfer makes it cheaper
            }
            let way = problem.transfer(from, here.place, costs.outputs[first.saturating_sub(1)]);
            let score = rule.transferred(row[first].score, way);
            if way.1 <= caps.time && score < entry.0 {
                *entry = (score, u32::try_from(earlier).unwrap_or(u32::MAX));
            }
        }
    }
    entries
}

fn best(cells: &[Cell], width: usize) -> Outcome {
    let complete = cells.iter().enumerate().skip(width.saturating_sub(1)).step_by(width);
    let Some((last, cell)) = complete.min_by_key(|(_, cell)| cell.score) else { return Outcome::None };
    if cell.score == NONE {
        return Outcome::None;
    }
    let mut stops = Vec::new();
    let (mut stop, mut end) = (last.checked_div(width).unwrap_or(0), width.saturating_sub(1));
    loop {
        let (before, first) = cells[stop.saturating_mul(width).saturating_add(end)].before;
        end = usize::try_from(first).unwrap_or(0);
        stops.push((stop, end));
        if before == u32::MAX {
            break;
        }
        stop = usize::try_from(before).unwrap_or(0);
    }
    stops.reverse();
    Outcome::Best(Found { stops, score: cell.score })
}
