//! Places in tables: up to 16 entries in registers, more in memory.

use std::arch::x86_64::*;

use super::super::dot::Sums;
use super::super::format::{F32, Format, Kind};
use super::super::layout::Palette;
use super::super::portable::{self, each_run};
use super::super::runs::Run;
use super::lanes::{Source, fuse_source, narrowed, packed, widened, write};

#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
pub(super) fn decode<F: Format>(palette: &Palette<'_>, start: usize, out: &mut [F::Word], is_streamed: bool) {
    match palette.bits {
        1 => runs::<F, 1>(palette, start, out, is_streamed),
        2 => runs::<F, 2>(palette, start, out, is_streamed),
        3 => runs::<F, 3>(palette, start, out, is_streamed),
        4 => runs::<F, 4>(palette, start, out, is_streamed),
        6 => runs::<F, 6>(palette, start, out, is_streamed),
        _ => runs::<F, 8>(palette, start, out, is_streamed),
    }
}

#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
fn runs<F: Format, const BITS: usize>(
    palette: &Palette<'_>,
    start: usize,
    out: &mut [F::Word],
    is_streamed: bool,
) {
    let runs = palette.sharing.of(start..start.saturating_add(out.len()));
    each_run(runs, out, |run, out| {
        let bytes = 2_usize << BITS;
        let first = run.place.saturating_mul(bytes);
        let table = palette.tables.get(first..first.saturating_add(bytes)).unwrap_or_default();
        let plain = |start: usize, out: &mut [F::Word]| {
            portable::looked_up::<F>(palette, Run { start, length: out.len(), place: run.place }, out);
        };
        if BITS <= 4 {
            let source = Few::<BITS>::of_halves::<F>(table);
            write::<F, _>(&source, palette.indices, run.start, out, is_streamed, plain);
        } else {
            let source = Many::<BITS>::of_halves::<F>(table);
            write::<F, _>(&source, palette.indices, run.start, out, is_streamed, plain);
        }
    });
}

/// Adds the products of `x` and a row that has one table, and returns how many.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
pub(super) fn fused(palette: &Palette<'_>, start: usize, x: &[f32], sums: &mut Sums) -> usize {
    match palette.bits {
        1 => fused_codes::<1>(palette, start, x, sums),
        2 => fused_codes::<2>(palette, start, x, sums),
        3 => fused_codes::<3>(palette, start, x, sums),
        4 => fused_codes::<4>(palette, start, x, sums),
        6 => fused_codes::<6>(palette, start, x, sums),
        _ => fused_codes::<8>(palette, start, x, sums),
    }
}

#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
fn fused_codes<const BITS: usize>(palette: &Palette<'_>, start: usize, x: &[f32], sums: &mut Sums) -> usize {
    let run = match palette.sharing.of(start..start.saturating_add(x.len())).next() {
        Some(run) if start.is_multiple_of(8) && run.length == x.len() => run,
        _ => return 0,
    };
    let bytes = 2_usize << BITS;
    let first = run.place.saturating_mul(bytes);
    let table = palette.tables.get(first..first.saturating_add(bytes)).unwrap_or_default();
    let codes = palette.indices.get(start / 8 * BITS..).unwrap_or_default();
    if BITS <= 4 {
        fuse_source(&Few::<BITS>::of_halves::<F32>(table), codes, sums, x)
    } else {
        fuse_source(&Many::<BITS>::of_halves::<F32>(table), codes, sums, x)
    }
}

/// At most 16 entries, all of 16 bits.
pub(super) struct Few<const BITS: usize> {
    /// The lower bytes of its entries and the upper ones, twice.
    low: __m256i,
    high: __m256i,
}

impl<const BITS: usize> Few<BITS> {
    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    fn of_halves<F: Format>(table: &[u8]) -> Self {
        let mut halves = [0_u16; 16];
        for (half, bytes) in halves.iter_mut().zip(table.as_chunks::<2>().0) {
            *half = u16::from_le_bytes(*bytes);
        }
        // SAFETY: 16 halves are 32 bytes.
        let both = unsafe { _mm256_loadu_si256(halves.as_ptr().cast()) };
        let words = if matches!(F::KIND, Kind::Bf16) {
            let wide = [
                _mm256_cvtph_ps(_mm256_castsi256_si128(both)),
                _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(both)),
            ];
            narrowed::<F>([wide[0], wide[1], wide[0], wide[1]])[0]
        } else {
            both
        };
        Self::of_words(words)
    }

    /// A table of 16 words.
    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    pub(super) fn of_words(words: __m256i) -> Self {
        let lower = _mm256_and_si256(words, _mm256_set1_epi16(0xFF));
        Self { low: bytes(lower), high: bytes(_mm256_srli_epi16::<8>(words)) }
    }
}

/// The lower bytes of 16 words whose upper ones are 0, twice.
#[target_feature(enable = "avx2")]
#[inline]
fn bytes(words: __m256i) -> __m256i {
    let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
    _mm256_broadcastsi128_si256(bytes)
}

/// 32 codes as bytes.
///
/// # Safety
/// `data` is valid for reads of `4 * BITS` bytes.
#[target_feature(enable = "avx2,bmi2")]
#[inline]
pub(super) unsafe fn places<const BITS: usize>(data: *const u8) -> __m256i {
    if BITS == 4 {
        // SAFETY: 16 bytes.
        let codes = unsafe { _mm_loadu_si128(data.cast()) };
        let mask = _mm_set1_epi8(15);
        let (even, odd) = (_mm_and_si128(codes, mask), _mm_and_si128(_mm_srli_epi16::<4>(codes), mask));
        return _mm256_set_m128i(_mm_unpackhi_epi8(even, odd), _mm_unpacklo_epi8(even, odd));
    }
    if BITS == 8 {
        // SAFETY: 32 bytes.
        return unsafe { _mm256_loadu_si256(data.cast()) };
    }
    let mut eights = [0_i64; 4];
    for (place, eight) in eights.iter_mut().enumerate() {
        let mut bytes = [0_u8; 8];
        // SAFETY: eight codes take BITS bytes, and there are four times as many.
        unsafe { std::ptr::copy_nonoverlapping(data.add(place * BITS), bytes.as_mut_ptr(), BITS) };
        let mask = 0x0101_0101_0101_0101 * ((1_u64 << BITS) - 1);
        *eight = _pdep_u64(u64::from_le_bytes(bytes), mask).cast_signed();
    }
    _mm256_setr_epi64x(eights[0], eights[1], eights[2], eights[3])
}

/// Eight of 32 bytes in 32 bits.
#[target_feature(enable = "avx2")]
#[inline]
fn eight(places: __m256i, eighth: usize) -> __m256i {
    let half =
        if eighth < 2 { _mm256_castsi256_si128(places) } else { _mm256_extracti128_si256::<1>(places) };
    _mm256_cvtepu8_epi32(if eighth.is_multiple_of(2) { half } else { _mm_srli_si128::<8>(half) })
}

impl<const BITS: usize> Source for Few<BITS> {
    const BITS: usize = BITS;

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn wide(&self, data: *const u8) -> [__m256; 4] {
        // SAFETY: by the caller. Entries are halves where numbers of 32 bits are wanted.
        widened(unsafe { self.words::<F32>(data) })
    }

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn words<F: Format>(&self, data: *const u8) -> [__m256i; 2] {
        // SAFETY: by the caller.
        let places = unsafe { places::<BITS>(data) };
        let (low, high) = (_mm256_shuffle_epi8(self.low, places), _mm256_shuffle_epi8(self.high, places));
        let (first, second) = (_mm256_unpacklo_epi8(low, high), _mm256_unpackhi_epi8(low, high));
        [_mm256_permute2x128_si256::<0x20>(first, second), _mm256_permute2x128_si256::<0x31>(first, second)]
    }
}

/// More entries: numbers of 32 bits, or words of 16 in 32 bits.
struct Many<const BITS: usize> {
    entries: [u32; 256],
}

impl<const BITS: usize> Many<BITS> {
    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    fn of_halves<F: Format>(table: &[u8]) -> Self {
        let mut entries = [0_u32; 256];
        for (entries, halves) in entries.as_chunks_mut::<8>().0.iter_mut().zip(table.as_chunks::<16>().0) {
            // SAFETY: eight halves are 16 bytes, eight entries 32.
            unsafe {
                let halves = _mm_loadu_si128(halves.as_ptr().cast());
                let wide = match F::KIND {
                    Kind::F32 => _mm256_castps_si256(_mm256_cvtph_ps(halves)),
                    Kind::F16 => _mm256_cvtepu16_epi32(halves),
                    Kind::Bf16 => _mm256_cvtepu16_epi32(super::lanes::halved::<F>(_mm256_cvtph_ps(halves))),
                };
                _mm256_storeu_si256(entries.as_mut_ptr().cast(), wide);
            }
        }
        Self { entries }
    }

    /// The entries at eight of 32 places.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn gathered(&self, places: __m256i, eighth: usize) -> __m256i {
        // SAFETY: a place is a byte, and there are 256 entries.
        unsafe { _mm256_i32gather_epi32::<4>(self.entries.as_ptr().cast(), eight(places, eighth)) }
    }
}

impl<const BITS: usize> Source for Many<BITS> {
    const BITS: usize = BITS;

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn wide(&self, data: *const u8) -> [__m256; 4] {
        // SAFETY: by the caller.
        let places = unsafe { places::<BITS>(data) };
        [
            _mm256_castsi256_ps(self.gathered(places, 0)),
            _mm256_castsi256_ps(self.gathered(places, 1)),
            _mm256_castsi256_ps(self.gathered(places, 2)),
            _mm256_castsi256_ps(self.gathered(places, 3)),
        ]
    }

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn words<F: Format>(&self, data: *const u8) -> [__m256i; 2] {
        // SAFETY: by the caller.
        let places = unsafe { places::<BITS>(data) };
        let (a, b) = (packed(self.gathered(places, 0)), packed(self.gathered(places, 1)));
        let (c, d) = (packed(self.gathered(places, 2)), packed(self.gathered(places, 3)));
        [_mm256_set_m128i(b, a), _mm256_set_m128i(d, c)]
    }
}
