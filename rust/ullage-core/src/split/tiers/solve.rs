//! [`solve`](fn@solve): the fastest placement of pieces in tiers.

use super::answer::{Infeasibility, Placement};
use super::classes::{Choice, Class, Room, plus};
use super::cut;
use super::knapsack::Knapsack;
use super::prices::Prices;
use super::problem::{Cut, Problem, Tier};
use crate::solving::{Limits, Status, Watch};
use crate::units::Bytes;

/// Places the pieces of `problem` so that a step is as fast as can be.
///
/// ```
/// use ullage_core::split::tiers::{Cut, Problem, Tier, solve, validate};
/// use ullage_core::split::{Chain, Limits, Link, Piece, Status};
/// use ullage_core::Bytes;
///
/// let pieces = (0..4).map(|layer| Piece::plain(format!("layer.{layer}"), Bytes::new(10))).collect();
/// let tier = |name: &str, capacity, bandwidth, worker| Tier {
///     name: name.to_owned(),
///     capacity: Bytes::new(capacity),
///     reserve: Bytes::ZERO,
///     bandwidth: Some(bandwidth),
///     flops: None,
///     worker,
///     link: Link::default(),
/// };
/// let tiers = vec![tier("gpu", 25, 100, 0), tier("host", 100, 10, 1)];
/// let problem = Problem::new(&Chain::new(pieces, vec![], 0)?, tiers, 1, Cut::LastFirst)?;
/// let placement = solve(&problem, &Limits::default());
/// assert_eq!((placement.status, placement.assignment.as_slice()), (Status::Optimal, &[1, 1, 0, 0][..]));
/// validate(&problem, &placement)?;
/// # Ok::<(), ullage_core::Error>(())
/// ```
#[must_use]
pub fn solve(problem: &Problem, limits: &Limits<'_>) -> Placement {
    let mut watch = Watch::start(limits);
    let answer = best(problem, &mut watch);
    if answer.status != Status::Infeasible {
        return answer;
    }
    let reason = plain_reason(problem).unwrap_or_else(|| conflict(problem, &mut watch));
    Placement { reason: Some(reason), ..answer }
}

/// The best placement, or that there is none without a reason.
fn best(problem: &Problem, watch: &mut Watch<'_>) -> Placement {
    let mut best = Best { found: None, bound: u64::MAX };
    match problem.cut() {
        Cut::LastFirst => {
            let (found, is_complete) = cut::search(problem, watch);
            best.found = found;
            if !is_complete {
                best.bound = least(problem);
            }
        }
        Cut::Anywhere => best.anywhere(problem, watch),
    }
    best.concluded(problem)
}

/// No step is faster: every piece where it is fastest.
fn least(problem: &Problem) -> u64 {
    let of = |piece: usize| (0..problem.tiers().len()).map(|tier| problem.time(piece, tier)).min();
    (0..problem.pieces().len()).filter_map(of).fold(0, u64::saturating_add)
}

struct Best {
    found: Option<(Vec<usize>, u64)>,
    /// No placement but `found` is below this.
    bound: u64,
}

impl Best {
    /// Tries every size that the buffers can have: none, or that of a piece.
    fn anywhere(&mut self, problem: &Problem, watch: &mut Watch<'_>) {
        let mut sizes = vec![0];
        if (0..problem.tiers().len()).any(|tier| problem.is_fetched(tier)) {
            sizes.extend(problem.pieces().iter().map(|piece| piece.weights.get()));
        }
        sizes.sort_unstable();
        sizes.dedup();
        let Some(widest) = Room::widest(problem) else { return };
        let Some(classes) = widest.classes(problem) else { return };
        let prices = Prices::of(&classes, &widest);
        let floor = prices.bound(0, &[0; Problem::MOST_TIERS], prices.rests(&classes)[0]).max(least(problem));
        let mut trials = self.first_looks(problem, &sizes, &prices, floor, watch);
        trials.sort_unstable();
        for (bound, size) in trials {
            let known = self.found.as_ref().map_or(u64::MAX, |(_, cost)| *cost);
            if bound >= known {
                return; // and so are all that follow
            }
            if watch.look() {
                self.bound = self.bound.min(bound);
                return;
            }
            let Some(room) = Room::of(problem, size) else { continue };
            let Some(classes) = room.classes(problem) else { continue };
            let prices = Prices::of(&classes, &room);
            self.offer(greedy(problem, &classes, &room, |choice| prices.charged(choice)));
            let known = self.found.as_ref().map_or(u64::MAX, |(_, cost)| *cost);
            let knapsack = Knapsack { classes: &classes, room: &room, prices: &prices };
            let found = knapsack.solve(problem.pieces().len(), known, watch);
            self.offer(found.best);
            self.bound = self.bound.min(found.bound.max(bound));
            if let Some((_, cost)) = &self.found {
                watch.found(Some(*cost), 0);
            }
        }
    }

    /// Quick placements, and a bound for each size of the buffers, by the `prices` of the widest room. Sizes for which
    /// there is no time are left at `floor`, the bound of that room.
    fn first_looks(
        &mut self,
        problem: &Problem,
        sizes: &[u64],
        prices: &Prices,
        floor: u64,
        watch: &mut Watch<'_>,
    ) -> Vec<(u64, u64)> {
        let mut trials = Vec::new();
        let mut is_late = false;
        for &size in sizes {
            let Some(room) = Room::of(problem, size) else { continue };
            if is_late {
                self.bound = self.bound.min(floor);
                return trials;
            }
            let Some(classes) = room.classes(problem) else { continue };
            self.offer(greedy(problem, &classes, &room, |choice| i128::from(choice.cost)));
            self.offer(greedy(problem, &classes, &room, |choice| prices.charged(choice)));
            let own = prices.adapted(&classes, &room);
            let bound = own.bound(0, &[0; Problem::MOST_TIERS], own.rests(&classes)[0]);
            trials.push((bound, size));
            is_late = watch.look();
        }
        trials
    }

    fn offer(&mut self, other: Option<(Vec<usize>, u64)>) {
        let is_better =
            other.as_ref().is_some_and(|(_, cost)| self.found.as_ref().is_none_or(|(_, known)| cost < known));
        if is_better {
            self.found = other;
        }
    }

    fn concluded(self, problem: &Problem) -> Placement {
        let Some((assignment, cost)) = self.found else {
            let status = if self.bound == u64::MAX { Status::Infeasible } else { Status::Timeout };
            let (loads, latency, lower_bound) = (Vec::new(), 0, 0);
            let (assignment, buffer) = (Vec::new(), Bytes::ZERO);
            return Placement { status, assignment, loads, buffer, latency, lower_bound, reason: None };
        };
        let lower_bound = cost.min(self.bound);
        let status = if lower_bound == cost { Status::Optimal } else { Status::Feasible };
        let (loads, buffer) = taken(problem, &assignment);
        Placement { status, assignment, loads, buffer, latency: cost, lower_bound, reason: None }
    }
}

/// The bytes taken in each tier, and those of the buffers.
fn taken(problem: &Problem, assignment: &[usize]) -> (Vec<Bytes>, Bytes) {
    let mut loads = vec![Bytes::ZERO; problem.tiers().len()];
    let mut works = vec![false; problem.tiers().len()];
    let (mut largest, mut fetcher) = (0, 0);
    for (piece, &tier) in problem.pieces().iter().zip(assignment) {
        let worker = problem.tiers()[tier].worker;
        loads[tier] = loads[tier].saturating_add(piece.weights);
        loads[worker] = loads[worker].saturating_add(piece.state);
        works[worker] = true;
        if worker != tier {
            (largest, fetcher) = (piece.weights.get().max(largest), worker);
        }
    }
    let workspace = problem.pieces().iter().map(|piece| piece.workspace).max().unwrap_or(Bytes::ZERO);
    for (load, _) in loads.iter_mut().zip(works).filter(|(_, works)| *works) {
        *load = load.saturating_add(workspace);
    }
    let buffer = Bytes::new(largest.saturating_mul(problem.buffers()));
    loads[fetcher] = loads[fetcher].saturating_add(buffer);
    (loads, buffer)
}

/// Every piece in the tier with room that is cheapest by `price`, those first for which it matters most by the byte.
fn greedy(
    problem: &Problem,
    classes: &[Class],
    room: &Room,
    price: impl Fn(&Choice) -> i128,
) -> Option<(Vec<usize>, u64)> {
    let mut order: Vec<&Class> = classes.iter().collect();
    order.sort_by_key(|class| {
        let costs = || class.choices.iter().map(|choice| i128::from(choice.cost));
        let spread = costs().max().unwrap_or(0).saturating_sub(costs().min().unwrap_or(0));
        let bytes = class.choices.iter().flat_map(|choice| choice.used).max().unwrap_or(0).max(1);
        std::cmp::Reverse(spread.saturating_mul(1 << 32).checked_div(bytes.into()))
    });
    let mut assignment = vec![0; problem.pieces().len()];
    let (mut used, mut cost) = ([0; Problem::MOST_TIERS], 0_u64);
    for class in order {
        let mut choices: Vec<_> = class.choices.iter().collect();
        choices.sort_by_key(|choice| price(choice));
        for &piece in class.pieces.iter().rev() {
            let choice = choices.iter().find(|choice| room.holds(&plus(&used, &choice.used, 1)))?;
            used = plus(&used, &choice.used, 1);
            cost = cost.saturating_add(choice.cost);
            assignment[piece] = choice.tier;
        }
    }
    Some((assignment, cost))
}

/// A reason that can be seen without a search.
fn plain_reason(problem: &Problem) -> Option<Infeasibility> {
    let fits = |piece: usize| {
        let sizes = [0, problem.pieces()[piece].weights.get()];
        let mut rooms = sizes.iter().filter_map(|&size| Room::of(problem, size));
        rooms.any(|room| !room.choices(problem, piece).is_empty())
    };
    if let Some(piece) = (0..problem.pieces().len()).find(|&piece| !fits(piece)) {
        return Some(Infeasibility::PieceTooLarge { piece });
    }
    let needed = problem.pieces().iter().map(|piece| piece.weights.saturating_add(piece.state).get());
    let needed = needed.fold(0, u64::saturating_add);
    let available = problem.tiers().iter().map(Tier::usable).fold(0, u64::saturating_add);
    (needed > available).then_some(Infeasibility::TooLittleMemory { needed, available })
}

/// Tiers whose limits together leave no placement: every one that there is one without, the others' limits lifted.
fn conflict(problem: &Problem, watch: &mut Watch<'_>) -> Infeasibility {
    let mut lifted = vec![false; problem.tiers().len()];
    for tier in (0..lifted.len()).rev() {
        lifted[tier] = true;
        if best(&problem.lifted(&lifted), watch).status != Status::Infeasible {
            lifted[tier] = false;
        }
    }
    Infeasibility::Limits { tiers: lifted.into_iter().map(|is_lifted| !is_lifted).collect() }
}
