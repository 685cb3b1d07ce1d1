//! Advanced SIMD, which every 64-bit ARM has.
#![expect(unsafe_code, reason = "vector instructions, of slices that were cut to fit")]

use std::arch::aarch64::{
    uint8x16x2_t, vandq_u8, vceqq_u8, vdupq_n_u8, vld1q_u8, vmaxvq_u8, vorrq_u8, vqtbl1q_u8, vshrq_n_u8,
    vst2q_u8,
};

use std::slice::Iter;

use super::super::fixed;

pub(super) fn expand(
    codes: &[u8],
    table: &[u8; 16],
    escapes: &mut Iter<'_, u8>,
    exponents: &mut [u8],
) -> bool {
    // SAFETY: the processor has these instructions.
    unsafe { expand_wide(codes, table, escapes, exponents) }
}

#[target_feature(enable = "neon")]
fn expand_wide(codes: &[u8], table: &[u8; 16], escapes: &mut Iter<'_, u8>, exponents: &mut [u8]) -> bool {
    let count = (codes.len() / 16).min(exponents.len() / 32);
    let (wide_codes, codes_rest) = codes.split_at(count.wrapping_mul(16));
    let (wide_out, exponents_rest) = exponents.split_at_mut(count.wrapping_mul(32));
    // SAFETY: 16 bytes.
    let exponent_of = unsafe { vld1q_u8(table.as_ptr()) };
    let half = vdupq_n_u8(0x0F);
    let mut is_enough = true;
    for (codes, out) in wide_codes.as_chunks::<16>().0.iter().zip(wide_out.as_chunks_mut::<32>().0) {
        // SAFETY: 16 bytes.
        let pairs = unsafe { vld1q_u8(codes.as_ptr()) };
        let (low, high) = (vandq_u8(pairs, half), vshrq_n_u8::<4>(pairs));
        let marks = vmaxvq_u8(vorrq_u8(vceqq_u8(low, half), vceqq_u8(high, half)));
        if marks != 0 {
            is_enough &= fixed::expand(codes, table, escapes, out);
            continue;
        }
        let (low, high) = (vqtbl1q_u8(exponent_of, low), vqtbl1q_u8(exponent_of, high));
        // SAFETY: 32 bytes, low and high by turns.
        unsafe { vst2q_u8(out.as_mut_ptr(), uint8x16x2_t(low, high)) };
    }
    is_enough & fixed::expand(codes_rest, table, escapes, exponents_rest)
}
