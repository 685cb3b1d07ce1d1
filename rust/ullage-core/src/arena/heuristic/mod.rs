//! The heuristics of the field: orders in which buffers are placed, one a file, and how each finds its gap.

mod by_area;
mod by_contention;
mod by_length;
mod by_size;
mod by_start;
mod greedy;
mod hinted;
mod lowest_first;
mod valley;

pub(crate) use by_start::by_start;
pub(crate) use greedy::greedy;
pub(crate) use hinted::hinted;
pub(crate) use lowest_first::lowest_first;
pub(crate) use valley::{Worth, valley};

use crate::arena::spans::Spans;

/// An order in which to place buffers that knows all of them beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Size,
    Area,
    Length,
    Contention,
}

impl Order {
    pub(crate) const ALL: [Self; 4] = [Self::Size, Self::Area, Self::Length, Self::Contention];

    /// The spans in this order.
    pub(crate) fn of(self, spans: &Spans) -> Vec<u32> {
        match self {
            Self::Size => by_size::order(spans),
            Self::Area => by_area::order(spans),
            Self::Length => by_length::order(spans),
            Self::Contention => by_contention::order(spans),
        }
    }
}

/// All spans by decreasing `key`, equal ones by their beginning.
fn decreasing<K: Ord>(spans: &Spans, key: impl Fn(usize) -> K) -> Vec<u32> {
    let mut keyed: Vec<(std::cmp::Reverse<K>, u32)> =
        (0_u32..).zip(&spans.all).map(|(index, _)| (std::cmp::Reverse(key(index as usize)), index)).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, index)| index).collect()
}
