//! Where the stored numbers of a sparse weight begin, for any element.

use super::super::piece::Part;
use crate::error::{Error, Result};

/// Elements between two entries of the index: 64 bytes of mask.
const STRIDE: usize = 512;

/// A mask, what is stored under it, and how much is stored before every 512th element.
#[derive(Clone, Debug)]
pub(super) struct Sparse<'a> {
    pub(super) values: &'a [u8],
    pub(super) mask: &'a [u8],
    index: Vec<usize>,
}

impl<'a> Sparse<'a> {
    /// Counts the mask once. After that no element's place lies beyond `values`.
    ///
    /// # Errors
    /// [`Error::Damaged`] unless the mask has as many elements as are stored.
    pub(super) fn new(values: &'a [u8], mask: &'a [u8], elements: usize) -> Result<Self> {
        let mut count = 0_usize;
        let mut index = Vec::with_capacity(elements.div_ceil(STRIDE));
        for start in (0..elements).step_by(STRIDE) {
            index.push(count);
            let end = start.saturating_add(STRIDE).min(elements);
            count = count.saturating_add(ones(mask, start, end));
        }
        let stored = values.len() / 2;
        if count == stored {
            Ok(Self { values, mask, index })
        } else {
            let reason = format!("it has {count} elements and {stored} are stored");
            Err(Error::Damaged { piece: Part::Mask.name(), reason })
        }
    }

    /// Numbers stored before `element`.
    #[inline]
    pub(super) fn before(&self, element: usize) -> usize {
        let entry = element / STRIDE;
        let known = self.index.get(entry).copied().unwrap_or(self.values.len() / 2);
        known.saturating_add(ones(self.mask, entry.saturating_mul(STRIDE), element))
    }

    /// Bytes of the index.
    pub(super) fn index_bytes(&self) -> usize {
        self.index.len().saturating_mul(size_of::<usize>())
    }
}

/// Elements of `start..end` that the mask has; a byte starts at `start`.
fn ones(mask: &[u8], start: usize, end: usize) -> usize {
    let (from, until) = (start / 8, end / 8);
    let whole = mask.get(from..until).unwrap_or_default();
    let (words, bytes) = whole.as_chunks::<8>();
    let mut count: u32 = words.iter().map(|word| u64::from_le_bytes(*word).count_ones()).sum();
    count = count.saturating_add(bytes.iter().map(|byte| byte.count_ones()).sum::<u32>());
    if !end.is_multiple_of(8) {
        let last = mask.get(until).copied().unwrap_or(0) & (1_u8 << (end % 8)).wrapping_sub(1);
        count = count.saturating_add(last.count_ones());
    }
    count as usize
}

/// For each byte of a mask, where eight halves get their bytes from: a byte shuffle with 0x80 for what is not stored.
pub(super) static SPREAD: [[u8; 16]; 256] = spread();

#[expect(clippy::arithmetic_side_effects, reason = "places of 16 bytes")]
const fn spread() -> [[u8; 16]; 256] {
    let mut rows = [[0x80; 16]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut bit, mut next) = (0, 0);
        while bit < 8 {
            if mask >> bit & 1 == 1 {
                rows[mask][2 * bit] = 2 * next;
                rows[mask][2 * bit + 1] = 2 * next + 1;
                next += 1;
            }
            bit += 1;
        }
        mask += 1;
    }
    rows
}
