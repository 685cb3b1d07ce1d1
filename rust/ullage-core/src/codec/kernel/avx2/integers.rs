//! Integers with scales. Those of four bits have so few values that a row with one scale has a table of them, of 16 bits.

use std::arch::x86_64::*;

use super::super::dot::Sums;
use super::super::format::{Format, Kind, code};
use super::super::layout::Integers;
use super::super::portable::{self, each_run};
use super::super::runs::Run;
use super::lanes::{STEP, Source, ask, fuse, fuse_source, narrowed, scaled, signed, write, write_steps};
use super::palette::{Few, places};

#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
pub(super) fn decode<F: Format>(
    integers: &Integers<'_>,
    start: usize,
    out: &mut [F::Word],
    is_streamed: bool,
) {
    if integers.sharing.is_even(STEP) && (start + out.len()).div_ceil(STEP) <= steps(integers) {
        return match (integers.bits, integers.is_affine) {
            (4, false) => write_steps::<F>(start, out, is_streamed, |step| block::<4, false>(integers, step)),
            (4, true) => write_steps::<F>(start, out, is_streamed, |step| block::<4, true>(integers, step)),
            (_, false) => write_steps::<F>(start, out, is_streamed, |step| block::<8, false>(integers, step)),
            (_, true) => write_steps::<F>(start, out, is_streamed, |step| block::<8, true>(integers, step)),
        };
    }
    let runs = integers.sharing.of(start..start.saturating_add(out.len()));
    each_run(runs, out, |run, out| {
        let scale = Scale::of(integers, run.place);
        let plain = |start: usize, out: &mut [F::Word]| {
            portable::scaled::<F>(integers, Run { start, length: out.len(), place: run.place }, out);
        };
        let (codes, start) = (integers.codes, run.start);
        match (integers.bits, integers.is_affine) {
            (4, is_affine) if !matches!(F::KIND, Kind::F32) => {
                let table = Few::<4>::of_words(scale.table::<F>(is_affine));
                write::<F, _>(&table, codes, start, out, is_streamed, plain);
            }
            (4, false) => write::<F, _>(&Nibbles::<false>(scale), codes, start, out, is_streamed, plain),
            (4, true) => write::<F, _>(&Nibbles::<true>(scale), codes, start, out, is_streamed, plain),
            (_, false) => write::<F, _>(&Bytes::<false>(scale), codes, start, out, is_streamed, plain),
            (_, true) => write::<F, _>(&Bytes::<true>(scale), codes, start, out, is_streamed, plain),
        }
    });
}

/// Adds the products of `x` and a row that has one scale, or one for each block of 32, and returns how many.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
pub(super) fn fused(integers: &Integers<'_>, start: usize, x: &[f32], sums: &mut Sums) -> usize {
    if integers.sharing.is_even(STEP) && start.is_multiple_of(STEP) {
        let first = start / STEP;
        let count = steps(integers).saturating_sub(first);
        return match (integers.bits, integers.is_affine) {
            (4, false) => fuse(sums, x, count, |step| block::<4, false>(integers, first + step)),
            (4, true) => fuse(sums, x, count, |step| block::<4, true>(integers, first + step)),
            (_, false) => fuse(sums, x, count, |step| block::<8, false>(integers, first + step)),
            (_, true) => fuse(sums, x, count, |step| block::<8, true>(integers, first + step)),
        };
    }
    let run = match integers.sharing.of(start..start.saturating_add(x.len())).next() {
        Some(run) if start.is_multiple_of(2) && run.length == x.len() => run,
        _ => return 0,
    };
    let scale = Scale::of(integers, run.place);
    let codes = integers.codes.get(start / 2 * (integers.bits as usize / 4)..).unwrap_or_default();
    match (integers.bits, integers.is_affine) {
        (4, false) => fuse_source(&Nibbles::<false>(scale), codes, sums, x),
        (4, true) => fuse_source(&Nibbles::<true>(scale), codes, sums, x),
        (_, false) => fuse_source(&Bytes::<false>(scale), codes, sums, x),
        (_, true) => fuse_source(&Bytes::<true>(scale), codes, sums, x),
    }
}

/// Blocks of 32 of which all codes and scales are there.
fn steps(integers: &Integers<'_>) -> usize {
    (integers.codes.len() / (integers.bits as usize * 4)).min(integers.scales.len() / 2)
}

/// The elements of block `step`, which must be one of [`steps`].
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
#[inline]
fn block<const BITS: u32, const AFFINE: bool>(integers: &Integers<'_>, step: usize) -> [__m256; 4] {
    let bytes = BITS as usize * 4;
    let codes = &integers.codes[step * bytes..(step + 1) * bytes];
    ask(codes.as_ptr());
    let half = u16::from_le_bytes([integers.scales[2 * step], integers.scales[2 * step + 1]]);
    let scale = _mm256_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(half))));
    let zero = if AFFINE { i32::from(code(integers.zeros, step, BITS)) } else { 0 };
    let scale = Scale { scale, zero };
    // SAFETY: there are the codes of 32 elements.
    unsafe {
        if BITS == 4 {
            Nibbles::<AFFINE>(scale).wide(codes.as_ptr())
        } else {
            Bytes::<AFFINE>(scale).wide(codes.as_ptr())
        }
    }
}

/// What a run shares.
#[derive(Clone, Copy)]
struct Scale {
    scale: __m256,
    zero: i32,
}

impl Scale {
    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    fn of(integers: &Integers<'_>, place: usize) -> Self {
        let (scale, zero) = portable::scale(integers, place);
        Self { scale: _mm256_set1_ps(scale), zero: i32::from(zero) }
    }

    /// What the 16 codes of four bits stand for, in words of `F`.
    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    fn table<F: Format>(self, is_affine: bool) -> __m256i {
        let first = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let eight = _mm256_set1_epi32(if is_affine { 8 } else { -8 });
        let zero = _mm256_set1_epi32(self.zero);
        let low = _mm256_cvtepi32_ps(_mm256_sub_epi32(first, zero));
        let high = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_add_epi32(first, eight), zero));
        let (low, high) = (_mm256_mul_ps(low, self.scale), _mm256_mul_ps(high, self.scale));
        narrowed::<F>([low, high, low, high])[0]
    }
}

/// Integers of four bits.
struct Nibbles<const AFFINE: bool>(Scale);

impl<const AFFINE: bool> Source for Nibbles<AFFINE> {
    const BITS: usize = 4;

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn wide(&self, data: *const u8) -> [__m256; 4] {
        // SAFETY: by the caller.
        let codes = unsafe { places::<4>(data) };
        // Differences of four bits are numbers of eight.
        let levels = if AFFINE {
            _mm256_sub_epi8(codes, _mm256_set1_epi8(self.0.zero as i8))
        } else {
            let eight = _mm256_set1_epi8(8);
            _mm256_sub_epi8(_mm256_xor_si256(codes, eight), eight)
        };
        scaled(levels, self.0.scale)
    }

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn words<F: Format>(&self, data: *const u8) -> [__m256i; 2] {
        // SAFETY: by the caller.
        narrowed::<F>(unsafe { self.wide(data) })
    }
}

/// Integers of eight bits.
struct Bytes<const AFFINE: bool>(Scale);

impl<const AFFINE: bool> Source for Bytes<AFFINE> {
    const BITS: usize = 8;

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn wide(&self, data: *const u8) -> [__m256; 4] {
        let scale = self.0.scale;
        if !AFFINE {
            // SAFETY: 32 bytes may be read.
            return scaled(unsafe { _mm256_loadu_si256(data.cast()) }, scale);
        }
        // Less 128 they are signed, and so is the zero point; the difference takes nine bits.
        // SAFETY: as above.
        let codes = unsafe { _mm256_loadu_si256(data.cast()) };
        let [a, b, c, d] = signed(_mm256_xor_si256(codes, _mm256_set1_epi8(-128)));
        let zero = _mm256_cvtepi32_ps(_mm256_set1_epi32(self.0.zero - 128));
        [
            _mm256_mul_ps(_mm256_sub_ps(a, zero), scale),
            _mm256_mul_ps(_mm256_sub_ps(b, zero), scale),
            _mm256_mul_ps(_mm256_sub_ps(c, zero), scale),
            _mm256_mul_ps(_mm256_sub_ps(d, zero), scale),
        ]
    }

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn words<F: Format>(&self, data: *const u8) -> [__m256i; 2] {
        // SAFETY: by the caller.
        narrowed::<F>(unsafe { self.wide(data) })
    }
}
