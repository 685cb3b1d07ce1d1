//! Codes of up to eight bits, packed without gaps, the lowest bits of a byte first.

/// Packs codes of `bits` bits each.
pub(super) fn pack(codes: &[u8], bits: u32) -> Vec<u8> {
    let mut packed = Vec::with_capacity(codes.len());
    let (mut held, mut count) = (0_u32, 0_u32);
    for &code in codes {
        held |= u32::from(code) << count;
        count = count.saturating_add(bits);
        while count >= 8 {
            packed.push(held.to_le_bytes()[0]);
            held >>= 8;
            count = count.saturating_sub(8);
        }
    }
    if count > 0 {
        packed.push(held.to_le_bytes()[0]);
    }
    packed
}

/// The code at `place`; 0 beyond the end.
pub(super) fn code(packed: &[u8], place: usize, bits: u32) -> u8 {
    let bit = place.saturating_mul(usize::try_from(bits).unwrap_or(0));
    let (byte, shift) = (bit >> 3, bit & 7);
    let at = |byte: usize| u16::from(packed.get(byte).copied().unwrap_or(0));
    let both = at(byte) | at(byte.saturating_add(1)) << 8;
    let mask = 0xFF_u16 >> 8_u32.saturating_sub(bits);
    (both >> shift & mask).to_le_bytes()[0]
}

/// The 16-bit number at `place`; 0 beyond the end.
pub(super) fn half(data: &[u8], place: usize) -> f32 {
    let start = place.saturating_mul(2);
    let bytes = data.get(start..start.saturating_add(2)).and_then(|bytes| bytes.try_into().ok());
    crate::codec::half::from_half(u16::from_le_bytes(bytes.unwrap_or_default()))
}

/// Numbers in 16 bits each.
pub(super) fn halves(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(|value| crate::codec::half::to_half(value).to_le_bytes()).collect()
}

/// The whole number nearest to `value` between `lo` and `hi`; `lo` for what is no number.
#[expect(clippy::cast_possible_truncation, reason = "it lies between two small whole numbers")]
pub(super) fn nearest(value: f32, lo: i16, hi: i16) -> i16 {
    value.round().max(f32::from(lo)).min(f32::from(hi)) as i16
}
