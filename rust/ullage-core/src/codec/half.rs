//! Numbers of 16 bits, to and from 32 bits, bit for bit what processors do: rounded to the nearest, ties to even.
#![expect(
    clippy::inline_always,
    reason = "the innermost loops, to be compiled for the instructions of each caller"
)]

/// A half in 32 bits; what is no number becomes a quiet one, as processors have it.
#[inline(always)]
pub(in crate::codec) fn from_half(half: u16) -> f32 {
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
pub(in crate::codec) fn to_half(value: f32) -> u16 {
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
pub(in crate::codec) fn from_bf16(number: u16) -> f32 {
    f32::from_bits(u32::from(number) << 16)
}

/// The nearest number of bfloat16, ties to even; what is no number keeps the upper bits it has, and is quiet.
#[inline(always)]
pub(in crate::codec) fn to_bf16(value: f32) -> u16 {
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
