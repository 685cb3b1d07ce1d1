//! Units of rows for products with rounded vectors: codes as bytes, and 16 scales.

use std::arch::x86_64::*;

use super::super::blocks::six_bits;
use super::super::layout::Block;
use super::super::rounded::UNIT;
use super::super::rounded::units::{Scaled, ScaledRow, bytes, row_blocks};
use super::lanes::ask;

/// What codes are, and how the lanes of their products become 16 sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codes {
    /// Of four bits, without a sign: of four registers the first two are joined with the others; runs of four lanes.
    Pairs,
    /// Of six bits, without a sign: runs of four lanes.
    Fours,
    /// Of eight bits, with a sign: a run is a register.
    Bytes,
    /// Of four bits, without a sign: a run is a register; of four the two in the middle change places.
    Turns,
}

/// 16 runs of a row.
pub(super) struct Unit {
    /// In the order of `x`.
    pub(super) codes: [__m256i; 16],
    pub(super) scales: [__m256; 2],
    /// Zero points, as numbers of 16 bits in the lower halves of lanes.
    pub(super) zeros: [__m256i; 2],
    /// What is taken off, times the sum of `x`.
    pub(super) leasts: [__m256; 2],
}

impl Unit {
    #[target_feature(enable = "avx2")]
    #[inline]
    fn new(codes: &[__m256i; 16], scales: [__m256; 2], zeros: [__m256i; 2]) -> Self {
        Self { codes: *codes, scales, zeros, leasts: [_mm256_setzero_ps(); 2] }
    }
}

/// A row, unit by unit.
pub(super) trait Row: Copy {
    const CODES: Codes;
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
}

impl<'a> Shared<'a> {
    fn of(scaled: Scaled<'a>) -> Self {
        Self { scaled, row: scaled.row(0) }
    }

    /// Scales and zero points of a unit.
    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    fn of_unit(&self, number: usize, bits: u32) -> ([__m256; 2], [__m256i; 2]) {
        let doublings = self.scaled.doublings;
        let room: [u8; 32];
        let halves = bytes!(room, self.row.scales, number * (32 >> doublings));
        let halves: [[u8; 2]; 16] = std::array::from_fn(|run| {
            let place = (run >> doublings) * 2;
            [halves[place], halves[place + 1]]
        });
        let scales = eights(&halves);
        if !self.scaled.is_affine() {
            // Bytes have a sign of their own.
            return (scales, [_mm256_set1_epi32(if bits == 4 { 8 } else { 0 }); 2]);
        }
        let zeros = self.row.zeros(number, 16 >> doublings, bits);
        let less = if bits == 4 { 0 } else { 128 };
        let zeros: [i32; 16] = std::array::from_fn(|run| i32::from(zeros[run >> doublings]) - less);
        let [first, second] = [0, 8].map(|at| {
            // SAFETY: eight numbers.
            unsafe { _mm256_loadu_si256(zeros[at..at + 8].as_ptr().cast()) }
        });
        (scales, [first, second])
    }
}

/// 16 halves.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn eights(halves: &[[u8; 2]; 16]) -> [__m256; 2] {
    [0, 8].map(|at| {
        // SAFETY: 16 bytes.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(halves[at..at + 8].as_ptr().cast()) })
    })
}

impl<'a> ScaledNibbles<'a> {
    pub(super) fn of(scaled: Scaled<'a>) -> Self {
        Self(Shared::of(scaled))
    }
}

impl<'a> ScaledBytes<'a> {
    pub(super) fn of(scaled: Scaled<'a>) -> Self {
        Self(Shared::of(scaled))
    }
}

/// The lower and upper codes of `N` bytes, where `x` has them.
#[target_feature(enable = "avx2")]
#[inline]
fn nibbles(bytes: [__m256i; 8]) -> [__m256i; 16] {
    let low = _mm256_set1_epi8(15);
    let mut codes = [_mm256_setzero_si256(); 16];
    for (four, bytes) in codes.as_chunks_mut::<4>().0.iter_mut().zip(bytes.as_chunks::<2>().0) {
        let [a, b] = *bytes;
        *four = [
            _mm256_and_si256(a, low),
            _mm256_and_si256(b, low),
            _mm256_and_si256(_mm256_srli_epi16::<4>(a), low),
            _mm256_and_si256(_mm256_srli_epi16::<4>(b), low),
        ];
    }
    codes
}

/// 32 bytes, and those asked for that are read soon.
#[target_feature(enable = "avx2")]
#[inline]
fn loaded(data: &[u8; 32], flip: __m256i) -> __m256i {
    ask(data.as_ptr());
    // SAFETY: 32 bytes.
    _mm256_xor_si256(unsafe { _mm256_loadu_si256(data.as_ptr().cast()) }, flip)
}

impl Row for ScaledNibbles<'_> {
    const CODES: Codes = Codes::Pairs;

    #[inline]
    fn begin(&mut self, start: usize) {
        self.0.row = self.0.scaled.row(start);
    }

    #[inline]
    fn units(&self) -> usize {
        self.0.scaled.units()
    }

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn unit(&self, number: usize) -> Unit {
        let room: [u8; UNIT / 2];
        let data = bytes!(room, self.0.row.codes, number * (UNIT / 2));
        let flip = _mm256_set1_epi8(if self.0.scaled.is_affine() { 0 } else { 0x88_u8.cast_signed() });
        let mut bytes = [_mm256_setzero_si256(); 8];
        for (bytes, data) in bytes.iter_mut().zip(data.as_chunks::<32>().0) {
            *bytes = loaded(data, flip);
        }
        let (scales, zeros) = self.0.of_unit(number, 4);
        Unit::new(&nibbles(bytes), scales, zeros)
    }
}

impl Row for ScaledBytes<'_> {
    const CODES: Codes = Codes::Bytes;

    #[inline]
    fn begin(&mut self, start: usize) {
        self.0.row = self.0.scaled.row(start);
    }

    #[inline]
    fn units(&self) -> usize {
        self.0.scaled.units()
    }

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn unit(&self, number: usize) -> Unit {
        let room: [u8; UNIT];
        let data = bytes!(room, self.0.row.codes, number * UNIT);
        let flip = _mm256_set1_epi8(if self.0.scaled.is_affine() { -128 } else { 0 });
        let mut codes = [_mm256_setzero_si256(); 16];
        for (codes, data) in codes.iter_mut().zip(data.as_chunks::<32>().0) {
            *codes = loaded(data, flip);
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
    const CODES: Codes = Codes::Pairs;

    #[inline]
    fn begin(&mut self, start: usize) {
        self.go(start);
    }

    #[inline]
    fn units(&self) -> usize {
        self.cols.div_ceil(UNIT)
    }

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn unit(&self, number: usize) -> Unit {
        let room: [u8; 288];
        let data = bytes!(room, self.row, number * 288);
        let mut bytes = [_mm256_setzero_si256(); 8];
        let mut halves = [[0; 2]; 16];
        let pairs = data.as_chunks::<36>().0.iter().zip(halves.as_chunks_mut::<2>().0);
        for (bytes, (pair, halves)) in bytes.iter_mut().zip(pairs) {
            ask(pair.as_ptr());
            // SAFETY: a pair of blocks is 36 bytes.
            *bytes = unsafe {
                _mm256_set_m128i(
                    _mm_loadu_si128(pair.as_ptr().add(20).cast()),
                    _mm_loadu_si128(pair.as_ptr().add(2).cast()),
                )
            };
            *halves = [[pair[0], pair[1]], [pair[18], pair[19]]];
        }
        Unit::new(&nibbles(bytes), eights(&halves), [_mm256_set1_epi32(8); 2])
    }
}

impl Row for EightBits<'_> {
    const CODES: Codes = Codes::Bytes;
    const HAS_ZEROS: bool = false;

    #[inline]
    fn begin(&mut self, start: usize) {
        self.go(start);
    }

    #[inline]
    fn units(&self) -> usize {
        self.cols.div_ceil(UNIT)
    }

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn unit(&self, number: usize) -> Unit {
        let room: [u8; 544];
        let data = bytes!(room, self.row, number * 544);
        let mut codes = [_mm256_setzero_si256(); 16];
        let mut halves = [[0; 2]; 16];
        for (codes, (block, half)) in codes.iter_mut().zip(data.as_chunks::<34>().0.iter().zip(&mut halves)) {
            ask(block.as_ptr());
            // SAFETY: a block is 34 bytes.
            *codes = unsafe { _mm256_loadu_si256(block.as_ptr().add(2).cast()) };
            *half = [block[0], block[1]];
        }
        Unit::new(&codes, eights(&halves), [_mm256_setzero_si256(); 2])
    }
}

impl Row for FourBits<'_> {
    const CODES: Codes = Codes::Turns;
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

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn unit(&self, number: usize) -> Unit {
        let room: [u8; 288];
        let data = bytes!(room, self.row, number * 288);
        let mut bytes = [_mm256_setzero_si256(); 8];
        let (mut scales, mut leasts) = ([_mm256_setzero_ps(); 2], [_mm256_setzero_ps(); 2]);
        for (half, block) in data.as_chunks::<144>().0.iter().enumerate() {
            for (place, codes) in block[16..].as_chunks::<32>().0.iter().enumerate() {
                bytes[half * 4 + place] = loaded(codes, _mm256_setzero_si256());
            }
            let packed: [u8; 12] = std::array::from_fn(|place| block[4 + place]);
            let pairs: [(u8, u8); 8] = std::array::from_fn(|run| six_bits(&packed, run));
            let both =
                _mm_cvtph_ps(_mm_cvtsi32_si128(i32::from_le_bytes([block[0], block[1], block[2], block[3]])));
            let steps = numbers(pairs.map(|(step, _)| step));
            let offs = numbers(pairs.map(|(_, off)| off));
            scales[half] = _mm256_mul_ps(_mm256_broadcastss_ps(both), steps);
            leasts[half] = _mm256_mul_ps(_mm256_broadcastss_ps(_mm_movehdup_ps(both)), offs);
        }
        Unit { codes: nibbles(bytes), scales, zeros: [_mm256_setzero_si256(); 2], leasts }
    }
}

/// Eight bytes as numbers.
#[target_feature(enable = "avx2")]
#[inline]
fn numbers(bytes: [u8; 8]) -> __m256 {
    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(bytes))))
}

impl Row for SixBits<'_> {
    const CODES: Codes = Codes::Fours;
    const COLUMNS: usize = 256;

    #[inline]
    fn begin(&mut self, start: usize) {
        self.go(start);
    }

    #[inline]
    fn units(&self) -> usize {
        self.cols / 256
    }

    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn unit(&self, number: usize) -> Unit {
        let room: [u8; 210];
        let data = bytes!(room, self.row, number * 210);
        let (low, upper) = (_mm256_set1_epi8(15), _mm256_set1_epi8(0x30));
        let mut codes = [_mm256_setzero_si256(); 16];
        let (lower, higher) = (data.as_chunks::<32>().0, data[128..192].as_chunks::<32>().0);
        for (part, codes) in codes.as_chunks_mut::<4>().0.iter_mut().take(2).enumerate() {
            let none = _mm256_setzero_si256();
            let (a, b) = (loaded(&lower[2 * part], none), loaded(&lower[2 * part + 1], none));
            let high = loaded(&higher[part], none);
            let with = |low: __m256i, high: __m256i| _mm256_or_si256(low, _mm256_and_si256(high, upper));
            *codes = [
                with(_mm256_and_si256(a, low), _mm256_slli_epi16::<4>(high)),
                with(_mm256_and_si256(b, low), _mm256_slli_epi16::<2>(high)),
                with(_mm256_and_si256(_mm256_srli_epi16::<4>(a), low), high),
                with(_mm256_and_si256(_mm256_srli_epi16::<4>(b), low), _mm256_srli_epi16::<2>(high)),
            ];
        }
        let whole = _mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(u16::from_le_bytes([data[208], data[209]]))));
        let scales = [192, 200].map(|at| {
            let eight: [u8; 8] = std::array::from_fn(|place| data[at + place]);
            let levels = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(eight)));
            _mm256_mul_ps(_mm256_broadcastss_ps(whole), _mm256_cvtepi32_ps(levels))
        });
        Unit::new(&codes, scales, [_mm256_set1_epi32(32); 2])
    }
}
