//! Decoding an element at a time: what all other forms equal, bit for bit.

use super::blocks;
use super::format::{Format, code, from_half, word};
use super::layout::{Integers, Layout, Palette};
use super::runs::Run;
use super::sparse::Sparse;
use crate::model::Dtype;

/// Decodes elements from `start` on, as many as `out` holds; they lie within the weight.
#[inline(always)]
pub(super) fn decode<F: Format>(layout: &Layout<'_>, start: usize, out: &mut [F::Word]) {
    match layout {
        Layout::Numbers { dtype, data } => numbers::<F>(*dtype, data, start, out),
        Layout::Palette(palette) => {
            each_run(palette.sharing.of(start..start.saturating_add(out.len())), out, |run, out| {
                looked_up::<F>(palette, run, out);
            });
        }
        Layout::Integers(integers) => {
            each_run(integers.sharing.of(start..start.saturating_add(out.len())), out, |run, out| {
                scaled::<F>(integers, run, out);
            });
        }
        Layout::Sparse(sparse) => {
            expanded::<F>(sparse, start, sparse.before(start), out);
        }
        Layout::Blocks { block, data } => blocks::decode::<F>(*block, data, start, out),
        Layout::Whole { decoded, .. } => {
            let values = decoded.get().and_then(|values| values.get(start..)).unwrap_or_default();
            out.iter_mut().zip(values).for_each(|(word, &value)| *word = F::of_f32(value));
        }
    }
}

/// Calls `one` with every run and its part of `out`.
#[inline(always)]
pub(super) fn each_run<T>(
    runs: impl Iterator<Item = Run>,
    mut out: &mut [T],
    mut one: impl FnMut(Run, &mut [T]),
) {
    for run in runs {
        let (part, rest) = std::mem::take(&mut out).split_at_mut(run.length);
        one(run, part);
        out = rest;
    }
}

#[inline(always)]
pub(super) fn numbers<F: Format>(dtype: Dtype, data: &[u8], start: usize, out: &mut [F::Word]) {
    let width = if dtype == Dtype::F32 { 4_usize } else { 2 };
    let data = data.get(start.saturating_mul(width)..).unwrap_or_default();
    let halves = data.as_chunks::<2>().0;
    match dtype {
        Dtype::F32 => {
            let whole = data.as_chunks::<4>().0;
            out.iter_mut().zip(whole).for_each(|(word, &bytes)| *word = F::of_f32(f32::from_le_bytes(bytes)));
        }
        Dtype::BF16 => out
            .iter_mut()
            .zip(halves)
            .for_each(|(word, &bytes)| *word = F::of_bf16(u16::from_le_bytes(bytes))),
        _ => {
            out.iter_mut()
                .zip(halves)
                .for_each(|(word, &bytes)| *word = F::of_f16(u16::from_le_bytes(bytes)));
        }
    }
}

/// Entries of the table of a run; beyond 2^bits they are 0 and never looked up.
#[inline(always)]
pub(super) fn table<F: Format>(palette: &Palette<'_>, place: usize) -> [F::Word; 256] {
    let mut table = [F::Word::default(); 256];
    let entries = 1_usize << palette.bits.min(8);
    let first = place.saturating_mul(entries);
    for (entry, value) in table.iter_mut().take(entries).enumerate() {
        *value = F::of_f16(word(palette.tables, first.saturating_add(entry)));
    }
    table
}

#[inline(always)]
pub(super) fn looked_up<F: Format>(palette: &Palette<'_>, run: Run, out: &mut [F::Word]) {
    let table = table::<F>(palette, run.place);
    for (offset, word) in out.iter_mut().enumerate() {
        let index = code(palette.indices, run.start.saturating_add(offset), palette.bits);
        *word = table[usize::from(index)];
    }
}

/// The scale of a run, and its zero point.
#[inline(always)]
pub(super) fn scale(integers: &Integers<'_>, place: usize) -> (f32, i16) {
    let zero = if integers.is_affine { code(integers.zeros, place, integers.bits) } else { 0 };
    (from_half(word(integers.scales, place)), i16::from(zero))
}

/// The integer a code stands for.
#[inline(always)]
pub(super) fn level(code: u8, bits: u32, is_affine: bool, zero: i16) -> f32 {
    let signed = if bits == 4 {
        i16::from(((code ^ 8).wrapping_sub(8)).cast_signed())
    } else {
        i16::from(code.cast_signed())
    };
    f32::from(if is_affine { i16::from(code).saturating_sub(zero) } else { signed })
}

#[inline(always)]
pub(super) fn scaled<F: Format>(integers: &Integers<'_>, run: Run, out: &mut [F::Word]) {
    let (scale, zero) = scale(integers, run.place);
    for (offset, word) in out.iter_mut().enumerate() {
        let code = code(integers.codes, run.start.saturating_add(offset), integers.bits);
        *word = F::of_f32(level(code, integers.bits, integers.is_affine, zero) * scale);
    }
}

/// The elements from `start` on, before which `next` numbers are stored. Returns how many are stored before the end.
#[inline(always)]
pub(super) fn expanded<F: Format>(
    sparse: &Sparse<'_>,
    start: usize,
    mut next: usize,
    out: &mut [F::Word],
) -> usize {
    for (offset, value) in out.iter_mut().enumerate() {
        let is_stored = code(sparse.mask, start.saturating_add(offset), 1) == 1;
        *value = if is_stored { F::of_f16(word(sparse.values, next)) } else { F::of_f32(0.0) };
        next = next.saturating_add(usize::from(is_stored));
    }
    next
}
