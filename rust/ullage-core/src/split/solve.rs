//! [`solve`](fn@solve): the best split of a chain over places.

use super::answer::{Infeasibility, Split, Stage};
use super::blame::{furthest, reason};
use super::problem::{Objective, Order, Problem, fill};
use super::route::Route;
use super::search::{Caps, Found, Outcome, Rule, search};
use super::segment::Costs;
use crate::solving::{Limits, Status, Watch};
use crate::units::Bytes;

/// The most cells that the dynamic program keeps, of 24 bytes each.
const MOST_CELLS: usize = 1 << 22;

/// Halvings of the range in which the fullest place is made less full where that costs nothing: to a thousandth.
const EVENING_STEPS: usize = 10;

/// Splits the chain of `problem` so that its objective is as small as can be.
///
/// The answer is proven where the order is given, and where it is free as long as the places are of few kinds; else
/// several orders are tried. Stopped by `limits`, it is a split that fits, if there is one.
///
/// ```
/// use ullage_core::split::{Chain, Limits, Link, Links, Objective, Order, Piece, Place, Problem, Status, solve, validate};
/// use ullage_core::Bytes;
///
/// let pieces = (0..4).map(|layer| Piece::plain(format!("layer.{layer}"), Bytes::new(10))).collect();
/// let place = |name: &str, capacity| Place {
///     name: name.to_owned(),
///     capacity: Bytes::new(capacity),
///     reserve: Bytes::ZERO,
///     bandwidth: Some(100),
///     flops: None,
///     node: 0,
/// };
/// let (places, links) = (vec![place("small", 15), place("large", 35)], Links::Alike(Link::default()));
/// let problem = Problem::new(Chain::new(pieces, vec![], 0)?, places, links, Order::Given, Objective::Latency)?;
/// let split = solve(&problem, &Limits::default());
/// assert_eq!((split.status, split.stages.len(), split.stages[0].end), (Status::Optimal, 2, 1));
/// validate(&problem, &split)?;
/// # Ok::<(), ullage_core::Error>(())
/// ```
#[must_use]
pub fn solve(problem: &Problem, limits: &Limits<'_>) -> Split {
    let costs = Costs::of(problem);
    let mut watch = Watch::start(limits);
    let bound = lower_bound(problem, &costs);
    watch.found(None, bound);
    let most = MOST_CELLS.checked_div(costs.len().saturating_add(1)).unwrap_or(0);
    if let Some(route) = Route::of(problem, most) {
        return match best(problem, &costs, &route, &mut watch) {
            Outcome::Best(found) => {
                let split = concluded(problem, &costs, &route, &found).split;
                Split { status: Status::Optimal, lower_bound: split.value, ..split }
            }
            Outcome::None => without(reason(problem, &costs, Some(&route)), Status::Infeasible),
            Outcome::Stopped => by_orders(problem, &costs, bound, &mut watch),
        };
    }
    by_orders(problem, &costs, bound, &mut watch)
}

/// The best way of `route` by the objective, among equals by the latency, and among these one that is evenly filled.
fn best(problem: &Problem, costs: &Costs, route: &Route, watch: &mut Watch<'_>) -> Outcome {
    let mut under = |rule: Rule, caps: Caps| search(problem, costs, route, rule, caps, watch);
    let (rule, caps, found) = match problem.objective() {
        Objective::Latency => (Rule::Time, Caps::NONE, under(Rule::Time, Caps::NONE)),
        Objective::Devices => (Rule::Places, Caps::NONE, under(Rule::Places, Caps::NONE)),
        Objective::Throughput => {
            let slowest = under(Rule::Slowest, Caps::NONE);
            let Outcome::Best(Found { score: (time, _), .. }) = slowest else { return slowest };
            let caps = Caps { time, ..Caps::NONE };
            (Rule::Time, caps, under(Rule::Time, caps).or(slowest))
        }
        Objective::Balance => {
            let fullest = under(Rule::Fullest, Caps::NONE);
            let Outcome::Best(Found { score: (fill, _), .. }) = fullest else { return fullest };
            return under(Rule::Time, Caps { fill, ..Caps::NONE }).or(fullest);
        }
    };
    let Outcome::Best(mut found) = found else { return found };
    // Halving the range of how full the fullest is, as long as that costs nothing.
    let (mut low, mut high) = (0_u64, concluded(problem, costs, route, &found).fullest);
    for _ in 0..EVENING_STEPS {
        let fill = low.midpoint(high);
        match under(rule, Caps { fill, ..caps }) {
            Outcome::Best(other) if other.score == found.score => (found, high) = (other, fill),
            Outcome::Stopped => break,
            Outcome::Best(_) | Outcome::None => low = fill,
        }
    }
    Outcome::Best(found)
}

/// The best over a few orders of the places; greedily filled places where there is no time for more.
fn by_orders(problem: &Problem, costs: &Costs, bound: u64, watch: &mut Watch<'_>) -> Split {
    let most = MOST_CELLS.checked_div(costs.len().saturating_add(1)).unwrap_or(0);
    let mut best_split: Option<Split> = None;
    for order in orders(problem) {
        let Some(route) = Route::through(&order, usize::MAX) else { continue };
        let filled = furthest(problem, costs, &order, 0);
        let greedy = (filled.reach == costs.len()).then_some(Found { stops: filled.stops, score: (0, 0) });
        let searched = if route.stops.len() <= most && !watch.look() {
            best(problem, costs, &route, watch)
        } else {
            Outcome::Stopped
        };
        let found = if let Outcome::Best(found) = searched { Some(found) } else { greedy };
        let Some(found) = found else { continue };
        let split = concluded(problem, costs, &route, &found).split;
        if best_split.as_ref().is_none_or(|known| split.value < known.value) {
            watch.found(Some(split.value), bound);
            best_split = Some(split);
        }
    }
    match best_split {
        Some(split) if split.value == bound => Split { status: Status::Optimal, lower_bound: bound, ..split },
        Some(split) => Split { status: Status::Feasible, lower_bound: bound, ..split },
        None => match reason(problem, costs, given_route(problem).as_ref()) {
            Some(reason) => without(Some(reason), Status::Infeasible),
            None => without(None, Status::Timeout),
        },
    }
}

/// The only order there is, where it is given: filling it has failed, so nothing else can reach further.
fn given_route(problem: &Problem) -> Option<Route> {
    (problem.order() == Order::Given).then(|| Route::of(problem, usize::MAX)).flatten()
}

fn orders(problem: &Problem) -> Vec<Vec<usize>> {
    let given: Vec<usize> = (0..problem.places().len()).collect();
    if problem.order() == Order::Given {
        return vec![given];
    }
    let sorted = |key: fn(&super::Place) -> std::cmp::Reverse<u64>| {
        let mut order = given.clone();
        order.sort_by_key(|&place| key(&problem.places()[place]));
        order
    };
    let by_bandwidth = sorted(|place| std::cmp::Reverse(place.bandwidth.unwrap_or(u64::MAX)));
    let by_size = sorted(|place| std::cmp::Reverse(place.usable()));
    let smallest = by_size.iter().rev().copied().collect();
    let slowest = by_bandwidth.iter().rev().copied().collect();
    vec![by_bandwidth, by_size, given.clone(), smallest, slowest]
}

/// A split, and the share of its fullest place.
struct Concluded {
    split: Split,
    fullest: u64,
}

/// The split that a way means, with every figure counted anew.
fn concluded(problem: &Problem, costs: &Costs, route: &Route, found: &Found) -> Concluded {
    let way: Vec<usize> = found.stops.iter().map(|&(stop, _)| stop).collect();
    let places = route.named(&way);
    let ends = found.stops.iter().skip(1).map(|&(_, first)| first).chain([costs.len()]);
    let mut stages: Vec<Stage> = Vec::with_capacity(places.len());
    let (mut latency, mut bottleneck, mut fullest) = (0_u64, 0_u64, 0_u64);
    for (index, ((&place, &(_, first)), end)) in places.iter().zip(&found.stops).zip(ends).enumerate() {
        let mut run = costs.run(place, first);
        let load = (first..end).fold(0, |_, piece| run.add(piece));
        let (transfer, slowest) = match places.get(index.saturating_add(1)) {
            Some(&next) => problem.transfer(place, next, costs.outputs[end.saturating_sub(1)]),
            None => (0, 0),
        };
        latency = latency.saturating_add(run.time).saturating_add(transfer);
        bottleneck = bottleneck.max(run.time).max(slowest);
        fullest = fullest.max(fill(load, problem.places()[place].usable()));
        stages.push(Stage { place, first, end, load: Bytes::new(load), time: run.time, transfer });
    }
    let value = match problem.objective() {
        Objective::Latency => latency,
        Objective::Throughput => bottleneck,
        Objective::Devices => stages.len() as u64,
        Objective::Balance => fullest,
    };
    let status = Status::Feasible;
    let split = Split { status, stages, value, lower_bound: 0, latency, bottleneck, reason: None };
    Concluded { split, fullest }
}

fn without(reason: Option<Infeasibility>, status: Status) -> Split {
    Split { status, stages: Vec::new(), value: 0, lower_bound: 0, latency: 0, bottleneck: 0, reason }
}

/// What no split can be below, found without a search.
fn lower_bound(problem: &Problem, costs: &Costs) -> u64 {
    let least = (0..costs.len()).map(|piece| costs.least_time(piece));
    let needed = problem.chain().bytes().get();
    let mut rooms: Vec<u64> = problem.places().iter().map(super::Place::usable).collect();
    match problem.objective() {
        Objective::Latency => least.fold(0, u64::saturating_add),
        Objective::Throughput => {
            let (sum, most) =
                least.fold((0_u64, 0), |(sum, most), time| (sum.saturating_add(time), time.max(most)));
            most.max(sum.div_ceil(problem.places().len() as u64))
        }
        Objective::Devices => {
            rooms.sort_unstable_by_key(|&room| std::cmp::Reverse(room));
            let mut rest = needed;
            let covering = rooms.iter().take_while(|&&room| {
                let is_needed = rest > 0;
                rest = rest.saturating_sub(room);
                is_needed
            });
            (covering.count() as u64).max(1)
        }
        Objective::Balance => fill(needed, rooms.iter().copied().fold(0, u64::saturating_add)),
    }
}
