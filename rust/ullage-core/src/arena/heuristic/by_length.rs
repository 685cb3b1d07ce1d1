//! The longest-lived first, of equal ones the largest: short lives find room above long ones.

use crate::arena::spans::Spans;

pub(super) fn order(spans: &Spans) -> Vec<u32> {
    super::decreasing(spans, |index| spans.all.get(index).map(|span| (span.length(), span.size)))
}
