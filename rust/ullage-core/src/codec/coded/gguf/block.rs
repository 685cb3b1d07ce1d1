//! What the blocks of all types are made of: 16-bit scales, nibbles, and the roundings of the reference.

use crate::codec::half::{from_half, to_half};

/// The 16-bit number at byte `at`.
pub(super) fn half(block: &[u8], at: usize) -> f32 {
    from_half(word(block, at))
}

/// Writes `value` in 16 bits at byte `at`, and says what was written.
pub(super) fn put_half(block: &mut [u8], at: usize, value: f32) -> f32 {
    let bits = to_half(value);
    block[at..at + 2].copy_from_slice(&bits.to_le_bytes());
    from_half(bits)
}

/// The 16 bits at byte `at`.
pub(super) fn word(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

/// The 32 bits at byte `at`.
pub(super) fn long(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// A byte as a signed number.
pub(super) fn signed(byte: u8) -> f32 {
    f32::from(i8::from_le_bytes([byte]))
}

/// The nibble of two's number `place`: low ones first, then high ones, of `bytes`.
pub(super) fn nibble(bytes: &[u8], place: usize) -> u8 {
    let half = bytes.len();
    if place < half { bytes[place] & 15 } else { bytes[place - half] >> 4 }
}

/// Puts 16 low and 16 high nibbles together.
pub(super) fn put_nibbles(bytes: &mut [u8], codes: &[u8]) {
    let (low, high) = codes.split_at(bytes.len());
    for ((byte, &low), &high) in bytes.iter_mut().zip(low).zip(high) {
        *byte = low & 15 | high << 4;
    }
}

/// The reciprocal, and 0 for 0.
pub(super) fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// The whole part as C casts it to eight bits by way of 32: what is beyond those, or no number, becomes 0.
#[expect(
    clippy::cast_possible_truncation,
    reason = "it is what is wanted, and compared with the range first"
)]
pub(super) fn low_byte(value: f32) -> u8 {
    let is_within = value.abs() < 2_147_483_648.0;
    if is_within { (value as i32).to_le_bytes()[0] } else { 0 }
}

/// The nearest whole number, halves away from zero.
pub(super) fn rounded(value: f32) -> f32 {
    let size = value.abs();
    let floor = size.floor();
    value.signum() * (floor + (2.0 * (size - floor)).floor())
}

/// The largest magnitude.
pub(super) fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, value| if value.abs() > most { value.abs() } else { most })
}

/// The first of those of the largest magnitude, with its sign.
pub(super) fn farthest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most: f32, &value| if value.abs() > most.abs() { value } else { most })
}

/// The least and the largest.
pub(super) fn range(values: &[f32]) -> (f32, f32) {
    let first = values.first().copied().unwrap_or(0.0);
    let wider = |(least, most): (f32, f32), &value: &f32| {
        (if value < least { value } else { least }, if value > most { value } else { most })
    };
    values.iter().fold((first, first), wider)
}
