//! Sums of products, in the order that `kernel/dot.rs` says: a sum is two registers of eight lanes.

use std::arch::x86_64::*;

use super::super::dot::{self, STEP, Sums};

#[target_feature(enable = "avx2,fma")]
pub(super) fn add(sums: &mut Sums, weights: &[f32], x: &[f32]) {
    let length = weights.len().min(x.len());
    let whole = length / STEP * STEP;
    let mut lanes = [_mm256_setzero_ps(); 8];
    let registers = sums.as_flattened_mut();
    // SAFETY: there are 64 sums, and `whole` numbers in both slices.
    unsafe {
        for (place, lanes) in lanes.iter_mut().enumerate() {
            *lanes = _mm256_loadu_ps(registers.as_ptr().add(place * 8));
        }
        let (mut w, mut v) = (weights.as_ptr(), x.as_ptr());
        for _ in 0..whole / STEP {
            for (place, sum) in lanes.iter_mut().enumerate() {
                let at = place * 8;
                *sum = _mm256_fmadd_ps(_mm256_loadu_ps(w.add(at)), _mm256_loadu_ps(v.add(at)), *sum);
            }
            (w, v) = (w.add(STEP), v.add(STEP));
        }
        for (place, lanes) in lanes.into_iter().enumerate() {
            _mm256_storeu_ps(registers.as_mut_ptr().add(place * 8), lanes);
        }
    }
    dot::add(sums, &weights[whole..length], &x[whole..length]);
}
