//! 16-bit IEEE numbers, to and from 32 bits: rounded to the nearest, ties to even.

/// The nearest 16-bit number; what is too large becomes infinite.
pub(super) fn to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = u16::try_from(bits >> 16 & 0x8000).unwrap_or(0);
    let exponent = bits >> 23 & 0xFF;
    let mantissa = bits & 0x007F_FFFF;
    if exponent == 0xFF {
        return sign | 0x7C00 | u16::from(mantissa != 0) << 9;
    }
    // Of what is smaller than half the least number, nothing is left.
    if exponent < 102 {
        return sign;
    }
    let (whole, shift) = if exponent < 113 {
        (mantissa | 0x0080_0000, 126_u32.saturating_sub(exponent)) // becomes subnormal
    } else {
        (mantissa | exponent.saturating_sub(112) << 23, 13)
    };
    let kept = whole >> shift;
    let half = 1_u32 << shift.saturating_sub(1);
    let rest = whole & (1_u32 << shift).saturating_sub(1);
    let is_up = rest > half || rest == half && kept & 1 == 1;
    let rounded = kept.saturating_add(u32::from(is_up)).min(0x7C00);
    sign | u16::try_from(rounded).unwrap_or(0x7C00)
}

/// The same number in 32 bits.
pub(super) fn from_half(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let size = u32::from(half & 0x7FFF) << 13;
    if size >= 0x0F80_0000 {
        return f32::from_bits(sign | 0x7000_0000 | size); // infinite, or no number
    }
    // Exponents count from 15 there and from 127 here; the product is exact, for subnormal numbers too.
    let shifted = f32::from_bits(size) * f32::from_bits(0x7780_0000);
    f32::from_bits(sign | shifted.to_bits())
}
