//! What faster forms read of a row: units of 512 columns, the last of which is padded.
//!
//! Padding is zero on both sides: integers of `x`, their sums and scales, and what is copied of the weight. It adds
//! `0 * 0` to lanes, which changes none of them, as none is ever -0.

use super::super::layout::{Block, Integers};
use super::super::runs::Run;
use super::{BLOCK, UNIT};

/// `N` bytes of `data` from `at` on, if there are so many.
#[inline(always)]
pub(in crate::codec::kernel) fn whole<const N: usize>(data: &[u8], at: usize) -> Option<&[u8; N]> {
    data.get(at..)?.first_chunk()
}

/// Where there are fewer, a copy of them, followed by zeros.
#[cold]
pub(in crate::codec::kernel) fn padded<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    let mut room = [0; N];
    let data = data.get(at..).unwrap_or_default();
    room.iter_mut().zip(data).for_each(|(byte, &found)| *byte = found);
    room
}

/// Bytes of `$data` from `$at` on, padded with zeros in `$room`, which is written only then: to clear it takes as long
/// as to multiply.
macro_rules! bytes {
    ($room:ident, $data:expr, $at:expr) => {
        match $crate::codec::kernel::rounded::units::whole($data, $at) {
            Some(whole) => whole,
            None => {
                $room = $crate::codec::kernel::rounded::units::padded($data, $at);
                &$room
            }
        }
    };
}
pub(in crate::codec::kernel) use bytes;

/// Integers with scales for blocks of 32, 64, 128, 256 or 512 columns.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec::kernel) struct Scaled<'a> {
    integers: Integers<'a>,
    cols: usize,
    /// Units of a row, and its runs.
    units: usize,
    runs: usize,
    /// A run is 32 columns times two to this.
    pub(in crate::codec::kernel) doublings: u32,
}

/// A row of them.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec::kernel) struct ScaledRow<'a> {
    /// Codes of the row.
    pub(in crate::codec::kernel) codes: &'a [u8],
    /// Scales of the row.
    pub(in crate::codec::kernel) scales: &'a [u8],
    /// Zero points of all rows, and where those of this one begin.
    zeros: &'a [u8],
    first: usize,
}

impl<'a> Scaled<'a> {
    /// `None` where rows are otherwise divided.
    pub(in crate::codec::kernel) fn of(integers: &Integers<'a>, cols: usize) -> Option<Self> {
        let doublings =
            (0..=4_u32).find(|&doublings| integers.sharing.is_even_in(cols, BLOCK << doublings))?;
        let (units, runs) = (cols.div_ceil(UNIT), (cols / BLOCK) >> doublings);
        Some(Self { integers: *integers, cols, units, runs, doublings })
    }

    /// Units of a row.
    #[inline(always)]
    pub(in crate::codec::kernel) const fn units(&self) -> usize {
        self.units
    }

    #[inline(always)]
    pub(in crate::codec::kernel) const fn is_affine(&self) -> bool {
        self.integers.is_affine
    }

    /// The row whose first element is `start`.
    #[inline(always)]
    pub(in crate::codec::kernel) fn row(&self, start: usize) -> ScaledRow<'a> {
        let bits = self.integers.bits as usize;
        let bytes = |elements: usize| (elements / 8).saturating_mul(bits);
        let first = (start / BLOCK) >> self.doublings;
        let scales = first.saturating_mul(2)..first.saturating_add(self.runs).saturating_mul(2);
        ScaledRow {
            codes: self
                .integers
                .codes
                .get(bytes(start)..bytes(start.saturating_add(self.cols)))
                .unwrap_or_default(),
            scales: self.integers.scales.get(scales).unwrap_or_default(),
            zeros: self.integers.zeros,
            first,
        }
    }
}

impl ScaledRow<'_> {
    /// The zero points of a unit that has `count` scales, from which others follow; codes of `bits` bits, as bytes.
    #[inline(always)]
    pub(in crate::codec::kernel) fn zeros(&self, unit: usize, count: usize, bits: u32) -> [u8; 16] {
        let done = unit.saturating_mul(count);
        let place = self.first.saturating_add(done);
        let at = if bits == 8 { place } else { place / 2 };
        let found = whole(self.zeros, at).copied().unwrap_or_else(|| padded(self.zeros, at));
        if bits == 8 {
            return found;
        }
        let packed = u128::from_le_bytes(found) >> ((place & 1) << 2);
        // Bytes 0 to 7 hold sixteen codes, spread out by doubling steps.
        let packed = packed & u128::from(u64::MAX);
        let packed = (packed | packed << 32) & 0x0000_0000_FFFF_FFFF_0000_0000_FFFF_FFFF;
        let packed = (packed | packed << 16) & 0x0000_FFFF_0000_FFFF_0000_FFFF_0000_FFFF;
        let packed = (packed | packed << 8) & 0x00FF_00FF_00FF_00FF_00FF_00FF_00FF_00FF;
        ((packed | packed << 4) & 0x0F0F_0F0F_0F0F_0F0F_0F0F_0F0F_0F0F_0F0F).to_le_bytes()
    }
}

/// A row of integers with one scale.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec::kernel) struct Whole<'a> {
    pub(in crate::codec::kernel) codes: &'a [u8],
    pub(in crate::codec::kernel) scale: f32,
    pub(in crate::codec::kernel) zero: i32,
}

impl<'a> Whole<'a> {
    /// The row of `cols` columns whose first element is `start`; `None` where it begins amid a byte.
    #[inline(always)]
    pub(in crate::codec::kernel) fn row(integers: &Integers<'a>, start: usize, cols: usize) -> Option<Self> {
        let end = start.saturating_add(cols);
        let bytes = if integers.bits == 8 {
            start..end
        } else if start.is_multiple_of(2) {
            start / 2..end.div_ceil(2)
        } else {
            return None;
        };
        let run: Option<Run> = integers.sharing.of(start..end).next();
        let (scale, zero) = super::plain::shared(integers, run);
        Some(Self { codes: integers.codes.get(bytes)?, scale, zero })
    }
}

/// The GGML blocks of the row of `cols` columns whose first element is `start`.
#[inline(always)]
pub(in crate::codec::kernel) fn row_blocks(block: Block, data: &[u8], start: usize, cols: usize) -> &[u8] {
    let bytes = |elements: usize| elements.div_euclid(block.elements()).saturating_mul(block.bytes());
    data.get(bytes(start)..bytes(start.saturating_add(cols))).unwrap_or_default()
}
