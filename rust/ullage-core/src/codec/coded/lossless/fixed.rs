//! Exponents as codes of four bits: the 15 commonest, and one that says "an escape".
//!
//! Two codes lie in a byte, the first in its low half. Escaped exponents stand in a piece of their own, in the order of their
//! elements; the index says for each block where its escapes end, so that any block can be read alone.

#![expect(
    clippy::inline_always,
    reason = "the innermost loops, to be compiled for the instructions of each caller"
)]

use std::slice::Iter;

use super::{BLOCK, Fault, entry};

/// Exponents that have codes.
pub(super) const COMMON: usize = 15;
const ESCAPE: u8 = 15;

/// The commonest exponents, and the code of each exponent.
pub(super) fn table(counts: &[u64; 256]) -> ([u8; COMMON], [u8; 256]) {
    let mut symbols: Vec<u8> = (0..=255).collect();
    symbols.sort_by_key(|&symbol| std::cmp::Reverse(counts[usize::from(symbol)]));
    let (mut common, mut codes) = ([0; COMMON], [ESCAPE; 256]);
    for ((code, place), &symbol) in (0..ESCAPE).zip(&mut common).zip(&symbols) {
        *place = symbol;
        codes[usize::from(symbol)] = code;
    }
    (common, codes)
}

/// Codes of the exponents of one block, two a byte, and what escapes.
pub(super) fn write(exponents: &[u8], codes: &[u8; 256], out: &mut [u8], escapes: &mut Vec<u8>) {
    for (pair, out) in exponents.chunks(2).zip(out) {
        let code = |place: usize| pair.get(place).map_or(0, |&exponent| codes[usize::from(exponent)]);
        let (low, high) = (code(0), code(1));
        *out = low | high << 4;
        if low == ESCAPE || high == ESCAPE {
            escapes.extend(pair.iter().filter(|&&exponent| codes[usize::from(exponent)] == ESCAPE));
        }
    }
}

/// Codes, and how exponents come out of them.
pub(super) struct Fixed<'a> {
    pub(super) codes: &'a [u8],
    pub(super) index: &'a [u8],
    pub(super) escapes: &'a [u8],
    /// The exponent of each code; anything for an escape.
    pub(super) table: [u8; 16],
}

impl Fixed<'_> {
    /// Checks that each block's escapes begin where those before it end, and that all are taken.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let mut ends = self.index.as_chunks::<4>().0.iter().map(|&end| u32::from_le_bytes(end));
        let last = ends.try_fold(0, |before, end| (before <= end).then_some(end)).ok_or(Fault::Index)?;
        if usize::try_from(last).ok() == Some(self.escapes.len()) { Ok(()) } else { Err(Fault::Index) }
    }

    /// Codes of `count` elements of a block.
    pub(super) fn codes_of(&self, block: usize, count: usize) -> Result<&[u8], Fault> {
        let start = block.checked_mul(BLOCK / 2).ok_or(Fault::Short)?;
        let end = start.checked_add(count.div_ceil(2)).ok_or(Fault::Short)?;
        self.codes.get(start..end).ok_or(Fault::Short)
    }

    /// Escaped exponents of a block.
    pub(super) fn escapes_of(&self, block: usize) -> Result<&[u8], Fault> {
        let start = block.checked_sub(1).map_or(Ok(0), |before| entry(self.index, before))?;
        self.escapes.get(start..entry(self.index, block)?).ok_or(Fault::Index)
    }
}

/// Exponents of codes, escaped ones taken from `escapes` in turn; whether there were enough. What every other form equals.
#[inline(always)]
pub(super) fn expand(
    codes: &[u8],
    table: &[u8; 16],
    escapes: &mut Iter<'_, u8>,
    exponents: &mut [u8],
) -> bool {
    let mut is_enough = true;
    for (&pair, exponents) in codes.iter().zip(exponents.chunks_mut(2)) {
        for (exponent, code) in exponents.iter_mut().zip([pair & 15, pair >> 4]) {
            *exponent = table[usize::from(code)];
            if code == ESCAPE {
                let own = escapes.next();
                is_enough &= own.is_some();
                *exponent = own.copied().unwrap_or(0);
            }
        }
    }
    is_enough
}

/// Puts escaped exponents in the places that `found` has a bit for; whether there were enough.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "masks are what x86-64 has"))]
pub(super) fn patch(mut found: u64, escapes: &mut Iter<'_, u8>, exponents: &mut [u8]) -> bool {
    while found != 0 {
        let place = found.trailing_zeros() as usize;
        let (Some(&own), Some(exponent)) = (escapes.next(), exponents.get_mut(place)) else {
            return false;
        };
        *exponent = own;
        found &= found.wrapping_sub(1);
    }
    true
}
