//! The largest product of size and lifetime first: what is hardest to move out of the way.

use crate::arena::spans::Spans;

pub(super) fn order(spans: &Spans) -> Vec<u32> {
    super::decreasing(spans, |index| spans.all.get(index).map(|span| (span.area(), span.size)))
}
