//! Blocks of one or two bits an element, or of a third of them: signs and ternary numbers.

use super::block::{half, inverse, largest, low_byte, put_half, rounded};

pub(super) fn decode_q1_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (place, value) in out.iter_mut().enumerate() {
        let is_up = block[2 + place / 8] >> (place % 8) & 1 == 1;
        *value = if is_up { scale } else { -scale };
    }
}

/// The mean magnitude is what signs alone come nearest with.
pub(super) fn encode_q1_0(values: &[f32], block: &mut [u8]) {
    let sum: f32 = values.iter().map(|value| value.abs()).sum();
    put_half(block, 0, sum / 128.0);
    block[2..].fill(0);
    for (place, &value) in values.iter().enumerate() {
        block[2 + place / 8] |= u8::from(value >= 0.0) << (place % 8);
    }
}

pub(super) fn decode_q2_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (place, value) in out.iter_mut().enumerate() {
        let code = block[2 + place / 4] >> (2 * (place % 4)) & 3;
        *value = (f32::from(code) - 1.0) * scale;
    }
}

pub(super) fn encode_q2_0(values: &[f32], block: &mut [u8]) {
    let scale = largest(values);
    put_half(block, 0, scale);
    block[2..].fill(0);
    for (place, value) in values.iter().enumerate() {
        block[2 + place / 4] |= trit(*value, scale) << (2 * (place % 4));
    }
}

/// 1 more than the nearest of −1, 0 and 1.
fn trit(value: f32, scale: f32) -> u8 {
    low_byte(rounded(value * inverse(scale))).wrapping_add(1)
}

/// So many trits begin at `start`, `width` bytes of them.
struct Run {
    byte: usize,
    width: usize,
    start: usize,
    trits: usize,
}

/// Five trits a byte, those of one byte `width` elements apart; the last bytes hold four.
const RUNS: [Run; 3] = [
    Run { byte: 0, width: 32, start: 0, trits: 5 },
    Run { byte: 32, width: 16, start: 160, trits: 5 },
    Run { byte: 48, width: 4, start: 240, trits: 4 },
];
const POWERS: [u8; 5] = [1, 3, 9, 27, 81];

pub(super) fn decode_tq1_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 52);
    for run in RUNS {
        for (trit, power) in POWERS[..run.trits].iter().enumerate() {
            for place in 0..run.width {
                let shifted = block[run.byte + place].wrapping_mul(*power);
                let code = (u16::from(shifted) * 3) >> 8;
                out[run.start + trit * run.width + place] = scale * (f32::from(code) - 1.0);
            }
        }
    }
}

pub(super) fn encode_tq1_0(values: &[f32], block: &mut [u8]) {
    let scale = largest(values);
    for run in RUNS {
        for place in 0..run.width {
            // The first trit is the most significant of five, though a byte of the last run has but four.
            let sum = (0..run.trits).fold(0_u16, |sum, step| {
                let code = trit(values[run.start + step * run.width + place], scale);
                sum + u16::from(code) * u16::from(POWERS[4 - step])
            });
            block[run.byte + place] = (sum * 256).div_ceil(243).to_le_bytes()[0];
        }
    }
    put_half(block, 52, scale);
}

pub(super) fn decode_tq2_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 64);
    for (place, value) in out.iter_mut().enumerate() {
        *value = scale * (f32::from(super::k::two(block, place)) - 1.0);
    }
}

pub(super) fn encode_tq2_0(values: &[f32], block: &mut [u8]) {
    let scale = largest(values);
    let codes: Vec<u8> = values.iter().map(|&value| trit(value, scale)).collect();
    super::k::put_twos(&mut block[..64], &codes);
    put_half(block, 64, scale);
}
