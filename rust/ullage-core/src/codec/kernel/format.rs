//! The formats that weights are decoded to.

pub(super) use crate::codec::half::{from_bf16, from_half, to_bf16, to_half};

/// Which format it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec) enum Kind {
    F32,
    F16,
    Bf16,
}

/// A format that kernels write.
pub(in crate::codec) trait Format: Copy + 'static {
    /// Which it is: numbers of 32 bits for `f32`, of 16 bits for `u16`.
    const KIND: Kind;

    /// A number as memory holds it.
    type Word: Copy + Default + PartialEq + std::fmt::Debug + Send + Sync;

    /// The nearest number to `value`, ties to even.
    fn of_f32(value: f32) -> Self::Word;

    /// The nearest number to a half. Where the format is that of halves, its bits as they are.
    #[inline(always)]
    fn of_f16(half: u16) -> Self::Word {
        Self::of_f32(from_half(half))
    }

    /// The nearest number to one of bfloat16. Where the format is bfloat16, its bits as they are.
    #[inline(always)]
    fn of_bf16(number: u16) -> Self::Word {
        Self::of_f32(from_bf16(number))
    }
}

/// Numbers of 32 bits.
#[derive(Clone, Copy)]
pub(super) struct F32;
/// IEEE numbers of 16 bits.
#[derive(Clone, Copy)]
pub(super) struct F16;
/// The upper halves of numbers of 32 bits.
#[derive(Clone, Copy)]
pub(in crate::codec) struct Bf16;

impl Format for F32 {
    const KIND: Kind = Kind::F32;

    type Word = f32;

    #[inline(always)]
    fn of_f32(value: f32) -> f32 {
        value
    }
}

impl Format for F16 {
    const KIND: Kind = Kind::F16;

    type Word = u16;

    #[inline(always)]
    fn of_f32(value: f32) -> u16 {
        to_half(value)
    }

    #[inline(always)]
    fn of_f16(half: u16) -> u16 {
        half
    }
}

impl Format for Bf16 {
    const KIND: Kind = Kind::Bf16;

    type Word = u16;

    #[inline(always)]
    fn of_f32(value: f32) -> u16 {
        to_bf16(value)
    }

    #[inline(always)]
    fn of_bf16(number: u16) -> u16 {
        number
    }
}

/// The half at `place` of `data`, 0 beyond its end.
#[inline(always)]
pub(super) fn word(data: &[u8], place: usize) -> u16 {
    let start = place.saturating_mul(2);
    let bytes = data.get(start..start.saturating_add(2)).and_then(|bytes| bytes.try_into().ok());
    u16::from_le_bytes(bytes.unwrap_or_default())
}

/// The code of `bits` bits at `place` of `packed`, the lowest bits of a byte first; 0 beyond its end.
#[inline(always)]
pub(super) fn code(packed: &[u8], place: usize, bits: u32) -> u8 {
    let wide = bits as usize;
    // So that the product cannot wrap for any place in memory: eight codes take `bits` bytes.
    let bit = (place & 7).saturating_mul(wide);
    let byte = (place >> 3).saturating_mul(wide).saturating_add(bit >> 3);
    let at = |byte: usize| u16::from(packed.get(byte).copied().unwrap_or(0));
    let both = at(byte) | at(byte.saturating_add(1)) << 8;
    let mask = 0xFF_u16 >> 8_u32.saturating_sub(bits);
    (both >> (bit & 7) & mask).to_le_bytes()[0]
}
