//! Rounded vectors: 64 products of bytes in an instruction (VNNI), which adds those of four to a lane.
//!
//! The instruction takes bytes without a sign for weights: codes are moved up by 8, 32 or 128 where they have one, and the
//! sums of `x` times that are taken off again. A unit of 512 columns is unpacked once for up to eight vectors; its lanes are
//! added up to 16 sums, one for each run, so that scales are multiplied once for a run.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::layout::{Block, Integers, Layout};
use super::super::rounded::units::{Scaled, Whole, bytes};
use super::super::rounded::{Form, LANES, LONG_BLOCK, Plan, ROUNDED_BATCH, Rounded, Vector, plain};
use super::lanes::ask_far;
use super::rounded_units::{EightBits, FourBits, Nibbles, Row, ScaledBytes, ScaledNibbles, SixBits, Sums};

#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,avx2,fma,f16c,bmi2,popcnt"
)]
pub(super) fn multiply(layout: &Layout<'_>, plan: Plan, rows: Range<usize>, x: &Rounded, y: &mut [f32]) {
    let cols = x.cols();
    match (layout, plan.form) {
        (Layout::Integers(integers), Form::Row { .. }) => whole_rows(integers, plan, rows, x, y),
        (Layout::Integers(integers), Form::Blocks { .. }) => match Scaled::of(integers, cols) {
            Some(scaled) if integers.bits == 4 => by_units(ScaledNibbles::of(scaled), rows, x, y),
            Some(scaled) => by_units(ScaledBytes::of(scaled), rows, x, y),
            None => plain::multiply(layout, plan, rows, x, y),
        },
        (Layout::Blocks { block, data }, _) => match block {
            Block::Q4_0 => by_units(Nibbles::of(data, cols), rows, x, y),
            Block::Q8_0 => by_units(EightBits::of(data, cols), rows, x, y),
            Block::Q4K => by_units(FourBits::of(data, cols), rows, x, y),
            Block::Q6K => by_units(SixBits::of(data, cols), rows, x, y),
        },
        _ => plain::multiply(layout, plan, rows, x, y),
    }
}

/// All vectors; beyond their number the last one again.
fn vectors(x: &Rounded) -> [Vector<'_>; ROUNDED_BATCH] {
    std::array::from_fn(|vector| x.vector(vector.min(x.batch() - 1)))
}

#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,avx2,fma,f16c,bmi2,popcnt"
)]
fn by_units<R: Row>(mut weight: R, rows: Range<usize>, x: &Rounded, y: &mut [f32]) {
    let (count, batch, vectors) = (rows.len(), x.batch(), vectors(x));
    for (place, row) in rows.enumerate() {
        weight.begin(row * x.cols());
        let mut done = 0;
        while done < batch {
            let x = &vectors[done..];
            let mut results = [0.0; 8];
            let taken = match batch - done {
                8.. => product::<R, 8>(&weight, x, &mut results),
                4.. => product::<R, 4>(&weight, x, &mut results),
                2.. => product::<R, 2>(&weight, x, &mut results),
                _ => product::<R, 1>(&weight, x, &mut results),
            };
            for (vector, result) in results[..taken].iter().enumerate() {
                y[(done + vector) * count + place] = *result;
            }
            done += taken;
        }
    }
}

/// The products of a row with the first `N` of the vectors.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,avx2,fma,f16c,bmi2,popcnt"
)]
#[inline]
fn product<R: Row, const N: usize>(row: &R, x: &[Vector<'_>], results: &mut [f32; 8]) -> usize {
    let units = row.units();
    let x: &[Vector<'_>; N] = x.first_chunk().unwrap_or_else(|| unreachable!());
    for x in x {
        let entries = units * LANES;
        assert!(x.codes.len() >= units * R::COLUMNS && x.scales.len() >= entries && x.sums.len() >= entries);
    }
    let mut lanes = [_mm512_setzero_ps(); N];
    for number in 0..units {
        // SAFETY: this function has the instructions.
        let unit = unsafe { row.unit(number) };
        for (lanes, x) in lanes.iter_mut().zip(x) {
            // SAFETY: vectors are as long as so many units.
            unsafe {
                let sums = summed::<R>(&unit.codes, x.codes.as_ptr().add(number * R::COLUMNS));
                let of_codes = _mm512_loadu_si512(x.sums.as_ptr().add(number * LANES).cast());
                let steps = _mm512_loadu_ps(x.scales.as_ptr().add(number * LANES));
                let sums = if R::HAS_ZEROS { _mm512_dpwssd_epi32(sums, of_codes, unit.zeros) } else { sums };
                *lanes = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), _mm512_mul_ps(unit.scales, steps), *lanes);
                if R::HAS_LEASTS {
                    let off = _mm512_mul_ps(unit.leasts, steps);
                    *lanes = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(of_codes), off, *lanes);
                }
            }
        }
    }
    for (result, lanes) in results.iter_mut().zip(lanes) {
        *result = total(lanes);
    }
    N
}

/// The 16 sums of a unit, in the order of its runs.
///
/// # Safety
/// `x` is valid for reads of 64 bytes for each register of codes that `R` fills.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,avx2,fma,f16c,bmi2,popcnt"
)]
#[inline]
#[expect(clippy::many_single_char_names, reason = "registers")]
unsafe fn summed<R: Row>(codes: &[__m512i; 8], x: *const i8) -> __m512i {
    let zero = _mm512_setzero_si512();
    let mut sums = [zero; 8];
    let registers = R::COLUMNS / 64;
    let each = if matches!(R::SUMS, Sums::Pairs) { 2 } else { 1 };
    for register in 0..registers {
        // SAFETY: by the caller.
        let x = unsafe { _mm512_loadu_si512(x.add(register * 64).cast()) };
        sums[register / each] = _mm512_dpbusd_epi32(sums[register / each], codes[register], x);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    match R::SUMS {
        Sums::Pairs => turned(short_quads([a, b, c, d])),
        Sums::Fours => turned(quads([a, b, c, d])),
        Sums::Eights => {
            let order = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
            _mm512_permutexvar_epi32(order, halved(quads([a, b, c, d]), quads([e, f, g, h])))
        }
        Sums::Turns => {
            let order = _mm512_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
            _mm512_permutexvar_epi32(order, halved(short_quads([a, b, c, d]), short_quads([e, f, g, h])))
        }
    }
}

/// Of each 128 bits the sum of the four lanes of each register.
#[target_feature(enable = "avx512f")]
#[inline]
fn quads([a, b, c, d]: [__m512i; 4]) -> __m512i {
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd))
}

/// The same where two lanes together have less than 16 bits: of codes of four bits, 16 products are 30480 at most.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn short_quads([a, b, c, d]: [__m512i; 4]) -> __m512i {
    let ones = _mm512_set1_epi16(1);
    let ab = _mm512_madd_epi16(_mm512_packs_epi32(a, b), ones);
    let cd = _mm512_madd_epi16(_mm512_packs_epi32(c, d), ones);
    _mm512_madd_epi16(_mm512_packs_epi32(ab, cd), ones)
}

/// Sums of two neighbouring 128 bits: those of the first register, then those of the second.
#[target_feature(enable = "avx512f")]
#[inline]
fn halved(first: __m512i, second: __m512i) -> __m512i {
    let even = _mm512_shuffle_i32x4::<0b10_00_10_00>(first, second);
    let odd = _mm512_shuffle_i32x4::<0b11_01_11_01>(first, second);
    _mm512_add_epi32(even, odd)
}

/// Lane `4 * a + b` brought to `4 * b + a`.
#[target_feature(enable = "avx512f")]
#[inline]
fn turned(sums: __m512i) -> __m512i {
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_permutexvar_epi32(order, sums)
}

/// The sum of all lanes, as `dot::joined` has it.
#[target_feature(enable = "avx512f,avx512dq,avx2")]
#[inline]
fn total(lanes: __m512) -> f32 {
    let eight = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps::<1>(lanes));
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,avx2,fma,f16c,bmi2,popcnt"
)]
fn whole_rows(integers: &Integers<'_>, plan: Plan, rows: Range<usize>, x: &Rounded, y: &mut [f32]) {
    let (count, batch, cols, vectors) = (rows.len(), x.batch(), x.cols(), vectors(x));
    for (place, row) in rows.enumerate() {
        let start = row * cols;
        let Some(row) = Whole::row(integers, start, cols) else {
            for (vector, x) in vectors[..batch].iter().enumerate() {
                y[vector * count + place] = plain::one_scale(integers, plan, start, cols, *x);
            }
            continue;
        };
        let mut done = 0;
        while done < batch {
            let mut results = [0.0; 8];
            let x = &vectors[done..];
            let taken = match (integers.bits, batch - done) {
                (4, 8..) => whole_row::<4, 8>(&row, integers.is_affine, cols, x, &mut results),
                (4, 4..) => whole_row::<4, 4>(&row, integers.is_affine, cols, x, &mut results),
                (4, _) => whole_row::<4, 1>(&row, integers.is_affine, cols, x, &mut results),
                (_, 8..) => whole_row::<8, 8>(&row, integers.is_affine, cols, x, &mut results),
                (_, 4..) => whole_row::<8, 4>(&row, integers.is_affine, cols, x, &mut results),
                _ => whole_row::<8, 1>(&row, integers.is_affine, cols, x, &mut results),
            };
            for (vector, result) in results[..taken].iter().enumerate() {
                y[(done + vector) * count + place] = *result;
            }
            done += taken;
        }
    }
}

/// The products of a row that has one scale with the first `N` of the vectors.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,avx2,fma,f16c,bmi2,popcnt"
)]
#[inline]
fn whole_row<const BITS: usize, const N: usize>(
    row: &Whole<'_>,
    is_affine: bool,
    cols: usize,
    x: &[Vector<'_>],
    results: &mut [f32; 8],
) -> usize {
    let x: &[Vector<'_>; N] = x.first_chunk().unwrap_or_else(|| unreachable!());
    let blocks = cols.div_ceil(LONG_BLOCK);
    for x in x {
        let columns = blocks * LONG_BLOCK;
        assert!(x.codes.len() >= columns && x.scales.len() >= blocks && x.sums.len() >= blocks * LANES);
    }
    let (flip, zero) = match (is_affine, BITS) {
        (true, _) => (0, row.zero),
        (false, 4) => (0x88, 8),
        (false, _) => (0x80_u8, 128),
    };
    let flip = _mm512_set1_epi8(flip.cast_signed());
    let zeros = _mm512_set1_epi32(-zero & 0xFFFF);
    let mut lanes = [_mm512_setzero_ps(); N];
    for block in 0..blocks {
        let (few, many): ([u8; LONG_BLOCK / 2], [u8; LONG_BLOCK]);
        // SAFETY: a block has so many bytes.
        let codes = unsafe {
            if BITS == 4 {
                let data = bytes!(few, row.codes, block * LONG_BLOCK / 2).as_ptr();
                let [a, b] = [0, 64].map(|at| nibbles(loaded(data.add(at), flip)));
                [a[0], a[1], b[0], b[1]]
            } else {
                let data = bytes!(many, row.codes, block * LONG_BLOCK).as_ptr();
                [
                    loaded(data, flip),
                    loaded(data.add(64), flip),
                    loaded(data.add(128), flip),
                    loaded(data.add(192), flip),
                ]
            }
        };
        for (lanes, x) in lanes.iter_mut().zip(x) {
            // SAFETY: vectors are as long as so many blocks.
            unsafe {
                let of_codes = _mm512_loadu_si512(x.sums.as_ptr().add(block * LANES).cast());
                let mut sums = _mm512_dpwssd_epi32(_mm512_setzero_si512(), of_codes, zeros);
                for (register, codes) in codes.iter().enumerate() {
                    let x =
                        _mm512_loadu_si512(x.codes.as_ptr().add(block * LONG_BLOCK + register * 64).cast());
                    sums = _mm512_dpbusd_epi32(sums, *codes, x);
                }
                let step = _mm512_set1_ps(*x.scales.as_ptr().add(block));
                *lanes = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), step, *lanes);
            }
        }
    }
    for (result, lanes) in results.iter_mut().zip(lanes) {
        *result = total(lanes) * row.scale;
    }
    N
}

/// 64 bytes with the bits of `flip` turned, and those asked for that are read soon.
///
/// # Safety
/// They may be read.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) unsafe fn loaded(data: *const u8, flip: __m512i) -> __m512i {
    ask_far::<64>(data);
    // SAFETY: by the caller.
    _mm512_xor_si512(unsafe { _mm512_loadu_si512(data.cast()) }, flip)
}

/// The lower codes of four bits, and the upper ones.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(super) fn nibbles(bytes: __m512i) -> [__m512i; 2] {
    let low = _mm512_set1_epi8(15);
    [_mm512_and_si512(bytes, low), _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), low)]
}
