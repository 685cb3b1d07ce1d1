//! The order in which products are summed, the same on every processor: the sums agree bit for bit.
//!
//! Column `c` of a row goes to lane `c mod 16` of sum `c / 16 mod 4`, by a fused multiply-add, in rising `c`. At the end
//! the four sums are joined as `(0 + 1) + (2 + 3)`, and the lanes by halves: 8 apart, 4, 2, 1.

/// Lanes of a sum.
pub(super) const LANES: usize = 16;
/// Columns that go once through all sums.
pub(super) const STEP: usize = 64;

/// Partial sums of one row and one vector.
pub(super) type Sums = [[f32; LANES]; STEP / LANES];

/// Adds the products of `weights` and `x`, which begin at a column that [`STEP`] divides.
#[inline(always)]
pub(super) fn add(sums: &mut Sums, weights: &[f32], x: &[f32]) {
    let (mut whole, mut others) = (weights.chunks_exact(STEP), x.chunks_exact(STEP));
    for (weights, x) in whole.by_ref().zip(others.by_ref()) {
        add_step(sums, weights, x);
    }
    add_step(sums, whole.remainder(), others.remainder());
}

#[inline(always)]
fn add_step(sums: &mut Sums, weights: &[f32], x: &[f32]) {
    for ((sums, weights), x) in sums.iter_mut().zip(weights.chunks(LANES)).zip(x.chunks(LANES)) {
        for ((sum, &weight), &x) in sums.iter_mut().zip(weights).zip(x) {
            *sum = weight.mul_add(x, *sum);
        }
    }
}

/// The sum of all.
#[inline(always)]
pub(super) fn total(sums: &Sums) -> f32 {
    let [a, b, c, d] = sums;
    let mut lanes = [0.0_f32; LANES];
    for (lane, sum) in lanes.iter_mut().enumerate() {
        *sum = (a[lane] + b[lane]) + (c[lane] + d[lane]);
    }
    joined(lanes)
}

/// The sum of 16 lanes, joined by halves.
#[inline(always)]
pub(super) fn joined(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        let (low, high) = lanes.split_at_mut(width);
        for (low, high) in low.iter_mut().zip(high) {
            *low += *high;
        }
        width /= 2;
    }
    lanes[0]
}
