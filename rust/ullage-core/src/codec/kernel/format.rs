//! The formats that weights are decoded to, and numbers of 16 bits in scalar form, bit for bit what processors do.

/// Which format it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    F16,
    Bf16,
}

/// A format that kernels write.
pub(super) trait Format: Copy + 'static {
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
pub(super) struct Bf16;

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

/// A half in 32 bits; what is no number becomes a quiet one, as processors have it.
#[inline(always)]
pub(super) fn from_half(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let size = u32::from(half & 0x7FFF) << 13;
    // A number whose exponent is too small by 112: the product is exact, also where the half is subnormal.
    let scaled = f32::from_bits(size) * f32::from_bits(0x7780_0000);
    let quiet = if size > 0x0F80_0000 { 0x0040_0000 } else { 0 };
    let bits = if size >= 0x0F80_0000 { size | 0x7F80_0000 | quiet } else { scaled.to_bits() };
    f32::from_bits(bits | sign)
}

/// The nearest half, ties to even; what is no number keeps the upper bits it has, and is quiet.
#[inline(always)]
pub(super) fn to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = bits >> 16 & 0x8000;
    let size = bits & 0x7FFF_FFFF;
    let half = if size >= 0x7F80_0000 {
        0x7C00 | if size > 0x7F80_0000 { 0x0200 | (size >> 13 & 0x03FF) } else { 0 }
    } else if size < 0x3880_0000 {
        // Subnormal: a sum with a half puts the last bit where that of such a half is, and rounds as the processor does.
        (f32::from_bits(size) + 0.5).to_bits().wrapping_sub(0x3F00_0000)
    } else {
        let odd = size >> 13 & 1;
        (size.wrapping_add(0x0FFF).wrapping_add(odd).wrapping_sub(0x3800_0000) >> 13).min(0x7C00)
    };
    low(sign | half)
}

/// A number of bfloat16 in 32 bits.
#[inline(always)]
pub(super) fn from_bf16(number: u16) -> f32 {
    f32::from_bits(u32::from(number) << 16)
}

/// The nearest number of bfloat16, ties to even; what is no number keeps the upper bits it has, and is quiet.
#[inline(always)]
pub(super) fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7FFF).wrapping_add(bits >> 16 & 1) >> 16;
    let is_number = bits & 0x7FFF_FFFF <= 0x7F80_0000;
    low(if is_number { rounded } else { bits >> 16 | 0x0040 })
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the upper half is dropped on purpose")]
const fn low(bits: u32) -> u16 {
    bits as u16
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
