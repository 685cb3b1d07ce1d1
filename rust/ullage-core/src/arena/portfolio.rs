//! [`Portfolio`]: all solvers by turns, each with the best answer of the others.

use crate::arena::blame::blame;
use crate::arena::bound::Bound;
use crate::arena::exact::{Answer, Exact};
use crate::arena::heuristic::{Order, Worth, by_start, greedy, hinted, lowest_first, valley};
use crate::arena::neighbours::Neighbours;
use crate::arena::placed::Gap;
use crate::arena::search::search;
use crate::arena::solution::Proof;
use crate::arena::spans::Spans;
use crate::solving::{Random, Watch};

/// Failures allowed to the exact search of one capacity before the local search has its turn.
const FIRST_EFFORT: u64 = 1 << 14;
/// The most failures allowed to it for one capacity.
const MOST_EFFORT: u64 = 1 << 22;

/// What a strategy came to.
pub(crate) struct Outcome {
    pub(crate) offsets: Vec<u64>,
    pub(crate) height: u64,
    pub(crate) bound: Bound,
    pub(crate) steps: u64,
}

/// The lowest layout so far, and what is proven.
pub(crate) struct Portfolio<'a, 'b> {
    spans: &'a Spans,
    /// The height at which the work ends.
    capacity: Option<u64>,
    seed: u64,
    watch: &'a mut Watch<'b>,
    best: Outcome,
    /// Orders of placing, with the heights that they gave.
    orders: Vec<(u64, Vec<u32>)>,
}

impl<'a, 'b> Portfolio<'a, 'b> {
    pub(crate) fn new(
        spans: &'a Spans,
        bound: Bound,
        capacity: Option<u64>,
        seed: u64,
        watch: &'a mut Watch<'b>,
    ) -> Self {
        let offsets = by_start(spans, Gap::Tightest);
        let best = Outcome { height: spans.height(&offsets), offsets, bound, steps: 0 };
        watch.found(Some(best.height), bound.bytes);
        Self { spans, capacity, seed, watch, best, orders: Vec::new() }
    }

    /// Tries everything, or all but the local search.
    pub(crate) fn run(mut self, is_exact: bool) -> Outcome {
        self.lower(is_exact);
        self.keep_hints();
        self.best
    }

    fn lower(&mut self, is_exact: bool) {
        if self.best.height <= self.enough() {
            return;
        }
        let exact = if self.simple().is_none() { None } else { Exact::of(self.spans, self.seed) };
        if let Some(exact) = &exact {
            self.settle(exact, FIRST_EFFORT);
        }
        if !is_exact && !self.is_done() {
            self.search_locally();
        }
        let mut effort = FIRST_EFFORT;
        while let Some(exact) = exact.as_ref().filter(|_| effort < MOST_EFFORT && !self.is_done()) {
            effort = effort.saturating_mul(4);
            self.settle(exact, effort);
        }
    }

    /// Exchanges the layout for one that is no higher, or within the capacity, and keeps hints.
    fn keep_hints(&mut self) {
        if self.spans.all.iter().all(|span| span.hint.is_none()) {
            return;
        }
        let ceiling = self.best.height.max(self.capacity.unwrap_or(0));
        let at_hint = self.spans.all.iter().zip(&self.best.offsets).filter(|(s, o)| s.hint == Some(**o));
        let mut most = at_hint.map(|(span, _)| span.size).fold(0, u64::saturating_add);
        for order in Order::ALL {
            let order = order.of(self.spans);
            if let Some((offsets, bytes)) = hinted(self.spans, &order, ceiling, self.watch)
                && bytes > most
            {
                (most, self.best.height) = (bytes, self.spans.height(&offsets));
                self.best.offsets = offsets;
            }
        }
    }

    /// Whether the height suffices, no layout can suffice, or the time is over.
    fn is_done(&mut self) -> bool {
        let is_hopeless = self.capacity.is_some_and(|capacity| self.best.bound.bytes > capacity);
        is_hopeless || self.is_low_or_late()
    }

    fn is_low_or_late(&mut self) -> bool {
        self.best.height <= self.enough() || self.watch.look()
    }

    /// The height at which the work ends.
    fn enough(&self) -> u64 {
        self.best.bound.bytes.max(self.capacity.unwrap_or(0))
    }

    /// The heuristics of the field; `None` where the work ended with them.
    fn simple(&mut self) -> Option<()> {
        for worth in Worth::ALL {
            if let Some(offsets) = valley(self.spans, worth, self.watch) {
                self.offer(offsets);
            }
            if self.best.height <= self.enough() {
                return None;
            }
        }
        let first_fit = self.offer(by_start(self.spans, Gap::Lowest));
        let orders = Order::ALL.map(|order| order.of(self.spans));
        // One gap for all orders first: of many buffers there may be time for no more.
        let mut heights = [u64::MAX; Order::ALL.len()];
        for gap in [Gap::Tightest, Gap::Lowest] {
            for (order, height) in orders.iter().zip(&mut heights) {
                if self.is_low_or_late() {
                    return None;
                }
                let offsets = greedy(self.spans, order, gap, self.watch)?;
                *height = self.offer(offsets);
            }
        }
        let begun = (0_u32..).zip(&self.spans.all).map(|(index, _)| index).collect();
        self.orders = heights.into_iter().zip(orders).collect();
        self.orders.push((first_fit, begun));
        Some(())
    }

    /// Asks the exact search for the capacity, or for heights from the bound up.
    fn settle(&mut self, exact: &Exact, effort: u64) {
        if let Some(capacity) = self.capacity {
            self.ask(exact, capacity, effort);
            return;
        }
        let mut unknown = None;
        while !self.is_done() {
            let (low, high) = (self.best.bound.bytes, self.best.height);
            let target = unknown.map_or(low, |unknown: u64| unknown.midpoint(high));
            if target >= high || unknown.is_some_and(|unknown| exact.next_height(unknown) >= high) {
                return;
            }
            if !self.ask(exact, target, effort) {
                unknown = Some(target);
            }
        }
    }

    /// Asks the exact search for a height; whether it found or disproved one.
    fn ask(&mut self, exact: &Exact, height: u64, effort: u64) -> bool {
        match exact.decide(height, effort, &mut self.best.steps, self.watch) {
            Answer::Found(offsets) => {
                self.offer(offsets);
                true
            }
            Answer::Impossible => {
                self.best.bound = Bound { bytes: exact.next_height(height), proof: Proof::Search };
                self.watch.found(None, self.best.bound.bytes);
                true
            }
            Answer::Unknown => false,
        }
    }

    /// Tries the orders in which buffers come to lie lowest, then changes of these and of the others.
    fn search_locally(&mut self) {
        let Some(neighbours) = Neighbours::of(self.spans) else { return };
        let mut random = Random(self.seed);
        let enough = self.enough();
        if self.spans.fixed == 0 {
            for index in 0..self.orders.len() {
                let Some((_, order)) = self.orders.get(index) else { return };
                let order = lowest_first(self.spans, &neighbours, order, &[]);
                let Some(offsets) = greedy(self.spans, &order, Gap::Lowest, self.watch) else { return };
                let height = self.offer(offsets);
                self.orders.push((height, order));
                if self.is_done() {
                    return;
                }
            }
        }
        self.orders.sort_by_key(|&(height, _)| height);
        let mut orders: Vec<Vec<u32>> = self.orders.iter().map(|(_, order)| order.clone()).collect();
        if self.spans.fixed == 0 {
            let (spans, height) = (self.spans, self.best.height);
            let found = blame(spans, &neighbours, &orders, height, enough, &mut random, self.watch);
            self.best.steps = self.best.steps.saturating_add(found.steps);
            if let Some((offsets, _, order)) = found.best {
                self.offer(offsets);
                orders.insert(0, order);
            }
        }
        let found = search(self.spans, &neighbours, &orders, self.best.height, enough, random, self.watch);
        self.best.steps = self.best.steps.saturating_add(found.steps);
        if let Some((offsets, _)) = found.best {
            self.offer(offsets);
        }
    }

    /// Takes a layout if it is lower; its height.
    fn offer(&mut self, offsets: Vec<u64>) -> u64 {
        let height = self.spans.height(&offsets);
        if height < self.best.height {
            (self.best.offsets, self.best.height) = (offsets, height);
            self.watch.found(Some(height), 0);
        }
        height
    }
}
