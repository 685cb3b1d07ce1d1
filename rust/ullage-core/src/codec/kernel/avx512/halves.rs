//! Integers of eight bits as halves, on processors that calculate with halves: such an integer, and one less a zero point, is
//! a half, so that the product is rounded once, as that of 32 bits is, which has room for all its bits.

use std::arch::x86_64::*;

use super::super::format::{Format, word};
use super::super::layout::Integers;
use super::super::portable;
use super::super::runs::Run;
use super::integers::Blocks;
use super::lanes::{STEP, ask, of_words};
use super::pen::{Pen, numbers};

/// A run with one scale. `F` is the format of halves.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt,avx512fp16"
)]
pub(super) fn run<F: Format>(integers: &Integers<'_>, run: Run, pen: &mut Pen<'_, F>) {
    let (_, zero) = portable::scale(integers, run.place);
    let (scale, zero) = (broadcast(word(integers.scales, run.place)), _mm512_set1_epi16(zero));
    let codes = integers.codes.get(run.start..).unwrap_or_default();
    let codes = codes.get(..run.length).unwrap_or_default();
    let (steps, rest) = codes.as_chunks::<STEP>();
    if integers.is_affine {
        pen.steps(steps.len(), |step| of_words(two::<true>(&steps[step], [scale; 2], [zero; 2])));
    } else {
        pen.steps(steps.len(), |step| of_words(two::<false>(&steps[step], [scale; 2], [zero; 2])));
    }
    if !rest.is_empty() {
        let mut last = [0; STEP];
        last[..rest.len()].copy_from_slice(rest);
        let words = if integers.is_affine {
            two::<true>(&last, [scale; 2], [zero; 2])
        } else {
            two::<false>(&last, [scale; 2], [zero; 2])
        };
        pen.put(&numbers::<F>(of_words(words)), rest.len());
    }
}

/// Blocks of 32 with a scale each. `F` is the format of halves.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt,avx512fp16"
)]
pub(super) fn blocks<F: Format>(blocks: &Blocks<'_>, is_affine: bool, pen: &mut Pen<'_, F>) {
    let codes = blocks.codes.as_chunks::<STEP>().0;
    let scales = |step: usize| {
        let [a, b, c, d] = blocks.scales[step];
        [broadcast(u16::from_le_bytes([a, b])), broadcast(u16::from_le_bytes([c, d]))]
    };
    if is_affine {
        pen.steps(blocks.steps, |step| {
            let zeros = blocks.zeros_of(step, 8).map(|zero| _mm512_set1_epi16(zero as i16));
            of_words(two::<true>(&codes[step], scales(step), zeros))
        });
    } else {
        let zero = [_mm512_setzero_si512(); 2];
        pen.steps(blocks.steps, |step| of_words(two::<false>(&codes[step], scales(step), zero)));
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512fp16")]
#[inline]
fn broadcast(half: u16) -> __m512h {
    _mm512_castsi512_ph(_mm512_set1_epi16(half.cast_signed()))
}

/// 64 integers less their zero points, times their scales.
#[target_feature(enable = "avx512f,avx512bw,avx512fp16")]
#[inline]
fn two<const AFFINE: bool>(codes: &[u8; STEP], scales: [__m512h; 2], zeros: [__m512i; 2]) -> [__m512i; 2] {
    ask(codes.as_ptr());
    [0, 1].map(|part| {
        // SAFETY: 32 bytes of 64.
        let bytes = unsafe { _mm256_loadu_si256(codes.as_ptr().add(32 * part).cast()) };
        let levels = if AFFINE {
            _mm512_sub_epi16(_mm512_cvtepu8_epi16(bytes), zeros[part])
        } else {
            _mm512_cvtepi8_epi16(bytes)
        };
        _mm512_castph_si512(_mm512_mul_ph(_mm512_cvtepi16_ph(levels), scales[part]))
    })
}
