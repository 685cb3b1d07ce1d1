//! Numbers as they are, or in another format.

use std::arch::x86_64::*;

use super::super::dot::Sums;
use super::super::format::{Format, Kind};
use super::lanes::{Source, fuse_source, narrowed, widened, write};
use crate::model::Dtype;

#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
pub(super) fn decode<F: Format>(
    dtype: Dtype,
    data: &[u8],
    start: usize,
    out: &mut [F::Word],
    is_streamed: bool,
) {
    match dtype {
        Dtype::F32 => write::<F, _>(&Wide, data, start, out, is_streamed, |_, _| {}),
        Dtype::BF16 => write::<F, _>(&Upper, data, start, out, is_streamed, |_, _| {}),
        _ => write::<F, _>(&Halves, data, start, out, is_streamed, |_, _| {}),
    }
}

/// Adds the products of `x` and the elements from `start` on, and returns how many.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
pub(super) fn fused(dtype: Dtype, data: &[u8], start: usize, x: &[f32], sums: &mut Sums) -> usize {
    let width = if dtype == Dtype::F32 { 4 } else { 2 };
    let data = data.get(start * width..).unwrap_or_default();
    match dtype {
        Dtype::F32 => fuse_source(&Wide, data, sums, x),
        Dtype::BF16 => fuse_source(&Upper, data, sums, x),
        _ => fuse_source(&Halves, data, sums, x),
    }
}

struct Wide;
struct Halves;
struct Upper;

impl Source for Wide {
    const BITS: usize = 32;

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn wide(&self, data: *const u8) -> [__m256; 4] {
        // SAFETY: 128 bytes may be read.
        [0, 1, 2, 3]
            .map(|place| unsafe { _mm256_castsi256_ps(_mm256_loadu_si256(data.add(place * 32).cast())) })
    }

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn words<F: Format>(&self, data: *const u8) -> [__m256i; 2] {
        // SAFETY: by the caller.
        narrowed::<F>(unsafe { self.wide(data) })
    }
}

/// # Safety
/// `data` is valid for reads of 64 bytes.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn words(data: *const u8) -> [__m256i; 2] {
    // SAFETY: by the caller.
    unsafe { [_mm256_loadu_si256(data.cast()), _mm256_loadu_si256(data.add(32).cast())] }
}

impl Source for Halves {
    const BITS: usize = 16;

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn wide(&self, data: *const u8) -> [__m256; 4] {
        // SAFETY: by the caller.
        widened(unsafe { words(data) })
    }

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn words<F: Format>(&self, data: *const u8) -> [__m256i; 2] {
        // SAFETY: by the caller.
        let halves = unsafe { words(data) };
        if matches!(F::KIND, Kind::F16) { halves } else { narrowed::<F>(widened(halves)) }
    }
}

impl Source for Upper {
    const BITS: usize = 16;

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn wide(&self, data: *const u8) -> [__m256; 4] {
        let mut lanes = [_mm256_setzero_ps(); 4];
        for (place, lanes) in lanes.iter_mut().enumerate() {
            // SAFETY: 64 bytes may be read.
            let upper = unsafe { _mm_loadu_si128(data.add(place * 16).cast()) };
            *lanes = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(upper)));
        }
        lanes
    }

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn words<F: Format>(&self, data: *const u8) -> [__m256i; 2] {
        if matches!(F::KIND, Kind::Bf16) {
            // SAFETY: by the caller.
            return unsafe { words(data) };
        }
        // SAFETY: by the caller.
        narrowed::<F>(unsafe { self.wide(data) })
    }
}
