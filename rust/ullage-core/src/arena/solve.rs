//! [`solve`](fn@solve): which solvers run, in which order, and what the outcome is called.

use std::fmt;
use std::str::FromStr;

use crate::arena::bound::lower_bound;
use crate::arena::heuristic::{Order, by_start, greedy};
use crate::arena::placed::Gap;
use crate::arena::portfolio::{Outcome, Portfolio};
use crate::arena::problem::Problem;
use crate::arena::solution::{Infeasibility, Layout, Proof};
use crate::arena::spans::Spans;
use crate::error::Error;
use crate::solving::{Limits, Status, Watch, strategy_named};
use crate::units::Bytes;

/// How to lay buffers out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The lowest layout of all heuristics, then the exact search and a local one by turns, until the height is proven
    /// lowest, the capacity suffices, or time or ideas end.
    #[default]
    Auto,
    /// Heuristics, then the exact search alone: for proofs. Beyond some thousand buffers alive in one stretch of time it
    /// proves nothing.
    Exact,
    /// By their beginnings, each into the lowest gap: an allocator that does not know the future.
    FirstFit,
    /// By their beginnings, each into the smallest gap.
    BestFit,
    /// The largest first, each into the smallest gap: what `TFLite` does.
    GreedyBySize,
    /// The largest size times lifetime first.
    GreedyByArea,
    /// The longest-lived first.
    GreedyByLength,
    /// Those alive under the highest load first.
    GreedyByContention,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Auto,
        Self::Exact,
        Self::FirstFit,
        Self::BestFit,
        Self::GreedyBySize,
        Self::GreedyByArea,
        Self::GreedyByLength,
        Self::GreedyByContention,
    ];

    /// The name as written by users.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Exact => "exact",
            Self::FirstFit => "first_fit",
            Self::BestFit => "best_fit",
            Self::GreedyBySize => "greedy_by_size",
            Self::GreedyByArea => "greedy_by_area",
            Self::GreedyByLength => "greedy_by_length",
            Self::GreedyByContention => "greedy_by_contention",
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

/// Lays out the buffers of `problem`. With a capacity, the work ends once the height is within it.
///
/// The time of `limits` bounds [`Strategy::Auto`] and [`Strategy::Exact`]; the other strategies run to their end. Where an interruption
/// stops a heuristic, the layout is that of [`Strategy::BestFit`].
///
/// ```
/// use ullage_core::arena::{Buffer, Limits, Problem, Status, Strategy, solve, validate};
/// use ullage_core::Bytes;
///
/// let buffer = |lower, upper, size| Buffer { lower, upper, size: Bytes::new(size), alignment: 1 };
/// let problem = Problem::new(vec![buffer(0, 3, 4), buffer(3, 9, 4), buffer(0, 9, 4)], None, None)?;
/// let layout = solve(&problem, Strategy::Auto, 0, &Limits::default());
/// assert_eq!((layout.status, layout.height.get()), (Status::Optimal, 8));
/// validate(&problem, &layout)?;
/// # Ok::<(), ullage_core::Error>(())
/// ```
#[must_use]
pub fn solve(problem: &Problem, strategy: Strategy, seed: u64, limits: &Limits<'_>) -> Layout {
    let spans = Spans::of(problem);
    let bound = lower_bound(&spans);
    let untimed = Limits { time: None, ..*limits };
    let by_order = |order: Order| {
        let offsets = greedy(&spans, &order.of(&spans), Gap::Tightest, &mut Watch::start(&untimed));
        offsets.unwrap_or_else(|| by_start(&spans, Gap::Tightest))
    };
    let plain = |offsets: Vec<u64>| Outcome { height: spans.height(&offsets), offsets, bound, steps: 0 };
    let outcome = match strategy {
        Strategy::FirstFit => plain(by_start(&spans, Gap::Lowest)),
        Strategy::BestFit => plain(by_start(&spans, Gap::Tightest)),
        Strategy::GreedyBySize => plain(by_order(Order::Size)),
        Strategy::GreedyByArea => plain(by_order(Order::Area)),
        Strategy::GreedyByLength => plain(by_order(Order::Length)),
        Strategy::GreedyByContention => plain(by_order(Order::Contention)),
        Strategy::Exact | Strategy::Auto => {
            let mut watch = Watch::start(limits);
            watch.found(None, bound.bytes);
            let capacity = problem.capacity().map(Bytes::get);
            let is_exact = strategy == Strategy::Exact;
            Portfolio::new(&spans, bound, capacity, seed, &mut watch).run(is_exact)
        }
    };
    conclude(problem, &spans, outcome)
}

fn conclude(problem: &Problem, spans: &Spans, outcome: Outcome) -> Layout {
    let Outcome { offsets, height, bound, steps } = outcome;
    let (height, lower_bound) = (Bytes::new(height), Bytes::new(bound.bytes));
    let capacity = problem.capacity();
    let reason = capacity.filter(|&capacity| lower_bound > capacity).map(|capacity| match bound.proof {
        Proof::Load { at } => Infeasibility::LoadTooHigh { at, load: lower_bound, capacity },
        Proof::Fixed => Infeasibility::FixedTooHigh { end: lower_bound, capacity },
        Proof::Search => Infeasibility::Exhausted { capacity },
    });
    let status = if reason.is_some() {
        Status::Infeasible
    } else if capacity.is_some_and(|capacity| height > capacity) {
        Status::Timeout
    } else if height == lower_bound {
        Status::Optimal
    } else {
        Status::Feasible
    };
    let offsets = spans.to_buffers(&offsets, problem.buffers().len());
    Layout { status, offsets, height, lower_bound, proof: bound.proof, reason, steps }
}
