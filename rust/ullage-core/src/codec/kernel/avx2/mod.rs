//! AVX2 with FMA, F16C and BMI2: 32 elements at a time.
#![expect(unsafe_code, reason = "instructions on raw memory, that a processor may lack")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "counts within a step of 32 elements, and lengths of slices over them"
)]
#![allow(
    clippy::wildcard_imports,
    reason = "instructions are named by their vendor, at length; not linted in tests"
)]

mod blocks;
mod dot;
mod integers;
mod lanes;
mod numbers;
mod palette;
mod rounded;
mod rounded_units;
mod sparse;

use std::arch::x86_64::_mm_sfence;
use std::ops::Range;

use super::dot::Sums;
use super::format::Format;
use super::layout::Layout;
use super::rounded::{Plan, Rounded};
use super::{Kernel, Store, portable};

/// A processor that has these instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt");
        has.then_some(Self(()))
    }
}

impl Kernel for Avx2 {
    fn decode<F: Format>(self, layout: &Layout<'_>, start: usize, out: &mut [F::Word], store: Store) {
        // SAFETY: `new` alone makes one, where the processor has the instructions.
        unsafe { decode::<F>(layout, start, out, store == Store::Streamed) }
    }

    fn add(self, sums: &mut Sums, weights: &[f32], x: &[f32]) {
        // SAFETY: as above.
        unsafe { dot::add(sums, weights, x) }
    }

    fn fused(self, layout: &Layout<'_>, start: usize, x: &[f32], sums: &mut Sums) -> usize {
        // SAFETY: as above.
        unsafe {
            match layout {
                Layout::Numbers { dtype, data } => numbers::fused(*dtype, data, start, x, sums),
                Layout::Palette(palette) => palette::fused(palette, start, x, sums),
                Layout::Integers(integers) => integers::fused(integers, start, x, sums),
                Layout::Blocks { block, data } => blocks::fused(*block, data, start, x, sums),
                Layout::Sparse(_) | Layout::Whole { .. } => 0,
            }
        }
    }

    fn rounded(self, layout: &Layout<'_>, plan: Plan, rows: Range<usize>, x: &Rounded, y: &mut [f32]) {
        // SAFETY: as above.
        unsafe { rounded::multiply(layout, plan, rows, x, y) }
    }
}

#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
fn decode<F: Format>(layout: &Layout<'_>, start: usize, out: &mut [F::Word], is_streamed: bool) {
    match layout {
        Layout::Numbers { dtype, data } => numbers::decode::<F>(*dtype, data, start, out, is_streamed),
        Layout::Palette(palette) => palette::decode::<F>(palette, start, out, is_streamed),
        Layout::Integers(integers) => integers::decode::<F>(integers, start, out, is_streamed),
        Layout::Sparse(sparse) => sparse::decode::<F>(sparse, start, out),
        Layout::Blocks { block, data } => blocks::decode::<F>(*block, data, start, out, is_streamed),
        Layout::Whole { .. } => portable::decode::<F>(layout, start, out),
    }
    if is_streamed {
        _mm_sfence();
    }
}
