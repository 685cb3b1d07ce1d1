//! Buffers with a hint lie there if they can, the others in the lowest gaps between.

use crate::arena::placed::{Gap, Placed};
use crate::arena::spans::Spans;
use crate::solving::Watch;

/// The offset of each span, and how many bytes lie at their hints; `None` where `watch` ended the work, or where somebody
/// ends above `ceiling`.
pub(crate) fn hinted(
    spans: &Spans,
    order: &[u32],
    ceiling: u64,
    watch: &mut Watch<'_>,
) -> Option<(Vec<u64>, u64)> {
    let mut placed = Placed::none(spans);
    let mut taken = Vec::new();
    let mut lies = vec![false; spans.all.len()];
    for (index, span) in spans.all.iter().enumerate() {
        if let Some(offset) = span.fixed {
            placed.put(index, offset);
            *lies.get_mut(index)? = true;
        }
    }
    let mut bytes = 0_u64;
    for at_hint in [true, false] {
        for &index in order {
            let index = index as usize;
            let (span, lies) = (spans.all.get(index)?, lies.get_mut(index)?);
            if *lies || (at_hint && span.hint.is_none()) {
                continue;
            }
            placed.neighbours(index, &mut taken);
            let hint = span.hint.filter(|&hint| at_hint && is_free(&taken, hint, span.size, ceiling));
            let offset = if at_hint { hint } else { Some(Gap::Lowest.offset(span, &mut taken)) };
            if let Some(offset) = offset {
                placed.put(index, offset);
                *lies = true;
                bytes = bytes.saturating_add(if span.hint == Some(offset) { span.size } else { 0 });
            }
            if watch.spent(taken.len()) {
                return None;
            }
        }
    }
    let offsets = placed.into_offsets();
    (spans.height(&offsets) <= ceiling).then_some((offsets, bytes))
}

fn is_free(taken: &[(u64, u64)], offset: u64, size: u64, ceiling: u64) -> bool {
    let end = offset.saturating_add(size);
    end <= ceiling && taken.iter().all(|&(low, high)| high <= offset || end <= low)
}
