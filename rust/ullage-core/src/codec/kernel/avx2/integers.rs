//! Integers with scales. Those of four bits have so few values that each run has a table of them.

use std::arch::x86_64::*;

use super::super::format::Format;
use super::super::layout::Integers;
use super::super::portable::{self, each_run};
use super::super::runs::Run;
use super::lanes::{Source, narrowed, write};
use super::palette::Few;

#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
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
        let zero = _mm256_set1_epi32(i32::from(zero));
        if integers.bits == 4 {
            let first = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let eight = _mm256_set1_epi32(8);
            let second = if integers.is_affine {
                _mm256_add_epi32(first, eight)
            } else {
                _mm256_sub_epi32(first, eight)
            };
            let level = |codes| _mm256_cvtepi32_ps(_mm256_sub_epi32(codes, zero));
            let scaled = |codes| _mm256_mul_ps(level(codes), _mm256_set1_ps(scale));
            let table = Few::<4>::of_wide([scaled(first), scaled(second)]);
            write::<F, _>(&table, integers.codes, run.start, out, is_streamed, plain);
        } else if integers.is_affine {
            let source = Bytes::<true> { scale: _mm256_set1_ps(scale), zero };
            write::<F, _>(&source, integers.codes, run.start, out, is_streamed, plain);
        } else {
            let source = Bytes::<false> { scale: _mm256_set1_ps(scale), zero };
            write::<F, _>(&source, integers.codes, run.start, out, is_streamed, plain);
        }
    });
}

/// Integers of eight bits.
struct Bytes<const AFFINE: bool> {
    scale: __m256,
    zero: __m256i,
}

impl<const AFFINE: bool> Source for Bytes<AFFINE> {
    const BITS: usize = 8;

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn wide(&self, data: *const u8) -> [__m256; 4] {
        let mut lanes = [_mm256_setzero_ps(); 4];
        for (place, lanes) in lanes.iter_mut().enumerate() {
            // SAFETY: 32 bytes may be read.
            let codes = unsafe { _mm_loadl_epi64(data.add(place * 8).cast()) };
            let levels = if AFFINE {
                _mm256_sub_epi32(_mm256_cvtepu8_epi32(codes), self.zero)
            } else {
                _mm256_cvtepi8_epi32(codes)
            };
            *lanes = _mm256_mul_ps(_mm256_cvtepi32_ps(levels), self.scale);
        }
        lanes
    }

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn words<F: Format>(&self, data: *const u8) -> [__m256i; 2] {
        // SAFETY: by the caller.
        narrowed::<F>(unsafe { self.wide(data) })
    }
}
