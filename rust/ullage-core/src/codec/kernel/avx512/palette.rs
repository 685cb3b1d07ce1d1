//! Places in tables: codes are spread to bytes by one multishift, and looked up by permutations.

use std::arch::x86_64::*;

use super::super::dot::Sums;
use super::super::format::{Bf16, F32, Format, Kind};
use super::super::layout::Palette;
use super::super::portable;
use super::super::runs::Run;
use super::lanes::{Source, fuse_source, halved, joined, widened, write};
use super::pairs::fuse_pairs;
use super::pen::Pen;

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
pub(super) fn decode<F: Format>(palette: &Palette<'_>, start: usize, count: usize, pen: &mut Pen<'_, F>) {
    match palette.bits {
        1 => runs::<F, 1>(palette, start, count, pen),
        2 => runs::<F, 2>(palette, start, count, pen),
        3 => runs::<F, 3>(palette, start, count, pen),
        4 => runs::<F, 4>(palette, start, count, pen),
        6 => runs::<F, 6>(palette, start, count, pen),
        _ => runs::<F, 8>(palette, start, count, pen),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
fn runs<F: Format, const BITS: usize>(
    palette: &Palette<'_>,
    start: usize,
    count: usize,
    pen: &mut Pen<'_, F>,
) {
    for run in palette.sharing.of(start..start.saturating_add(count)) {
        let bytes = 2_usize << BITS;
        let first = run.place.saturating_mul(bytes);
        let table = palette.tables.get(first..first.saturating_add(bytes)).unwrap_or_default();
        let source = Tables::<BITS>::of_halves::<F>(table);
        write::<F, _>(&source, palette.indices, run.start, run.length, pen, |start, out| {
            portable::looked_up::<F>(palette, Run { start, length: out.len(), place: run.place }, out);
        });
    }
}

/// Adds the products of `x` and a row that has one table, and returns how many.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
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

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
fn fused_codes<const BITS: usize>(palette: &Palette<'_>, start: usize, x: &[f32], sums: &mut Sums) -> usize {
    let mut runs = palette.sharing.of(start..start.saturating_add(x.len()));
    let run = match runs.next() {
        Some(run) if start.is_multiple_of(8) && run.length == x.len() => run,
        _ => return 0,
    };
    let bytes = 2_usize << BITS;
    let first = run.place.saturating_mul(bytes);
    let table = palette.tables.get(first..first.saturating_add(bytes)).unwrap_or_default();
    let codes = palette.indices.get(start / 8 * BITS..).unwrap_or_default();
    let tables = Tables::<BITS>::of_halves::<F32>(table);
    if BITS == 4 {
        return fuse_pairs(sums, x, codes.as_chunks().0, |_| [tables.wide; 4]);
    }
    fuse_source(&tables, codes, sums, x)
}

/// A table in registers.
pub(super) struct Tables<const BITS: usize> {
    /// The lower bytes of its 16-bit entries, and the upper ones.
    low: [__m512i; 4],
    high: [__m512i; 4],
    /// Its first 16 entries in 32 bits, the entries there are over and over.
    wide: __m512,
}

impl<const BITS: usize> Tables<BITS> {
    /// A table of 2^BITS halves, as words of `F` or, for that of 32 bits, as they are.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    fn of_halves<F: Format>(table: &[u8]) -> Self {
        let mut low = [_mm512_setzero_si512(); 4];
        let mut high = low;
        let is_wide = BITS <= 4 && matches!(F::KIND, Kind::F32);
        let quarters = match BITS {
            _ if is_wide => 0,
            8 => 4,
            _ => 1,
        };
        for quarter in 0..quarters {
            let mut words = [_mm512_setzero_si512(); 2];
            for (place, words) in words.iter_mut().enumerate() {
                let bytes = table.get((quarter * 2 + place) * 64..).unwrap_or_default();
                let mask =
                    u64::MAX.checked_shr(64_u32.saturating_sub(bytes.len().min(64) as u32)).unwrap_or(0);
                // SAFETY: the mask leaves out what lies beyond the end.
                let halves = unsafe { _mm512_maskz_loadu_epi8(mask, bytes.as_ptr().cast()) };
                *words = if matches!(F::KIND, Kind::Bf16) { as_bf16(halves) } else { halves };
            }
            low[quarter] = joined(_mm512_cvtepi16_epi8(words[0]), _mm512_cvtepi16_epi8(words[1]));
            let upper = [_mm512_srli_epi16::<8>(words[0]), _mm512_srli_epi16::<8>(words[1])];
            high[quarter] = joined(_mm512_cvtepi16_epi8(upper[0]), _mm512_cvtepi16_epi8(upper[1]));
        }
        let mut wide = _mm512_setzero_ps();
        if is_wide {
            let mask = (1_u64 << (2_usize << BITS.min(4))) - 1;
            // SAFETY: the table is so many bytes, or empty where no element is looked up.
            let halves = unsafe {
                _mm256_maskz_loadu_epi8(if table.is_empty() { 0 } else { mask as u32 }, table.as_ptr().cast())
            };
            wide = _mm512_permutexvar_ps(register(&Places::<BITS>::REPEATED), _mm512_cvtph_ps(halves));
        }
        Self { low, high, wide }
    }

    /// A table of 16 numbers of 32 bits.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    pub(super) fn of_wide<F: Format>(wide: __m512) -> Self {
        let zero = _mm512_setzero_si512();
        let (mut low, mut high) = ([zero; 4], [zero; 4]);
        if !matches!(F::KIND, Kind::F32) {
            let words = _mm512_castsi256_si512(halved::<F>(wide));
            low[0] = _mm512_castsi256_si512(_mm512_cvtepi16_epi8(words));
            high[0] = _mm512_castsi256_si512(_mm512_cvtepi16_epi8(_mm512_srli_epi16::<8>(words)));
        }
        Self { low, high, wide }
    }

    /// The byte at each of 64 places.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    fn bytes(tables: &[__m512i; 4], places: __m512i) -> __m512i {
        if BITS < 8 {
            return _mm512_permutexvar_epi8(places, tables[0]);
        }
        let first = _mm512_permutex2var_epi8(tables[0], places, tables[1]);
        let second = _mm512_permutex2var_epi8(tables[2], places, tables[3]);
        _mm512_mask_mov_epi8(first, _mm512_movepi8_mask(places), second)
    }
}

impl<const BITS: usize> Source for Tables<BITS> {
    const BITS: usize = BITS;

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn wide(&self, data: *const u8) -> [__m512; 4] {
        if BITS > 4 {
            // SAFETY: by the caller.
            return widened(unsafe { self.looked_up(data) });
        }
        let mut lanes = [_mm512_setzero_ps(); 4];
        for (place, lanes) in lanes.iter_mut().enumerate() {
            // SAFETY: 16 codes take 2 * BITS bytes, and there are four times as many.
            *lanes = _mm512_permutexvar_ps(unsafe { pairs::<BITS>(data.add(place * 2 * BITS)) }, self.wide);
        }
        lanes
    }

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn words<F: Format>(&self, data: *const u8) -> [__m512i; 2] {
        // SAFETY: by the caller.
        unsafe { self.looked_up(data) }
    }
}

impl<const BITS: usize> Tables<BITS> {
    /// 64 entries of 16 bits.
    ///
    /// # Safety
    /// `data` is valid for reads of `8 * BITS` bytes.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn looked_up(&self, data: *const u8) -> [__m512i; 2] {
        let mask = u64::MAX >> (64 - 8 * BITS);
        // SAFETY: the mask leaves out what lies beyond the codes.
        let codes = unsafe { _mm512_maskz_loadu_epi8(mask, data.cast()) };
        let spread = _mm512_permutexvar_epi8(register(&Places::<BITS>::EIGHTHS), codes);
        let places = if BITS == 8 {
            spread
        } else {
            let shifted = _mm512_multishift_epi64_epi8(register(&Places::<BITS>::SHIFTS), spread);
            let mask = _mm512_set1_epi8(((1_u32 << BITS) - 1) as i8);
            _mm512_and_si512(shifted, mask)
        };
        let (low, high) = (Self::bytes(&self.low, places), Self::bytes(&self.high, places));
        [_mm512_unpacklo_epi8(low, high), _mm512_unpackhi_epi8(low, high)]
    }
}

/// 64 codes of four bits, looked up in a table for each 16.
///
/// # Safety
/// `data` is valid for reads of 32 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
pub(super) unsafe fn of_tables(tables: [__m512; 4], data: *const u8) -> [__m512; 4] {
    let mut lanes = tables;
    for (place, lanes) in lanes.iter_mut().enumerate() {
        // SAFETY: eight bytes of 32.
        *lanes = _mm512_permutexvar_ps(unsafe { pairs::<4>(data.add(place * 8)) }, *lanes);
    }
    lanes
}

/// 16 codes as places of 32 bits, of which only the lower four bits count.
///
/// # Safety
/// `data` is valid for reads of `2 * BITS` bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
unsafe fn pairs<const BITS: usize>(data: *const u8) -> __m512i {
    // SAFETY: by the caller.
    let codes = unsafe { read::<BITS>(data) };
    _mm512_multishift_epi64_epi8(register(&Places::<BITS>::PAIRS), _mm512_set1_epi64(codes))
}

/// The `2 * BITS` bytes of 16 codes.
///
/// # Safety
/// `data` is valid for reads of so many.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn read<const BITS: usize>(data: *const u8) -> i64 {
    let mut bytes = [0_u8; 8];
    // SAFETY: by the caller, and at most eight.
    unsafe { std::ptr::copy_nonoverlapping(data, bytes.as_mut_ptr(), 2 * BITS) };
    i64::from_le_bytes(bytes)
}

/// Where the parts of codes are found, made when the program is compiled.
struct Places<const BITS: usize>;

impl<const BITS: usize> Places<BITS> {
    /// For each byte of the spread codes, which byte of the packed ones it is: a group of eight codes, which take BITS
    /// bytes, to eight bytes; groups in the order in which the lower and upper bytes of words are joined.
    const EIGHTHS: [u8; 64] = {
        let groups = [0, 4, 1, 5, 2, 6, 3, 7];
        let mut bytes = [0_u8; 64];
        let mut place = 0;
        while place < 64 {
            let within = if place % 8 < BITS { place % 8 } else { BITS - 1 };
            bytes[place] = (groups[place / 8] * BITS + within) as u8;
            place += 1;
        }
        bytes
    };

    /// By how much the codes of a group are shifted down.
    const SHIFTS: [u8; 64] = {
        let mut bytes = [0_u8; 64];
        let mut place = 0;
        while place < 64 {
            bytes[place] = (place % 8 * BITS) as u8;
            place += 1;
        }
        bytes
    };

    /// By how much 16 codes are shifted down to be places of 32 bits.
    const PAIRS: [u8; 64] = {
        let mut bytes = [0_u8; 64];
        let mut place = 0;
        while place < 64 {
            bytes[place] = (place / 4 * BITS % 64) as u8;
            place += 1;
        }
        bytes
    };

    /// The places of a table of 2^BITS entries that is repeated to 16.
    const REPEATED: [u8; 64] = {
        let mut bytes = [0_u8; 64];
        let mut place = 0;
        while place < 64 {
            bytes[place] = if place % 4 == 0 { (place / 4 % (1 << BITS)) as u8 } else { 0 };
            place += 1;
        }
        bytes
    };
}

#[target_feature(enable = "avx512f")]
#[inline]
fn register(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: 64 bytes.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// 32 halves as numbers of bfloat16.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn as_bf16(halves: __m512i) -> __m512i {
    let low = _mm512_cvtph_ps(_mm512_castsi512_si256(halves));
    let high = _mm512_cvtph_ps(_mm512_extracti64x4_epi64::<1>(halves));
    joined(halved::<Bf16>(low), halved::<Bf16>(high))
}
