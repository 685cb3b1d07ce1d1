//! [`Conflicts`]: sets of decisions that together leave no layout.

/// Sets of decisions, known by their depth in the search, as rows of bits.
///
/// Depths beyond the last bit share it; whoever would take it out of a set leaves it in. So a set may name more than
/// is to blame, never less.
pub(super) struct Conflicts {
    words: usize,
    bits: Vec<u64>,
}

/// A set that belongs to nobody yet.
pub(super) type Set = Vec<u64>;

impl Conflicts {
    pub(super) fn new(spans: usize) -> Self {
        // A path has a decision for each span, and seldom more than two in vain for each.
        Self { words: spans.saturating_mul(3).div_ceil(64).clamp(2, 96), bits: Vec::new() }
    }

    pub(super) fn empty(&self) -> Set {
        vec![0; self.words]
    }

    /// The number of sets kept.
    pub(super) fn len(&self) -> usize {
        self.bits.len().checked_div(self.words).unwrap_or(0)
    }

    pub(super) fn push(&mut self, set: &[u64]) {
        self.bits.extend_from_slice(set);
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.bits.truncate(length.saturating_mul(self.words));
    }

    pub(super) fn join(&self, index: usize, into: &mut [u64]) {
        let first = index.saturating_mul(self.words);
        let row = self.bits.get(first..first.saturating_add(self.words)).unwrap_or_default();
        unite(into, row);
    }
}

pub(super) fn unite(into: &mut [u64], other: &[u64]) {
    for (word, more) in into.iter_mut().zip(other) {
        *word |= more;
    }
}

fn place(set: &[u64], depth: u32) -> (usize, usize) {
    let last = set.len().saturating_mul(64).saturating_sub(1);
    let bit = (depth as usize).min(last);
    (bit >> 6, bit & 63)
}

pub(super) fn insert(set: &mut [u64], depth: u32) {
    let (word, bit) = place(set, depth);
    if let Some(word) = set.get_mut(word) {
        *word |= 1 << bit;
    }
}

pub(super) fn has(set: &[u64], depth: u32) -> bool {
    let (word, bit) = place(set, depth);
    set.get(word).is_some_and(|word| word >> bit & 1 == 1)
}

pub(super) fn remove(set: &mut [u64], depth: u32) {
    let (word, bit) = place(set, depth);
    let is_shared = word.saturating_add(1) == set.len() && bit == 63;
    if let Some(word) = set.get_mut(word).filter(|_| !is_shared) {
        *word &= !(1 << bit);
    }
}
