//! BF16 of codes of four bits in one go: what [`super::Kernel::expand`] and [`super::Kernel::merge`] do, in registers of
//! AVX-512 with VBMI. Only called where [`Isa::Avx512`](super::Isa) is available.
//!
//! ```text
//!  64 codes ──► nibbles in bytes ──► exponent's upper bits ──┬─► upper bytes ──┐
//!                              └───► exponent's last bit ──┬─┼─► lower bytes ──┴─► interleaved, 64 numbers
//!  64 near bytes ──────────────────────────────────────────┴─┘
//! ```
#![expect(unsafe_code, reason = "vector instructions on slices that were cut to fit")]

use std::arch::x86_64::{
    __m512i, _MM_HINT_T0, _mm_prefetch, _mm256_loadu_si256, _mm512_castsi256_si512, _mm512_loadu_si512,
    _mm512_movepi8_mask, _mm512_permutexvar_epi8, _mm512_permutexvar_epi64, _mm512_set1_epi8,
    _mm512_set1_epi16, _mm512_setzero_si512, _mm512_srli_epi16, _mm512_ternarylogic_epi32,
    _mm512_unpackhi_epi8, _mm512_unpacklo_epi8,
};
use std::slice::Iter;

use super::super::fixed;
use crate::codec::kernel::avx512::pen::BrainPen;

/// The truth table of "the second where the third has ones, else the first".
const CHOOSE: i32 = 0xD8;
/// Elements of a step, bytes of their codes, and of their numbers.
const STEP: usize = 64;

/// Near bytes that are asked for before they are read: a page, at whose end processors stop to guess.
const AHEAD: usize = 4096;

/// Eights of elements in the order in which interleaving by lanes puts them in a row.
const EIGHTS: [u64; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

/// Writes as many numbers as there are near bytes, escaped exponents among them; whether there were enough of those.
pub(super) fn bf16(
    codes: &[u8],
    table: &[u8; 16],
    escapes: &mut Iter<'_, u8>,
    near: &[u8],
    pen: &mut BrainPen<'_>,
) -> bool {
    let steps = (codes.len() / (STEP / 2)).min(near.len() / STEP);
    let (wide_codes, codes) = codes.split_at(steps.wrapping_mul(STEP / 2));
    let (wide_near, near) = near.split_at(steps.wrapping_mul(STEP));
    // SAFETY: the processor has these instructions.
    let is_enough = unsafe { steps_of(wide_codes, table, escapes, wide_near, pen) };
    let (mut exponents, mut bytes, mut numbers) = ([0; STEP], [0; 2 * STEP], [0; STEP]);
    let count = near.len().min(STEP);
    let is_all = fixed::expand(codes, table, escapes, &mut exponents[..count]);
    super::Form::Bf16.merge(&exponents[..count], super::Plain { near, far: &[] }, &mut bytes);
    for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *number = u16::from_le_bytes(*bytes);
    }
    pen.put(&numbers, count);
    is_enough && is_all
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,bmi2")]
fn steps_of(
    codes: &[u8],
    table: &[u8; 16],
    escapes: &mut Iter<'_, u8>,
    near: &[u8],
    pen: &mut BrainPen<'_>,
) -> bool {
    // Tables of 64 entries: what stands above a nibble does not count. The upper one marks escapes in the bit of the sign.
    let (mut upper, mut lower, mut places) = ([0_u8; 64], [0_u8; 64], [0_u8; 64]);
    for (place, (upper, lower)) in upper.iter_mut().zip(&mut lower).enumerate() {
        let exponent = table[place & 15];
        *upper = exponent >> 1 | if place & 15 == 15 { 0x80 } else { 0 };
        *lower = exponent << 7;
    }
    for (place, byte) in places.iter_mut().enumerate() {
        let element = usize::try_from(EIGHTS[place / 8]).unwrap_or(0).wrapping_mul(8).wrapping_add(place % 8);
        *byte = u8::try_from(element / 2).unwrap_or(0);
    }
    // SAFETY: each is 64 bytes.
    let (upper, lower, places, eights) = unsafe {
        (
            _mm512_loadu_si512(upper.as_ptr().cast()),
            _mm512_loadu_si512(lower.as_ptr().cast()),
            _mm512_loadu_si512(places.as_ptr().cast()),
            _mm512_loadu_si512(EIGHTS.as_ptr().cast()),
        )
    };
    let odd = _mm512_set1_epi16(0xFF00_u16.cast_signed());
    let sign = _mm512_set1_epi8(0x80_u8.cast_signed());
    let mut is_enough = true;
    let inputs = (codes.as_chunks::<32>().0, near.as_chunks::<STEP>().0);
    let zero = _mm512_setzero_si512();
    pen.steps(inputs.0.len().min(inputs.1.len()), |step| {
        let (codes, near) = (&inputs.0[step], &inputs.1[step]);
        // Any address may be asked for, there or not.
        _mm_prefetch::<_MM_HINT_T0>(near.as_ptr().wrapping_add(AHEAD).cast());
        _mm_prefetch::<_MM_HINT_T0>(codes.as_ptr().wrapping_add(AHEAD / 2).cast());
        // SAFETY: 32 bytes, and 64.
        let (pairs, plain) =
            unsafe { (_mm256_loadu_si256(codes.as_ptr().cast()), _mm512_loadu_si512(near.as_ptr().cast())) };
        let pairs = _mm512_permutexvar_epi8(places, _mm512_castsi256_si512(pairs));
        let nibbles = _mm512_ternarylogic_epi32::<CHOOSE>(pairs, _mm512_srli_epi16::<4>(pairs), odd);
        let plain = _mm512_permutexvar_epi64(eights, plain);
        let mut high = _mm512_permutexvar_epi8(nibbles, upper);
        let mut low = _mm512_permutexvar_epi8(nibbles, lower);
        if _mm512_movepi8_mask(high) != 0 {
            let mut exponents = [0; STEP];
            is_enough &= fixed::expand(codes, table, escapes, &mut exponents);
            (high, low) = halves(&exponents, eights);
        }
        let high = _mm512_ternarylogic_epi32::<CHOOSE>(high, plain, sign);
        let low = _mm512_ternarylogic_epi32::<CHOOSE>(plain, low, sign);
        [_mm512_unpacklo_epi8(low, high), _mm512_unpackhi_epi8(low, high), zero, zero]
    });
    is_enough
}

/// Exponents without their last bits, and those bits, in the order of [`EIGHTS`].
#[target_feature(enable = "avx512f,avx512bw")]
fn halves(exponents: &[u8; STEP], eights: __m512i) -> (__m512i, __m512i) {
    let (mut high, mut low) = ([0_u8; STEP], [0_u8; STEP]);
    for ((high, low), exponent) in high.iter_mut().zip(&mut low).zip(exponents) {
        (*high, *low) = (exponent >> 1, exponent << 7);
    }
    // SAFETY: each is 64 bytes.
    let (high, low) =
        unsafe { (_mm512_loadu_si512(high.as_ptr().cast()), _mm512_loadu_si512(low.as_ptr().cast())) };
    (_mm512_permutexvar_epi64(eights, high), _mm512_permutexvar_epi64(eights, low))
}
