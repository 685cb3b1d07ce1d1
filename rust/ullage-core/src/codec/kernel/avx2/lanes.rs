//! 32 elements in registers: where they come from, and how they are stored.

use std::arch::x86_64::*;

use super::super::dot::{self, Sums};
use super::super::format::{Format, Kind};

/// Elements of a step.
pub(super) const STEP: usize = 32;
/// Round to the nearest, ties to even, and raise nothing.
const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT;
/// How far ahead data are asked for.
const AHEAD: usize = 1024;

/// What turns stored elements into numbers.
pub(super) trait Source {
    /// Bits of a stored element.
    const BITS: usize;

    /// 32 elements as numbers of 32 bits.
    ///
    /// # Safety
    /// `data` is valid for reads of `4 * BITS` bytes, and the processor has the instructions.
    unsafe fn wide(&self, data: *const u8) -> [__m256; 4];

    /// 32 elements in the 16-bit format `F`.
    ///
    /// # Safety
    /// As above.
    unsafe fn words<F: Format>(&self, data: *const u8) -> [__m256i; 2];
}

/// Writes elements from `start` on to `out`. The first of them begins a byte of `data`, or lies before one that does.
///
/// `plain` decodes what comes before.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
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
    let steps = (out.len() / STEP).min(data.len() / S::BITS / 4);
    let (whole, rest) = out.split_at_mut(steps.saturating_mul(STEP));
    // SAFETY: `whole` has `steps` times 32 elements and `data` as many codes; where it is streamed, `gap` has aligned it.
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
            data.get(steps.saturating_mul(S::BITS).saturating_mul(4)..).unwrap_or_default(),
            rest,
        );
    }
}

/// # Safety
/// `data` is valid for reads of so many steps, `out` for writes; a streamed one begins a cache line.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
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
            data = data.add(S::BITS * 4);
            out = out.add(STEP);
        }
    }
}

/// Fewer than 32 elements, by way of memory of their own.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
#[inline]
fn part<F: Format, S: Source>(source: &S, data: &[u8], out: &mut [F::Word]) {
    let mut codes = [0_u8; 32 * 4];
    let mut numbers = [F::Word::default(); STEP];
    let bytes = out.len().saturating_mul(S::BITS).div_ceil(8).min(data.len());
    codes[..bytes].copy_from_slice(&data[..bytes]);
    // SAFETY: an element has at most 32 bits, and 32 numbers have room.
    unsafe { put::<F, S, false>(source, codes.as_ptr(), numbers.as_mut_ptr()) };
    out.copy_from_slice(&numbers[..out.len()]);
}

/// # Safety
/// `data` is valid for reads of 32 elements and `out` for writes; a streamed one begins a cache line.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
#[inline]
unsafe fn put<F: Format, S: Source, const STREAMED: bool>(source: &S, data: *const u8, out: *mut F::Word) {
    // SAFETY: by the caller.
    unsafe {
        match F::KIND {
            Kind::F32 => {
                for (place, lanes) in source.wide(data).into_iter().enumerate() {
                    store::<STREAMED>(out.cast::<__m256i>().add(place), _mm256_castps_si256(lanes));
                }
            }
            Kind::F16 | Kind::Bf16 => {
                for (place, words) in source.words::<F>(data).into_iter().enumerate() {
                    store::<STREAMED>(out.cast::<__m256i>().add(place), words);
                }
            }
        }
    }
}

/// # Safety
/// `out` is valid for writes of 32 bytes, and where it is streamed begins half a cache line.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn store<const STREAMED: bool>(out: *mut __m256i, lanes: __m256i) {
    // SAFETY: by the caller.
    unsafe {
        if STREAMED {
            _mm256_stream_si256(out, lanes);
        } else {
            _mm256_storeu_si256(out, lanes);
        }
    }
}

/// Elements that are decoded to memory of their own where what is written past the caches begins no half line.
const TILE: usize = 1024;

/// A tile, and a step that it begins in.
#[repr(align(64))]
struct Tile<W>([W; TILE + 2 * STEP]);

/// Writes elements from `start` on, of which `of` gives those of each step of 32, counted from element 0.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
#[inline]
pub(super) fn write_steps<F: Format>(
    start: usize,
    out: &mut [F::Word],
    is_streamed: bool,
    mut of: impl FnMut(usize) -> [__m256; 4],
) {
    let gap = (out.as_ptr().addr().wrapping_neg() & 63) / size_of::<F::Word>();
    let is_straight = start.is_multiple_of(STEP) && (!is_streamed || gap == 0);
    let whole = if is_straight { out.len() / STEP } else { 0 };
    let (steps, mut rest) = out.split_at_mut(whole * STEP);
    for (step, out) in steps.chunks_exact_mut(STEP).enumerate() {
        let wide = of(start / STEP + step);
        // SAFETY: 32 numbers have room, and begin half a line where they are streamed.
        unsafe {
            if is_streamed {
                put_wide::<F, true>(wide, out.as_mut_ptr());
            } else {
                put_wide::<F, false>(wide, out.as_mut_ptr());
            }
        }
    }
    let mut tile = Tile([F::Word::default(); TILE + 2 * STEP]);
    let mut at = start + whole * STEP;
    let mut length = if gap == 0 { TILE } else { gap };
    while !rest.is_empty() {
        let (now, later) = rest.split_at_mut(length.min(rest.len()));
        let (first, last) = (at / STEP, (at + now.len()).div_ceil(STEP));
        for step in first..last {
            let place = (step - first) * STEP;
            // SAFETY: a tile and the two steps that it may share have room.
            unsafe { put_wide::<F, false>(of(step), tile.0[place..place + STEP].as_mut_ptr()) };
        }
        copy::<F>(&tile.0[at % STEP..][..now.len()], now, is_streamed);
        at += now.len();
        (rest, length) = (later, TILE);
    }
}

/// Copies `from` to `to`, past the caches where that is wanted and `to` begins a line.
#[target_feature(enable = "avx2")]
#[inline]
fn copy<F: Format>(from: &[F::Word], to: &mut [F::Word], is_streamed: bool) {
    let length = 32 / size_of::<F::Word>();
    let is_streamed = is_streamed && to.as_ptr().addr().is_multiple_of(64);
    let whole = if is_streamed { to.len() / length * length } else { 0 };
    for place in (0..whole).step_by(length) {
        // SAFETY: both have so many numbers, and `to` begins a line.
        unsafe {
            let lanes = _mm256_loadu_si256(from.as_ptr().add(place).cast());
            _mm256_stream_si256(to.as_mut_ptr().add(place).cast(), lanes);
        }
    }
    to[whole..].copy_from_slice(&from[whole..]);
}

/// # Safety
/// `out` is valid for writes of 32 numbers; a streamed one begins half a cache line.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
#[inline]
unsafe fn put_wide<F: Format, const STREAMED: bool>(wide: [__m256; 4], out: *mut F::Word) {
    let out: *mut __m256i = out.cast();
    // SAFETY: by the caller.
    unsafe {
        if matches!(F::KIND, Kind::F32) {
            let [a, b, c, d] = wide;
            store::<STREAMED>(out, _mm256_castps_si256(a));
            store::<STREAMED>(out.add(1), _mm256_castps_si256(b));
            store::<STREAMED>(out.add(2), _mm256_castps_si256(c));
            store::<STREAMED>(out.add(3), _mm256_castps_si256(d));
        } else {
            let [a, b] = narrowed::<F>(wide);
            store::<STREAMED>(out, a);
            store::<STREAMED>(out.add(1), b);
        }
    }
}

/// Adds the products of `x` and so many steps of 32 weights, each as `weights` gives it; returns how many products.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
#[inline]
pub(super) fn fuse(
    sums: &mut Sums,
    x: &[f32],
    steps: usize,
    mut weights: impl FnMut(usize) -> [__m256; 4],
) -> usize {
    let sums = sums.as_flattened_mut();
    let mut lanes = [_mm256_setzero_ps(); 8];
    for (place, lanes) in lanes.iter_mut().enumerate() {
        // SAFETY: there are 64 sums.
        *lanes = unsafe { _mm256_loadu_ps(sums.as_ptr().add(place * 8)) };
    }
    let mut done = 0;
    for (pair, x) in (0..steps / 2).zip(x.as_chunks::<{ dot::STEP }>().0) {
        for half in [0, 1] {
            for (place, weights) in weights(2 * pair + half).into_iter().enumerate() {
                let at = 4 * half + place;
                // SAFETY: there are 64 numbers.
                let x = unsafe { _mm256_loadu_ps(x.as_ptr().add(8 * at)) };
                lanes[at] = _mm256_fmadd_ps(weights, x, lanes[at]);
            }
        }
        done += dot::STEP;
    }
    for (place, lanes) in lanes.into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(sums.as_mut_ptr().add(place * 8), lanes) };
    }
    done
}

/// The same with weights of one source, the first of which begin `data`.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
#[inline]
pub(super) fn fuse_source<S: Source>(source: &S, data: &[u8], sums: &mut Sums, x: &[f32]) -> usize {
    let steps = data.len() / (4 * S::BITS);
    fuse(sums, x, steps, |step| {
        let data = data.as_ptr().wrapping_add(step * 4 * S::BITS);
        ask(data);
        // SAFETY: there are so many steps.
        unsafe { source.wide(data) }
    })
}

/// Asks for data that are read soon.
#[inline]
pub(super) fn ask(data: *const u8) {
    // SAFETY: any address may be asked for, there or not.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(data.wrapping_add(AHEAD).cast()) };
}

/// 32 signed bytes as numbers times a scale.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn scaled(bytes: __m256i, scale: __m256) -> [__m256; 4] {
    let [a, b, c, d] = signed(bytes);
    [_mm256_mul_ps(a, scale), _mm256_mul_ps(b, scale), _mm256_mul_ps(c, scale), _mm256_mul_ps(d, scale)]
}

/// 32 signed bytes as numbers.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn signed(bytes: __m256i) -> [__m256; 4] {
    let (low, high) = (_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
    [
        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(low)),
        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128::<8>(low))),
        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(high)),
        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128::<8>(high))),
    ]
}

/// 32 numbers rounded to the 16-bit format `F`.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn narrowed<F: Format>(wide: [__m256; 4]) -> [__m256i; 2] {
    let [a, b, c, d] = wide;
    let (a, b) = (halved::<F>(a), halved::<F>(b));
    [_mm256_set_m128i(b, a), _mm256_set_m128i(halved::<F>(d), halved::<F>(c))]
}

/// Eight numbers rounded to the 16-bit format `F`.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn halved<F: Format>(lanes: __m256) -> __m128i {
    if matches!(F::KIND, Kind::F16) {
        return _mm256_cvtps_ph::<NEAREST>(lanes);
    }
    let bits = _mm256_castps_si256(lanes);
    let upper = _mm256_srli_epi32::<16>(bits);
    let odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    let rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
    let is_none = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(lanes, lanes));
    let quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    packed(_mm256_blendv_epi8(_mm256_srli_epi32::<16>(rounded), quiet, is_none))
}

/// The lower halves of eight words of 32 bits, whose upper ones are 0.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn packed(words: __m256i) -> __m128i {
    _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words))
}

/// 32 halves in 32 bits.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) fn widened(halves: [__m256i; 2]) -> [__m256; 4] {
    let [a, b] = halves;
    [
        _mm256_cvtph_ps(_mm256_castsi256_si128(a)),
        _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(a)),
        _mm256_cvtph_ps(_mm256_castsi256_si128(b)),
        _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(b)),
    ]
}
