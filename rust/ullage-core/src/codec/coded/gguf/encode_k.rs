//! `Q2_K` to `Q6_K` and IQ4 with the scales that are found for them.

use super::affine;
use super::block::{put_half, put_nibbles};
use super::k;
use super::symmetric::{self, Levels};

pub(super) fn encode_q2_k(values: &[f32], block: &mut [u8]) {
    let found = affine::found(values, affine::Form { group: 16, most: 3.0, steps: 15.0 });
    for (byte, (step, offset)) in block.iter_mut().zip(found.steps.iter().zip(&found.offsets)) {
        *byte = step | offset << 4;
    }
    k::put_twos(&mut block[16..80], &found.codes);
    put_half(block, 80, found.scale);
    put_half(block, 82, found.least);
}

pub(super) fn encode_q3_k(values: &[f32], block: &mut [u8]) {
    let form = symmetric::Form { group: 16, levels: Levels::Whole(4.0), steps: 32.0 };
    let found = symmetric::found(values, form);
    k::put_ones(&mut block[..32], found.codes.iter().map(|code| code & 4 != 0));
    k::put_twos(&mut block[32..96], &found.codes);
    let mut steps = [0; 16];
    for (code, step) in steps.iter_mut().zip(&found.steps) {
        *code = above(*step, 32);
    }
    k::put_scales_of_q3_k(&mut block[96..108], &steps);
    put_half(block, 108, found.scale);
}

pub(super) fn encode_q4_k(values: &[f32], block: &mut [u8]) {
    let found = affine::found(values, affine::Form { group: 32, most: 15.0, steps: 63.0 });
    put_half(block, 0, found.scale);
    put_half(block, 2, found.least);
    k::put_steps(&mut block[4..16], &found.steps, &found.offsets);
    for (bytes, codes) in block[16..].chunks_exact_mut(32).zip(found.codes.chunks_exact(64)) {
        put_nibbles(bytes, codes);
    }
}

pub(super) fn encode_q5_k(values: &[f32], block: &mut [u8]) {
    let found = affine::found(values, affine::Form { group: 32, most: 31.0, steps: 63.0 });
    put_half(block, 0, found.scale);
    put_half(block, 2, found.least);
    k::put_steps(&mut block[4..16], &found.steps, &found.offsets);
    k::put_ones(&mut block[16..48], found.codes.iter().map(|code| code & 16 != 0));
    for (bytes, codes) in block[48..].chunks_exact_mut(32).zip(found.codes.chunks_exact(64)) {
        put_nibbles(bytes, codes);
    }
}

pub(super) fn encode_q6_k(values: &[f32], block: &mut [u8]) {
    let form = symmetric::Form { group: 16, levels: Levels::Whole(32.0), steps: 128.0 };
    let found = symmetric::found(values, form);
    k::put_q6_k(block, &found.codes);
    for (byte, step) in block[192..208].iter_mut().zip(&found.steps) {
        *byte = step.to_le_bytes()[0];
    }
    put_half(block, 208, found.scale);
}

pub(super) fn encode_iq4_nl(values: &[f32], block: &mut [u8]) {
    let (scale, codes) = symmetric::single(values);
    put_half(block, 0, scale);
    put_nibbles(&mut block[2..], &codes);
}

pub(super) fn encode_iq4_xs(values: &[f32], block: &mut [u8]) {
    let form = symmetric::Form { group: 32, levels: Levels::Uneven, steps: 32.0 };
    let found = symmetric::found(values, form);
    put_half(block, 0, found.scale);
    let mut high = 0_u16;
    block[4..8].fill(0);
    for (group, step) in found.steps.iter().enumerate() {
        let code = above(*step, 32);
        block[4 + group / 2] |= (code & 15) << (group % 2 * 4);
        high |= u16::from(code >> 4) << (2 * group);
    }
    block[2..4].copy_from_slice(&high.to_le_bytes());
    for (bytes, codes) in block[8..].chunks_exact_mut(16).zip(found.codes.chunks_exact(32)) {
        put_nibbles(bytes, codes);
    }
}

/// How far `step` is above the lowest, which is so many below 0.
fn above(step: i8, lowest: i16) -> u8 {
    u8::try_from(i16::from(step) + lowest).unwrap_or(0)
}
