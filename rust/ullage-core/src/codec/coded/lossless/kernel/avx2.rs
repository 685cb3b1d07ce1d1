//! AVX2. Only called where [`Isa::Avx2`](super::Isa) is available, which [`super::Kernel::new`] sees to.
#![expect(
    unsafe_code,
    reason = "vector instructions, and stores past the caches, of slices that were cut to fit"
)]

use std::arch::x86_64::{
    __m256i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm_sfence, _mm256_and_si256,
    _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_cvtepu8_epi16, _mm256_loadu_si256,
    _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_shuffle_epi8, _mm256_slli_epi16,
    _mm256_storeu_si256, _mm256_stream_si256,
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

#[target_feature(enable = "avx2,bmi2")]
fn expand_wide(codes: &[u8], table: &[u8; 16], escapes: &mut Iter<'_, u8>, exponents: &mut [u8]) -> bool {
    let count = (codes.len() / 16).min(exponents.len() / 32);
    let (wide_codes, codes_rest) = codes.split_at(count.wrapping_mul(16));
    let (wide_out, exponents_rest) = exponents.split_at_mut(count.wrapping_mul(32));
    // SAFETY: 16 bytes.
    let exponent_of = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().cast()) });
    let half = _mm256_set1_epi8(0x0F);
    let mut is_enough = true;
    for (codes, out) in wide_codes.as_chunks::<16>().0.iter().zip(wide_out.as_chunks_mut::<32>().0) {
        // SAFETY: 16 bytes.
        let pairs = _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(codes.as_ptr().cast()) });
        let each = _mm256_and_si256(_mm256_or_si256(pairs, _mm256_slli_epi16::<4>(pairs)), half);
        let marks = _mm256_movemask_epi8(_mm256_cmpeq_epi8(each, half)).cast_unsigned();
        // SAFETY: 32 bytes.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_shuffle_epi8(exponent_of, each)) };
        if marks != 0 {
            is_enough &= fixed::patch(u64::from(marks), escapes, out);
        }
    }
    is_enough & fixed::expand(codes_rest, table, escapes, exponents_rest)
}

pub(super) fn merge(form: Form, exponents: &[u8], plain: Plain<'_>, out: &mut [u8]) {
    // SAFETY: the processor has these instructions.
    unsafe { merge_wide(form, exponents, plain, out) }
}

#[target_feature(enable = "avx2,bmi2")]
fn merge_wide(form: Form, exponents: &[u8], plain: Plain<'_>, out: &mut [u8]) {
    form.merge(exponents, plain, out);
}

pub(super) fn stream(from: &[u8], to: &mut [u8]) {
    assert_eq!(from.len(), to.len());
    // SAFETY: the processor has these instructions; any bytes make a vector.
    unsafe {
        let (head, body, tail) = to.align_to_mut::<__m256i>();
        stream_aligned(from, head, body, tail);
    }
}

#[target_feature(enable = "avx2")]
fn stream_aligned(from: &[u8], head: &mut [u8], body: &mut [__m256i], tail: &mut [u8]) {
    let (first, rest) = from.split_at(head.len());
    head.copy_from_slice(first);
    let (middle, last) = rest.as_chunks::<32>();
    for (to, from) in body.iter_mut().zip(middle) {
        // SAFETY: both are 32 bytes, and `to` is aligned.
        unsafe { _mm256_stream_si256(std::ptr::from_mut(to), _mm256_loadu_si256(from.as_ptr().cast())) };
    }
    tail.copy_from_slice(last);
}

pub(super) fn prefetch(bytes: &[u8]) {
    for line in bytes.chunks(64) {
        // SAFETY: any address may be asked for, and this one is there.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
}

/// Waits for what was written past the caches, so that another thread sees the bytes once it sees that they are done.
pub(super) fn drain() {
    // SAFETY: every x86-64 has it.
    unsafe { _mm_sfence() };
}
