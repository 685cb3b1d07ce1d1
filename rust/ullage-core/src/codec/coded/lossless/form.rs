//! How a number is split: its exponent in a byte, and the rest in planes that are stored as they are.
//!
//! ```text
//!  BF16   s eeeeeeee mmmmmmm              near: s mmmmmmm
//!  F16    s eeeee mm mmmmmmmm             near: mmmmmmmm, far: s mm, three bits, eight of them in three bytes
//!  F32    s eeeeeeee mmmmmmm m…m (16)     near: s mmmmmmm, far: m…m, two bytes
//! ```
//!
//! The near plane of all elements comes first, then the far one. Loops are plain, so that the compiler makes of them what
//! each instruction set has.

#![expect(
    clippy::inline_always,
    reason = "the innermost loops, to be compiled for the instructions of each caller"
)]

use crate::model::Dtype;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Bf16,
    F16,
    F32,
}

/// The plain bits of some elements.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a> {
    pub(super) near: &'a [u8],
    pub(super) far: &'a [u8],
}

impl Form {
    pub(super) const fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::BF16 => Some(Self::Bf16),
            Dtype::F16 => Some(Self::F16),
            Dtype::F32 => Some(Self::F32),
            _ => None,
        }
    }

    /// Bytes of an element.
    pub(super) const fn width(self) -> usize {
        match self {
            Self::Bf16 | Self::F16 => 2,
            Self::F32 => 4,
        }
    }

    /// Exponents there are.
    pub(super) const fn alphabet(self) -> usize {
        match self {
            Self::Bf16 | Self::F32 => 256,
            Self::F16 => 32,
        }
    }

    /// Bytes of the far plane of so many elements.
    pub(super) const fn far(self, elements: usize) -> usize {
        match self {
            Self::Bf16 => 0,
            // Without a product that could overflow: an element has two bytes.
            Self::F16 => {
                (elements / 8).saturating_mul(3).saturating_add((elements % 8).saturating_mul(3).div_ceil(8))
            }
            Self::F32 => elements.saturating_mul(2),
        }
    }

    /// Bytes of both planes.
    pub(super) const fn plain(self, elements: usize) -> usize {
        elements.saturating_add(self.far(elements))
    }

    /// The planes of `count` elements from `first` on, a multiple of eight, of values with `elements` in all.
    pub(super) fn planes(
        self,
        values: &[u8],
        elements: usize,
        first: usize,
        count: usize,
    ) -> Option<Plain<'_>> {
        let near = values.get(first..first.checked_add(count)?)?;
        let start = elements.checked_add(self.far(first))?;
        let far = values.get(start..start.checked_add(self.far(count))?)?;
        Some(Plain { near, far })
    }

    /// Splits `bytes` into exponents and planes, as many elements as there are exponents.
    pub(super) fn split(self, bytes: &[u8], exponents: &mut [u8], near: &mut [u8], far: &mut [u8]) {
        match self {
            Self::Bf16 => {
                let words = bytes.as_chunks::<2>().0.iter();
                for ((word, exponent), near) in words.zip(exponents).zip(near) {
                    [*near, *exponent] = turned(u16::from_le_bytes(*word));
                }
            }
            Self::F32 => {
                let words = bytes.as_chunks::<4>().0.iter().zip(far.as_chunks_mut::<2>().0);
                for (((&[a, b, c, d], low), exponent), near) in words.zip(exponents).zip(near) {
                    *low = [a, b];
                    [*near, *exponent] = turned(u16::from_le_bytes([c, d]));
                }
            }
            Self::F16 => split_half(bytes, exponents, near, far),
        }
    }

    /// Puts numbers together, as many as there are exponents.
    #[inline(always)]
    pub(super) fn merge(self, exponents: &[u8], plain: Plain<'_>, out: &mut [u8]) {
        match self {
            Self::Bf16 => {
                let parts = exponents.iter().zip(plain.near);
                for (word, (&exponent, &near)) in out.as_chunks_mut::<2>().0.iter_mut().zip(parts) {
                    *word = joined(exponent, near).to_le_bytes();
                }
            }
            Self::F32 => {
                let parts = exponents.iter().zip(plain.near).zip(plain.far.as_chunks::<2>().0);
                for (word, ((&exponent, &near), &low)) in out.as_chunks_mut::<4>().0.iter_mut().zip(parts) {
                    let high = u32::from(joined(exponent, near)) << 16;
                    *word = (high | u32::from(u16::from_le_bytes(low))).to_le_bytes();
                }
            }
            Self::F16 => merge_half(exponents, plain, out),
        }
    }
}

/// Sign and mantissa in the low byte, the exponent in the high one.
const fn turned(word: u16) -> [u8; 2] {
    let near = (word & 0x7F) | (word >> 8 & 0x80);
    (near | word << 1 & 0xFF00).to_le_bytes()
}

/// The inverse of [`turned`].
#[inline(always)]
fn joined(exponent: u8, near: u8) -> u16 {
    (i16::from(near.cast_signed()).cast_unsigned() & 0x807F) | u16::from(exponent) << 7
}

fn split_half(bytes: &[u8], exponents: &mut [u8], near: &mut [u8], far: &mut [u8]) {
    let words = bytes.as_chunks::<2>().0;
    for (((&[low, high], exponent), near), place) in words.iter().zip(exponents).zip(near).zip(0_usize..) {
        *near = low;
        *exponent = high >> 2 & 0x1F;
        let field = u16::from(high & 3 | high >> 5 & 4);
        let bit = (place % 8).wrapping_mul(3);
        let byte = (place / 8).wrapping_mul(3).wrapping_add(bit / 8);
        let [first, second] = (field << (bit % 8)).to_le_bytes();
        if let Some(byte) = far.get_mut(byte) {
            *byte |= first;
        }
        if let Some(byte) = far.get_mut(byte.wrapping_add(1)) {
            *byte |= second;
        }
    }
}

#[inline(always)]
fn merge_half(exponents: &[u8], plain: Plain<'_>, out: &mut [u8]) {
    let (outs, out_rest) = out.as_chunks_mut::<16>();
    let (exponents, exponent_rest) = exponents.as_chunks::<8>();
    let (nears, near_rest) = plain.near.as_chunks::<8>();
    let (fars, far_rest) = plain.far.as_chunks::<3>();
    for (((out, exponents), nears), &[a, b, c]) in outs.iter_mut().zip(exponents).zip(nears).zip(fars) {
        merge_eight(exponents, nears, [a, b, c], out);
    }
    if !exponent_rest.is_empty() {
        let (mut last, mut near, mut far, mut words) = ([0; 8], [0; 8], [0; 3], [0; 16]);
        fill(&mut last, exponent_rest);
        fill(&mut near, near_rest);
        // Of fewer than eight elements, the fields may take all three bytes.
        fill(
            &mut far,
            if far_rest.is_empty() { fars.get(exponents.len()).map_or(&[], |far| far) } else { far_rest },
        );
        merge_eight(&last, &near, far, &mut words);
        out_rest.iter_mut().zip(words).for_each(|(to, from)| *to = from);
    }
}

fn fill(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
}

#[inline(always)]
fn merge_eight(exponents: &[u8; 8], near: &[u8; 8], far: [u8; 3], out: &mut [u8; 16]) {
    // Eight fields of three bits, each moved to a byte of its own: halves, quarters, eighths.
    let mut fields = u64::from(u32::from_le_bytes([far[0], far[1], far[2], 0]));
    fields = (fields | fields << 20) & 0x0000_0FFF_0000_0FFF;
    fields = (fields | fields << 10) & 0x003F_003F_003F_003F;
    fields = (fields | fields << 5) & 0x0707_0707_0707_0707;
    let signs = (fields & 0x0404_0404_0404_0404) << 5;
    let high = signs
        | fields & 0x0303_0303_0303_0303
        | (u64::from_le_bytes(*exponents) & 0x1F1F_1F1F_1F1F_1F1F) << 2;
    for ((word, &low), high) in out.as_chunks_mut::<2>().0.iter_mut().zip(near).zip(high.to_le_bytes()) {
        *word = [low, high];
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "numbers of tests, all small")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(form: Form, bytes: &[u8]) {
        let elements = bytes.len() / form.width();
        let mut values = vec![0; form.plain(elements)];
        let mut exponents = vec![0; elements];
        let (near, far) = values.split_at_mut(elements);
        form.split(bytes, &mut exponents, near, far);
        assert!(exponents.iter().all(|&exponent| usize::from(exponent) < form.alphabet()));
        let plain = form.planes(&values, elements, 0, elements).unwrap();
        let mut out = vec![0; bytes.len()];
        form.merge(&exponents, plain, &mut out);
        assert_eq!(out, bytes, "{form:?}");
    }

    #[test]
    fn every_number_of_sixteen_bits_comes_back() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        round_trip(Form::Bf16, &bytes);
        round_trip(Form::F16, &bytes);
    }

    #[test]
    fn the_exponent_is_the_numbers_own() {
        let (mut exponent, mut near, mut far) = ([0], [0], [0; 2]);
        Form::F32.split(&(-6.5_f32).to_le_bytes(), &mut exponent, &mut near, &mut far);
        assert_eq!((exponent, near, far), ([129], [0x80 | 0x50], [0, 0]));
        let mut field = [0];
        Form::F16.split(&0xC680_u16.to_le_bytes(), &mut exponent, &mut near, &mut field); // -6.5
        assert_eq!((exponent, near, field), ([17], [0x80], [0b110]));
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for form in [Form::Bf16, Form::F16, Form::F32] {
                round_trip(form, &bytes[..bytes.len() / form.width() * form.width()]);
            }
        }
    }
}
