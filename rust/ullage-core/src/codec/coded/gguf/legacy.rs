//! Blocks of 32 with one scale, and of 256 with a 32-bit one: rounded as the reference rounds them, to the bit.

use super::block::{
    farthest, half, inverse, largest, low_byte, nibble, put_half, put_nibbles, range, rounded, signed,
};

/// Elements of a block.
const LENGTH: usize = 32;

pub(super) fn decode_q4_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (place, value) in out.iter_mut().enumerate() {
        *value = scale * (f32::from(nibble(&block[2..], place)) - 8.0);
    }
}

pub(super) fn encode_q4_0(values: &[f32], block: &mut [u8]) {
    let scale = farthest(values) / -8.0;
    let codes = codes(values, |value| (value * inverse(scale) + 8.5).trunc(), 15);
    put_half(block, 0, scale);
    put_nibbles(&mut block[2..], &codes);
}

pub(super) fn decode_q4_1(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half(block, 0), half(block, 2));
    for (place, value) in out.iter_mut().enumerate() {
        *value = scale * f32::from(nibble(&block[4..], place)) + least;
    }
}

pub(super) fn encode_q4_1(values: &[f32], block: &mut [u8]) {
    let (least, codes, scale) = affine(values, 15);
    put_half(block, 0, scale);
    put_half(block, 2, least);
    put_nibbles(&mut block[4..], &codes);
}

pub(super) fn decode_q5_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (place, value) in out.iter_mut().enumerate() {
        *value = scale * (f32::from(five(&block[2..6], &block[6..], place)) - 16.0);
    }
}

pub(super) fn encode_q5_0(values: &[f32], block: &mut [u8]) {
    let scale = farthest(values) / -16.0;
    let codes = codes(values, |value| (value * inverse(scale) + 16.5).trunc(), 31);
    put_half(block, 0, scale);
    put_fives(&mut block[2..], &codes);
}

pub(super) fn decode_q5_1(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half(block, 0), half(block, 2));
    for (place, value) in out.iter_mut().enumerate() {
        *value = scale * f32::from(five(&block[4..8], &block[8..], place)) + least;
    }
}

pub(super) fn encode_q5_1(values: &[f32], block: &mut [u8]) {
    let (least, codes, scale) = affine(values, 31);
    put_half(block, 0, scale);
    put_half(block, 2, least);
    put_fives(&mut block[4..], &codes);
}

pub(super) fn decode_q8_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (value, &code) in out.iter_mut().zip(&block[2..]) {
        *value = signed(code) * scale;
    }
}

pub(super) fn encode_q8_0(values: &[f32], block: &mut [u8]) {
    let scale = eights(values, &mut block[2..]);
    put_half(block, 0, scale);
}

pub(super) fn decode_q8_1(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (value, &code) in out.iter_mut().zip(&block[4..]) {
        *value = signed(code) * scale;
    }
}

/// Beside the scale stands what the block adds up to.
pub(super) fn encode_q8_1(values: &[f32], block: &mut [u8]) {
    let scale = eights(values, &mut block[4..]);
    let sum: f32 = block[4..].iter().map(|&code| signed(code)).sum();
    put_half(block, 0, scale);
    put_half(block, 2, sum * scale);
}

pub(super) fn decode_q8_k(block: &[u8], out: &mut [f32]) {
    let scale = f32::from_bits(super::block::long(block, 0));
    for (value, &code) in out.iter_mut().zip(&block[4..260]) {
        *value = scale * signed(code);
    }
}

/// Behind the codes stand the sums of each 16 of them.
pub(super) fn encode_q8_k(values: &[f32], block: &mut [u8]) {
    let most = farthest(values);
    let steps = if most == 0.0 { 0.0 } else { -127.0 / most };
    block[..4].copy_from_slice(&inverse(steps).to_le_bytes());
    for (byte, value) in block[4..260].iter_mut().zip(values) {
        *byte = low_byte((value * steps).round_ties_even().min(127.0));
    }
    for group in 0..16 {
        let sum: i16 =
            block[4 + 16 * group..][..16].iter().map(|&code| i16::from(i8::from_le_bytes([code]))).sum();
        block[260 + 2 * group..][..2].copy_from_slice(&sum.to_le_bytes());
    }
}

fn codes(values: &[f32], code: impl Fn(f32) -> f32, most: u8) -> [u8; LENGTH] {
    let mut codes = [0; LENGTH];
    for (place, &value) in codes.iter_mut().zip(values) {
        *place = low_byte(code(value)).min(most);
    }
    codes
}

/// The least value, codes from it upward, and the scale.
fn affine(values: &[f32], levels: u8) -> (f32, [u8; LENGTH], f32) {
    let (least, most) = range(values);
    let scale = (most - least) / f32::from(levels);
    let codes = codes(values, |value| ((value - least) * inverse(scale) + 0.5).trunc(), levels);
    (least, codes, scale)
}

/// Writes 8-bit codes, and gives their scale.
fn eights(values: &[f32], codes: &mut [u8]) -> f32 {
    let scale = largest(values) / 127.0;
    for (code, value) in codes.iter_mut().zip(values) {
        *code = low_byte(rounded(value * inverse(scale)));
    }
    scale
}

/// A nibble and the fifth bit above it.
fn five(high: &[u8], low: &[u8], place: usize) -> u8 {
    nibble(low, place) | (high[place / 8] >> (place % 8) & 1) << 4
}

/// Four bytes of fifth bits, then nibbles.
fn put_fives(bytes: &mut [u8], codes: &[u8; LENGTH]) {
    let (high, low) = bytes.split_at_mut(4);
    high.fill(0);
    for (place, code) in codes.iter().enumerate() {
        high[place / 8] |= (code >> 4) << (place % 8);
    }
    put_nibbles(low, codes);
}
