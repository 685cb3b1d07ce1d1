//! [`solve`](fn@solve): which solvers run, in which order, and what the outcome is called.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::pack::best_fit::best_fit;
use crate::pack::bounds::{Bound, lower_bound};
use crate::pack::columns;
use crate::pack::decreasing::Decreasing;
use crate::pack::first_fit::first_fit;
use crate::pack::packing::Packing;
use crate::pack::plan::{Infeasibility, Plan, Proof};
use crate::pack::problem::Problem;
use crate::pack::search::{Found, search};
use crate::pack::supply::{Opening, Supply};
use crate::solving::{Limits, Status, Watch, strategy_named};

/// How to pack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The best of both heuristics, then the search where that is not proven best and there are at most
    /// [`Strategy::SEARCHED_ITEMS`] items.
    #[default]
    Auto,
    /// First fit on decreasing sizes.
    FirstFitDecreasing,
    /// Best fit on decreasing sizes.
    BestFitDecreasing,
    /// The best of both heuristics, then the search, however many items there are.
    Exact,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::FirstFitDecreasing, Self::BestFitDecreasing, Self::Exact];

    /// The most items for which [`Strategy::Auto`] searches. Beyond, a depth-first search only rearranges the last
    /// few small items of the heuristics' plan before any sensible time is up.
    pub const SEARCHED_ITEMS: usize = 200;

    /// The name as written by users.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::FirstFitDecreasing => "first_fit_decreasing",
            Self::BestFitDecreasing => "best_fit_decreasing",
            Self::Exact => "exact",
        }
    }

    fn searches(self, items: usize) -> bool {
        match self {
            Self::Auto => items <= Self::SEARCHED_ITEMS,
            Self::FirstFitDecreasing | Self::BestFitDecreasing => false,
            Self::Exact => true,
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

/// Packs the items of `problem` into few bins.
///
/// Where capacities differ, heuristics run twice: opening the largest bin left, then the smallest that holds the item.
/// The better plan stands: the one that leaves fewer items over, then the one with fewer bins.
///
/// ```
/// use ullage_core::pack::{BinKind, Limits, Problem, Status, Strategy, solve, validate};
/// use ullage_core::Bytes;
///
/// let bins = vec![BinKind { name: "gpu".into(), capacity: Bytes::new(10), count: None }];
/// let problem = Problem::from_sizes([6, 5, 5, 4].map(Bytes::new).to_vec(), bins)?;
/// let plan = solve(&problem, Strategy::Auto, &Limits::default());
/// assert_eq!((plan.status, plan.bins_used), (Status::Optimal, 2));
/// validate(&problem, &plan)?;
/// # Ok::<(), ullage_core::Error>(())
/// ```
#[must_use]
pub fn solve(problem: &Problem, strategy: Strategy, limits: &Limits<'_>) -> Plan {
    let mut watch = Watch::start(limits);
    let order = Decreasing::of(problem);
    let supply = Supply::of(problem);
    let bound = lower_bound(&order, &supply);
    let mut best = heuristics(&order.sizes, &supply, strategy, bound.ok(), limits);
    let mut bound = bound;
    let mut nodes = 0;
    if let Ok(known) = bound {
        let open = best.unplaced > 0 || best.class_of.len() > known.bins;
        if open && strategy.searches(order.sizes.len()) && !limits.interrupted() {
            let to_beat = if best.unplaced == 0 { best.class_of.len() } else { usize::MAX };
            watch.found((best.unplaced == 0).then_some(to_beat as u64), known.bins as u64);
            let found = exact(&order.sizes, &supply, to_beat, known.bins, &mut watch);
            nodes = found.nodes;
            best = found.best.unwrap_or(best);
            bound = match (found.proven, best.unplaced) {
                (true, 0) if best.class_of.len() > known.bins => {
                    Ok(Bound { bins: best.class_of.len(), proof: Proof::Search })
                }
                (true, 1..) => Err(Infeasibility::SearchExhausted),
                _ if found.bound > known.bins => Ok(Bound { bins: found.bound, proof: Proof::Search }),
                _ => Ok(known),
            };
        }
    }
    conclude(problem, &order, &supply, best, bound, nodes)
}

/// Branch and price where it applies, and depth-first search where that does not settle it.
fn exact(sizes: &[u64], supply: &Supply, to_beat: usize, bound: usize, watch: &mut Watch<'_>) -> Found {
    let Some(first) = columns::search(sizes, supply, to_beat, bound, watch) else {
        return search(sizes, supply, to_beat, bound, watch);
    };
    if first.proven || watch.look() {
        return first;
    }
    let to_beat = first.best.as_ref().map_or(to_beat, |best| best.class_of.len());
    let next = search(sizes, supply, to_beat, first.bound, watch);
    first.and(next)
}

fn heuristics(
    sizes: &[u64],
    supply: &Supply,
    strategy: Strategy,
    bound: Option<Bound>,
    limits: &Limits<'_>,
) -> Packing {
    let first = strategy != Strategy::BestFitDecreasing;
    let fit = if first { first_fit } else { best_fit };
    let other = matches!(strategy, Strategy::Auto | Strategy::Exact);
    let mut best = fit(sizes, supply, Opening::Largest, limits);
    let runs = [
        (supply.classes.len() > 1).then_some((fit, Opening::Tightest)),
        other.then_some((best_fit, Opening::Largest)),
        (other && supply.classes.len() > 1).then_some((best_fit, Opening::Tightest)),
    ];
    for (fit, opening) in runs.into_iter().flatten() {
        let proven = bound.is_some_and(|bound| best.unplaced == 0 && best.class_of.len() <= bound.bins);
        if proven || limits.interrupted() {
            break;
        }
        let next = fit(sizes, supply, opening, limits);
        if next.beats(&best) {
            best = next;
        }
    }
    best
}

fn conclude(
    problem: &Problem,
    order: &Decreasing,
    supply: &Supply,
    best: Packing,
    bound: Result<Bound, Infeasibility>,
    nodes: u64,
) -> Plan {
    let complete = best.unplaced == 0;
    let bins_used = best.class_of.len();
    let (bins, assignment) = best.into_plan(problem, order, supply);
    let unplaced = if complete {
        Vec::new()
    } else {
        (0..assignment.len()).filter(|&item| assignment.get(item) == Some(&None)).collect()
    };
    let reason = bound.err();
    let Bound { bins: lower_bound, proof } = bound.unwrap_or(Bound { bins: 0, proof: Proof::Area });
    let status = match (reason, complete) {
        (Some(_), _) => Status::Infeasible,
        (None, false) => Status::Timeout,
        (None, true) if bins_used == lower_bound => Status::Optimal,
        (None, true) => Status::Feasible,
    };
    Plan { status, assignment, bins, bins_used, lower_bound, proof, unplaced, reason, nodes }
}
