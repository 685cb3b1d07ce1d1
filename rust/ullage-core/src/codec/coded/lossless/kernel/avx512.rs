//! AVX-512 with VBMI. Only called where [`Isa::Avx512`](super::Isa) is available, which [`super::Kernel::new`] sees to.
#![expect(
    unsafe_code,
    reason = "vector instructions, and stores past the caches, of slices that were cut to fit"
)]

use std::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm256_loadu_si256, _mm512_and_si512, _mm512_broadcast_i32x4,
    _mm512_cmpeq_epi8_mask, _mm512_cvtepu8_epi16, _mm512_loadu_si512, _mm512_or_si512,
    _mm512_permutexvar_epi8, _mm512_set1_epi8, _mm512_slli_epi16, _mm512_storeu_si512, _mm512_stream_si512,
};

use std::slice::Iter;

use super::super::fixed;
use super::{Form, Plain};

pub(super) fn expand(
    codes: &[u8],
    table: &[u8; 16],
    escapes: &mut Iter<'_, u8>,
    exponents: &mut [u8],
) -> bool {
    // SAFETY: the processor has these instructions.
    unsafe { expand_wide(codes, table, escapes, exponents) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,bmi2")]
fn expand_wide(codes: &[u8], table: &[u8; 16], escapes: &mut Iter<'_, u8>, exponents: &mut [u8]) -> bool {
    let count = (codes.len() / 32).min(exponents.len() / 64);
    let (wide_codes, codes_rest) = codes.split_at(count.wrapping_mul(32));
    let (wide_out, exponents_rest) = exponents.split_at_mut(count.wrapping_mul(64));
    // SAFETY: 16 bytes.
    let table_once = unsafe { _mm_loadu_si128(table.as_ptr().cast()) };
    let exponent_of = _mm512_broadcast_i32x4(table_once);
    let half = _mm512_set1_epi8(0x0F);
    let mut is_enough = true;
    for (codes, out) in wide_codes.as_chunks::<32>().0.iter().zip(wide_out.as_chunks_mut::<64>().0) {
        // SAFETY: 32 bytes.
        let pairs = _mm512_cvtepu8_epi16(unsafe { _mm256_loadu_si256(codes.as_ptr().cast()) });
        let each = _mm512_and_si512(_mm512_or_si512(pairs, _mm512_slli_epi16::<4>(pairs)), half);
        let marks = _mm512_cmpeq_epi8_mask(each, half);
        let found = _mm512_permutexvar_epi8(each, exponent_of);
        // SAFETY: 64 bytes.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), found) };
        if marks != 0 {
            is_enough &= fixed::patch(marks, escapes, out);
        }
    }
    is_enough & fixed::expand(codes_rest, table, escapes, exponents_rest)
}

pub(super) fn merge(form: Form, exponents: &[u8], plain: Plain<'_>, out: &mut [u8]) {
    // SAFETY: the processor has these instructions.
    unsafe { merge_wide(form, exponents, plain, out) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,bmi2")]
fn merge_wide(form: Form, exponents: &[u8], plain: Plain<'_>, out: &mut [u8]) {
    form.merge(exponents, plain, out);
}

pub(super) fn stream(from: &[u8], to: &mut [u8]) {
    assert_eq!(from.len(), to.len());
    // SAFETY: the processor has these instructions; any bytes make a vector.
    unsafe {
        let (head, body, tail) = to.align_to_mut::<__m512i>();
        stream_aligned(from, head, body, tail);
    }
}

#[target_feature(enable = "avx512f")]
fn stream_aligned(from: &[u8], head: &mut [u8], body: &mut [__m512i], tail: &mut [u8]) {
    let (first, rest) = from.split_at(head.len());
    head.copy_from_slice(first);
    let (middle, last) = rest.as_chunks::<64>();
    for (to, from) in body.iter_mut().zip(middle) {
        // SAFETY: both are 64 bytes, and `to` is aligned.
        unsafe { _mm512_stream_si512(std::ptr::from_mut(to), _mm512_loadu_si512(from.as_ptr().cast())) };
    }
    tail.copy_from_slice(last);
}
