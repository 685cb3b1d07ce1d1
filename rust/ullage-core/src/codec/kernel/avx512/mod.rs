//! AVX-512 with VBMI and VBMI2: 64 elements at a time.
#![expect(unsafe_code, reason = "instructions on raw memory, that a processor may lack")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "counts within a step of 64 elements, and lengths of slices over them"
)]
#![allow(
    clippy::wildcard_imports,
    reason = "instructions are named by their vendor, at length; not linted in tests"
)]

mod blocks;
mod dot;
mod halves;
mod integers;
mod lanes;
mod numbers;
mod pairs;
mod palette;
pub(in crate::codec) mod pen;
mod rounded;
mod rounded_units;
mod sparse;

use std::arch::x86_64::*;
use std::borrow::Cow;
use std::ops::Range;

use super::dot::Sums;
use super::format::Format;
use super::layout::{Integers, Layout, Palette};
use super::rounded::{Plan, Rounded};
use super::{Kernel, Store, portable};
use pen::Pen;

/// A processor that has these instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512 {
    /// Whether it also calculates with halves.
    has_halves: bool,
    /// Whether it adds up products of bytes.
    has_products: bool,
}

impl Avx512 {
    pub(super) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt");
        has.then(|| Self {
            has_halves: is_x86_feature_detected!("avx512fp16"),
            has_products: is_x86_feature_detected!("avx512vnni"),
        })
    }
}

#[expect(clippy::unused_self, reason = "that there is one proves that the processor has the instructions")]
impl Avx512 {
    /// Fills `out` past the caches.
    pub(super) fn fill(self, out: &mut [f32], value: f32) {
        // SAFETY: `new` alone makes one, where the processor has the instructions.
        unsafe { fill(out, value) }
    }

    /// The sum of the 64-bit words of `data`.
    pub(super) fn read(self, data: &[[u8; 64]]) -> u64 {
        // SAFETY: as above.
        unsafe { read(data) }
    }
}

impl Kernel for Avx512 {
    fn decode<F: Format>(self, layout: &Layout<'_>, start: usize, out: &mut [F::Word], store: Store) {
        // SAFETY: `new` alone makes one, where the processor has the instructions.
        unsafe { decode::<F>(layout, start, out, store == Store::Streamed, self.has_halves) }
    }

    fn add(self, sums: &mut Sums, weights: &[f32], x: &[f32]) {
        // SAFETY: as above.
        unsafe { dot::add(sums, weights, x) }
    }

    fn arranged<'x>(self, layout: &Layout<'_>, x: &'x [f32]) -> Cow<'x, [f32]> {
        match layout {
            Layout::Palette(Palette { bits: 4, .. }) | Layout::Integers(Integers { bits: 4, .. }) => {
                Cow::Owned(pairs::paired(x))
            }
            _ => Cow::Borrowed(x),
        }
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
        if self.has_products {
            // SAFETY: as above, and those of products too.
            unsafe { rounded::multiply(layout, plan, rows, x, y) }
        } else if let Some(narrower) = super::avx2::Avx2::new() {
            narrower.rounded(layout, plan, rows, x, y);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
fn decode<F: Format>(
    layout: &Layout<'_>,
    start: usize,
    out: &mut [F::Word],
    is_streamed: bool,
    has_halves: bool,
) {
    let count = out.len();
    match layout {
        Layout::Sparse(sparse) => sparse::decode::<F>(sparse, start, out, is_streamed),
        Layout::Whole { .. } => portable::decode::<F>(layout, start, out),
        Layout::Numbers { .. } | Layout::Palette(_) | Layout::Integers(_) | Layout::Blocks { .. } => {
            let mut pen = Pen::<F>::new(out, is_streamed);
            match layout {
                Layout::Numbers { dtype, data } => {
                    numbers::decode::<F>(*dtype, data, start, count, &mut pen);
                }
                Layout::Palette(palette) => palette::decode::<F>(palette, start, count, &mut pen),
                Layout::Integers(integers) => {
                    integers::decode::<F>(integers, start, count, &mut pen, has_halves);
                }
                Layout::Blocks { block, data } => blocks::decode::<F>(*block, data, start, count, &mut pen),
                Layout::Sparse(_) | Layout::Whole { .. } => {}
            }
            pen.finish();
        }
    }
    if is_streamed {
        _mm_sfence();
    }
}

#[target_feature(enable = "avx512f")]
fn fill(out: &mut [f32], value: f32) {
    let gap = ((out.as_ptr().addr().wrapping_neg() & 63) / size_of::<f32>()).min(out.len());
    let (first, rest) = out.split_at_mut(gap);
    first.fill(value);
    let (lines, last) = rest.as_chunks_mut::<16>();
    let repeated = _mm512_castps_si512(_mm512_set1_ps(value));
    for line in lines {
        // SAFETY: a line of 64 bytes, which begins a cache line.
        unsafe { _mm512_stream_si512(line.as_mut_ptr().cast(), repeated) };
    }
    last.fill(value);
    _mm_sfence();
}

#[target_feature(enable = "avx512f")]
fn read(data: &[[u8; 64]]) -> u64 {
    let mut sums = [_mm512_setzero_si512(); 4];
    let (fours, rest) = data.as_chunks::<4>();
    for four in fours {
        for (sum, line) in sums.iter_mut().zip(four) {
            // SAFETY: 64 bytes.
            *sum = _mm512_add_epi64(*sum, unsafe { _mm512_loadu_si512(line.as_ptr().cast()) });
            lanes::ask(line.as_ptr());
        }
    }
    for line in rest {
        // SAFETY: 64 bytes.
        sums[0] = _mm512_add_epi64(sums[0], unsafe { _mm512_loadu_si512(line.as_ptr().cast()) });
    }
    sums.into_iter()
        .fold(0_u64, |total, sum| total.wrapping_add(_mm512_reduce_add_epi64(sum).cast_unsigned()))
}
