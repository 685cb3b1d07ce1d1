//! Blocks of 256 with scales that are quantised themselves: `Q2_K` to `Q6_K`, and IQ4 with levels that are not equally far
//! apart. Decoding; how codes and scales lie.

use super::block::{half, nibble, put_nibbles, signed, word};

/// The levels of IQ4.
pub(super) const LEVELS: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0,
];

/// The two bits of element `place`: of 32 bytes the lowest, then the next, and so on; then of the next 32 bytes.
pub(super) fn two(bytes: &[u8], place: usize) -> u8 {
    bytes[place / 128 * 32 + place % 32] >> (place % 128 / 32 * 2) & 3
}

/// Puts two bits of each code where [`two`] finds them.
pub(super) fn put_twos(bytes: &mut [u8], codes: &[u8]) {
    bytes.fill(0);
    for (place, code) in codes.iter().enumerate() {
        bytes[place / 128 * 32 + place % 32] |= (code & 3) << (place % 128 / 32 * 2);
    }
}

/// The bit of element `place` in 32 bytes: the lowest of each first.
fn one(bytes: &[u8], place: usize) -> u8 {
    bytes[place % 32] >> (place / 32) & 1
}

/// Puts a bit of each code where [`one`] finds it.
pub(super) fn put_ones(bytes: &mut [u8], bits: impl Iterator<Item = bool>) {
    bytes.fill(0);
    for (place, bit) in bits.enumerate() {
        bytes[place % 32] |= u8::from(bit) << (place / 32);
    }
}

pub(super) fn decode_q2_k(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half(block, 80), half(block, 82));
    for (group, values) in out.chunks_exact_mut(16).enumerate() {
        let (scale, least) = (scale * f32::from(block[group] & 15), least * f32::from(block[group] >> 4));
        for (place, value) in values.iter_mut().enumerate() {
            *value = scale * f32::from(two(&block[16..80], 16 * group + place)) - least;
        }
    }
}

/// The scale of a group, six bits of which four and two lie apart.
fn scale_of_q3_k(scales: &[u8], group: usize) -> f32 {
    let high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
    f32::from(nibble(&scales[..8], group) | high << 4) - 32.0
}

pub(super) fn put_scales_of_q3_k(scales: &mut [u8], codes: &[u8; 16]) {
    put_nibbles(&mut scales[..8], codes);
    scales[8..].fill(0);
    for (group, code) in codes.iter().enumerate() {
        scales[8 + group % 4] |= (code >> 4 & 3) << (group / 4 * 2);
    }
}

pub(super) fn decode_q3_k(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 108);
    for (group, values) in out.chunks_exact_mut(16).enumerate() {
        let scale = scale * scale_of_q3_k(&block[96..108], group);
        for (place, value) in values.iter_mut().enumerate() {
            let place = 16 * group + place;
            let code = two(&block[32..96], place) | one(&block[..32], place) << 2;
            *value = scale * (f32::from(code) - 4.0);
        }
    }
}

/// Scale and offset of a group, six bits each of which two may lie apart.
fn steps(scales: &[u8], group: usize) -> (f32, f32) {
    let (scale, least) = if group < 4 {
        (scales[group] & 63, scales[group + 4] & 63)
    } else {
        let both = scales[group + 4];
        (both & 15 | scales[group - 4] >> 2 & 0x30, both >> 4 | scales[group] >> 2 & 0x30)
    };
    (f32::from(scale), f32::from(least))
}

/// Puts six bits each where they are found again.
pub(super) fn put_steps(bytes: &mut [u8], scales: &[u8], offsets: &[u8]) {
    for group in 0..4 {
        bytes[group] = scales[group] & 63 | scales[group + 4] >> 4 << 6;
        bytes[group + 4] = offsets[group] & 63 | offsets[group + 4] >> 4 << 6;
        bytes[group + 8] = scales[group + 4] & 15 | offsets[group + 4] << 4;
    }
}

pub(super) fn decode_q4_k(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half(block, 0), half(block, 2));
    for (group, values) in out.chunks_exact_mut(32).enumerate() {
        let (steps, offset) = steps(&block[4..16], group);
        let (scale, least) = (scale * steps, least * offset);
        let codes = &block[16 + group / 2 * 32..][..32];
        for (value, code) in values.iter_mut().zip(codes) {
            *value = scale * f32::from(code >> (group % 2 * 4) & 15) - least;
        }
    }
}

pub(super) fn decode_q5_k(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half(block, 0), half(block, 2));
    for (group, values) in out.chunks_exact_mut(32).enumerate() {
        let (steps, offset) = steps(&block[4..16], group);
        let (scale, least) = (scale * steps, least * offset);
        let codes = &block[48 + group / 2 * 32..][..32];
        for ((value, code), high) in values.iter_mut().zip(codes).zip(&block[16..48]) {
            let code = code >> (group % 2 * 4) & 15 | (high >> group & 1) << 4;
            *value = scale * f32::from(code) - least;
        }
    }
}

pub(super) fn decode_q6_k(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 208);
    for (group, values) in out.chunks_exact_mut(16).enumerate() {
        let scale = scale * signed(block[192 + group]);
        for (place, value) in values.iter_mut().enumerate() {
            let place = 16 * group + place;
            let low = nibble(&block[place / 128 * 64..][..64], place % 128);
            let code = low | two(&block[128..192], place) << 4;
            *value = scale * (f32::from(code) - 32.0);
        }
    }
}

pub(super) fn put_q6_k(block: &mut [u8], codes: &[u8]) {
    for (half, codes) in codes.chunks_exact(128).enumerate() {
        put_nibbles(&mut block[64 * half..][..64], codes);
    }
    let high: Vec<u8> = codes.iter().map(|code| code >> 4).collect();
    put_twos(&mut block[128..192], &high);
}

pub(super) fn decode_iq4_nl(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (place, value) in out.iter_mut().enumerate() {
        *value = scale * LEVELS[usize::from(nibble(&block[2..], place))];
    }
}

pub(super) fn decode_iq4_xs(block: &[u8], out: &mut [f32]) {
    let (scale, high) = (half(block, 0), word(block, 2));
    for (group, values) in out.chunks_exact_mut(32).enumerate() {
        let low = block[4 + group / 2] >> (group % 2 * 4) & 15;
        let step = u16::from(low) | (high >> (2 * group) & 3) << 4;
        let scale = scale * (f32::from(step) - 32.0);
        let codes = &block[8 + 16 * group..][..16];
        for (place, value) in values.iter_mut().enumerate() {
            *value = scale * LEVELS[usize::from(nibble(codes, place))];
        }
    }
}
