//! Integers with scales. Those of four bits have so few values that each run has a table of them.

use std::arch::x86_64::*;

use super::super::dot::Sums;
use super::super::format::{Format, Kind, code};
use super::super::layout::Integers;
use super::super::portable;
use super::super::runs::Run;
use super::halves;
use super::lanes::{STEP, Source, ask, fuse, fuse_source, halved, narrowed, of_wide, of_words, write};
use super::pairs::fuse_pairs;
use super::palette::{Tables, of_tables};
use super::pen::Pen;

/// The blocks that most models are quantised in.
const BLOCK: usize = 32;

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
pub(super) fn decode<F: Format>(
    integers: &Integers<'_>,
    start: usize,
    count: usize,
    pen: &mut Pen<'_, F>,
    has_halves: bool,
) {
    let has_halves = has_halves && integers.bits == 8 && matches!(F::KIND, Kind::F16);
    let done = blocks::<F>(integers, start, count, pen, has_halves);
    for run in integers.sharing.of(start.saturating_add(done)..start.saturating_add(count)) {
        if has_halves {
            // SAFETY: the processor calculates with halves.
            unsafe { halves::run(integers, run, pen) };
            continue;
        }
        let (scale, zero) = portable::scale(integers, run.place);
        let (start, count) = (run.start, run.length);
        let plain = |start: usize, out: &mut [F::Word]| {
            portable::scaled::<F>(integers, Run { start, length: out.len(), place: run.place }, out);
        };
        if integers.bits == 4 {
            let levels = if integers.is_affine { affine_levels(i32::from(zero)) } else { signed_levels() };
            let table = Tables::<4>::of_wide::<F>(_mm512_mul_ps(levels, _mm512_set1_ps(scale)));
            write::<F, _>(&table, integers.codes, start, count, pen, plain);
        } else if integers.is_affine {
            let source =
                Bytes::<true> { scale: _mm512_set1_ps(scale), zero: _mm512_set1_epi32(i32::from(zero)) };
            write::<F, _>(&source, integers.codes, start, count, pen, plain);
        } else {
            let source = Bytes::<false> { scale: _mm512_set1_ps(scale), zero: _mm512_setzero_si512() };
            write::<F, _>(&source, integers.codes, start, count, pen, plain);
        }
    }
}

/// Adds the products of `x` and a row that has one scale, or one for each block of 32, and returns how many.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
pub(super) fn fused(integers: &Integers<'_>, start: usize, x: &[f32], sums: &mut Sums) -> usize {
    if let Some(blocks) = Blocks::of(integers, start, x.len()) {
        return match (integers.bits, integers.is_affine) {
            (4, false) => fuse_pairs(sums, x, blocks.pairs(), |step| blocks.tables::<false>(step)),
            (4, true) => fuse_pairs(sums, x, blocks.pairs(), |step| blocks.tables::<true>(step)),
            (_, false) => fuse(sums, x, blocks.steps, |step| blocks.bytes::<false>(step)),
            (_, true) => fuse(sums, x, blocks.steps, |step| blocks.bytes::<true>(step)),
        };
    }
    let run = match integers.sharing.of(start..start.saturating_add(x.len())).next() {
        Some(run) if start.is_multiple_of(2) && run.length == x.len() => run,
        _ => return 0,
    };
    let (scale, zero) = portable::scale(integers, run.place);
    let (scale, zero) = (_mm512_set1_ps(scale), i32::from(zero));
    let codes = integers.codes.get(start / 2 * (integers.bits as usize / 4)..).unwrap_or_default();
    if integers.bits == 4 {
        let levels = if integers.is_affine { affine_levels(zero) } else { signed_levels() };
        let table = _mm512_mul_ps(levels, scale);
        fuse_pairs(sums, x, codes.as_chunks().0, |_| [table; 4])
    } else if integers.is_affine {
        fuse_source(&Bytes::<true> { scale, zero: _mm512_set1_epi32(zero) }, codes, sums, x)
    } else {
        fuse_source(&Bytes::<false> { scale, zero: _mm512_setzero_si512() }, codes, sums, x)
    }
}

/// Writes blocks of 32, two at a time, from the begin of one on; returns how many elements it has written.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
fn blocks<F: Format>(
    integers: &Integers<'_>,
    start: usize,
    count: usize,
    pen: &mut Pen<'_, F>,
    has_halves: bool,
) -> usize {
    let Some(blocks) = Blocks::of(integers, start, count) else { return 0 };
    match (integers.bits, integers.is_affine) {
        // SAFETY: the processor calculates with halves.
        _ if has_halves => unsafe { halves::blocks(&blocks, integers.is_affine, pen) },
        (4, false) => pen.steps(blocks.steps, |step| blocks.nibbles::<F, false>(step)),
        (4, true) => pen.steps(blocks.steps, |step| blocks.nibbles::<F, true>(step)),
        (_, false) => pen.steps(blocks.steps, |step| of_wide::<F>(blocks.bytes::<false>(step))),
        (_, true) => pen.steps(blocks.steps, |step| of_wide::<F>(blocks.bytes::<true>(step))),
    }
    blocks.steps * STEP
}

/// Steps of two blocks of 32 with a scale each, all of whose data are there.
pub(super) struct Blocks<'a> {
    pub(super) codes: &'a [u8],
    pub(super) scales: &'a [[u8; 4]],
    zeros: &'a [u8],
    place: usize,
    pub(super) steps: usize,
}

impl<'a> Blocks<'a> {
    fn of(integers: &Integers<'a>, start: usize, length: usize) -> Option<Self> {
        if !integers.sharing.is_even(BLOCK) || !start.is_multiple_of(STEP) {
            return None;
        }
        let bytes = integers.bits as usize * 8;
        let codes = integers.codes.get(start / STEP * bytes..)?;
        let scales = integers.scales.get(start / BLOCK * 2..)?.as_chunks::<4>().0;
        let steps = (length / STEP).min(codes.len() / bytes).min(scales.len());
        Some(Self { codes, scales, zeros: integers.zeros, place: start / BLOCK, steps })
    }

    /// The zero points of the two blocks of a step.
    #[inline]
    pub(super) fn zeros_of(&self, step: usize, bits: u32) -> [i32; 2] {
        let first = self.place + 2 * step;
        [first, first + 1].map(|place| i32::from(code(self.zeros, place, bits)))
    }

    /// The elements of a step, which must be one of them, of four bits as numbers of `F`: of 16 bits from tables of such.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    fn nibbles<F: Format, const AFFINE: bool>(&self, step: usize) -> [__m512i; 4] {
        let codes = &self.codes[step * STEP / 2..(step + 1) * STEP / 2];
        ask(codes.as_ptr());
        let tables = self.tables::<AFFINE>(step);
        if matches!(F::KIND, Kind::F32) {
            // SAFETY: `codes` is 32 bytes.
            return of_wide::<F>(unsafe { of_tables(tables, codes.as_ptr()) });
        }
        of_words([(tables[0], 0), (tables[2], 16)].map(|(table, at)| {
            let table = halved::<F>(table);
            // SAFETY: `codes` is 32 bytes.
            let bytes = unsafe { _mm_loadu_si128(codes.as_ptr().add(at).cast()) };
            let pairs = _mm512_cvtepu8_epi32(bytes);
            let both = _mm512_or_si512(pairs, _mm512_slli_epi32::<12>(pairs));
            let places = _mm512_and_si512(both, _mm512_set1_epi16(15));
            _mm512_permutexvar_epi16(places, _mm512_castsi256_si512(table))
        }))
    }

    /// Codes of four bits, step by step.
    fn pairs(&self) -> &[[u8; STEP / 2]] {
        let steps = self.codes.as_chunks().0;
        &steps[..self.steps.min(steps.len())]
    }

    /// The scales of the two blocks of a step.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    fn scales_of(&self, step: usize) -> [__m512; 2] {
        let both = _mm_cvtph_ps(_mm_cvtsi32_si128(i32::from_le_bytes(self.scales[step])));
        [_mm512_broadcastss_ps(both), _mm512_broadcastss_ps(_mm_movehdup_ps(both))]
    }

    /// What codes of four bits stand for, for each 16 of a step.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    fn tables<const AFFINE: bool>(&self, step: usize) -> [__m512; 4] {
        let levels = if AFFINE {
            self.zeros_of(step, 4).map(|zero| affine_levels(zero))
        } else {
            [signed_levels(); 2]
        };
        let scales = self.scales_of(step);
        let [a, b] = [_mm512_mul_ps(levels[0], scales[0]), _mm512_mul_ps(levels[1], scales[1])];
        [a, a, b, b]
    }

    /// The elements of a step, which must be one of them, of eight bits.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    fn bytes<const AFFINE: bool>(&self, step: usize) -> [__m512; 4] {
        let codes = &self.codes[step * STEP..(step + 1) * STEP];
        let zeros = if AFFINE { self.zeros_of(step, 8) } else { [0; 2] };
        ask(codes.as_ptr());
        let levels = [0, 1, 2, 3].map(|lane| {
            // SAFETY: `codes` is 64 bytes.
            let bytes = unsafe { _mm_loadu_si128(codes.as_ptr().add(lane * 16).cast()) };
            if AFFINE {
                _mm512_sub_epi32(_mm512_cvtepu8_epi32(bytes), _mm512_set1_epi32(zeros[lane / 2]))
            } else {
                _mm512_cvtepi8_epi32(bytes)
            }
        });
        scaled(levels, self.scales_of(step))
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn scaled(levels: [__m512i; 4], scales: [__m512; 2]) -> [__m512; 4] {
    let [a, b, c, d] = levels.map(|level| _mm512_cvtepi32_ps(level));
    [
        _mm512_mul_ps(a, scales[0]),
        _mm512_mul_ps(b, scales[0]),
        _mm512_mul_ps(c, scales[1]),
        _mm512_mul_ps(d, scales[1]),
    ]
}

/// What codes of four bits stand for, in two's complement.
#[target_feature(enable = "avx512f")]
#[inline]
fn signed_levels() -> __m512 {
    _mm512_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0)
}

/// The same above a zero point.
#[target_feature(enable = "avx512f")]
#[inline]
fn affine_levels(zero: i32) -> __m512 {
    let places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm512_cvtepi32_ps(_mm512_sub_epi32(places, _mm512_set1_epi32(zero)))
}

/// Integers of eight bits.
struct Bytes<const AFFINE: bool> {
    scale: __m512,
    zero: __m512i,
}

impl<const AFFINE: bool> Source for Bytes<AFFINE> {
    const BITS: usize = 8;

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn wide(&self, data: *const u8) -> [__m512; 4] {
        let mut lanes = [_mm512_setzero_ps(); 4];
        for (place, lanes) in lanes.iter_mut().enumerate() {
            // SAFETY: 64 bytes may be read.
            let codes = unsafe { _mm_loadu_si128(data.add(place * 16).cast()) };
            let levels = if AFFINE {
                _mm512_sub_epi32(_mm512_cvtepu8_epi32(codes), self.zero)
            } else {
                _mm512_cvtepi8_epi32(codes)
            };
            *lanes = _mm512_mul_ps(_mm512_cvtepi32_ps(levels), self.scale);
        }
        lanes
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
