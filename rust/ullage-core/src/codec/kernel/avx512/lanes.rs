//! 64 elements in registers: where they come from, and how they are stored.

use std::arch::x86_64::*;

use super::super::dot::Sums;
use super::super::format::{Format, Kind};

/// Elements of a step.
pub(super) const STEP: usize = 64;
/// Round to the nearest, ties to even, and raise nothing.
const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
/// How far ahead data are asked for.
const AHEAD: usize = 1024;

/// What turns stored elements into numbers.
pub(super) trait Source {
    /// Bits of a stored element.
    const BITS: usize;

    /// 64 elements as numbers of 32 bits.
    ///
    /// # Safety
    /// `data` is valid for reads of `8 * BITS` bytes, and the processor has the instructions.
    unsafe fn wide(&self, data: *const u8) -> [__m512; 4];

    /// 64 elements in the 16-bit format `F`.
    ///
    /// # Safety
    /// As above.
    unsafe fn words<F: Format>(&self, data: *const u8) -> [__m512i; 2];
}

/// Writes elements from `start` on to `out`. The first of them begins a byte of `data`, or lies before one that does.
///
/// `plain` decodes what comes before.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
pub(super) fn write<F: Format, S: Source>(
    source: &S,
    data: &[u8],
    mut start: usize,
    mut out: &mut [F::Word],
    is_streamed: bool,
    mut plain: impl FnMut(usize, &mut [F::Word]),
) {
    if S::BITS % 8 != 0 {
        let lead = (start.wrapping_neg() & 7).min(out.len());
        let (first, rest) = out.split_at_mut(lead);
        if lead > 0 {
            plain(start, first);
        }
        (start, out) = (start.wrapping_add(lead), rest);
    }
    let first = (start / 8).saturating_mul(S::BITS).saturating_add((start & 7).saturating_mul(S::BITS) / 8);
    let mut data = data.get(first..).unwrap_or_default();
    let gap = (out.as_ptr().addr().wrapping_neg() & 63) / size_of::<F::Word>();
    let is_streamed = is_streamed && (gap * S::BITS).is_multiple_of(8) && gap < out.len();
    if is_streamed && gap > 0 {
        let (some, rest) = out.split_at_mut(gap);
        part::<F, S>(source, data, some);
        data = data.get(gap.saturating_mul(S::BITS) / 8..).unwrap_or_default();
        out = rest;
    }
    let steps = (out.len() / STEP).min(data.len() / S::BITS / 8);
    let (whole, rest) = out.split_at_mut(steps.saturating_mul(STEP));
    // SAFETY: `whole` has `steps` times 64 elements and `data` as many codes; where it is streamed, `gap` has aligned it.
    unsafe {
        if is_streamed {
            all::<F, S, true>(source, data.as_ptr(), whole.as_mut_ptr(), steps);
        } else {
            all::<F, S, false>(source, data.as_ptr(), whole.as_mut_ptr(), steps);
        }
    }
    if !rest.is_empty() {
        part::<F, S>(
            source,
            data.get(steps.saturating_mul(S::BITS).saturating_mul(8)..).unwrap_or_default(),
            rest,
        );
    }
}

/// # Safety
/// `data` is valid for reads of so many steps, `out` for writes; a streamed one begins a cache line.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
unsafe fn all<F: Format, S: Source, const STREAMED: bool>(
    source: &S,
    mut data: *const u8,
    mut out: *mut F::Word,
    steps: usize,
) {
    for _ in 0..steps {
        _mm_prefetch::<_MM_HINT_T0>(data.wrapping_add(AHEAD).cast());
        // SAFETY: a step is left of both.
        unsafe {
            put::<F, S, STREAMED>(source, data, out);
            data = data.add(S::BITS * 8);
            out = out.add(STEP);
        }
    }
}

/// Fewer than 64 elements, by way of memory of their own.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
fn part<F: Format, S: Source>(source: &S, data: &[u8], out: &mut [F::Word]) {
    let mut codes = [0_u8; 32 * 8];
    let mut numbers = [F::Word::default(); STEP];
    let bytes = out.len().saturating_mul(S::BITS).div_ceil(8).min(data.len());
    codes[..bytes].copy_from_slice(&data[..bytes]);
    // SAFETY: an element has at most 32 bits, and 64 numbers have room.
    unsafe { put::<F, S, false>(source, codes.as_ptr(), numbers.as_mut_ptr()) };
    out.copy_from_slice(&numbers[..out.len()]);
}

/// # Safety
/// `data` is valid for reads of 64 elements and `out` for writes; a streamed one begins a cache line.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
unsafe fn put<F: Format, S: Source, const STREAMED: bool>(source: &S, data: *const u8, out: *mut F::Word) {
    // SAFETY: by the caller.
    unsafe {
        match F::KIND {
            Kind::F32 => {
                for (place, lanes) in source.wide(data).into_iter().enumerate() {
                    store::<STREAMED>(out.cast::<__m512i>().add(place), _mm512_castps_si512(lanes));
                }
            }
            Kind::F16 | Kind::Bf16 => {
                for (place, words) in source.words::<F>(data).into_iter().enumerate() {
                    store::<STREAMED>(out.cast::<__m512i>().add(place), words);
                }
            }
        }
    }
}

/// Adds the products of `x` and so many steps of 64 weights, each as `weights` gives it, and returns how many.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
pub(super) fn fuse(
    sums: &mut Sums,
    x: &[f32],
    steps: usize,
    mut weights: impl FnMut(usize) -> [__m512; 4],
) -> usize {
    let mut lanes = [_mm512_setzero_ps(); 4];
    for (lanes, sum) in lanes.iter_mut().zip(&*sums) {
        // SAFETY: a sum is 16 numbers.
        *lanes = unsafe { _mm512_loadu_ps(sum.as_ptr()) };
    }
    let mut done = 0;
    for (step, x) in (0..steps).zip(x.as_chunks::<STEP>().0) {
        for (place, (sum, weights)) in lanes.iter_mut().zip(weights(step)).enumerate() {
            // SAFETY: 64 numbers are four registers.
            *sum = _mm512_fmadd_ps(weights, unsafe { _mm512_loadu_ps(x.as_ptr().add(place * 16)) }, *sum);
        }
        done += STEP;
    }
    for (lanes, sum) in lanes.into_iter().zip(sums) {
        // SAFETY: a sum is 16 numbers.
        unsafe { _mm512_storeu_ps(sum.as_mut_ptr(), lanes) };
    }
    done
}

/// The same with weights of one source, the first of which begin `data`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
pub(super) fn fuse_source<S: Source>(source: &S, data: &[u8], sums: &mut Sums, x: &[f32]) -> usize {
    let steps = data.len() / (8 * S::BITS);
    fuse(sums, x, steps, |step| {
        let data = data.as_ptr().wrapping_add(step * 8 * S::BITS);
        _mm_prefetch::<_MM_HINT_T0>(data.wrapping_add(AHEAD).cast());
        // SAFETY: there are so many steps.
        unsafe { source.wide(data) }
    })
}

/// Stores 64 numbers in the format `F`.
///
/// # Safety
/// `out` is valid for writes of as many.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(super) unsafe fn put_wide<F: Format>(wide: [__m512; 4], out: *mut F::Word) {
    // SAFETY: by the caller.
    unsafe {
        if matches!(F::KIND, Kind::F32) {
            for (place, lanes) in wide.into_iter().enumerate() {
                store::<false>(out.cast::<__m512i>().add(place), _mm512_castps_si512(lanes));
            }
        } else {
            for (place, words) in narrowed::<F>(wide).into_iter().enumerate() {
                store::<false>(out.cast::<__m512i>().add(place), words);
            }
        }
    }
}

/// # Safety
/// `out` is valid for writes of 64 bytes, and where it is streamed begins a cache line.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) unsafe fn store<const STREAMED: bool>(out: *mut __m512i, lanes: __m512i) {
    // SAFETY: by the caller.
    unsafe {
        if STREAMED {
            _mm512_stream_si512(out, lanes);
        } else {
            _mm512_storeu_si512(out, lanes);
        }
    }
}

/// 64 numbers rounded to the 16-bit format `F`.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(super) fn narrowed<F: Format>(wide: [__m512; 4]) -> [__m512i; 2] {
    let [a, b, c, d] = wide;
    [joined(halved::<F>(a), halved::<F>(b)), joined(halved::<F>(c), halved::<F>(d))]
}

/// 16 numbers rounded to the 16-bit format `F`.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(super) fn halved<F: Format>(lanes: __m512) -> __m256i {
    if matches!(F::KIND, Kind::F16) {
        return _mm512_cvtps_ph::<NEAREST>(lanes);
    }
    let bits = _mm512_castps_si512(lanes);
    let upper = _mm512_srli_epi32::<16>(bits);
    let odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
    let is_none = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(lanes, lanes);
    let quiet = _mm512_or_si512(upper, _mm512_set1_epi32(0x40));
    _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(_mm512_srli_epi32::<16>(rounded), is_none, quiet))
}

/// 64 halves in 32 bits.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn widened(halves: [__m512i; 2]) -> [__m512; 4] {
    let [a, b] = halves;
    [
        _mm512_cvtph_ps(_mm512_castsi512_si256(a)),
        _mm512_cvtph_ps(_mm512_extracti64x4_epi64::<1>(a)),
        _mm512_cvtph_ps(_mm512_castsi512_si256(b)),
        _mm512_cvtph_ps(_mm512_extracti64x4_epi64::<1>(b)),
    ]
}

#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn joined(low: __m256i, high: __m256i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}
