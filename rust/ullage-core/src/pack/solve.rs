//! [`solve`](fn@solve): which solvers run, in which order, and what the outcome is called.

use crate::pack::bounds::{Bound, improved, lower_bound};
use crate::pack::columns;
use crate::pack::completion::{Completed, complete};
use crate::pack::heuristics::{Heuristic, Rule, minimum_slack, perturb};
use crate::pack::local;
use crate::pack::order::Order;
use crate::pack::packing::Packing;
use crate::pack::plan::{Infeasibility, Plan, Proof};
use crate::pack::problem::Problem;
use crate::pack::search::{Found, search};
use crate::pack::strategy::Strategy;
use crate::pack::supply::{Opening, Supply};
use crate::pack::types::Types;
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
        if other.bin_of.len() == self.best.bin_of.len() && other.beats(&self.best) {
            self.best = other;
        }
    }

    /// A plan of fewer bins is better; any complete one if there is none.
    fn to_beat(&self) -> usize {
        if self.best.unplaced == 0 { self.best.bins() } else { usize::MAX }
    }

    /// Takes what an exact search found that started from the bound `known`.
    fn learn(&mut self, known: Bound, found: Found) {
        self.nodes = self.nodes.saturating_add(found.nodes);
        if found.lower_bound > known.bins {
            self.bound = Ok(Bound { bins: found.lower_bound, proof: Proof::Search });
        }
        if let Some(better) = found.best {
            self.best = better;
        }
        if found.is_proven {
            self.prove();
        }
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

/// A part of the work that betters the answer or its bound.
#[derive(Clone, Copy)]
enum Step {
    Bound,
    Slack,
    Perturb,
    /// With a patience in hundredths.
    Local(usize),
    Columns,
    Complete,
    Search,
}

impl Solver<'_> {
    fn solve(&self, bound: Result<Bound, Infeasibility>) -> Answer {
        let mut watch = Watch::start(self.limits);
        let plain = |rule| plain(self.sizes, self.supply, rule, true, bound.ok(), self.limits);
        let mut answer = Answer { best: plain(Rule::First), bound, nodes: 0 };
        if let Strategy::MinimumBinSlack | Strategy::MinimumBinSlackSeeded = self.strategy {
            let is_seeded = self.strategy == Strategy::MinimumBinSlackSeeded;
            answer.best = self.by_slack(is_seeded, &mut watch).unwrap_or(answer.best);
            return answer;
        }
        if answer.gap().is_some() && !self.limits.interrupted() {
            answer.take(plain(Rule::Best));
        }
        for &step in self.steps() {
            let Some(known) = answer.gap() else { break };
            answer.tell(&mut watch);
            if watch.look() {
                break;
            }
            self.work(step, known, &mut answer, &mut watch);
        }
        answer.tell(&mut watch);
        answer
    }

    /// What is done while there is a gap, in this order.
    fn steps(&self) -> &'static [Step] {
        /// So few that the exact search needs no head start.
        const FEW: usize = 24;
        const PRICED: &[Step] = &[Step::Bound, Step::Slack, Step::Local(10), Step::Columns];
        const EXACT: &[Step] =
            &[Step::Bound, Step::Slack, Step::Local(10), Step::Columns, Step::Complete, Step::Search];
        match (self.strategy, self.sizes.len()) {
            (Strategy::PerturbedBinSlack, _) => &[Step::Bound, Step::Slack, Step::Perturb],
            (Strategy::LocalSearch, _) => &[Step::Bound, Step::Slack, Step::Local(100)],
            (_, ..=FEW) => &[Step::Bound, Step::Slack, Step::Complete, Step::Search],
            (Strategy::Exact, _) | (_, ..=Strategy::SEARCHED_ITEMS) => EXACT,
            (_, ..=Strategy::PRICED_ITEMS) => PRICED,
            (_, ..=Strategy::IMPROVED_ITEMS) => &[Step::Bound, Step::Slack, Step::Local(10)],
            _ => &[Step::Bound],
        }
    }

    fn work(&self, step: Step, known: Bound, answer: &mut Answer, watch: &mut Watch<'_>) {
        match step {
            Step::Bound => answer.bound = improved(known, self.sizes, self.supply, answer.to_beat()),
            Step::Slack => answer.take(self.by_slack(true, watch).unwrap_or_default()),
            Step::Perturb => self.perturb(known, answer, watch),
            Step::Local(patience) => {
                local::search(
                    &mut answer.best,
                    self.sizes,
                    self.supply,
                    known.bins,
                    self.seed,
                    patience,
                    watch,
                );
            }
            Step::Columns => self.price(known, answer, watch),
            Step::Complete => self.complete(known, answer, watch),
            Step::Search => self.search(known, answer, watch),
        }
    }

    fn by_slack(&self, is_seeded: bool, watch: &mut Watch<'_>) -> Option<Packing> {
        let types = Types::positive(self.sizes);
        let contents = minimum_slack(&types, self.supply, is_seeded, watch)?;
        Some(Packing::of_contents(&contents, self.sizes, self.supply))
    }

    fn perturb(&self, known: Bound, answer: &mut Answer, watch: &mut Watch<'_>) {
        if let ([class], 0) = (self.supply.classes.as_slice(), answer.best.unplaced) {
            let mut contents = answer.best.contents(self.sizes);
            perturb(&mut contents, class.capacity, known.bins, self.seed, watch);
            answer.take(Packing::of_contents(&contents, self.sizes, self.supply));
        }
    }

    /// Branch and price, for bins of one capacity of which there are enough.
    fn price(&self, known: Bound, answer: &mut Answer, watch: &mut Watch<'_>) {
        if let Some(found) = columns::search(self.sizes, self.supply, answer.to_beat(), known.bins, watch) {
            answer.learn(known, found);
        }
    }

    /// The exact search for few items in bins of one capacity.
    fn complete(&self, known: Bound, answer: &mut Answer, watch: &mut Watch<'_>) {
        let [class] = self.supply.classes.as_slice() else { return };
        let types = Types::positive(self.sizes);
        if types.len() == 0 {
            return;
        }
        let to_beat = answer.to_beat().min(class.copies.saturating_add(1));
        let Completed { best, lower_bound, is_proven, nodes } =
            complete(&types, class.capacity, known.bins, to_beat, watch);
        let best = best.map(|contents| Packing::of_contents(&contents, self.sizes, self.supply));
        answer.learn(known, Found { best, lower_bound, is_proven, nodes });
    }

    /// The exact search for bins of any capacity.
    fn search(&self, known: Bound, answer: &mut Answer, watch: &mut Watch<'_>) {
        let found = search(self.sizes, self.supply, answer.to_beat(), known.bins, watch);
        answer.learn(known, found);
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
