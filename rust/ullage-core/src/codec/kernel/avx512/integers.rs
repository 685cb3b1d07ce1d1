//! Integers with scales. Those of four bits have so few values that each run has a table of them.

use std::arch::x86_64::*;

use super::super::format::Format;
use super::super::layout::Integers;
use super::super::portable::{self, each_run};
use super::super::runs::Run;
use super::lanes::{Source, narrowed, write};
use super::palette::Tables;

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
pub(super) fn decode<F: Format>(
    integers: &Integers<'_>,
    start: usize,
    out: &mut [F::Word],
    is_streamed: bool,
) {
    let runs = integers.sharing.of(start..start.saturating_add(out.len()));
    each_run(runs, out, |run, out| {
        let (scale, zero) = portable::scale(integers, run.place);
        let plain = |start: usize, out: &mut [F::Word]| {
            portable::scaled::<F>(integers, Run { start, length: out.len(), place: run.place }, out);
        };
        if integers.bits == 4 {
            let levels = if integers.is_affine { affine_levels(zero) } else { signed_levels() };
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

/// What codes of four bits stand for, in two's complement.
#[target_feature(enable = "avx512f")]
#[inline]
fn signed_levels() -> __m512 {
    _mm512_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0)
}

/// The same above a zero point.
#[target_feature(enable = "avx512f")]
#[inline]
fn affine_levels(zero: i16) -> __m512 {
    let places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm512_cvtepi32_ps(_mm512_sub_epi32(places, _mm512_set1_epi32(i32::from(zero))))
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
