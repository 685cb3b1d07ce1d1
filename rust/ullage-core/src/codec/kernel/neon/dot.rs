//! Sums of products, in the order that `kernel/dot.rs` says: a sum is four registers of four lanes.

use std::arch::aarch64::*;

use super::super::dot::{self, STEP, Sums};

#[target_feature(enable = "neon")]
pub(super) fn add(sums: &mut Sums, weights: &[f32], x: &[f32]) {
    let length = weights.len().min(x.len());
    let whole = length / STEP * STEP;
    let registers = sums.as_flattened_mut();
    // SAFETY: there are 64 sums, and `whole` numbers in both slices.
    unsafe {
        let mut lanes: [float32x4_t; 16] =
            std::array::from_fn(|place| vld1q_f32(registers.as_ptr().add(place * 4)));
        let (mut w, mut v) = (weights.as_ptr(), x.as_ptr());
        for _ in 0..whole / STEP {
            for (place, sum) in lanes.iter_mut().enumerate() {
                *sum = vfmaq_f32(*sum, vld1q_f32(w.add(place * 4)), vld1q_f32(v.add(place * 4)));
            }
            (w, v) = (w.add(STEP), v.add(STEP));
        }
        for (place, lanes) in lanes.into_iter().enumerate() {
            vst1q_f32(registers.as_mut_ptr().add(place * 4), lanes);
        }
    }
    dot::add(sums, &weights[whole..length], &x[whole..length]);
}
