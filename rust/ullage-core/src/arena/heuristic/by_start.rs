//! Buffers in the order of their beginnings, each into a gap of what is alive then: what an allocator does that does
//! not know the future. It keeps a list of what is free, so that its time does not grow with the pairs alive at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::arena::placed::Gap;
use crate::arena::spans::{Span, Spans};

/// The offset of each span. Those that are not fixed lie above all that are, and gaps in a life stay unused.
pub(crate) fn by_start(spans: &Spans, gap: Gap) -> Vec<u64> {
    let mut free = FreeList { top: spans.fixed_height(), ..FreeList::default() };
    let mut alive: BinaryHeap<Reverse<(u32, u64, u64)>> = BinaryHeap::new();
    let mut offsets = Vec::with_capacity(spans.all.len());
    for span in &spans.all {
        if let Some(offset) = span.fixed {
            offsets.push(offset);
            continue;
        }
        while let Some(&Reverse((upper, offset, size))) = alive.peek() {
            if upper > span.lower {
                break;
            }
            alive.pop();
            free.give_back(offset, offset.saturating_add(size));
        }
        let offset = free.take(span, gap);
        alive.push(Reverse((span.upper, offset, span.size)));
        offsets.push(offset);
    }
    offsets
}

/// Gaps between what is alive, and where the last of it ends.
#[derive(Default)]
struct FreeList {
    /// Where each gap ends, by where it begins. No two touch, and none reaches `top`.
    gaps: BTreeMap<u64, u64>,
    /// The same gaps by length and beginning.
    lengths: BTreeSet<(u64, u64)>,
    top: u64,
}

impl FreeList {
    fn take(&mut self, span: &Span, gap: Gap) -> u64 {
        let fits = |begin: u64, end: u64| span.align(begin).saturating_add(span.size) <= end;
        let found = match gap {
            Gap::Lowest => {
                self.gaps.iter().find(|&(&begin, &end)| fits(begin, end)).map(|(&begin, &end)| (begin, end))
            }
            Gap::Tightest => {
                let long_enough = self.lengths.range((span.size, 0)..);
                let mut gaps = long_enough.map(|&(length, begin)| (begin, begin.saturating_add(length)));
                gaps.find(|&(begin, end)| fits(begin, end))
            }
        };
        let (begin, end) = found.unwrap_or((self.top, u64::MAX));
        let offset = span.align(begin);
        let after = offset.saturating_add(span.size);
        if found.is_some() {
            self.remove(begin, end);
            self.insert(after, end);
        } else {
            self.top = after;
        }
        self.insert(begin, offset);
        offset
    }

    /// Frees the bytes from `begin` until before `end`, and joins them with the gaps beside.
    fn give_back(&mut self, mut begin: u64, mut end: u64) {
        if let Some((&low, &high)) = self.gaps.range(..begin).next_back()
            && high == begin
        {
            self.remove(low, high);
            begin = low;
        }
        if end == self.top {
            self.top = begin;
            return;
        }
        if let Some(&high) = self.gaps.get(&end) {
            self.remove(end, high);
            end = high;
        }
        self.insert(begin, end);
    }

    fn insert(&mut self, begin: u64, end: u64) {
        if begin < end {
            self.gaps.insert(begin, end);
            self.lengths.insert((end.saturating_sub(begin), begin));
        }
    }

    fn remove(&mut self, begin: u64, end: u64) {
        self.gaps.remove(&begin);
        self.lengths.remove(&(end.saturating_sub(begin), begin));
    }
}
