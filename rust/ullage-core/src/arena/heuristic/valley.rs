//! Fills the lowest valley of the skyline, again and again, with what is worth most of all that is alive within it
//! (best fit for strip packing: Burke, Kendall and Whitwell, Operations Research 52, 2004; here with times given).
//!
//! The skyline is where the highest ends at each instant. Into its lowest valley goes whoever lives within the time of
//! that valley; where nobody does, the valley is filled up to the lower of its walls and those bytes are lost. What lives
//! within a stretch of time is found in a tree over beginnings and ends by turns (Bentley's k-d tree), so that time grows
//! with the number of buffers and hardly with the pairs alive at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::arena::spans::{Span, Spans};
use crate::solving::Watch;

/// What makes a span worth more than another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    Length,
    Area,
    Size,
}

impl Worth {
    pub(crate) const ALL: [Self; 3] = [Self::Length, Self::Area, Self::Size];

    fn of(self, span: &Span) -> (u128, u64) {
        match self {
            Self::Length => (u128::from(span.length()), span.size),
            Self::Area => (span.area(), span.size),
            Self::Size => (u128::from(span.size), span.length()),
        }
    }
}

/// The offset of each span; `None` where `watch` ended the work or where offsets are fixed. Gaps in a life stay unused.
pub(crate) fn valley(spans: &Spans, worth: Worth, watch: &mut Watch<'_>) -> Option<Vec<u64>> {
    let mut waiting = Waiting::of(spans, worth);
    let last = spans.all.iter().map(|span| span.upper).max().filter(|_| spans.fixed == 0)?;
    let mut skyline = Skyline::flat(last);
    let mut offsets = vec![0; spans.all.len()];
    let mut left = spans.all.len();
    while left > 0 {
        let (lower, upper, floor) = skyline.lowest()?;
        let (found, looked_at) = waiting.take(lower, upper);
        if let Some(index) = found {
            let span = spans.all.get(index)?;
            let offset = span.align(floor);
            *offsets.get_mut(index)? = offset;
            skyline.raise((lower, upper, floor), (span.lower, span.upper), offset.saturating_add(span.size));
            left = left.saturating_sub(1);
        } else {
            skyline.fill(lower, upper);
        }
        if watch.spent(looked_at.saturating_mul(4).saturating_add(64)) {
            return None;
        }
    }
    Some(offsets)
}

/// Where the highest ends, as stretches of time with a height each.
struct Skyline {
    /// Where each stretch ends and its height, by where it begins. Neighbours differ in height.
    stretches: BTreeMap<u32, (u32, u64)>,
    /// Heights and beginnings; some are out of date.
    queue: BinaryHeap<Reverse<(u64, u32)>>,
}

impl Skyline {
    fn flat(last: u32) -> Self {
        let mut skyline = Self { stretches: BTreeMap::new(), queue: BinaryHeap::new() };
        skyline.insert(0, last, 0);
        skyline
    }

    fn insert(&mut self, lower: u32, upper: u32, height: u64) {
        self.stretches.insert(lower, (upper, height));
        self.queue.push(Reverse((height, lower)));
    }

    /// The lowest stretch, which is taken from the queue: `lower`, `upper` and its height.
    fn lowest(&mut self) -> Option<(u32, u32, u64)> {
        loop {
            let Reverse((height, lower)) = self.queue.pop()?;
            if let Some(&(upper, known)) = self.stretches.get(&lower)
                && known == height
            {
                return Some((lower, upper, height));
            }
        }
    }

    /// Raises a part of a stretch to `top`.
    fn raise(&mut self, (lower, upper, floor): (u32, u32, u64), (from, until): (u32, u32), top: u64) {
        self.stretches.remove(&lower);
        if lower < from {
            self.insert(lower, from, floor);
        }
        if until < upper {
            self.insert(until, upper, floor);
        }
        self.join(from, until, top);
    }

    /// Raises a whole stretch to the lower of its neighbours.
    fn fill(&mut self, lower: u32, upper: u32) {
        let before = self.stretches.range(..lower).next_back().map(|(_, &(_, height))| height);
        let after = self.stretches.get(&upper).map(|&(_, height)| height);
        let height = before.into_iter().chain(after).min();
        self.stretches.remove(&lower);
        if let Some(height) = height {
            self.join(lower, upper, height);
        }
    }

    /// Inserts a stretch, as one with the neighbours that are as high.
    fn join(&mut self, mut lower: u32, mut upper: u32, height: u64) {
        if let Some((&begin, &(_, other))) = self.stretches.range(..lower).next_back()
            && other == height
        {
            self.stretches.remove(&begin);
            lower = begin;
        }
        if let Some(&(end, other)) = self.stretches.get(&upper)
            && other == height
        {
            self.stretches.remove(&upper);
            upper = end;
        }
        self.insert(lower, upper, height);
    }
}

/// The spans not placed yet: a tree in which each node knows the latest beginning, the earliest end and the best rank
/// below it. Node `k` has the children `2k` and `2k + 1`; the leaves begin at `leaves`.
struct Waiting {
    nodes: Vec<Node>,
    leaves: usize,
    /// The span of each leaf.
    spans: Vec<u32>,
}

/// The lowest rank is worth most.
#[derive(Clone, Copy)]
struct Node {
    latest_lower: u32,
    earliest_upper: u32,
    rank: u32,
}

impl Node {
    const NOBODY: Self = Self { latest_lower: 0, earliest_upper: u32::MAX, rank: u32::MAX };

    fn above(one: Self, other: Self) -> Self {
        Self {
            latest_lower: one.latest_lower.max(other.latest_lower),
            earliest_upper: one.earliest_upper.min(other.earliest_upper),
            rank: one.rank.min(other.rank),
        }
    }
}

impl Waiting {
    fn of(spans: &Spans, worth: Worth) -> Self {
        let all = &spans.all;
        let ranked = super::decreasing(spans, |index| all.get(index).map(|span| worth.of(span)));
        let mut ranks = vec![0_u32; all.len()];
        for (rank, &index) in (0_u32..).zip(&ranked) {
            if let Some(place) = ranks.get_mut(index as usize) {
                *place = rank;
            }
        }
        let mut order: Vec<u32> = (0_u32..).zip(all).map(|(index, _)| index).collect();
        split(&mut order, all, true);
        let leaves = all.len().next_power_of_two();
        let mut nodes = vec![Node::NOBODY; leaves.saturating_mul(2)];
        for (&index, node) in order.iter().zip(nodes.iter_mut().skip(leaves)) {
            if let (Some(span), Some(&rank)) = (all.get(index as usize), ranks.get(index as usize)) {
                *node = Node { latest_lower: span.lower, earliest_upper: span.upper, rank };
            }
        }
        let mut waiting = Self { nodes, leaves, spans: order };
        (1..leaves).rev().for_each(|node| waiting.renew(node));
        waiting
    }

    fn node(&self, node: usize) -> Node {
        self.nodes.get(node).copied().unwrap_or(Node::NOBODY)
    }

    fn renew(&mut self, node: usize) {
        let above = Node::above(self.node(node << 1), self.node((node << 1) | 1));
        if let Some(place) = self.nodes.get_mut(node) {
            *place = above;
        }
    }

    /// Takes out whoever is worth most of all that live within a stretch of time; and how many nodes were looked at.
    fn take(&mut self, lower: u32, upper: u32) -> (Option<usize>, usize) {
        let (mut best, mut looked_at) = ((u32::MAX, 0), 0);
        self.find(1, lower, upper, &mut best, &mut looked_at);
        if best.0 == u32::MAX {
            return (None, looked_at);
        }
        let mut node = best.1;
        let span =
            node.checked_sub(self.leaves).and_then(|leaf| self.spans.get(leaf)).map(|&span| span as usize);
        if let Some(place) = self.nodes.get_mut(node) {
            *place = Node::NOBODY;
        }
        while node > 1 {
            node >>= 1;
            self.renew(node);
        }
        (span, looked_at)
    }

    fn find(&self, node: usize, lower: u32, upper: u32, best: &mut (u32, usize), looked_at: &mut usize) {
        *looked_at = looked_at.saturating_add(1);
        let Node { latest_lower, earliest_upper, rank } = self.node(node);
        if rank >= best.0 || latest_lower < lower || earliest_upper > upper {
            return;
        }
        if node >= self.leaves {
            *best = (rank, node);
            return;
        }
        let (left, right) = (node << 1, (node << 1) | 1);
        let (first, second) =
            if self.node(left).rank <= self.node(right).rank { (left, right) } else { (right, left) };
        self.find(first, lower, upper, best, looked_at);
        self.find(second, lower, upper, best, looked_at);
    }
}

/// Orders spans so that those of each node are parted by their beginnings or their ends, by turns.
fn split(order: &mut [u32], spans: &[Span], by_lower: bool) {
    if order.len() < 2 {
        return;
    }
    // The left half is full, as in the tree.
    let half = order.len().next_power_of_two() >> 1;
    let key = |&index: &u32| {
        let span = spans.get(index as usize);
        (span.map(|span| if by_lower { span.lower } else { span.upper }), index)
    };
    if half < order.len() {
        order.select_nth_unstable_by_key(half, key);
    }
    let (left, right) = order.split_at_mut(half.min(order.len()));
    split(left, spans, !by_lower);
    split(right, spans, !by_lower);
}
