//! Rounded vectors: 32 products of bytes in two instructions, the first of which adds two to 16 bits.
//!
//! It takes one side without a sign and would saturate beyond 16 bits, but never does: codes of six bits at most are moved up
//! to have no sign, and make pairs of at most `2 * 63 * 127`; bytes lend their sign to `x`, which is never -128, and make
//! pairs of at most `2 * 128 * 127`.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::dot;
use super::super::layout::{Block, Integers, Layout};
use super::super::rounded::units::{Scaled, Whole, bytes};
use super::super::rounded::{Form, LANES, LONG_BLOCK, Plan, Rounded, Vector, plain};
use super::rounded_units::{
    Codes, EightBits, FourBits, Nibbles, Row, ScaledBytes, ScaledNibbles, SixBits, Unit,
};

#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
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

#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
fn by_units<R: Row>(mut weight: R, rows: Range<usize>, x: &Rounded, y: &mut [f32]) {
    let count = rows.len();
    let vectors: Vec<Vector<'_>> = (0..x.batch()).map(|vector| x.vector(vector)).collect();
    for (place, row) in rows.enumerate() {
        weight.begin(row * x.cols());
        for (vector, x) in vectors.iter().enumerate() {
            y[vector * count + place] = product(&weight, *x);
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
#[inline]
fn product<R: Row>(row: &R, x: Vector<'_>) -> f32 {
    let units = row.units();
    let entries = units * LANES;
    assert!(x.codes.len() >= units * R::COLUMNS && x.scales.len() >= entries && x.sums.len() >= entries);
    let mut lanes = [_mm256_setzero_ps(); 2];
    for number in 0..units {
        // SAFETY: this function has the instructions.
        let unit = unsafe { row.unit(number) };
        // SAFETY: vectors are as long as so many units.
        let sums = unsafe { summed::<R>(&unit.codes, x.codes.as_ptr().add(number * R::COLUMNS)) };
        for (half, (lanes, sums)) in lanes.iter_mut().zip(sums).enumerate() {
            *lanes = joined::<R>(&unit, half, sums, x, number * LANES + half * 8, *lanes);
        }
    }
    total(lanes)
}

/// Adds eight sums of a unit, of which those of `x` begin at `entry`.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
#[inline]
fn joined<R: Row>(
    unit: &Unit,
    half: usize,
    sums: __m256i,
    x: Vector<'_>,
    entry: usize,
    lanes: __m256,
) -> __m256 {
    let (scales, of_codes) = (&x.scales[entry..entry + 8], &x.sums[entry..entry + 8]);
    // SAFETY: eight numbers each.
    let (steps, of_codes) =
        unsafe { (_mm256_loadu_ps(scales.as_ptr()), _mm256_loadu_si256(of_codes.as_ptr().cast())) };
    // Both are numbers of 16 bits.
    let sums = if R::HAS_ZEROS {
        _mm256_sub_epi32(
            sums,
            _mm256_madd_epi16(of_codes, _mm256_and_si256(unit.zeros[half], _mm256_set1_epi32(0xFFFF))),
        )
    } else {
        sums
    };
    let lanes = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), _mm256_mul_ps(unit.scales[half], steps), lanes);
    if R::HAS_LEASTS {
        let off = _mm256_mul_ps(unit.leasts[half], steps);
        return _mm256_fnmadd_ps(_mm256_cvtepi32_ps(of_codes), off, lanes);
    }
    lanes
}

/// The 16 sums of a unit, in the order of its runs.
///
/// # Safety
/// `x` is valid for reads of the columns of a unit.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
#[inline]
#[expect(clippy::many_single_char_names, reason = "registers")]
unsafe fn summed<R: Row>(codes: &[__m256i; 16], x: *const i8) -> [__m256i; 2] {
    let zero = _mm256_setzero_si256();
    let mut sums = [zero; 16];
    for register in 0..R::COLUMNS / 32 {
        // Codes are as `x` lies; of four bits, registers 4n and 4n + 1 belong with 4n + 2 and 4n + 3.
        // SAFETY: by the caller.
        let x = unsafe { _mm256_loadu_si256(x.add(register * 32).cast()) };
        sums[register] = if matches!(R::CODES, Codes::Bytes) {
            signed_products(codes[register], x)
        } else {
            products(codes[register], x)
        };
    }
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = sums;
    match R::CODES {
        Codes::Pairs => {
            let add = |a, b| _mm256_add_epi32(a, b);
            [
                fours([add(a, c), add(b, d), add(e, g), add(f, h)]),
                fours([add(i, k), add(j, l), add(m, o), add(n, p)]),
            ]
        }
        Codes::Fours => [fours([a, b, c, d]), fours([e, f, g, h])],
        Codes::Bytes => [eights([a, b, c, d, e, f, g, h]), eights([i, j, k, l, m, n, o, p])],
        Codes::Turns => [eights([a, c, b, d, e, g, f, h]), eights([i, k, j, l, m, o, n, p])],
    }
}

/// Products of bytes without a sign, 63 at most, and those of `x`, four in a lane.
#[target_feature(enable = "avx2")]
#[inline]
fn products(codes: __m256i, x: __m256i) -> __m256i {
    _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), _mm256_set1_epi16(1))
}

/// Products of bytes with a sign and those of `x`, none of which is -128.
#[target_feature(enable = "avx2")]
#[inline]
fn signed_products(codes: __m256i, x: __m256i) -> __m256i {
    products(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes))
}

/// Sums of the lanes of two times four of each register, one after the other.
#[target_feature(enable = "avx2")]
#[inline]
fn fours([a, b, c, d]: [__m256i; 4]) -> __m256i {
    let sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    _mm256_permutevar8x32_epi32(sums, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}

/// Sums of all lanes of each register.
#[target_feature(enable = "avx2")]
#[inline]
#[expect(clippy::many_single_char_names, reason = "registers")]
fn eights([a, b, c, d, e, f, g, h]: [__m256i; 8]) -> __m256i {
    let first = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let second = _mm256_hadd_epi32(_mm256_hadd_epi32(e, f), _mm256_hadd_epi32(g, h));
    let (low, high) =
        (_mm256_permute2x128_si256::<0x20>(first, second), _mm256_permute2x128_si256::<0x31>(first, second));
    _mm256_add_epi32(low, high)
}

#[target_feature(enable = "avx2")]
#[inline]
fn total(lanes: [__m256; 2]) -> f32 {
    let mut numbers = [0.0; LANES];
    for (numbers, lanes) in numbers.as_chunks_mut::<8>().0.iter_mut().zip(lanes) {
        // SAFETY: eight numbers.
        unsafe { _mm256_storeu_ps(numbers.as_mut_ptr(), lanes) };
    }
    dot::joined(numbers)
}

#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
fn whole_rows(integers: &Integers<'_>, plan: Plan, rows: Range<usize>, x: &Rounded, y: &mut [f32]) {
    let (count, cols) = (rows.len(), x.cols());
    let vectors: Vec<Vector<'_>> = (0..x.batch()).map(|vector| x.vector(vector)).collect();
    for (place, row) in rows.enumerate() {
        let start = row * cols;
        let whole = Whole::row(integers, start, cols);
        for (vector, x) in vectors.iter().enumerate() {
            y[vector * count + place] = match (&whole, integers.bits) {
                (None, _) => plain::one_scale(integers, plan, start, cols, *x),
                (Some(row), 4) => whole_row::<4>(row, integers.is_affine, cols, *x),
                (Some(row), _) => whole_row::<8>(row, integers.is_affine, cols, *x),
            };
        }
    }
}

/// The product of a row that has one scale.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
#[inline]
fn whole_row<const BITS: usize>(row: &Whole<'_>, is_affine: bool, cols: usize, x: Vector<'_>) -> f32 {
    let blocks = cols.div_ceil(LONG_BLOCK);
    // Bytes are taken with a sign, and less 128 where they have none.
    let (flip, zero) = match (is_affine, BITS) {
        (true, 4) => (0, row.zero),
        (true, _) => (0x80_u8, row.zero - 128),
        (false, 4) => (0x88, 8),
        (false, _) => (0, 0),
    };
    let (flip, low) = (_mm256_set1_epi8(flip.cast_signed()), _mm256_set1_epi8(15));
    let zeros = _mm256_set1_epi32(zero & 0xFFFF);
    let mut lanes = [_mm256_setzero_ps(); 2];
    let steps = x.scales.iter().zip(x.codes.as_chunks::<LONG_BLOCK>().0).zip(x.sums.as_chunks::<LANES>().0);
    for (block, ((&step, x), of_codes)) in (0..blocks).zip(steps) {
        let (few, many): ([u8; LONG_BLOCK / 2], [u8; LONG_BLOCK]);
        let mut sums = [_mm256_setzero_si256(); 2];
        if BITS == 4 {
            let data = bytes!(few, row.codes, block * LONG_BLOCK / 2);
            for (register, data) in data.as_chunks::<32>().0.iter().enumerate() {
                let at = register / 2 * 128 + register % 2 * 32;
                // SAFETY: 32 bytes each.
                let (codes, even, odd) = unsafe {
                    let codes = _mm256_loadu_si256(data.as_ptr().cast());
                    let x = x[at..at + 96].as_ptr();
                    (codes, _mm256_loadu_si256(x.cast()), _mm256_loadu_si256(x.add(64).cast()))
                };
                let codes = _mm256_xor_si256(codes, flip);
                let upper = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), low);
                let both =
                    _mm256_add_epi32(products(_mm256_and_si256(codes, low), even), products(upper, odd));
                sums[register % 2] = _mm256_add_epi32(sums[register % 2], both);
            }
        } else {
            let data = bytes!(many, row.codes, block * LONG_BLOCK);
            for (data, x) in data.as_chunks::<64>().0.iter().zip(x.as_chunks::<64>().0) {
                for (half, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: 64 bytes each.
                    let (codes, x) = unsafe {
                        (
                            _mm256_loadu_si256(data.as_ptr().add(32 * half).cast()),
                            _mm256_loadu_si256(x.as_ptr().add(32 * half).cast()),
                        )
                    };
                    *sums = _mm256_add_epi32(*sums, signed_products(_mm256_xor_si256(codes, flip), x));
                }
            }
        }
        for ((lanes, sums), of_codes) in lanes.iter_mut().zip(sums).zip(of_codes.as_chunks::<8>().0) {
            // SAFETY: eight numbers.
            let of_codes = unsafe { _mm256_loadu_si256(of_codes.as_ptr().cast()) };
            let sums = _mm256_sub_epi32(sums, _mm256_madd_epi16(of_codes, zeros));
            *lanes = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), _mm256_set1_ps(step), *lanes);
        }
    }
    total(lanes) * row.scale
}
