//! [`Neighbours`]: who shares an instant with whom, as lists.

use crate::arena::spans::Spans;

/// Pairs of spans alive at once, above which there are no lists: they take eight bytes each.
const MOST_PAIRS: usize = 1 << 24;

/// For each span those that share an instant with it.
pub(crate) struct Neighbours {
    starts: Vec<usize>,
    all: Vec<u32>,
}

impl Neighbours {
    /// `None` where there are too many.
    pub(crate) fn of(spans: &Spans) -> Option<Self> {
        let after = |index: usize, begun: u32| index.saturating_add(1)..begun as usize;
        let pairs = || {
            let each = (0_usize..).zip(&spans.all);
            let all =
                each.flat_map(move |(index, span)| after(index, span.begun).map(move |other| (index, other)));
            all.filter(|&(index, other)| spans.meet(index, other))
        };
        let counted = (0_usize..).zip(&spans.all).map(|(index, span)| after(index, span.begun).len());
        if counted.fold(0_usize, usize::saturating_add) > MOST_PAIRS {
            return None;
        }
        let mut counts = vec![0_usize; spans.all.len()];
        for (one, other) in pairs() {
            for index in [one, other] {
                *counts.get_mut(index)? = counts.get(index)?.saturating_add(1);
            }
        }
        let mut starts = vec![0_usize];
        for count in counts {
            starts.push(starts.last()?.saturating_add(count));
        }
        let mut next = starts.clone();
        let mut all = vec![0_u32; *starts.last()?];
        for (one, other) in pairs() {
            for (index, neighbour) in [(one, other), (other, one)] {
                let place = next.get_mut(index)?;
                *all.get_mut(*place)? = u32::try_from(neighbour).ok()?;
                *place = place.saturating_add(1);
            }
        }
        Some(Self { starts, all })
    }

    pub(crate) fn of_span(&self, index: usize) -> &[u32] {
        let range = self.starts.get(index).zip(self.starts.get(index.saturating_add(1)));
        range.and_then(|(&start, &end)| self.all.get(start..end)).unwrap_or_default()
    }
}
