//! Integers with scales. Those of four bits have so few values that each run has a table of them.

use std::arch::x86_64::*;

use super::super::format::{Format, code};
use super::super::layout::Integers;
use super::super::portable::{self, each_run};
use super::super::runs::Run;
use super::lanes::{STEP, Source, narrowed, put_wide, write};
use super::palette::{Tables, of_tables};

/// The blocks that most models are quantised in.
const BLOCK: usize = 32;

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
pub(super) fn decode<F: Format>(
    integers: &Integers<'_>,
    start: usize,
    out: &mut [F::Word],
    is_streamed: bool,
) {
    let (start, out) = blocks::<F>(integers, start, out);
    let runs = integers.sharing.of(start..start.saturating_add(out.len()));
    each_run(runs, out, |run, out| {
        let (scale, zero) = portable::scale(integers, run.place);
        let plain = |start: usize, out: &mut [F::Word]| {
            portable::scaled::<F>(integers, Run { start, length: out.len(), place: run.place }, out);
        };
        if integers.bits == 4 {
            let levels = if integers.is_affine { affine_levels(i32::from(zero)) } else { signed_levels() };
            let table = Tables::<4>::of_wide::<F>(_mm512_mul_ps(levels, _mm512_set1_ps(scale)));
            write::<F, _>(&table, integers.codes, run.start, out, is_streamed, plain);
        } else if integers.is_affine {
            let source =
                Bytes::<true> { scale: _mm512_set1_ps(scale), zero: _mm512_set1_epi32(i32::from(zero)) };
            write::<F, _>(&source, integers.codes, run.start, out, is_streamed, plain);
        } else {
            let source = Bytes::<false> { scale: _mm512_set1_ps(scale), zero: _mm512_setzero_si512() };
            write::<F, _>(&source, integers.codes, run.start, out, is_streamed, plain);
        }
    });
}

/// Blocks of 32 two at a time, from the begin of one on; returns what is left.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
fn blocks<'a, F: Format>(
    integers: &Integers<'_>,
    start: usize,
    out: &'a mut [F::Word],
) -> (usize, &'a mut [F::Word]) {
    if !integers.sharing.is_even(BLOCK) || !start.is_multiple_of(STEP) {
        return (start, out);
    }
    let bytes = integers.bits as usize * 8;
    let codes = integers.codes.get(start / STEP * bytes..).unwrap_or_default();
    let scales = integers.scales.get(start / BLOCK * 2..).unwrap_or_default().as_chunks::<4>().0;
    let steps = (out.len() / STEP).min(codes.len() / bytes).min(scales.len());
    let (whole, rest) = out.split_at_mut(steps * STEP);
    let mut place = start / BLOCK;
    for ((codes, scales), out) in codes.chunks_exact(bytes).zip(scales).zip(whole.as_chunks_mut::<STEP>().0) {
        let both = _mm_cvtph_ps(_mm_cvtsi32_si128(i32::from_le_bytes(*scales)));
        let scales = [_mm512_broadcastss_ps(both), _mm512_broadcastss_ps(_mm_movehdup_ps(both))];
        let zeros = if integers.is_affine {
            [place, place + 1].map(|place| i32::from(code(integers.zeros, place, integers.bits)))
        } else {
            [0; 2]
        };
        place += 2;
        _mm_prefetch::<_MM_HINT_T0>(codes.as_ptr().wrapping_add(1024).cast());
        // SAFETY: there are the codes of 64 elements, and `out` has room for as many.
        unsafe {
            let wide = if integers.bits == 4 {
                let levels = if integers.is_affine {
                    zeros.map(|zero| affine_levels(zero))
                } else {
                    [signed_levels(); 2]
                };
                let [a, b] = [_mm512_mul_ps(levels[0], scales[0]), _mm512_mul_ps(levels[1], scales[1])];
                of_tables([a, a, b, b], codes.as_ptr())
            } else {
                scaled(
                    [0, 1, 2, 3].map(|lane| {
                        let bytes = _mm_loadu_si128(codes.as_ptr().add(lane * 16).cast());
                        if integers.is_affine {
                            _mm512_sub_epi32(_mm512_cvtepu8_epi32(bytes), _mm512_set1_epi32(zeros[lane / 2]))
                        } else {
                            _mm512_cvtepi8_epi32(bytes)
                        }
                    }),
                    scales,
                )
            };
            put_wide::<F>(wide, out.as_mut_ptr());
        }
    }
    (start + steps * STEP, rest)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn scaled(levels: [__m512i; 4], scales: [__m512; 2]) -> [__m512; 4] {
    let [a, b, c, d] = levels.map(|level| _mm512_cvtepi32_ps(level));
    [
        _mm512_mul_ps(a, scales[0]),
        _mm512_mul_ps(b, scales[0]),
        _mm512_mul_ps(c, scales[1]),
        _mm512_mul_ps(d, scales[1]),
    ]
}

/// What codes of four bits stand for, in two's complement.
#[target_feature(enable = "avx512f")]
#[inline]
fn signed_levels() -> __m512 {
    _mm512_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0)
}

/// The same above a zero point.
#[target_feature(enable = "avx512f")]
#[inline]
fn affine_levels(zero: i32) -> __m512 {
    let places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm512_cvtepi32_ps(_mm512_sub_epi32(places, _mm512_set1_epi32(zero)))
}

/// Integers of eight bits.
struct Bytes<const AFFINE: bool> {
    scale: __m512,
    zero: __m512i,
}

impl<const AFFINE: bool> Source for Bytes<AFFINE> {
    const BITS: usize = 8;

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn wide(&self, data: *const u8) -> [__m512; 4] {
        let mut lanes = [_mm512_setzero_ps(); 4];
        for (place, lanes) in lanes.iter_mut().enumerate() {
            // SAFETY: 64 bytes may be read.
            let codes = unsafe { _mm_loadu_si128(data.add(place * 16).cast()) };
            let levels = if AFFINE {
                _mm512_sub_epi32(_mm512_cvtepu8_epi32(codes), self.zero)
            } else {
                _mm512_cvtepi8_epi32(codes)
            };
            *lanes = _mm512_mul_ps(_mm512_cvtepi32_ps(levels), self.scale);
        }
        lanes
    }

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn words<F: Format>(&self, data: *const u8) -> [__m512i; 2] {
        // SAFETY: by the caller.
        narrowed::<F>(unsafe { self.wide(data) })
    }
}
