//! A lower bound on the seconds of loading: no policy, however clairvoyant, loads less.
//!
//! Between two requests for a model its bytes are either kept throughout, which saves the second load, or they are not.
//! So what is saved is at most the optimum of a linear program: choose shares `x` of those intervals, at most 1 each,
//! such that at every request the chosen intervals around it and the model asked for fit. Its integer solutions are all
//! that any policy can do; this is the flow-based bound FOO of Berger, Beckmann and Harchol-Balter ("Practical bounds on
//! optimal caching with variable object sizes", POMACS 2018), with costs and with the room that the model asked for
//! takes. The program is not solved: for *any* prices `μ ≥ 0` of memory at each request, weak duality says
//!
//! ```text
//! saved  ≤  Σ over requests μ·(capacity − bytes of the model)  +  Σ over intervals max(0, load − bytes·Σ μ inside)
//! ```
//!
//! One price for all requests is their PFOO-L; from there the prices follow the subgradient. Each round costs one pass
//! over the requests, and the best bound of all rounds stands.

use super::outcome::Outcome;
use super::trace::Trace;
use crate::units::Bytes;

/// Passes over requests in all, so that the work is bounded whatever the trace.
const PASSES: usize = 40_000_000;
/// Rounds at the most.
const ROUNDS: usize = 400;
/// Rounds without progress before the step is halved.
const PATIENCE: u32 = 8;
/// Sums of floats may be off by so much of themselves.
const ROUNDING: f64 = 1e-9;

/// Seconds of loading that no policy can do without in `capacity`, where requests come one after another and a model
/// too large is refused. `reached` is what came of some replay of it, to measure steps with; any will do.
#[must_use]
pub fn lower_bound(trace: &Trace, capacity: Bytes, reached: &Outcome) -> f64 {
    let problem = Problem::new(trace, capacity);
    let total = problem.first_s + problem.again_s;
    let target = (total - reached.load_s).max(0.0);
    let saved = problem.most_saved(target);
    ((total - saved) - ROUNDING * total).max(problem.first_s)
}

/// Two requests for the same model, with others between.
struct Interval {
    /// The first request between.
    start: usize,
    /// The request that ends it.
    end: usize,
    bytes: f64,
    load_s: f64,
}

struct Problem {
    intervals: Vec<Interval>,
    /// Room beside the model asked for, at each request.
    room: Vec<f64>,
    /// Loads that nobody can save: the first of each model.
    first_s: f64,
    /// All other loads, were nothing kept.
    again_s: f64,
    /// Of these, what is saved without keeping anything beside others.
    free_s: f64,
}

impl Problem {
    #[allow(clippy::cast_precision_loss, reason = "a bound, not a count; rounding is allowed for")]
    fn new(trace: &Trace, capacity: Bytes) -> Self {
        let mut problem =
            Self { intervals: Vec::new(), room: Vec::new(), first_s: 0.0, again_s: 0.0, free_s: 0.0 };
        let mut last: Vec<Option<usize>> = vec![None; trace.models().len()];
        for request in trace.requests() {
            let model = &trace.models()[request.model];
            if model.bytes > capacity {
                continue;
            }
            let now = problem.room.len();
            let (bytes, load_s) = (model.bytes.get() as f64, model.load_s);
            match last[request.model].replace(now) {
                None => problem.first_s += load_s,
                Some(before) => {
                    problem.again_s += load_s;
                    let start = before.saturating_add(1);
                    if start == now {
                        problem.free_s += load_s;
                    } else {
                        problem.intervals.push(Interval { start, end: now, bytes, load_s });
                    }
                }
            }
            problem.room.push(capacity.saturating_sub(model.bytes).get() as f64);
        }
        problem
    }

    /// An upper bound on what can be saved; `target` is what was.
    fn most_saved(&self, target: f64) -> f64 {
        if self.intervals.is_empty() {
            return self.free_s;
        }
        let rounds = PASSES.checked_div(self.room.len()).unwrap_or(0).clamp(20, ROUNDS);
        let mut prices = vec![self.flat_price(rounds / 4); self.room.len()];
        let mut slope = vec![0.0; self.room.len()];
        let mut prefix = vec![0.0; self.room.len().saturating_add(1)];
        let (mut best, mut best_prices) = (f64::INFINITY, prices.clone());
        let (mut step, mut idle) = (1.0, 0_u32);
        for _ in 0..rounds {
            let value = self.dual(&prices, &mut prefix, &mut slope);
            if value < best * (1.0 - 1e-6) {
                idle = 0;
            } else {
                idle = idle.saturating_add(1);
            }
            if value < best {
                best = value;
                best_prices.copy_from_slice(&prices);
            }
            if idle >= PATIENCE {
                (step, idle) = (step * 0.5, 0);
                prices.copy_from_slice(&best_prices);
                self.dual(&prices, &mut prefix, &mut slope);
            }
            // Where a price is zero and would fall, the slope does not count.
            let active = prices.iter().zip(&slope).filter(|&(&price, &slope)| price > 0.0 || slope < 0.0);
            let norm: f64 = active.map(|(_, slope)| slope * slope).sum();
            let gap = best - target;
            if norm <= 0.0 || gap <= 1e-6 * best {
                break;
            }
            let length = step * gap / norm;
            for (price, slope) in prices.iter_mut().zip(&slope) {
                *price = (*price - length * slope).max(0.0);
            }
        }
        best
    }

    /// The bound at `prices`, and how it changes with each of them.
    fn dual(&self, prices: &[f64], prefix: &mut [f64], slope: &mut [f64]) -> f64 {
        let mut sum = 0.0;
        let mut value = self.free_s;
        for (at, &price) in prices.iter().enumerate() {
            sum += price;
            prefix[at.saturating_add(1)] = sum;
            value += price * self.room[at];
        }
        // First the changes of what is kept, from one request to the next.
        slope.fill(0.0);
        for interval in &self.intervals {
            let gain = interval.load_s - interval.bytes * (prefix[interval.end] - prefix[interval.start]);
            if gain > 0.0 {
                value += gain;
                slope[interval.start] -= interval.bytes;
                slope[interval.end] += interval.bytes;
            }
        }
        let mut kept = 0.0;
        for (slope, room) in slope.iter_mut().zip(&self.room) {
            kept += *slope;
            *slope = room + kept;
        }
        value
    }

    /// The best price that is the same at all requests, by ternary search: the bound is convex in it.
    #[allow(clippy::cast_precision_loss, reason = "lengths of intervals are weighed, not counted")]
    fn flat_price(&self, rounds: usize) -> f64 {
        let room: f64 = self.room.iter().sum();
        let value = |price: f64| {
            let length = |interval: &Interval| interval.end.saturating_sub(interval.start) as f64;
            let gain = |interval: &Interval| interval.load_s - price * interval.bytes * length(interval);
            price * room + self.intervals.iter().map(|interval| gain(interval).max(0.0)).sum::<f64>()
        };
        let dearest = self.intervals.iter().map(|interval| interval.load_s / interval.bytes.max(1.0));
        let (mut low, mut high) = (0.0, dearest.fold(0.0, f64::max));
        for _ in 0..rounds {
            let (left, right) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
            if value(left) <= value(right) {
                high = right;
            } else {
                low = left;
            }
        }
        0.5 * (low + high)
    }
}
