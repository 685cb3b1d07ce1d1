//! [`Spans`]: the buffers as solvers take them.

use crate::arena::problem::Problem;
use crate::units::Bytes;

/// The buffers that take room, in the order of their beginnings, of equal ones the larger first.
pub(crate) struct Spans {
    pub(crate) all: Vec<Span>,
    /// Position of each in the problem.
    buffers: Vec<u32>,
}

/// A buffer; instants are positions among all that begin or end a life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) lower: u32,
    pub(crate) upper: u32,
    /// Never zero.
    pub(crate) size: u64,
    pub(crate) alignment: u64,
    /// Those that begin before this one ends are the first so many.
    pub(crate) begun: u32,
}

impl Span {
    /// The lowest offset from `floor` on that suits the alignment.
    pub(crate) fn align(&self, floor: u64) -> u64 {
        if self.alignment == 1 {
            floor
        } else {
            floor.checked_next_multiple_of(self.alignment).unwrap_or(u64::MAX)
        }
    }

    /// How long it lives, in instants.
    pub(crate) fn length(&self) -> u64 {
        u64::from(self.upper.saturating_sub(self.lower))
    }

    /// Bytes times instants.
    pub(crate) fn area(&self) -> u128 {
        u128::from(self.size).saturating_mul(u128::from(self.length()))
    }
}

impl Spans {
    #[expect(clippy::cast_possible_truncation, reason = "a problem has fewer than 2^30 buffers")]
    pub(crate) fn of(problem: &Problem) -> Self {
        let source = problem.buffers();
        let mut buffers: Vec<u32> =
            (0_u32..).zip(source).filter(|(_, b)| !b.size.is_zero()).map(|(i, _)| i).collect();
        let of = |index: u32| source.get(index as usize);
        buffers.sort_by_key(|&index| of(index).map(|b| (b.lower, std::cmp::Reverse(b.size))));
        let living = || buffers.iter().filter_map(|&index| of(index));
        let mut instants: Vec<i64> = living().flat_map(|b| [b.lower, b.upper]).collect();
        instants.sort_unstable();
        instants.dedup();
        let rank = |instant: i64| instants.partition_point(|&other| other < instant) as u32;
        let begins: Vec<i64> = living().map(|b| b.lower).collect();
        let all = living()
            .map(|b| Span {
                lower: rank(b.lower),
                upper: rank(b.upper),
                size: b.size.get(),
                alignment: b.alignment,
                begun: begins.partition_point(|&lower| lower < b.upper) as u32,
            })
            .collect();
        Self { all, buffers }
    }

    /// Offsets of spans as offsets of the problem's buffers.
    pub(crate) fn to_buffers(&self, offsets: &[u64], count: usize) -> Vec<Bytes> {
        let mut all = vec![Bytes::ZERO; count];
        for (&buffer, &offset) in self.buffers.iter().zip(offsets) {
            if let Some(place) = all.get_mut(buffer as usize) {
                *place = Bytes::new(offset);
            }
        }
        all
    }

    /// Where the highest ends.
    pub(crate) fn height(&self, offsets: &[u64]) -> u64 {
        self.all
            .iter()
            .zip(offsets)
            .map(|(span, &offset)| offset.saturating_add(span.size))
            .max()
            .unwrap_or(0)
    }
}
