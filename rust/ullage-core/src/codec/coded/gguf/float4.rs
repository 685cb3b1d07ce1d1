//! Blocks of 4-bit floating-point numbers: MXFP4 with a power of two as scale, NVFP4 with an 8-bit number.

use super::block::{largest, low_byte, nibble, put_nibbles};

/// Twice the numbers of two exponent bits and one of mantissa.
const LEVELS: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0];

/// The nearest level's code; of two equally near ones the first.
fn nearest(value: f32, scale: f32) -> u8 {
    let mut best = (f32::INFINITY, 0);
    for (code, level) in (0_u8..).zip(LEVELS) {
        let off = (scale * level - value).abs();
        if off < best.0 {
            best = (off, code);
        }
    }
    best.1
}

/// Half the power of two that an exponent stands for.
fn half_power(exponent: u8) -> f32 {
    let bits = match exponent {
        0 | 1 => 0x0020_0000 << exponent,
        _ => (u32::from(exponent) - 1) << 23,
    };
    f32::from_bits(bits)
}

pub(super) fn decode_mxfp4(block: &[u8], out: &mut [f32]) {
    let scale = half_power(block[0]);
    for (place, value) in out.iter_mut().enumerate() {
        *value = scale * LEVELS[usize::from(nibble(&block[1..], place))];
    }
}

/// The exponent that brings the largest magnitude to between 4 and 8, found by a logarithm of 32 bits as the reference
/// does it: just below a power of two it is rounded up.
pub(super) fn encode_mxfp4(values: &[f32], block: &mut [u8]) {
    let most = largest(values);
    block[0] = if most > 0.0 { low_byte(logarithm(most).floor() + 125.0) } else { 0 };
    let scale = half_power(block[0]);
    let mut codes = [0; 32];
    for (code, &value) in codes.iter_mut().zip(values) {
        *code = nearest(value, scale);
    }
    put_nibbles(&mut block[1..], &codes);
}

#[expect(clippy::cast_possible_truncation, reason = "rounded to 32 bits on purpose")]
fn logarithm(value: f32) -> f32 {
    f64::from(value).log2() as f32
}

/// Half of an unsigned number of four exponent bits and three of mantissa; the sign bit counts for nothing.
fn small(bits: u8) -> f32 {
    let (exponent, mantissa) = (bits >> 3 & 15, f32::from(bits & 7));
    if bits == 0x7F {
        return 0.0;
    }
    let size = match exponent {
        0 => mantissa * 2.0_f32.powi(-9),
        _ => (1.0 + mantissa / 8.0) * 2.0_f32.powi(i32::from(exponent) - 7),
    };
    size * 0.5
}

pub(super) fn decode_nvfp4(block: &[u8], out: &mut [f32]) {
    for (group, values) in out.chunks_exact_mut(16).enumerate() {
        let scale = small(block[group]);
        let codes = &block[4 + 8 * group..][..8];
        for (place, value) in values.iter_mut().enumerate() {
            *value = scale * LEVELS[usize::from(nibble(codes, place))];
        }
    }
}

/// For each 16 elements the scale whose levels come nearest, of all that bring the largest to between 3 and 12.
pub(super) fn encode_nvfp4(values: &[f32], block: &mut [u8]) {
    for (group, values) in values.chunks_exact(16).enumerate() {
        let most = largest(values);
        let mut best = (f32::INFINITY, 0, [0; 16]);
        for bits in 0..0x7F {
            let scale = small(bits);
            if scale * 24.0 < most && bits != 0x7E || scale * 2.0 > most && bits > 1 {
                continue;
            }
            let mut codes = [0; 16];
            let mut error = 0.0;
            for (code, &value) in codes.iter_mut().zip(values) {
                *code = nearest(value, scale);
                error += (scale * LEVELS[usize::from(*code)] - value).powi(2);
            }
            if error < best.0 {
                best = (error, bits, codes);
            }
        }
        block[group] = best.1;
        put_nibbles(&mut block[4 + 8 * group..][..8], &best.2);
    }
}
