//! Blocks of 256 whose elements are taken together, four or eight at a time, from the points of a grid: IQ1, IQ2, IQ3.

use super::block::{half, long, word};
use super::grids;
use crate::codec::half::from_half;

/// What two bits of a point of IQ2 stand for; the fourth is in no grid.
const TWO: [f32; 4] = [8.0, 25.0, 43.0, 0.0];
/// What bits of a point of `IQ3_XXS` stand for.
const THREE_XXS: [f32; 8] = [4.0, 12.0, 20.0, 28.0, 36.0, 44.0, 52.0, 62.0];
/// What is added to points of IQ1, one way or the other.
const DELTA: f32 = 0.125;

/// Element `place` of a point of eight.
fn of_eight(point: u16, place: usize) -> usize {
    usize::from(point >> (2 * place) & 3)
}

/// Element `place` of a point of four.
fn of_four(point: u16, place: usize) -> usize {
    usize::from(point >> (4 * place) & 7)
}

/// The eighth sign makes their number even.
fn signs(seven: u32) -> u8 {
    let seven = seven.to_le_bytes()[0] & 127;
    seven | (seven.count_ones().to_le_bytes()[0] & 1) << 7
}

fn sign(signs: u8, place: usize) -> f32 {
    if signs >> place & 1 == 1 { -1.0 } else { 1.0 }
}

/// Writes eight elements.
fn put_eight(out: &mut [f32], point: u16, signs: u8, scale: f32) {
    for (place, value) in out.iter_mut().enumerate() {
        *value = scale * TWO[of_eight(point, place)] * sign(signs, place);
    }
}

pub(super) fn decode_iq2_xxs(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (group, values) in out.chunks_exact_mut(32).enumerate() {
        let points = &block[2 + 8 * group..][..4];
        let rest = long(block, 6 + 8 * group);
        let scale = scale * (0.5 + f32::from(rest.to_le_bytes()[3] >> 4)) * 0.25;
        for (part, values) in values.chunks_exact_mut(8).enumerate() {
            let point = grids::IQ2_XXS[usize::from(points[part])];
            put_eight(values, point, signs(rest >> (7 * part)), scale);
        }
    }
}

/// A scale of four bits for each 16 elements.
fn sixteenth(scale: f32, scales: &[u8], part: usize) -> f32 {
    scale * (0.5 + f32::from(scales[part / 4] >> (part / 2 % 2 * 4) & 15)) * 0.25
}

pub(super) fn decode_iq2_xs(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (part, values) in out.chunks_exact_mut(8).enumerate() {
        let code = word(block, 2 + 2 * part);
        let point = grids::IQ2_XS[usize::from(code & 511)];
        put_eight(values, point, signs(u32::from(code >> 9)), sixteenth(scale, &block[66..], part));
    }
}

pub(super) fn decode_iq2_s(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (part, values) in out.chunks_exact_mut(8).enumerate() {
        let high = usize::from(block[66 + part / 4] >> (part % 4 * 2) & 3);
        let point = grids::IQ2_S[usize::from(block[2 + part]) | high << 8];
        put_eight(values, point, block[34 + part], sixteenth(scale, &block[74..], part));
    }
}

pub(super) fn decode_iq3_xxs(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (part, values) in out.chunks_exact_mut(8).enumerate() {
        let rest = long(block, 66 + part / 4 * 4);
        let scale = scale * (0.5 + f32::from(rest.to_le_bytes()[3] >> 4)) * 0.5;
        let signs = signs(rest >> (part % 4 * 7));
        for (place, value) in values.iter_mut().enumerate() {
            let point = grids::IQ3_XXS[usize::from(block[2 + 2 * part + place / 4])];
            *value = scale * THREE_XXS[of_four(point, place % 4)] * sign(signs, place);
        }
    }
}

pub(super) fn decode_iq3_s(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (part, values) in out.chunks_exact_mut(8).enumerate() {
        let step = block[106 + part / 8] >> (part / 4 % 2 * 4) & 15;
        let scale = scale * f32::from(1 + 2 * step);
        let high = block[66 + part / 4];
        for (place, value) in values.iter_mut().enumerate() {
            let code = 2 * part + place / 4;
            let high = usize::from(high >> (code % 8) & 1);
            let point = grids::IQ3_S[usize::from(block[2 + code]) | high << 8];
            let level = f32::from(u8::try_from(1 + 2 * of_four(point, place % 4)).unwrap_or(0));
            *value = scale * level * sign(block[74 + part], place);
        }
    }
}

/// Writes eight elements of IQ1.
fn put_ternary(out: &mut [f32], point: u16, delta: f32, scale: f32) {
    for (place, value) in out.iter_mut().enumerate() {
        let level = f32::from(u8::try_from(of_eight(point, place)).unwrap_or(0)) - 1.0;
        *value = scale * (level + delta);
    }
}

pub(super) fn decode_iq1_s(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (part, values) in out.chunks_exact_mut(8).enumerate() {
        let rest = word(block, 34 + part / 4 * 2);
        let scale = scale * f32::from(2 * (rest >> 12 & 7) + 1);
        let delta = if rest & 0x8000 == 0 { DELTA } else { -DELTA };
        let high = usize::from(rest >> (part % 4 * 3) & 7);
        put_ternary(values, grids::IQ1[usize::from(block[2 + part]) | high << 8], delta, scale);
    }
}

pub(super) fn decode_iq1_m(block: &[u8], out: &mut [f32]) {
    let scales: [u16; 4] = std::array::from_fn(|place| word(block, 48 + 2 * place));
    // Its 16 bits are the highest four of each.
    let scale = (0..4).fold(0, |bits, place| bits | scales[place] >> 12 << (4 * place));
    let scale = from_half(scale);
    for (part, values) in out.chunks_exact_mut(8).enumerate() {
        let rest = block[32 + part / 2] >> (part % 2 * 4);
        let scale = scale * f32::from(2 * (scales[part / 8] >> (part / 2 % 4 * 3) & 7) + 1);
        let delta = if rest & 8 == 0 { DELTA } else { -DELTA };
        let high = usize::from(rest & 7);
        put_ternary(values, grids::IQ1[usize::from(block[part]) | high << 8], delta, scale);
    }
}
