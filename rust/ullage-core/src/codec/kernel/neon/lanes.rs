//! 16 elements in registers.

use std::arch::aarch64::*;

use super::super::format::{Format, Kind};
use super::super::layout::Integers;
use super::super::portable;

/// Elements of a step.
const STEP: usize = 16;

/// Looks up codes of four bits from element `start` on. `plain` decodes those that do not begin or fill a step.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn look_up<F: Format>(
    table: [F::Word; 16],
    codes: &[u8],
    start: usize,
    out: &mut [F::Word],
    plain: impl Fn(usize, &mut [F::Word]),
) {
    let lead = (start & 1).min(out.len());
    let (first, rest) = out.split_at_mut(lead);
    plain(start, first);
    let start = start + lead;
    let codes = codes.get(start / 2..).unwrap_or_default().as_chunks::<8>().0;
    let steps = (rest.len() / STEP).min(codes.len());
    let (whole, rest) = rest.split_at_mut(steps * STEP);
    let width = size_of::<F::Word>();
    // The bytes of the entries by their weight: byte `place` of all, in one register each.
    // SAFETY: a table of 16 numbers is that many bytes, `place` below the width of one.
    let planes: [uint8x16_t; 4] = std::array::from_fn(|place| unsafe {
        let bytes = table.as_ptr().cast::<u8>();
        let plane: [u8; 16] = std::array::from_fn(|entry| bytes.add(entry * width + place % width).read());
        vld1q_u8(plane.as_ptr())
    });
    for (codes, out) in codes.iter().zip(whole.as_chunks_mut::<STEP>().0) {
        // SAFETY: eight bytes of codes; 16 numbers have room for as many bytes as are stored.
        unsafe {
            let both = vld1_u8(codes.as_ptr());
            let (even, odd) = (vand_u8(both, vdup_n_u8(15)), vshr_n_u8::<4>(both));
            let places = vcombine_u8(vzip1_u8(even, odd), vzip2_u8(even, odd));
            let [a, b, c, d] = planes.map(|plane| vqtbl1q_u8(plane, places));
            match F::KIND {
                Kind::F32 => vst4q_u8(out.as_mut_ptr().cast(), uint8x16x4_t(a, b, c, d)),
                Kind::F16 | Kind::Bf16 => vst2q_u8(out.as_mut_ptr().cast(), uint8x16x2_t(a, b)),
            }
        }
    }
    plain(start + steps * STEP, rest);
}

/// Integers of eight bits with one scale.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn scale_bytes<F: Format>(
    integers: &Integers<'_>,
    scale: f32,
    zero: i16,
    start: usize,
    out: &mut [F::Word],
) {
    let codes = integers.codes.get(start..).unwrap_or_default();
    let (steps, last) = codes[..out.len().min(codes.len())].as_chunks::<8>();
    let (whole, rest) = out.split_at_mut(steps.len() * 8);
    let offset = vdupq_n_s16(zero);
    for (codes, out) in steps.iter().zip(whole.as_chunks_mut::<8>().0) {
        let mut numbers = [0.0_f32; 8];
        // SAFETY: eight bytes are read and eight numbers written.
        unsafe {
            let levels = if integers.is_affine {
                vsubq_s16(vreinterpretq_s16_u16(vmovl_u8(vld1_u8(codes.as_ptr()))), offset)
            } else {
                vmovl_s8(vld1_s8(codes.as_ptr().cast()))
            };
            let low = vcvtq_f32_s32(vmovl_s16(vget_low_s16(levels)));
            let high = vcvtq_f32_s32(vmovl_high_s16(levels));
            vst1q_f32(numbers.as_mut_ptr(), vmulq_n_f32(low, scale));
            vst1q_f32(numbers.as_mut_ptr().add(4), vmulq_n_f32(high, scale));
        }
        *out = numbers.map(F::of_f32);
    }
    for (&code, out) in last.iter().zip(rest) {
        *out = F::of_f32(portable::level(code, 8, integers.is_affine, zero) * scale);
    }
}
