//! Places buffers one after the other, each among those that are alive with it and placed already.

use crate::arena::placed::{Gap, Placed};
use crate::arena::spans::Spans;
use crate::solving::Watch;

/// The offset of each span, those that are fixed first; `None` where `watch` ended the work. Takes time in the number of pairs of buffers that are
/// alive at once.
pub(crate) fn greedy(spans: &Spans, order: &[u32], gap: Gap, watch: &mut Watch<'_>) -> Option<Vec<u64>> {
    let mut placed = Placed::none(spans);
    let mut taken = Vec::new();
    let fixed = spans.all.iter().enumerate().filter_map(|(index, span)| Some((index, span.fixed?)));
    fixed.for_each(|(index, offset)| placed.put(index, offset));
    for &index in order {
        let index = index as usize;
        let span = spans.all.get(index)?;
        if span.fixed.is_some() {
            continue;
        }
        placed.neighbours(index, &mut taken);
        placed.put(index, gap.offset(span, &mut taken));
        if watch.spent(taken.len()) {
            return None;
        }
    }
    Some(placed.into_offsets())
}
