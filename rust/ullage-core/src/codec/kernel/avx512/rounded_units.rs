//! Units of rows for products with rounded vectors: codes as bytes without a sign, and 16 scales.

use std::arch::x86_64::*;

use super::super::layout::Block;
use super::super::rounded::UNIT;
use super::super::rounded::units::{Scaled, ScaledRow, bytes, row_blocks};
use super::blocks::{half, scales};
use super::lanes::ask_far;
use super::rounded::{loaded, nibbles};

/// How the lanes of products become 16 sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sums {
    /// Registers are added in pairs; runs of four lanes.
    Pairs,
    /// Four registers, runs of four lanes.
    Fours,
    /// Eight registers, runs of eight lanes.
    Eights,
    /// The same, of codes of four bits; registers `2n` and `2n + 1` take turns: `4n`, `4n + 2` and `4n + 1`, `4n + 3`.
    Turns,
}

/// 16 runs of a row.
pub(super) struct Unit {
    /// Bytes without a sign, in the order of `x`.
    pub(super) codes: [__m512i; 8],
    pub(super) scales: __m512,
    /// Zero points, negative, in the lower halves of lanes.
    pub(super) zeros: __m512i,
    /// What is taken off, times the sum of `x`.
    pub(super) leasts: __m512,
}

impl Unit {
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn new(codes: &[__m512i; 8], scales: __m512, zeros: __m512i) -> Self {
        Self { codes: *codes, scales, zeros, leasts: _mm512_setzero_ps() }
    }
}

/// A row, unit by unit.
pub(super) trait Row: Copy {
    const SUMS: Sums;
    /// Columns of a unit.
    const COLUMNS: usize = UNIT;
    const HAS_ZEROS: bool = true;
    const HAS_LEASTS: bool = false;

    /// Goes to the row whose first element is `start`.
    fn begin(&mut self, start: usize);

    /// Units of the row.
    fn units(&self) -> usize;

    /// # Safety
    /// The processor has the instructions.
    unsafe fn unit(&self, number: usize) -> Unit;
}

/// Integers of four bits with a scale for each 32 columns or a multiple of them.
#[derive(Clone, Copy)]
pub(super) struct ScaledNibbles<'a>(Shared<'a>);

/// The same of eight bits.
#[derive(Clone, Copy)]
pub(super) struct ScaledBytes<'a>(Shared<'a>);

#[derive(Clone, Copy)]
struct Shared<'a> {
    scaled: Scaled<'a>,
    row: ScaledRow<'a>,
    /// Bits that are turned in codes.
    flip: u8,
    /// The scale of each run.
    places: [u8; 16],
}

impl<'a> Shared<'a> {
    fn of(scaled: Scaled<'a>, sign: u8) -> Self {
        let places = std::array::from_fn(|run| run as u8 >> scaled.doublings);
        Self { scaled, row: scaled.row(0), flip: if scaled.is_affine() { 0 } else { sign }, places }
    }

    /// Scales and zero points of a unit.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,avx2,fma,f16c,bmi2,popcnt"
    )]
    #[inline]
    fn of_unit(&self, number: usize, bits: u32) -> (__m512, __m512i) {
        let doublings = self.scaled.doublings;
        let room: [u8; 32];
        let halves = bytes!(room, self.row.scales, number * (32 >> doublings));
        // SAFETY: 32 bytes.
        let mut scales = unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(halves.as_ptr().cast())) };
        if !self.scaled.is_affine() {
            if doublings > 0 {
                scales = _mm512_permutexvar_ps(self.places(), scales);
            }
            return (scales, lowered(_mm512_set1_epi32(1 << (bits - 1))));
        }
        let zeros = self.row.zeros(number, 16 >> doublings, bits);
        // SAFETY: 16 bytes.
        let mut zeros = unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(zeros.as_ptr().cast())) };
        if doublings > 0 {
            scales = _mm512_permutexvar_ps(self.places(), scales);
            zeros = _mm512_permutexvar_epi32(self.places(), zeros);
        }
        (scales, lowered(zeros))
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn places(&self) -> __m512i {
        // SAFETY: 16 bytes.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(self.places.as_ptr().cast())) }
    }
}

/// Numbers to be taken off, as the lower halves of lanes.
#[target_feature(enable = "avx512f")]
#[inline]
fn lowered(zeros: __m512i) -> __m512i {
    _mm512_and_si512(_mm512_sub_epi32(_mm512_setzero_si512(), zeros), _mm512_set1_epi32(0xFFFF))
}

impl<'a> ScaledNibbles<'a> {
    pub(super) fn of(scaled: Scaled<'a>) -> Self {
        Self(Shared::of(scaled, 0x88))
    }
}

impl<'a> ScaledBytes<'a> {
    pub(super) fn of(scaled: Scaled<'a>) -> Self {
        Self(Shared::of(scaled, 0x80))
    }
}

impl Row for ScaledNibbles<'_> {
    const SUMS: Sums = Sums::Pairs;

    #[inline]
    fn begin(&mut self, start: usize) {
        self.0.row = self.0.scaled.row(start);
    }

    #[inline]
    fn units(&self) -> usize {
        self.0.scaled.units()
    }

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,avx2,fma,f16c,bmi2,popcnt"
    )]
    #[inline]
    unsafe fn unit(&self, number: usize) -> Unit {
        let room: [u8; UNIT / 2];
        let data = bytes!(room, self.0.row.codes, number * (UNIT / 2));
        let flip = _mm512_set1_epi8(self.0.flip.cast_signed());
        let mut codes = [_mm512_setzero_si512(); 8];
        for (codes, data) in codes.as_chunks_mut::<2>().0.iter_mut().zip(data.as_chunks::<64>().0) {
            // SAFETY: 64 bytes.
            *codes = nibbles(unsafe { loaded(data.as_ptr(), flip) });
        }
        let (scales, zeros) = self.0.of_unit(number, 4);
        Unit::new(&codes, scales, zeros)
    }
}

impl Row for ScaledBytes<'_> {
    const SUMS: Sums = Sums::Eights;

    #[inline]
    fn begin(&mut self, start: usize) {
        self.0.row = self.0.scaled.row(start);
    }

    #[inline]
    fn units(&self) -> usize {
        self.0.scaled.units()
    }

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,avx2,fma,f16c,bmi2,popcnt"
    )]
    #[inline]
    unsafe fn unit(&self, number: usize) -> Unit {
        let room: [u8; UNIT];
        let data = bytes!(room, self.0.row.codes, number * UNIT);
        let flip = _mm512_set1_epi8(self.0.flip.cast_signed());
        let mut codes = [_mm512_setzero_si512(); 8];
        for (codes, data) in codes.iter_mut().zip(data.as_chunks::<64>().0) {
            // SAFETY: 64 bytes.
            *codes = unsafe { loaded(data.as_ptr(), flip) };
        }
        let (scales, zeros) = self.0.of_unit(number, 8);
        Unit::new(&codes, scales, zeros)
    }
}

/// Makes a row of GGML blocks of `$kind`.
macro_rules! blocks {
    ($(#[$doc:meta])* $name:ident, $kind:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name<'a> {
            data: &'a [u8],
            cols: usize,
            row: &'a [u8],
        }

        impl<'a> $name<'a> {
            pub(super) fn of(data: &'a [u8], cols: usize) -> Self {
                Self { data, cols, row: &[] }
            }

            #[inline]
            fn go(&mut self, start: usize) {
                self.row = row_blocks($kind, self.data, start, self.cols);
            }
        }
    };
}

blocks!(
    /// `Q4_0`.
    Nibbles,
    Block::Q4_0
);
blocks!(
    /// `Q8_0`.
    EightBits,
    Block::Q8_0
);
blocks!(
    /// `Q4_K`.
    FourBits,
    Block::Q4K
);
blocks!(
    /// `Q6_K`.
    SixBits,
    Block::Q6K
);

impl Row for Nibbles<'_> {
    const SUMS: Sums = Sums::Pairs;

    #[inline]
    fn begin(&mut self, start: usize) {
        self.go(start);
    }

    #[inline]
    fn units(&self) -> usize {
        self.cols.div_ceil(UNIT)
    }

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,avx2,fma,f16c,bmi2,popcnt"
    )]
    #[inline]
    unsafe fn unit(&self, number: usize) -> Unit {
        let room: [u8; 288];
        let data = bytes!(room, self.row, number * 288).as_ptr();
        ask_far::<288>(data);
        let mut codes = [_mm512_setzero_si512(); 8];
        for (four, codes) in codes.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            // SAFETY: four blocks are 72 bytes, and there are four times as many.
            let bytes = unsafe {
                let data = data.add(72 * four + 2);
                let first = _mm512_castsi128_si512(_mm_loadu_si128(data.cast()));
                let two = _mm512_inserti32x4::<1>(first, _mm_loadu_si128(data.add(18).cast()));
                let three = _mm512_inserti32x4::<2>(two, _mm_loadu_si128(data.add(36).cast()));
                _mm512_inserti32x4::<3>(three, _mm_loadu_si128(data.add(54).cast()))
            };
            *codes = nibbles(bytes);
        }
        // Halves begin every ninth word: eight of them in 64.
        let places = _mm512_castsi128_si512(_mm_setr_epi16(0, 9, 18, 27, 36, 45, 54, 63));
        // SAFETY: 128 bytes from there on are of the unit.
        let [first, second] = [0, 144].map(|at| unsafe { words(data.add(at), places) });
        let scales = _mm512_cvtph_ps(_mm256_set_m128i(second, first));
        Unit::new(&codes, scales, lowered(_mm512_set1_epi32(8)))
    }
}

impl Row for EightBits<'_> {
    const SUMS: Sums = Sums::Eights;

    #[inline]
    fn begin(&mut self, start: usize) {
        self.go(start);
    }

    #[inline]
    fn units(&self) -> usize {
        self.cols.div_ceil(UNIT)
    }

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,avx2,fma,f16c,bmi2,popcnt"
    )]
    #[inline]
    unsafe fn unit(&self, number: usize) -> Unit {
        let room: [u8; 544];
        let data = bytes!(room, self.row, number * 544).as_ptr();
        ask_far::<544>(data);
        let flip = _mm512_set1_epi8(-128);
        let mut codes = [_mm512_setzero_si512(); 8];
        for (pair, codes) in codes.iter_mut().enumerate() {
            // SAFETY: two blocks are 68 bytes, and there are eight times as many.
            let bytes = unsafe {
                let data = data.add(68 * pair + 2);
                let first = _mm512_castsi256_si512(_mm256_loadu_si256(data.cast()));
                _mm512_inserti64x4::<1>(first, _mm256_loadu_si256(data.add(34).cast()))
            };
            *codes = _mm512_xor_si512(bytes, flip);
        }
        // Halves begin every 17th word: four of them in 64.
        let places = _mm512_castsi128_si512(_mm_setr_epi16(0, 17, 34, 51, 0, 0, 0, 0));
        // SAFETY: 128 bytes from there on are of the unit.
        let [a, b, c, d] = [0, 136, 272, 408].map(|at| unsafe { words(data.add(at), places) });
        let halves = _mm256_set_m128i(_mm_unpacklo_epi64(c, d), _mm_unpacklo_epi64(a, b));
        Unit::new(&codes, _mm512_cvtph_ps(halves), lowered(_mm512_set1_epi32(128)))
    }
}

impl Row for FourBits<'_> {
    const SUMS: Sums = Sums::Turns;
    const HAS_ZEROS: bool = false;
    const HAS_LEASTS: bool = true;

    #[inline]
    fn begin(&mut self, start: usize) {
        self.go(start);
    }

    #[inline]
    fn units(&self) -> usize {
        self.cols.div_ceil(UNIT)
    }

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,avx2,fma,f16c,bmi2,popcnt"
    )]
    #[inline]
    unsafe fn unit(&self, number: usize) -> Unit {
        let room: [u8; 288];
        let data = bytes!(room, self.row, number * 288).as_ptr();
        ask_far::<288>(data);
        let mut codes = [_mm512_setzero_si512(); 8];
        for (quarter, codes) in codes.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let at = quarter / 2 * 144 + 16 + quarter % 2 * 64;
            // SAFETY: codes are the last 128 of the 144 bytes of a block, and there are two.
            *codes = nibbles(unsafe { _mm512_loadu_si512(data.add(at).cast()) });
        }
        // SAFETY: a block begins with 16 bytes of scales.
        let [first, second] = [0, 144].map(|at| scales(unsafe { data.add(at).cast::<[u8; 16]>().read() }));
        let steps = _mm512_shuffle_f32x4::<0b01_00_01_00>(first, second);
        let leasts = _mm512_shuffle_f32x4::<0b11_10_11_10>(first, second);
        Unit { codes, scales: steps, zeros: _mm512_setzero_si512(), leasts }
    }
}

impl Row for SixBits<'_> {
    const SUMS: Sums = Sums::Fours;
    const COLUMNS: usize = 256;

    #[inline]
    fn begin(&mut self, start: usize) {
        self.go(start);
    }

    #[inline]
    fn units(&self) -> usize {
        self.cols / 256
    }

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,avx2,fma,f16c,bmi2,popcnt"
    )]
    #[inline]
    unsafe fn unit(&self, number: usize) -> Unit {
        let room: [u8; 210];
        let data = bytes!(room, self.row, number * 210).as_ptr();
        ask_far::<210>(data);
        let mut codes = [_mm512_setzero_si512(); 8];
        let upper = _mm512_set1_epi8(0x30);
        // The upper bits of four times 32 columns are pairs of bits of the same bytes.
        let first = _mm512_inserti64x4::<1>(_mm512_set1_epi32(4), _mm256_set1_epi32(2));
        let second = _mm512_inserti64x4::<1>(_mm512_setzero_si512(), _mm256_set1_epi32(30));
        for (part, codes) in codes.as_chunks_mut::<2>().0.iter_mut().take(2).enumerate() {
            // SAFETY: 128 bytes of lower bits, then 64 of upper ones.
            let (low, high) = unsafe {
                let high = _mm256_loadu_si256(data.add(128 + 32 * part).cast());
                (_mm512_loadu_si512(data.add(64 * part).cast()), _mm512_broadcast_i64x4(high))
            };
            let [low, next] = nibbles(low);
            *codes = [
                _mm512_or_si512(low, _mm512_and_si512(_mm512_rolv_epi32(high, first), upper)),
                _mm512_or_si512(next, _mm512_and_si512(_mm512_rolv_epi32(high, second), upper)),
            ];
        }
        // SAFETY: 16 scales of eight bits, and theirs, end the block.
        let scales = unsafe {
            let levels = _mm512_cvtepi8_epi32(_mm_loadu_si128(data.add(192).cast()));
            _mm512_mul_ps(half(data.add(208)), _mm512_cvtepi32_ps(levels))
        };
        Unit::new(&codes, scales, lowered(_mm512_set1_epi32(32)))
    }
}

/// Eight of the 64 words at `data`.
///
/// # Safety
/// 128 bytes may be read.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
unsafe fn words(data: *const u8, places: __m512i) -> __m128i {
    // SAFETY: by the caller.
    let (low, high) = unsafe { (_mm512_loadu_si512(data.cast()), _mm512_loadu_si512(data.add(64).cast())) };
    _mm512_castsi512_si128(_mm512_permutex2var_epi16(low, places, high))
}
