//! The largest first, of equal ones the longest-lived (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural
//! Net Inference", 2020; TFLite's arena planner).

use crate::arena::spans::Spans;

pub(super) fn order(spans: &Spans) -> Vec<u32> {
    super::decreasing(spans, |index| spans.all.get(index).map(|span| (span.size, span.length())))
}
