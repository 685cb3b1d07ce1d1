//! Vectors rounded to integers of eight bits.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "divisions by sizes of blocks, spans and groups, none of which is 0"
)]

use super::{Form, LANES, LONG_BLOCK, Order, Plan, UNIT};
use crate::error::{Error, Result};

/// Added to a number and taken off again, it rounds it to a whole one, ties to even: above 2^23 nothing else is left.
const ROUNDER: f32 = 12_582_912.0;
/// The largest integer.
const MOST: f32 = 127.0;
/// Bits of infinity; numbers that are not finite have as many or more, but for the sign.
const INFINITY: u32 = 0x7F80_0000;

/// Vectors rounded to integers of eight bits, for weights of one scheme and as many columns; [`super::Matrix::round`] makes
/// them.
///
/// A block of columns (32, or 256 for weights with one scale a row) shares the scale `s = max |x| / 127`, and `q = x / s`
/// is rounded to the nearest integer, ties to even: `|x - q * s| <= s / 2`, but for the rounding of `s` itself, 2^-17 of
/// `s` at most. Blocks with numbers so small that `s` were below 2^-126 are 0.
#[derive(Debug)]
pub struct Rounded {
    plan: Plan,
    cols: usize,
    batch: usize,
    /// Columns of a vector with its padding, a multiple of [`UNIT`].
    padded: usize,
    /// Integers, padded with zeros, from `first` on, which begins a cache line.
    codes: Vec<i8>,
    first: usize,
    /// A scale for each sum of a row: one for each block, or one for each span of columns.
    scales: Vec<f32>,
    /// Sums of the integers: of each lane of a block, or of each span of columns.
    sums: Vec<i32>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec::kernel) struct Vector<'a> {
    /// In the order of the plan, padded.
    pub(in crate::codec::kernel) codes: &'a [i8],
    pub(in crate::codec::kernel) scales: &'a [f32],
    pub(in crate::codec::kernel) sums: &'a [i32],
}

impl Rounded {
    /// Rounds `batch` vectors of `cols` numbers each.
    pub(super) fn new(x: &[f32], batch: usize, cols: usize, plan: Plan) -> Result<Self> {
        let padded = cols.checked_next_multiple_of(UNIT).ok_or(crate::codec::weight::OVERFLOW)?;
        let room = padded.saturating_mul(batch).saturating_add(64);
        let codes = vec![0_i8; room];
        let first = codes.as_ptr().align_offset(64).min(64);
        let (scales, sums) = match plan.form {
            Form::Row { .. } => {
                let blocks = padded / plan.block();
                (blocks, blocks.saturating_mul(LANES))
            }
            Form::Blocks { span } => (padded / span, padded / span),
        };
        let mut rounded = Self {
            plan,
            cols,
            batch,
            padded,
            codes,
            first,
            scales: vec![0.0; scales.saturating_mul(batch)],
            sums: vec![0; sums.saturating_mul(batch)],
        };
        for (vector, x) in x.chunks_exact(cols.max(1)).enumerate() {
            let codes = rounded.first.saturating_add(vector.saturating_mul(padded));
            let codes = &mut rounded.codes[codes..codes.saturating_add(padded)];
            let scales = rounded.scales.chunks_exact_mut(scales).nth(vector).unwrap_or_default();
            let sums = rounded.sums.chunks_exact_mut(sums).nth(vector).unwrap_or_default();
            round(plan, x, codes, scales, sums).map_err(|column| {
                let reason = format!("number {column} of vector {vector} is {}, not finite", x[column]);
                Error::Argument { name: "x", reason }
            })?;
        }
        Ok(rounded)
    }

    /// Vectors.
    #[must_use]
    pub const fn batch(&self) -> usize {
        self.batch
    }

    /// Numbers of a vector.
    #[must_use]
    pub const fn cols(&self) -> usize {
        self.cols
    }

    /// Columns that share a scale; the last block of a vector may be shorter.
    #[must_use]
    pub const fn block(&self) -> usize {
        self.plan.block()
    }

    /// What a number is taken for: its integer times the scale of its block. For vectors and columns that there are not, 0.
    #[must_use]
    pub fn value(&self, vector: usize, column: usize) -> f32 {
        if vector >= self.batch || column >= self.cols {
            return 0.0;
        }
        let found = self.vector(vector);
        let width = match self.plan.form {
            Form::Row { .. } => self.plan.block(),
            Form::Blocks { span } => span,
        };
        f32::from(found.codes[self.plan.order.place(column)]) * found.scales[column / width]
    }

    pub(in crate::codec::kernel) const fn plan(&self) -> Plan {
        self.plan
    }

    /// A vector, which must be one of them.
    pub(in crate::codec::kernel) fn vector(&self, vector: usize) -> Vector<'_> {
        let codes = self.first.saturating_add(vector.saturating_mul(self.padded));
        let (scales, sums) = (self.scales.len() / self.batch, self.sums.len() / self.batch);
        Vector {
            codes: &self.codes[codes..codes.saturating_add(self.padded)],
            scales: &self.scales[vector.saturating_mul(scales)..][..scales],
            sums: &self.sums[vector.saturating_mul(sums)..][..sums],
        }
    }
}

/// Rounds one vector; the column of the first number that is not finite, if there is one.
fn round(plan: Plan, x: &[f32], codes: &mut [i8], scales: &mut [f32], sums: &mut [i32]) -> Result<(), usize> {
    let block = plan.block();
    for (number, x) in x.chunks(block).enumerate() {
        let first = number.saturating_mul(block);
        let largest = x.iter().fold(0_u32, |most, x| most.max(x.abs().to_bits()));
        if largest >= INFINITY {
            let column = x.iter().position(|x| !x.is_finite()).unwrap_or(0);
            return Err(first.saturating_add(column));
        }
        let most = f32::from_bits(largest);
        let scale = most / MOST;
        if scale < f32::MIN_POSITIVE {
            continue;
        }
        let inverse = MOST / most;
        let mut rounded = [0_i8; LONG_BLOCK];
        let rounded = &mut rounded[..x.len()];
        for (code, &x) in rounded.iter_mut().zip(x) {
            *code = (x * inverse + ROUNDER).to_bits().to_le_bytes()[0].cast_signed();
        }
        // At most 32 of them, of 127.
        let sum = |codes: &[i8]| codes.iter().fold(0_i32, |sum, &code| sum.wrapping_add(i32::from(code)));
        match plan.form {
            Form::Row { group } => {
                scales[number] = scale;
                let sums = &mut sums[number.saturating_mul(LANES)..][..LANES];
                for (place, codes) in rounded.chunks(group).enumerate() {
                    sums[place % LANES] = sums[place % LANES].wrapping_add(sum(codes));
                }
            }
            Form::Blocks { span } => {
                let entries = scales[first / span..].iter_mut().zip(&mut sums[first / span..]);
                for (codes, (step, of_codes)) in rounded.chunks(span).zip(entries) {
                    (*step, *of_codes) = (scale, sum(codes));
                }
            }
        }
        if plan.order == Order::Natural {
            codes[first..first.saturating_add(rounded.len())].copy_from_slice(rounded);
            continue;
        }
        for (&code, column) in rounded.iter().zip(first..) {
            codes[plan.order.place(column)] = code;
        }
    }
    Ok(())
}
