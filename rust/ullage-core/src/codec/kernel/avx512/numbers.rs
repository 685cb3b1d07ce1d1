//! Numbers as they are, or in another format.

use std::arch::x86_64::*;

use super::super::dot::Sums;
use super::super::format::{Format, Kind};
use super::lanes::{Source, fuse_source, narrowed, widened, write};
use super::pen::Pen;
use crate::model::Dtype;

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
pub(super) fn decode<F: Format>(dtype: Dtype, data: &[u8], start: usize, count: usize, pen: &mut Pen<'_, F>) {
    match dtype {
        Dtype::F32 => write::<F, _>(&Wide, data, start, count, pen, |_, _| {}),
        Dtype::BF16 => write::<F, _>(&Upper, data, start, count, pen, |_, _| {}),
        _ => write::<F, _>(&Halves, data, start, count, pen, |_, _| {}),
    }
}

/// Adds the products of `x` and a row, and returns how many.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
pub(super) fn fused(dtype: Dtype, data: &[u8], start: usize, x: &[f32], sums: &mut Sums) -> usize {
    let width = if dtype == Dtype::F32 { 4 } else { 2 };
    let data = data.get(start.saturating_mul(width)..).unwrap_or_default();
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

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn wide(&self, data: *const u8) -> [__m512; 4] {
        // SAFETY: 256 bytes may be read.
        [0, 1, 2, 3]
            .map(|place| unsafe { _mm512_castsi512_ps(_mm512_loadu_si512(data.add(place * 64).cast())) })
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

/// # Safety
/// `data` is valid for reads of 128 bytes.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn words(data: *const u8) -> [__m512i; 2] {
    // SAFETY: by the caller.
    unsafe { [_mm512_loadu_si512(data.cast()), _mm512_loadu_si512(data.add(64).cast())] }
}

impl Source for Halves {
    const BITS: usize = 16;

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn wide(&self, data: *const u8) -> [__m512; 4] {
        // SAFETY: by the caller.
        widened(unsafe { words(data) })
    }

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn words<F: Format>(&self, data: *const u8) -> [__m512i; 2] {
        // SAFETY: by the caller.
        let halves = unsafe { words(data) };
        if matches!(F::KIND, Kind::F16) { halves } else { narrowed::<F>(widened(halves)) }
    }
}

impl Source for Upper {
    const BITS: usize = 16;

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn wide(&self, data: *const u8) -> [__m512; 4] {
        let mut lanes = [_mm512_setzero_ps(); 4];
        for (place, lanes) in lanes.iter_mut().enumerate() {
            // SAFETY: 128 bytes may be read.
            let upper = unsafe { _mm256_loadu_si256(data.add(place * 32).cast()) };
            *lanes = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(upper)));
        }
        lanes
    }

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn words<F: Format>(&self, data: *const u8) -> [__m512i; 2] {
        if matches!(F::KIND, Kind::Bf16) {
            // SAFETY: by the caller.
            return unsafe { words(data) };
        }
        // SAFETY: by the caller.
        narrowed::<F>(unsafe { self.wide(data) })
    }
}
