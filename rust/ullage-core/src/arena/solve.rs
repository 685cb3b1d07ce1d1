//! [`solve`](fn@solve): which solvers run, in which order, and what the outcome is called.

use std::fmt;
use std::str::FromStr;

use crate::arena::blame::blame;
use crate::arena::bound::{Bound, highest_load};
use crate::arena::heuristic::{Order, by_start, greedy, lowest_first};
use crate::arena::neighbours::Neighbours;
use crate::arena::placed::Gap;
use crate::arena::problem::Problem;
use crate::arena::search::search;
use crate::arena::solution::{Infeasibility, Layout, Proof};
use crate::arena::spans::Spans;
use crate::error::Error;
use crate::solving::{Limits, Random, Status, Watch, strategy_named};
use crate::units::Bytes;

/// How to lay buffers out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The lowest layout of all heuristics, then a local search, until the height is proven lowest, the capacity
    /// suffices, or time or ideas end.
    #[default]
    Auto,
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
    pub const ALL: [Self; 7] = [
        Self::Auto,
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
/// The time of `limits` bounds [`Strategy::Auto`] alone; the other strategies run to their end. Where an interruption
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
    let bound = highest_load(problem);
    let untimed = Limits { time: None, ..*limits };
    let mut steps = 0;
    let by_order = |order: Order| {
        let offsets = greedy(&spans, &order.of(&spans), Gap::Tightest, &mut Watch::start(&untimed));
        offsets.unwrap_or_else(|| by_start(&spans, Gap::Tightest))
    };
    let offsets = match strategy {
        Strategy::FirstFit => by_start(&spans, Gap::Lowest),
        Strategy::BestFit => by_start(&spans, Gap::Tightest),
        Strategy::GreedyBySize => by_order(Order::Size),
        Strategy::GreedyByArea => by_order(Order::Area),
        Strategy::GreedyByLength => by_order(Order::Length),
        Strategy::GreedyByContention => by_order(Order::Contention),
        Strategy::Auto => {
            let enough = bound.bytes.max(problem.capacity().map_or(0, Bytes::get));
            let mut watch = Watch::start(limits);
            watch.found(None, bound.bytes);
            let best = Best::of_all(&spans, enough, seed, &mut watch);
            steps = best.steps;
            best.offsets
        }
    };
    conclude(problem, &spans, &offsets, bound, steps)
}

/// The lowest layout so far.
struct Best {
    offsets: Vec<u64>,
    height: u64,
    steps: u64,
}

impl Best {
    /// Tries everything, until the height is at most `enough`.
    fn of_all(spans: &Spans, enough: u64, seed: u64, watch: &mut Watch<'_>) -> Self {
        let offsets = by_start(spans, Gap::Tightest);
        let mut best = Self { height: spans.height(&offsets), offsets, steps: 0 };
        if best.height <= enough {
            return best;
        }
        let first_fit = best.offer(spans, by_start(spans, Gap::Lowest));
        let orders = Order::ALL.map(|order| order.of(spans));
        // One gap for all orders first: of many buffers there may be time for no more.
        let mut heights = [u64::MAX; Order::ALL.len()];
        for gap in [Gap::Tightest, Gap::Lowest] {
            for (order, height) in orders.iter().zip(&mut heights) {
                if best.height <= enough || watch.look() {
                    return best;
                }
                let Some(offsets) = greedy(spans, order, gap, watch) else { return best };
                *height = best.offer(spans, offsets);
                watch.found(Some(best.height), 0);
            }
        }
        let begun = (0_u32..).zip(&spans.all).map(|(index, _)| index).collect();
        let mut orders: Vec<(u64, Vec<u32>)> = heights.into_iter().zip(orders).collect();
        orders.push((first_fit, begun));
        if best.height > enough {
            best.search(spans, orders, enough, seed, watch);
        }
        best
    }

    /// Tries the orders in which buffers come to lie lowest, then changes of these and of `orders`, which have the
    /// heights beside them.
    fn search(
        &mut self,
        spans: &Spans,
        mut orders: Vec<(u64, Vec<u32>)>,
        enough: u64,
        seed: u64,
        watch: &mut Watch<'_>,
    ) {
        let Some(neighbours) = Neighbours::of(spans) else { return };
        for index in 0..orders.len() {
            let Some((_, order)) = orders.get(index) else { return };
            let order = lowest_first(spans, &neighbours, order, &[]);
            let Some(offsets) = greedy(spans, &order, Gap::Lowest, watch) else { return };
            orders.push((self.offer(spans, offsets), order));
            if self.height <= enough || watch.look() {
                return;
            }
        }
        orders.sort_by_key(|&(height, _)| height);
        let mut orders: Vec<Vec<u32>> = orders.into_iter().map(|(_, order)| order).collect();
        let mut random = Random(seed);
        let found = blame(spans, &neighbours, &orders, self.height, enough, &mut random, watch);
        self.steps = found.steps;
        if let Some((offsets, height, order)) = found.best {
            (self.offsets, self.height) = (offsets, height);
            watch.found(Some(height), 0);
            orders.insert(0, order);
        }
        let found = search(spans, &neighbours, &orders, self.height, enough, random, watch);
        self.steps = self.steps.saturating_add(found.steps);
        if let Some((offsets, height)) = found.best {
            (self.offsets, self.height) = (offsets, height);
        }
    }

    /// Takes a layout if it is lower; its height.
    fn offer(&mut self, spans: &Spans, offsets: Vec<u64>) -> u64 {
        let height = spans.height(&offsets);
        if height < self.height {
            (self.offsets, self.height) = (offsets, height);
        }
        height
    }
}

fn conclude(problem: &Problem, spans: &Spans, offsets: &[u64], bound: Bound, steps: u64) -> Layout {
    let (height, lower_bound) = (Bytes::new(spans.height(offsets)), Bytes::new(bound.bytes));
    let capacity = problem.capacity();
    let reason = capacity
        .filter(|&capacity| lower_bound > capacity)
        .map(|capacity| Infeasibility::LoadTooHigh { at: bound.at, load: lower_bound, capacity });
    let status = if reason.is_some() {
        Status::Infeasible
    } else if capacity.is_some_and(|capacity| height > capacity) {
        Status::Timeout
    } else if height == lower_bound {
        Status::Optimal
    } else {
        Status::Feasible
    };
    let offsets = spans.to_buffers(offsets, problem.buffers().len());
    Layout { status, offsets, height, lower_bound, proof: Proof::Load { at: bound.at }, reason, steps }
}
