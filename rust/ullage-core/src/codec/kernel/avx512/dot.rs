//! Sums of products, in the order that `kernel/dot.rs` says.

use std::arch::x86_64::*;

use super::super::dot::{LANES, STEP, Sums};

#[target_feature(enable = "avx512f,fma")]
pub(super) fn add(sums: &mut Sums, weights: &[f32], x: &[f32]) {
    let length = weights.len().min(x.len());
    let steps = length / STEP;
    // SAFETY: both slices have `steps` times 64 numbers, and each sum 16; the mask leaves out what lies beyond the end.
    unsafe {
        let mut lanes = [
            _mm512_loadu_ps(sums[0].as_ptr()),
            _mm512_loadu_ps(sums[1].as_ptr()),
            _mm512_loadu_ps(sums[2].as_ptr()),
            _mm512_loadu_ps(sums[3].as_ptr()),
        ];
        let (mut w, mut v) = (weights.as_ptr(), x.as_ptr());
        for _ in 0..steps {
            for (place, sum) in lanes.iter_mut().enumerate() {
                let at = place * LANES;
                *sum = _mm512_fmadd_ps(_mm512_loadu_ps(w.add(at)), _mm512_loadu_ps(v.add(at)), *sum);
            }
            (w, v) = (w.add(STEP), v.add(STEP));
        }
        let mut left = length - steps * STEP;
        for sum in &mut lanes {
            let count = left.min(LANES);
            let mask = ((1_u32 << count) - 1) as __mmask16;
            let (some, others) = (_mm512_maskz_loadu_ps(mask, w), _mm512_maskz_loadu_ps(mask, v));
            *sum = _mm512_mask3_fmadd_ps(some, others, *sum, mask);
            (w, v) = (w.wrapping_add(count), v.wrapping_add(count));
            left -= count;
        }
        for (sum, lanes) in sums.iter_mut().zip(lanes) {
            _mm512_storeu_ps(sum.as_mut_ptr(), lanes);
        }
    }
}
