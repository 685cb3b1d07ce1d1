//! [`Placed`]: spans with an offset, found by when they live; and [`Gap`], the rules by which one finds its place
//! between others.

use crate::arena::spans::{Span, Spans};

/// Where bytes are taken: from the first offset until before the second.
pub(crate) type Taken = (u64, u64);

/// Which gap a span goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// The lowest that holds it.
    Lowest,
    /// The smallest that holds it; above all where none does.
    Tightest,
}

impl Gap {
    /// The offset of `span` among what is `taken`, which is sorted on the way.
    pub(crate) fn offset(self, span: &Span, taken: &mut [Taken]) -> u64 {
        taken.sort_unstable();
        let mut end = 0;
        let mut best: Option<(u64, u64)> = None;
        for &(low, high) in &*taken {
            let offset = span.align(end);
            let room = low.saturating_sub(end);
            if offset.saturating_add(span.size) <= low && best.is_none_or(|(least, _)| room < least) {
                if self == Self::Lowest {
                    return offset;
                }
                best = Some((room, offset));
            }
            end = end.max(high);
        }
        best.map_or_else(|| span.align(end), |(_, offset)| offset)
    }
}

/// The spans placed so far.
///
/// A tree over all spans in the order of their beginnings, in which each node knows the last end below it among those
/// placed. Who shares an instant with a span has begun before that ends, and ends after that begins: the leaves of a
/// prefix whose end is late enough.
pub(crate) struct Placed<'a> {
    spans: &'a Spans,
    offsets: Vec<u64>,
    /// Node `k` has the children `2k` and `2k + 1`; the leaves begin at `leaves`. Zero where nothing is placed.
    last_end: Vec<u32>,
    leaves: usize,
}

impl<'a> Placed<'a> {
    pub(crate) fn none(spans: &'a Spans) -> Self {
        let leaves = spans.all.len().next_power_of_two();
        let last_end = vec![0; leaves.saturating_mul(2)];
        Self { spans, offsets: vec![0; spans.all.len()], last_end, leaves }
    }

    pub(crate) fn put(&mut self, index: usize, offset: u64) {
        let Some(span) = self.spans.all.get(index) else { return };
        if let Some(place) = self.offsets.get_mut(index) {
            *place = offset;
        }
        let mut node = self.leaves.saturating_add(index);
        while let Some(end) = self.last_end.get_mut(node).filter(|end| **end < span.upper) {
            *end = span.upper;
            node >>= 1;
        }
    }

    /// Puts what those placed that share an instant with span `index` take into `taken`.
    pub(crate) fn neighbours(&self, index: usize, taken: &mut Vec<Taken>) {
        taken.clear();
        if let Some(span) = self.spans.all.get(index) {
            self.collect(1, 0, self.leaves, (index, span), taken);
        }
    }

    fn collect(
        &self,
        node: usize,
        first: usize,
        width: usize,
        (index, span): (usize, &Span),
        taken: &mut Vec<Taken>,
    ) {
        if first >= span.begun as usize || self.last_end.get(node).is_none_or(|&end| end <= span.lower) {
            return;
        }
        if width == 1 {
            if let (Some(&offset), Some(other)) = (self.offsets.get(first), self.spans.all.get(first))
                && self.spans.meet(index, first)
            {
                taken.push((offset, offset.saturating_add(other.size)));
            }
            return;
        }
        let half = width >> 1;
        self.collect(node << 1, first, half, (index, span), taken);
        self.collect((node << 1) | 1, first.saturating_add(half), half, (index, span), taken);
    }

    pub(crate) fn into_offsets(self) -> Vec<u64> {
        self.offsets
    }
}
