//! Those alive under the highest load first, of equal ones the largest area: where room is scarcest, choices come
//! first (the *total* of MiniMalloc's static orders, Moffitt et al., ASPLOS 2024).

use crate::arena::spans::{Span, Spans};

pub(super) fn order(spans: &Spans) -> Vec<u32> {
    let loads = Loads::of(spans);
    super::decreasing(spans, |index| spans.all.get(index).map(|span| (loads.highest(span), span.area())))
}

/// The load from each instant on, under a tree of maxima: node `k` has the children `2k` and `2k + 1`.
struct Loads {
    maxima: Vec<u64>,
    leaves: usize,
}

impl Loads {
    fn of(spans: &Spans) -> Self {
        let instants =
            spans.all.iter().map(|span| span.upper as usize).max().map_or(0, |last| last.saturating_add(1));
        let mut begun = vec![0_u64; instants];
        let mut ended = vec![0_u64; instants];
        for span in &spans.all {
            for (sums, instant) in [(&mut begun, span.lower), (&mut ended, span.upper)] {
                if let Some(sum) = sums.get_mut(instant as usize) {
                    *sum = sum.saturating_add(span.size);
                }
            }
        }
        let leaves = instants.next_power_of_two();
        let mut maxima = vec![0; leaves.saturating_mul(2)];
        let mut load = 0_u64;
        for (leaf, (begun, ended)) in maxima.iter_mut().skip(leaves).zip(begun.into_iter().zip(ended)) {
            load = load.saturating_add(begun).saturating_sub(ended);
            *leaf = load;
        }
        for node in (1..leaves).rev() {
            let children = maxima.get(node << 1..=(node << 1 | 1)).unwrap_or_default();
            let highest = children.iter().copied().max().unwrap_or(0);
            if let Some(maximum) = maxima.get_mut(node) {
                *maximum = highest;
            }
        }
        Self { maxima, leaves }
    }

    /// The highest load during a life.
    fn highest(&self, span: &Span) -> u64 {
        let mut low = self.leaves.saturating_add(span.lower as usize);
        let mut high = self.leaves.saturating_add(span.upper as usize);
        let mut highest = 0;
        let at = |node: usize| self.maxima.get(node).copied().unwrap_or(0);
        while low < high {
            if low & 1 == 1 {
                highest = highest.max(at(low));
                low = low.saturating_add(1);
            }
            if high & 1 == 1 {
                high = high.saturating_sub(1);
                highest = highest.max(at(high));
            }
            low >>= 1;
            high >>= 1;
        }
        highest
    }
}
