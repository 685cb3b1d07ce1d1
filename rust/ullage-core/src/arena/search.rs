//! Local search over the orders in which buffers are placed, each at the lowest offset that is free.
//!
//! The search asks for a layout under a *ceiling*: what would reach above it stays out, and what stays out costs its
//! size times its lifetime. A change takes a buffer that stays out and places it earlier, most often just before one
//! that was in its way; from there on all are placed anew. It stands if it costs no more than now, or than some steps
//! ago (late acceptance: Burke and Bykov, "The late acceptance hill-climbing heuristic", EJOR 258, 2017). Once nothing
//! stays out, the ceiling is lowered below the height that was reached.

use crate::arena::neighbours::Neighbours;
use crate::arena::placed::{Gap, Taken};
use crate::arena::spans::{Span, Spans};
use crate::solving::{Random, Watch};

/// Changes in a row without a lower cost, after which the search begins anew from another order.
const PATIENCE: u64 = 20_000;
/// Beginnings in a row without a lower height, after which the search ends.
const MOST_ROUNDS: usize = 40;
/// How many steps ago costs are compared with.
const MEMORY: usize = 100;

/// The best layout found.
pub(crate) struct Found {
    /// Offsets of the spans, and their height; `None` if nothing was lower than the height to beat.
    pub(crate) best: Option<(Vec<u64>, u64)>,
    pub(crate) steps: u64,
}

/// Looks for a layout lower than `to_beat`, beginning with `orders` in turn, and stops at one of at most `enough`.
pub(crate) fn search(
    spans: &Spans,
    neighbours: &Neighbours,
    orders: &[Vec<u32>],
    to_beat: u64,
    enough: u64,
    random: Random,
    watch: &mut Watch<'_>,
) -> Found {
    let mut found = Found { best: None, steps: 0 };
    let mut climb = Climb::new(spans, neighbours, random);
    let (mut height, mut idle) = (to_beat, 0);
    for order in orders.iter().cycle() {
        if height <= enough || idle >= MOST_ROUNDS || watch.look() {
            break;
        }
        idle = idle.saturating_add(1);
        climb.begin(order, height.saturating_sub(1));
        while climb.climb(watch, &mut found.steps) {
            height = spans.height(&climb.offsets);
            found.best = Some((climb.offsets.clone(), height));
            idle = 0;
            if height <= enough {
                break;
            }
            climb.lower(height.saturating_sub(1));
        }
    }
    found
}

/// The offset of a span that stays out.
const OUT: u64 = u64::MAX;

/// One run of the search.
struct Climb<'a> {
    spans: &'a Spans,
    neighbours: &'a Neighbours,
    random: Random,
    ceiling: u64,
    order: Vec<u32>,
    /// Where each span stands in the order.
    positions: Vec<u32>,
    offsets: Vec<u64>,
    /// What stays out.
    out: Vec<u32>,
    cost: u128,
    least: u128,
    past: Vec<u128>,
    idle: u64,
    /// The offsets of the spans that are being placed anew, in the order before the change.
    undo: Vec<u64>,
    taken: Vec<Taken>,
}

impl<'a> Climb<'a> {
    fn new(spans: &'a Spans, neighbours: &'a Neighbours, random: Random) -> Self {
        let count = spans.all.len();
        Self {
            spans,
            neighbours,
            random,
            ceiling: 0,
            order: Vec::new(),
            positions: vec![0; count],
            offsets: vec![OUT; count],
            out: Vec::new(),
            cost: 0,
            least: 0,
            past: Vec::new(),
            idle: 0,
            undo: Vec::new(),
            taken: Vec::new(),
        }
    }

    fn begin(&mut self, order: &[u32], ceiling: u64) {
        let is_fixed =
            |index: &u32| self.spans.all.get(*index as usize).is_some_and(|span| span.fixed.is_some());
        let (fixed, free): (Vec<u32>, Vec<u32>) = order.iter().partition(|index| is_fixed(index));
        self.order = [fixed, free].concat();
        self.stand(0..order.len());
        self.lower(ceiling);
    }

    /// Places all anew below `ceiling`.
    fn lower(&mut self, ceiling: u64) {
        self.ceiling = ceiling;
        self.idle = 0;
        self.offsets.fill(OUT);
        self.cost = self.place_from(0, u128::MAX).unwrap_or(u128::MAX);
        self.least = self.cost;
        self.past = vec![self.cost; MEMORY];
        self.list_out();
    }

    /// Whether nothing stays out; else patience or time is at an end.
    fn climb(&mut self, watch: &mut Watch<'_>, steps: &mut u64) -> bool {
        while !self.out.is_empty() {
            if self.idle >= PATIENCE || watch.spent(self.step()) {
                return false;
            }
            *steps = steps.saturating_add(1);
        }
        true
    }

    /// Tries a change, and keeps it or takes it back; how many spans were placed for it, as a measure of the work.
    fn step(&mut self) -> usize {
        self.idle = self.idle.saturating_add(1);
        let Some((from, to)) = self.change() else { return 1 };
        let moment = usize::try_from(self.idle).unwrap_or(0).checked_rem(MEMORY).unwrap_or(0);
        let limit = self.past.get(moment).map_or(self.cost, |&past| past.max(self.cost));
        let before = self.out_cost_before(to);
        self.undo.clear();
        for &span in self.order.get(to..).unwrap_or_default() {
            if let Some(offset) = self.offsets.get_mut(span as usize) {
                self.undo.push(*offset);
                *offset = OUT;
            }
        }
        self.shift(from, to);
        match self.place_from(to, limit.saturating_sub(before)) {
            Some(cost) => {
                self.cost = before.saturating_add(cost);
                self.list_out();
                if self.cost < self.least {
                    self.least = self.cost;
                    self.idle = 0;
                }
            }
            None => self.take_back(from, to),
        }
        if let Some(past) = self.past.get_mut(moment) {
            *past = self.cost;
        }
        self.undo.len().saturating_mul(8)
    }

    /// A span that stays out, by its place in the order, and the earlier place that it shall have.
    fn change(&mut self) -> Option<(usize, usize)> {
        let pick = self.random.position(self.out.len());
        let span = *self.out.get(pick)? as usize;
        let from = *self.positions.get(span)? as usize;
        if self.random.below(8) == 0 {
            let first = self.spans.fixed;
            let room = from.checked_sub(first).filter(|&room| room > 0)?;
            return Some((from, first.saturating_add(self.random.position(room))));
        }
        let near = self.neighbours.of_span(span);
        for _ in 0..8 {
            let other = *near.get(self.random.position(near.len()))? as usize;
            let to = *self.positions.get(other)? as usize;
            let to = to.max(self.spans.fixed);
            if to < from && self.offsets.get(other) != Some(&OUT) {
                return Some((from, to));
            }
        }
        None
    }

    /// Moves the span at `from` in the order to `to`, which is earlier.
    fn shift(&mut self, from: usize, to: usize) {
        if let Some(moved) = self.order.get_mut(to..=from) {
            moved.rotate_right(1);
        }
        self.stand(to..from.saturating_add(1));
    }

    fn take_back(&mut self, from: usize, to: usize) {
        if let Some(moved) = self.order.get_mut(to..=from) {
            moved.rotate_left(1);
        }
        self.stand(to..from.saturating_add(1));
        for (&span, &offset) in self.order.get(to..).unwrap_or_default().iter().zip(&self.undo) {
            if let Some(place) = self.offsets.get_mut(span as usize) {
                *place = offset;
            }
        }
    }

    /// Notes where the spans in this part of the order stand.
    fn stand(&mut self, part: std::ops::Range<usize>) {
        let moved = self.order.get(part.clone()).unwrap_or_default();
        for (&span, position) in moved.iter().zip(part) {
            if let (Some(place), Ok(position)) =
                (self.positions.get_mut(span as usize), u32::try_from(position))
            {
                *place = position;
            }
        }
    }

    fn out_cost_before(&self, position: usize) -> u128 {
        let earlier = self.out.iter().filter(|&&span| {
            self.positions.get(span as usize).is_some_and(|&place| (place as usize) < position)
        });
        earlier.filter_map(|&span| self.spans.all.get(span as usize)).map(Span::area).sum()
    }

    fn list_out(&mut self) {
        let order = self.order.iter().copied();
        self.out.clear();
        self.out.extend(order.filter(|&span| self.offsets.get(span as usize) == Some(&OUT)));
    }

    /// Places the spans from a place in the order on; what stays out of them costs the sum. `None`, with the work left
    /// off, as soon as that passes `limit`.
    fn place_from(&mut self, first: usize, limit: u128) -> Option<u128> {
        let mut cost = 0_u128;
        for &index in self.order.get(first..).unwrap_or_default() {
            let span = self.spans.all.get(index as usize)?;
            self.taken.clear();
            for &other in self.neighbours.of_span(index as usize) {
                let (&offset, other) =
                    (self.offsets.get(other as usize)?, self.spans.all.get(other as usize)?);
                if offset != OUT {
                    self.taken.push((offset, offset.saturating_add(other.size)));
                }
            }
            let offset = span.fixed.unwrap_or_else(|| Gap::Lowest.offset(span, &mut self.taken));
            if offset.saturating_add(span.size) <= self.ceiling {
                *self.offsets.get_mut(index as usize)? = offset;
            } else {
                cost = cost.saturating_add(span.area());
                if cost > limit {
                    return None;
                }
            }
        }
        Some(cost)
    }
}
