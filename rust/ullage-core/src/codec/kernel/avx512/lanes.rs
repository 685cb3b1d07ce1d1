//! 64 elements in registers: where they come from, and how they are stored.

use std::arch::x86_64::*;

use super::super::dot::Sums;
use super::super::format::{Format, Kind};
use super::pen::{Pen, numbers};

/// Elements of a step.
pub(super) const STEP: usize = 64;
/// Round to the nearest, ties to even, and raise nothing.
const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
/// A page, at whose end processors stop to guess what is read next.
const PAGE: usize = 4096;

/// Asks for data that are read soon: what lies half a KiB ahead, and at the begin of a page that of the next one, from where
/// on the processor goes ahead by itself.
#[inline]
pub(super) fn ask(data: *const u8) {
    // SAFETY: any address may be asked for, there or not.
    unsafe {
        if data.addr() % PAGE < 256 {
            _mm_prefetch::<_MM_HINT_T0>(data.wrapping_add(PAGE).cast());
        }
        _mm_prefetch::<_MM_HINT_T0>(data.wrapping_add(512).cast());
    }
}

/// Asks for what lies 1 KiB ahead of so many bytes, line by line, and for the next page: for products that take so little time
/// that half a KiB is there too late.
#[inline]
pub(super) fn ask_far<const BYTES: usize>(data: *const u8) {
    let mut at = 0;
    while at < BYTES {
        let data = data.wrapping_add(at);
        // SAFETY: any address may be asked for, there or not.
        unsafe {
            if data.addr() % PAGE < 256 {
                _mm_prefetch::<_MM_HINT_T0>(data.wrapping_add(PAGE).cast());
            }
            _mm_prefetch::<_MM_HINT_T0>(data.wrapping_add(1024).cast());
        }
        at += 64;
    }
}

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

/// Writes `count` elements from `start` on. The first of them begins a byte of `data`, or lies before one that does.
///
/// `plain` decodes what comes before.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
pub(super) fn write<F: Format, S: Source>(
    source: &S,
    data: &[u8],
    start: usize,
    count: usize,
    pen: &mut Pen<'_, F>,
    mut plain: impl FnMut(usize, &mut [F::Word]),
) {
    let lead = if S::BITS.is_multiple_of(8) { 0 } else { (start.wrapping_neg() & 7).min(count) };
    if lead > 0 {
        pen.plain(lead, |done, out| plain(start.wrapping_add(done), out));
    }
    let (start, count) = (start.wrapping_add(lead), count.saturating_sub(lead));
    let first = (start / 8).saturating_mul(S::BITS).saturating_add((start & 7).saturating_mul(S::BITS) / 8);
    let data = data.get(first..).unwrap_or_default();
    let steps = (count / STEP).min(data.len() / S::BITS / 8);
    pen.steps(steps, |step| {
        let data = data.as_ptr().wrapping_add(step * S::BITS * 8);
        ask(data);
        // SAFETY: there are so many steps.
        unsafe { registers::<F, S>(source, data) }
    });
    let rest = count.saturating_sub(steps.saturating_mul(STEP)).min(STEP);
    if rest > 0 {
        let data = data.get(steps.saturating_mul(S::BITS).saturating_mul(8)..).unwrap_or_default();
        let mut codes = [0_u8; 32 * 8];
        let bytes = rest.saturating_mul(S::BITS).div_ceil(8).min(data.len());
        codes[..bytes].copy_from_slice(&data[..bytes]);
        // SAFETY: an element has at most 32 bits.
        pen.put(&numbers::<F>(unsafe { registers::<F, S>(source, codes.as_ptr()) }), rest);
    }
}

/// 64 elements as numbers of `F`, in as many of the registers as they fill.
///
/// # Safety
/// `data` is valid for reads of `8 * BITS` bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
unsafe fn registers<F: Format, S: Source>(source: &S, data: *const u8) -> [__m512i; 4] {
    // SAFETY: by the caller.
    unsafe {
        match F::KIND {
            Kind::F32 => of_wide::<F>(source.wide(data)),
            Kind::F16 | Kind::Bf16 => of_words(source.words::<F>(data)),
        }
    }
}

/// Numbers of 32 bits as those of `F`, for [`Pen::steps`].
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(super) fn of_wide<F: Format>(wide: [__m512; 4]) -> [__m512i; 4] {
    if matches!(F::KIND, Kind::F32) {
        wide.map(|lanes| _mm512_castps_si512(lanes))
    } else {
        of_words(narrowed::<F>(wide))
    }
}

/// Numbers of 16 bits for [`Pen::steps`].
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn of_words([first, second]: [__m512i; 2]) -> [__m512i; 4] {
    [first, second, _mm512_setzero_si512(), _mm512_setzero_si512()]
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
        ask(data);
        // SAFETY: there are so many steps.
        unsafe { source.wide(data) }
    })
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
