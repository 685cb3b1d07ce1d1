//! [`solve`](fn@solve): which solvers run, in which order, and what the outcome is called.

use crate::pack::bounds::{Bound, improved, lower_bound};
use crate::pack::heuristics::{Heuristic, Rule};
use crate::pack::order::Order;
use crate::pack::packing::Packing;
use crate::pack::plan::{Infeasibility, Plan, Proof};
use crate::pack::problem::Problem;
use crate::pack::search::search;
use crate::pack::strategy::Strategy;
use crate::pack::supply::{Opening, Supply};
use crate::solving::{Limits, Status, Watch};

/// Packs the items of `problem` into few bins.
///
/// Where capacities differ, plain heuristics run twice: opening the largest bin left, then the smallest that holds the
/// item. The better plan stands: the one that leaves fewer items over, then the one with fewer bins. `seed` is for the
/// strategies that draw lots.
///
/// ```
/// use ullage_core::pack::{BinKind, Limits, Problem, Status, Strategy, solve, validate};
/// use ullage_core::Bytes;
///
/// let bins = vec![BinKind { name: "gpu".into(), capacity: Bytes::new(10), count: None }];
/// let problem = Problem::from_sizes([6, 5, 5, 4].map(Bytes::new).to_vec(), bins)?;
/// let plan = solve(&problem, Strategy::Auto, 0, &Limits::default());
/// assert_eq!((plan.status, plan.bins_used), (Status::Optimal, 2));
/// validate(&problem, &plan)?;
/// # Ok::<(), ullage_core::Error>(())
/// ```
#[must_use]
pub fn solve(problem: &Problem, strategy: Strategy, seed: u64, limits: &Limits<'_>) -> Plan {
    let order = Order::decreasing(problem);
    let supply = Supply::of(problem);
    let bound = lower_bound(&order, &supply);
    if let Some((rule, is_decreasing)) = strategy.rule() {
        let given = (!is_decreasing).then(|| Order::given(problem));
        let order = given.as_ref().unwrap_or(&order);
        let best = plain(&order.sizes, &supply, rule, is_decreasing, bound.ok(), limits);
        return conclude(problem, order, &supply, best, bound, 0);
    }
    let solver = Solver { sizes: &order.sizes, supply: &supply, strategy, seed, limits };
    let Answer { best, bound, nodes } = solver.solve(bound);
    conclude(problem, &order, &supply, best, bound, nodes)
}

/// A plain heuristic with either opening.
fn plain(
    sizes: &[u64],
    supply: &Supply,
    rule: Rule,
    is_decreasing: bool,
    bound: Option<Bound>,
    limits: &Limits<'_>,
) -> Packing {
    let with = |opening| Heuristic { sizes, supply, opening, limits }.pack(rule, is_decreasing);
    let largest = with(Opening::Largest);
    let proven = bound.is_some_and(|bound| largest.unplaced == 0 && largest.bins() <= bound.bins);
    if supply.classes.len() < 2 || proven || limits.interrupted() {
        return largest;
    }
    let tightest = with(Opening::Tightest);
    if tightest.beats(&largest) { tightest } else { largest }
}

/// The strategies that do more than one thing.
struct Solver<'a> {
    sizes: &'a [u64],
    supply: &'a Supply,
    strategy: Strategy,
    seed: u64,
    limits: &'a Limits<'a>,
}

struct Answer {
    best: Packing,
    bound: Result<Bound, Infeasibility>,
    nodes: u64,
}

impl Answer {
    /// The proven number of bins, while the plan has more.
    fn gap(&self) -> Option<Bound> {
        let known = self.bound.ok()?;
        (self.best.unplaced > 0 || self.best.bins() > known.bins).then_some(known)
    }

    fn take(&mut self, other: Packing) {
        if other.beats(&self.best) {
            self.best = other;
        }
    }

    /// A plan of fewer bins is better; any complete one if there is none.
    fn to_beat(&self) -> usize {
        if self.best.unplaced == 0 { self.best.bins() } else { usize::MAX }
    }

    /// Notes that every better plan was looked at.
    fn prove(&mut self) {
        if self.best.unplaced > 0 {
            self.bound = Err(Infeasibility::SearchExhausted);
        } else if self.gap().is_some() {
            self.bound = Ok(Bound { bins: self.best.bins(), proof: Proof::Search });
        }
    }

    fn tell(&self, watch: &mut Watch<'_>) {
        if let Ok(bound) = self.bound {
            watch.found((self.best.unplaced == 0).then_some(self.best.bins() as u64), bound.bins as u64);
        }
    }
}

impl Solver<'_> {
    fn solve(&self, bound: Result<Bound, Infeasibility>) -> Answer {
        let mut watch = Watch::start(self.limits);
        let plain = |rule| plain(self.sizes, self.supply, rule, true, bound.ok(), self.limits);
        let mut answer = Answer { best: plain(Rule::First), bound, nodes: 0 };
        if answer.gap().is_some() && !self.limits.interrupted() {
            answer.take(plain(Rule::Best));
        }
        let steps: [fn(&Self, Bound, &mut Answer, &mut Watch<'_>); 2] = [Self::bound, Self::search];
        for step in steps {
            if let Some(known) = answer.gap()
                && !watch.look()
            {
                answer.tell(&mut watch);
                step(self, known, &mut answer, &mut watch);
            }
        }
        answer
    }

    fn bound(&self, known: Bound, answer: &mut Answer, _: &mut Watch<'_>) {
        answer.bound = improved(known, self.sizes, self.supply, answer.to_beat());
    }

    fn search(&self, known: Bound, answer: &mut Answer, watch: &mut Watch<'_>) {
        let is_exact = match self.strategy {
            Strategy::Exact => true,
            Strategy::Auto => self.sizes.len() <= Strategy::SEARCHED_ITEMS,
            _ => false,
        };
        if !is_exact {
            return;
        }
        let found = search(self.sizes, self.supply, answer.to_beat(), known.bins, watch);
        answer.nodes = found.nodes;
        if let Some(better) = found.best {
            answer.best = better;
        }
        if found.proven {
            answer.prove();
        }
    }
}

fn conclude(
    problem: &Problem,
    order: &Order,
    supply: &Supply,
    best: Packing,
    bound: Result<Bound, Infeasibility>,
    nodes: u64,
) -> Plan {
    let complete = best.unplaced == 0;
    let bins_used = best.bins();
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
