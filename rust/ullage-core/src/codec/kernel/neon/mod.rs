//! Advanced SIMD of 64-bit ARM: codes of four bits by table look-ups that are stored interleaved, integers of eight bits, and
//! sums. The rest is the portable form, which the compiler makes vectors of.
#![expect(unsafe_code, reason = "instructions on raw memory, that a processor may lack")]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "counts within a step of 16 elements, and lengths of slices over them"
)]
#![allow(
    clippy::wildcard_imports,
    reason = "instructions are named by their vendor, at length; not linted in tests"
)]

mod dot;
mod lanes;

use super::dot::Sums;
use super::format::{Format, from_half, word};
use super::layout::{Integers, Layout, Palette};
use super::portable::{self, each_run};
use super::runs::Run;
use super::{Kernel, Store};

/// A processor that has these instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neon(());

impl Neon {
    pub(super) fn new() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

impl Kernel for Neon {
    fn decode<F: Format>(self, layout: &Layout<'_>, start: usize, out: &mut [F::Word], _: Store) {
        // SAFETY: `new` alone makes one, where the processor has the instructions.
        unsafe { decode::<F>(layout, start, out) }
    }

    fn add(self, sums: &mut Sums, weights: &[f32], x: &[f32]) {
        // SAFETY: as above.
        unsafe { dot::add(sums, weights, x) }
    }
}

#[target_feature(enable = "neon")]
fn decode<F: Format>(layout: &Layout<'_>, start: usize, out: &mut [F::Word]) {
    match layout {
        Layout::Palette(palette) if palette.bits == 4 => palette_of_four::<F>(palette, start, out),
        Layout::Integers(integers) => scaled::<F>(integers, start, out),
        _ => portable::decode::<F>(layout, start, out),
    }
}

#[target_feature(enable = "neon")]
fn palette_of_four<F: Format>(palette: &Palette<'_>, start: usize, out: &mut [F::Word]) {
    each_run(palette.sharing.of(start..start.saturating_add(out.len())), out, |run, out| {
        let halves: [u16; 16] = std::array::from_fn(|entry| {
            word(palette.tables, run.place.saturating_mul(16).saturating_add(entry))
        });
        let plain = |start: usize, out: &mut [F::Word]| {
            portable::looked_up::<F>(palette, Run { start, length: out.len(), place: run.place }, out);
        };
        lanes::look_up::<F>(halves.map(F::of_f16), palette.indices, run.start, out, plain);
    });
}

#[target_feature(enable = "neon")]
fn scaled<F: Format>(integers: &Integers<'_>, start: usize, out: &mut [F::Word]) {
    each_run(integers.sharing.of(start..start.saturating_add(out.len())), out, |run, out| {
        let (scale, zero) =
            (from_half(word(integers.scales, run.place)), portable::scale(integers, run.place).1);
        let plain = |start: usize, out: &mut [F::Word]| {
            portable::scaled::<F>(integers, Run { start, length: out.len(), place: run.place }, out);
        };
        if integers.bits == 4 {
            let codes: [u8; 16] = std::array::from_fn(|code| code.to_le_bytes()[0]);
            let table =
                codes.map(|code| F::of_f32(portable::level(code, 4, integers.is_affine, zero) * scale));
            lanes::look_up::<F>(table, integers.codes, run.start, out, plain);
        } else {
            lanes::scale_bytes::<F>(integers, scale, zero, run.start, out);
        }
    });
}
