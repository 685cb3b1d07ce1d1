//! [`solve`](fn@solve): which solvers run, in which order, and what the outcome is called.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::placement::active::Active;
use crate::placement::answer::{PlacedBin, Placement, Proof};
use crate::placement::blame::blame;
use crate::placement::bounds::{Bounds, cheapest, devices_needed};
use crate::placement::flat::packed;
use crate::placement::greedy::{
    FITS, MEASURES, OPENINGS, Opening, Taste, Weights, by_bin, by_unit, order_by,
};
use crate::placement::improve::improve;
use crate::placement::model::{Homes, Model};
use crate::placement::problem::{Keep, Problem};
use crate::placement::search::{Aim, search};
use crate::placement::state::{Score, Solution, State};
use crate::solving::{Limits, Random, Status, Watch, strategy_named};

/// How to place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The heuristics, a local search, then the exact search where there are at most [`Strategy::SEARCHED`] replicas.
    #[default]
    Auto,
    /// The heuristics alone.
    Greedy,
    /// The heuristics and the local search.
    LocalSearch,
    /// As [`Strategy::Auto`], with the exact search for up to [`Strategy::DEEPEST`] replicas.
    Exact,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Greedy, Self::LocalSearch, Self::Exact];
    /// The most replicas for which [`Strategy::Auto`] searches exactly.
    pub const SEARCHED: usize = 80;
    /// The most replicas for which any strategy searches exactly: the search is as deep as there are replicas.
    pub const DEEPEST: usize = 2000;

    /// The name as written by users.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Greedy => "greedy",
            Self::LocalSearch => "local_search",
            Self::Exact => "exact",
        }
    }

    fn searches(self, copies: usize) -> bool {
        match self {
            Self::Auto => copies <= Self::SEARCHED,
            Self::Exact => copies <= Self::DEEPEST,
            Self::Greedy | Self::LocalSearch => false,
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Strategy {
    type Err = Error;

    /// Reads a name.
    ///
    /// # Errors
    /// [`Error::Argument`] listing the names there are.
    fn from_str(text: &str) -> Result<Self, Error> {
        strategy_named(Self::ALL, Self::name, text)
    }
}

/// Tries without improvement before the local search gives up, where an exact search follows.
const SHORT_PATIENCE: u64 = 200;
/// And where none follows.
const LONG_PATIENCE: u64 = 5_000;

/// Places the items of `problem`.
///
/// ```
/// use ullage_core::placement::{Item, Keep, Kind, Problem, Resource, Rule, Strategy, solve, validate};
/// use ullage_core::solving::{Limits, Status};
///
/// let memory = Resource { name: "memory".into(), is_bytes: true };
/// let item = |name: &str, size| Item { name: name.into(), demand: vec![size], value: 1, replicas: 1 };
/// let kind = |name: &str, size, cost| Kind {
///     name: name.into(),
///     capacity: vec![Some(size)],
///     reserve: vec![0],
///     cost,
///     count: Some(2),
/// };
/// let problem = Problem::new(
///     vec![memory],
///     vec![item("llama", 40), item("bert", 2), item("whisper", 3)],
///     vec![kind("h100", 80, 10), kind("l4", 24, 2)],
///     vec![Rule::Apart(vec![1, 2])],
///     Keep::All,
/// )?;
/// let placement = solve(&problem, Strategy::Auto, 0, &Limits::default());
/// assert_eq!((placement.status, placement.cost), (Status::Optimal, 12));
/// validate(&problem, &placement)?;
/// # Ok::<(), ullage_core::Error>(())
/// ```
#[must_use]
pub fn solve(problem: &Problem, strategy: Strategy, seed: u64, limits: &Limits<'_>) -> Placement {
    solve_from(problem, None, strategy, seed, limits)
}

/// As [`solve`], from where items stand.
pub(super) fn solve_from(
    problem: &Problem,
    homes: Option<&Homes>,
    strategy: Strategy,
    seed: u64,
    limits: &Limits<'_>,
) -> Placement {
    let mut watch = Watch::start(limits);
    let model = Model::of(problem, &Active::all(problem), homes);
    let work = Work::done(&model, strategy, seed, limits, &mut watch);
    let mut placement = work.into_placement(problem, &model);
    if placement.status == Status::Infeasible {
        let (conflict, nodes) = blame(problem, homes, &mut watch);
        placement.conflict = Some(conflict);
        placement.nodes = placement.nodes.saturating_add(nodes);
    }
    placement
}

/// What is known of a model.
struct Work {
    best: Solution,
    /// No solution scores less.
    bound: Score,
    proof: Proof,
    /// Whether all units can be placed: `Some(false)` where that is disproven.
    is_possible: Option<bool>,
    nodes: u64,
}

impl Work {
    fn done(
        model: &Model,
        strategy: Strategy,
        seed: u64,
        limits: &Limits<'_>,
        watch: &mut Watch<'_>,
    ) -> Self {
        let bounds = Bounds::new(model);
        let weights = Weights::of(model);
        let (bound, proof, is_possible) = root_bound(model, &bounds);
        let best = heuristics(model, &weights, bound, watch);
        let mut work = Self { best, bound, proof, is_possible, nodes: 0 };
        work.tighten(model, &bounds);
        if strategy != Strategy::Greedy
            && !work.is_closed(model)
            && let Some(flat) = packed(model, limits)
        {
            work.take_flat(model, flat);
        }
        if strategy == Strategy::Greedy || work.is_closed(model) || watch.look() {
            return work;
        }
        work.tell(model, watch);
        let searches = strategy.searches(model.copies);
        let patience = if searches { SHORT_PATIENCE } else { LONG_PATIENCE };
        let start = work.best.clone();
        work.best = improve(model, &weights, start, work.bound, patience, &mut Random(seed), watch);
        work.tighten(model, &bounds);
        if searches && !work.is_closed(model) {
            work.search(model, &bounds, watch);
        }
        work
    }

    fn tell(&self, model: &Model, watch: &mut Watch<'_>) {
        let is_complete = model.may_drop || self.best.score.dropped == 0;
        watch.found(is_complete.then_some(self.best.score.cost), self.bound.cost);
    }

    /// Whether nothing is left to find or prove.
    fn is_closed(&self, model: &Model) -> bool {
        self.best.score <= self.bound || (self.is_possible == Some(false) && !model.may_drop)
    }

    /// What must be placed for this value costs something: a bound that depends on the best so far.
    fn tighten(&mut self, model: &Model, bounds: &Bounds) {
        if !model.may_drop || self.best.score.dropped != self.bound.dropped {
            return;
        }
        let budget = self.best.score.dropped;
        let mask: Vec<bool> = model.units.iter().map(|unit| unit.value > budget).collect();
        let (cost, proof) = cost_bound(model, bounds, &mask).unwrap_or((0, self.proof));
        if cost > self.bound.cost {
            (self.bound.cost, self.proof) = (cost, proof);
        }
    }

    fn take_flat(&mut self, model: &Model, flat: crate::placement::flat::Flat) {
        self.nodes = self.nodes.saturating_add(flat.nodes);
        if let Some(solution) = flat.solution.filter(|solution| solution.score < self.best.score) {
            self.best = solution;
        }
        if flat.is_infeasible && !model.may_drop {
            self.is_possible = Some(false);
        } else if flat.least_cost > self.bound.cost {
            (self.bound.cost, self.proof) = (flat.least_cost, Proof::Search);
        }
    }

    fn search(&mut self, model: &Model, bounds: &Bounds, watch: &mut Watch<'_>) {
        let worst = Score { dropped: 0, ..Score::WORST };
        let is_complete = model.may_drop || self.best.score.dropped == 0;
        let to_beat = if is_complete { self.best.score } else { worst };
        let found = search(model, bounds, Aim { to_beat, enough: self.bound, most_nodes: u64::MAX }, watch);
        self.nodes = self.nodes.saturating_add(found.nodes);
        let has_found = found.best.is_some();
        self.best = found.best.unwrap_or_else(|| self.best.clone());
        if found.proven && (has_found || is_complete) {
            if self.best.score > self.bound {
                (self.bound, self.proof) = (self.best.score, Proof::Search);
            }
        } else if found.proven {
            self.is_possible = Some(false);
        }
    }

    fn into_placement(self, problem: &Problem, model: &Model) -> Placement {
        let Self { best, bound, proof, is_possible, nodes } = self;
        let (bins, assignment) = translated(problem, model, &best);
        let unplaced: Vec<usize> =
            (0..assignment.len()).filter(|&item| assignment[item].is_empty()).collect();
        let is_complete = unplaced.is_empty() || problem.keep() == Keep::BestValue;
        let total = problem.total_value();
        let infeasible = !is_complete && is_possible == Some(false);
        // A bound on moves speaks of the value of that bound, a bound on cost of its value and moves.
        let same_value = best.score.dropped == bound.dropped;
        let same = same_value && best.score.moved == bound.moved;
        let status = match (is_complete, infeasible) {
            (false, true) => Status::Infeasible,
            (false, false) => Status::Timeout,
            (true, _) if best.score <= bound => Status::Optimal,
            (true, _) => Status::Feasible,
        };
        Placement {
            status,
            value: total.saturating_sub(best.score.dropped),
            value_bound: total.saturating_sub(bound.dropped),
            moved: best.score.moved,
            moved_bound: if is_complete && same_value { bound.moved } else { 0 },
            cost: best.score.cost,
            lower_bound: if infeasible || (is_complete && !same) { 0 } else { bound.cost },
            proof,
            conflict: None,
            nodes,
            unplaced,
            assignment,
            bins,
        }
    }
}

/// The score that none is below, why, and whether all units might be placed.
fn root_bound(model: &Model, bounds: &Bounds) -> (Score, Proof, Option<bool>) {
    let state = State::new(model);
    let fits = |unit: usize| {
        let open = (0..state.bins.len()).filter(|&bin| state.admits(bin, unit)).count();
        let new = (0..model.classes.len()).filter(|&class| state.admits_new(class, unit));
        let places = new.fold(open, |sum, class| sum.saturating_add(state.left[class]));
        places >= model.units[unit].copies
    };
    let mask: Vec<bool> = (0..model.units.len()).map(fits).collect();
    let all_fit = mask.iter().all(|&fits| fits);
    if model.may_drop {
        let stuck = model.units.iter().zip(&mask).filter(|(_, fits)| !**fits);
        let stuck = stuck.fold(0, |sum: u64, (unit, _)| sum.saturating_add(unit.value));
        let rest = model.total_value().saturating_sub(stuck);
        let dropped = stuck.saturating_add(rest.saturating_sub(bounds.most_value(&state, &mask)));
        return (Score { dropped, moved: 0, cost: 0 }, Proof::Search, Some(true));
    }
    let nothing = Score { dropped: 0, moved: 0, cost: 0 };
    let all = vec![true; model.units.len()];
    match cost_bound(model, bounds, &all).filter(|_| all_fit) {
        Some((cost, proof)) => (Score { cost, ..nothing }, proof, None),
        None => (nothing, Proof::Search, Some(false)),
    }
}

/// The cost that placing the units of `mask` takes; `None` where they cannot be placed.
fn cost_bound(model: &Model, bounds: &Bounds, mask: &[bool]) -> Option<(u64, Proof)> {
    let (by_cover, resource) = bounds.more_cost(&State::new(model), mask)?;
    let devices = devices_needed(model, mask);
    let by_count = bounds.rounded(cheapest(model, devices)?);
    if by_count > by_cover {
        return Some((by_count, Proof::Count { devices }));
    }
    Some((
        by_cover,
        if resource < model.resources && !model.is_reduced {
            Proof::Cover { resource }
        } else {
            Proof::Derived
        },
    ))
}

fn heuristics(model: &Model, weights: &Weights, enough: Score, watch: &mut Watch<'_>) -> Solution {
    let first = Taste { fit: FITS[0], opening: Opening::BestPrice };
    let order = order_by(model, weights, MEASURES[0], true);
    let mut best = by_unit(model, weights, &order, first, watch);
    let mut keep = |next: Solution| {
        if next.score < best.score {
            best = next;
        }
        best.score <= enough
    };
    for opening in OPENINGS {
        for (measure, picky) in MEASURES.into_iter().flat_map(|measure| [(measure, true), (measure, false)]) {
            let order = order_by(model, weights, measure, picky);
            for fit in FITS {
                if watch.look() || keep(by_unit(model, weights, &order, Taste { fit, opening }, watch)) {
                    return best;
                }
            }
        }
        for fit in [FITS[1], FITS[2]] {
            if model.homes.is_empty()
                && !watch.look()
                && keep(by_bin(model, weights, Taste { fit, opening }, watch))
            {
                return best;
            }
        }
    }
    best
}

/// The devices in use, and the unused ones that are alone of their kind; and for each item its places among them.
fn translated(problem: &Problem, model: &Model, solution: &Solution) -> (Vec<PlacedBin>, Vec<Vec<usize>>) {
    let mut is_used = vec![false; solution.class_of.len()];
    solution.places.iter().flatten().for_each(|&bin| is_used[bin as usize] = true);
    let mut next = vec![0_usize; model.classes.len()];
    let mut device_of = vec![(usize::MAX, 0); is_used.len()];
    for (bin, &class) in solution.class_of.iter().enumerate() {
        let class = class as usize;
        if is_used[bin] {
            device_of[bin] = model.classes[class].device(next[class]);
            next[class] = next[class].saturating_add(1);
        }
    }
    let lone = |kind: &usize| problem.kinds()[*kind].count == Some(1);
    let lone = (0..problem.kinds().len()).filter(lone).map(|kind| (kind, 0));
    let used = device_of.iter().copied().zip(&is_used).filter(|(_, used)| **used).map(|(device, _)| device);
    let mut devices: Vec<(usize, u64)> = used.chain(lone).collect();
    devices.sort_unstable();
    devices.dedup();
    let width = problem.resources().len();
    let mut bins: Vec<PlacedBin> =
        devices.iter().map(|&(kind, copy)| PlacedBin { kind, copy, load: vec![0; width] }).collect();
    let mut assignment = vec![Vec::new(); problem.items().len()];
    for (unit, places) in model.units.iter().zip(&solution.places) {
        let places = places.iter().filter_map(|&bin| devices.binary_search(&device_of[bin as usize]).ok());
        let mut places: Vec<usize> = places.collect();
        places.sort_unstable();
        for &item in &unit.items {
            for &place in &places {
                for (load, &demand) in bins[place].load.iter_mut().zip(&problem.items()[item].demand) {
                    *load = load.saturating_add(demand);
                }
            }
            assignment[item].clone_from(&places);
        }
    }
    (bins, assignment)
}
