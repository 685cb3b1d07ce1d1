//! GGML blocks, as `ggml-common.h` lays them out and gguf-py decodes them: products are rounded before they are joined.

use super::format::{Format, from_half};
use super::layout::Block;

/// The most elements of a block.
const LONGEST: usize = 256;

/// Decodes elements from `start` on, as many as `out` holds.
#[inline(always)]
pub(super) fn decode<F: Format>(block: Block, data: &[u8], start: usize, out: &mut [F::Word]) {
    let elements = block.elements();
    let (mut number, mut skipped) = (start.div_euclid(elements), start.rem_euclid(elements));
    let mut rest = out;
    let mut values = [0.0_f32; LONGEST];
    while !rest.is_empty() {
        let first = number.saturating_mul(block.bytes());
        one(block, data.get(first..first.saturating_add(block.bytes())).unwrap_or_default(), &mut values);
        let take = elements.saturating_sub(skipped).min(rest.len());
        let (now, later) = rest.split_at_mut(take);
        let from = values.get(skipped..).unwrap_or_default();
        now.iter_mut().zip(from).for_each(|(word, &value)| *word = F::of_f32(value));
        (rest, skipped) = (later, 0);
        number = number.saturating_add(1);
    }
}

#[inline(always)]
pub(super) fn one(block: Block, data: &[u8], out: &mut [f32; LONGEST]) {
    match block {
        Block::Q4_0 => q4_0(data, out),
        Block::Q8_0 => q8_0(data, out),
        Block::Q4K => q4_k(data, out),
        Block::Q6K => q6_k(data, out),
    }
}

#[inline(always)]
fn half(data: &[u8], at: usize) -> f32 {
    let bytes = data.get(at..at.saturating_add(2)).and_then(|bytes| bytes.try_into().ok());
    from_half(u16::from_le_bytes(bytes.unwrap_or_default()))
}

/// A scale, then 16 bytes: the low halves are elements 0 to 15, the high ones 16 to 31, each less 8.
#[inline(always)]
fn q4_0(data: &[u8], out: &mut [f32; LONGEST]) {
    let scale = half(data, 0);
    let Some(codes) = data.get(2..18) else { return };
    for (place, &byte) in codes.iter().enumerate() {
        out[place] = scale * f32::from(byte.wrapping_shl(4).wrapping_shr(4).cast_signed().wrapping_sub(8));
        out[place | 16] = scale * f32::from((byte >> 4).cast_signed().wrapping_sub(8));
    }
}

/// A scale and 32 signed bytes.
#[inline(always)]
fn q8_0(data: &[u8], out: &mut [f32; LONGEST]) {
    let scale = half(data, 0);
    let codes = data.get(2..34).unwrap_or_default();
    out.iter_mut().zip(codes).for_each(|(value, &byte)| *value = f32::from(byte.cast_signed()) * scale);
}

/// Scale and least value of run `run` of 32, six bits each, packed in twelve bytes.
#[inline(always)]
fn six_bits(packed: &[u8; 12], run: usize) -> (u8, u8) {
    if run < 4 {
        (packed[run] & 63, packed[run | 4] & 63)
    } else {
        let (low, upper) = (packed[run.wrapping_add(4)], run & 3);
        ((low & 15) | packed[upper] >> 6 << 4, low >> 4 | packed[upper | 4] >> 6 << 4)
    }
}

/// Two scales; eight runs of 32 with a scale and a least value each, of which every second is in the high halves.
#[inline(always)]
fn q4_k(data: &[u8], out: &mut [f32; LONGEST]) {
    let (scale, least) = (half(data, 0), half(data, 2));
    let (Some(packed), Some(codes)) =
        (data.get(4..16).and_then(|bytes| bytes.try_into().ok()), data.get(16..144))
    else {
        return;
    };
    for (pair, (codes, out)) in codes.chunks_exact(32).zip(out.chunks_exact_mut(64)).enumerate() {
        let (low, high) = out.split_at_mut(32);
        let (first, second) =
            (six_bits(packed, pair.wrapping_mul(2)), six_bits(packed, pair.wrapping_mul(2) | 1));
        let (step, off) = (scale * f32::from(first.0), least * f32::from(first.1));
        low.iter_mut().zip(codes).for_each(|(value, &byte)| *value = step * f32::from(byte & 15) - off);
        let (step, off) = (scale * f32::from(second.0), least * f32::from(second.1));
        high.iter_mut().zip(codes).for_each(|(value, &byte)| *value = step * f32::from(byte >> 4) - off);
    }
}

/// 128 bytes of low halves, 64 of upper pairs of bits, 16 signed scales, and the scale of those. Each less 32.
#[inline(always)]
fn q6_k(data: &[u8], out: &mut [f32; LONGEST]) {
    let (Some(low), Some(high), Some(scales)) = (data.get(..128), data.get(128..192), data.get(192..208))
    else {
        return;
    };
    let scale = half(data, 208);
    let halves = low.chunks_exact(64).zip(high.chunks_exact(32)).zip(scales.chunks_exact(8));
    for (((low, high), scales), out) in halves.zip(out.chunks_exact_mut(128)) {
        for (quarter, out) in (0..4_u32).zip(out.chunks_exact_mut(32)) {
            let low = &low[if quarter & 1 == 1 { 32 } else { 0 }..];
            let (low_shift, high_shift) = (if quarter < 2 { 0_u32 } else { 4 }, quarter.wrapping_mul(2));
            let scales = scales.chunks_exact(2).nth(quarter as usize).unwrap_or_default();
            for (eighth, out) in out.chunks_exact_mut(16).enumerate() {
                let step = scale * f32::from(scales[eighth].cast_signed());
                let from = eighth.wrapping_mul(16);
                for ((value, &low), &high) in out.iter_mut().zip(&low[from..]).zip(&high[from..]) {
                    let code = (low >> low_shift & 15) | (high >> high_shift & 3) << 4;
                    *value = step * f32::from(code.cast_signed().wrapping_sub(32));
                }
            }
        }
    }
}
