//! Pieces in a file made numbers in a buffer, by the kernels of this processor.

use super::buffer::Buffer;
use super::numbers::{self, own_scheme};
use super::output::Element;
use crate::codec::kernel::{BATCH, Isa, Matrix, Out, ROUNDED_BATCH, Store, takes_none};
use crate::codec::{RawReader, Reading, Scheme, View};
use crate::error::{Error, Result};
use crate::model::Dtype;

/// Outputs from this size on leave nothing else in the caches, and are written past them.
const STREAMED: usize = 4 << 20;
/// Bytes that are worth another thread.
const SHARE: usize = 1 << 20;

/// A tensor as it is stored.
pub(super) struct Stored<'a> {
    pub(super) scheme: Scheme,
    /// Its format before it was compressed.
    pub(super) dtype: Dtype,
    pub(super) shape: &'a [u64],
    pub(super) parts: &'a [&'a [u8]],
}

impl Stored<'_> {
    /// Decodes to `out`, which is as long as `element` says.
    ///
    /// # Errors
    /// [`Error::Damaged`] for data that contradict themselves, [`Error::Argument`] for what is not decoded.
    pub(super) fn decode(&self, element: &Element, out: &mut Buffer, threads: usize) -> Result<()> {
        let threads = threads.min(out.bytes().len() / SHARE).max(1);
        let Scheme::Lossless(lossless) = self.scheme else {
            return self.numbers(element, out, threads);
        };
        let reader = RawReader::new(lossless, self.dtype, self.shape, self.parts)?;
        if element.dtype == self.dtype {
            let reading = Reading::of(out.bytes().len(), threads);
            return reader.read(0..reader.elements(), out.bytes_mut(), reading);
        }
        let size =
            reader.elements().checked_mul(reader.width()).ok_or(Error::Overflow { what: "a tensor" })?;
        let mut raw = Buffer::new(size)?;
        reader.read(0..reader.elements(), raw.bytes_mut(), Reading::of(size, threads))?;
        let scheme = own_scheme(self.dtype).ok_or_else(|| unread(self.dtype))?;
        let parts = [raw.bytes()];
        Stored { scheme, dtype: self.dtype, shape: self.shape, parts: &parts }.numbers(element, out, threads)
    }

    fn numbers(&self, element: &Element, out: &mut Buffer, threads: usize) -> Result<()> {
        let store = if out.bytes().len() < STREAMED { Store::Cached } else { Store::Streamed };
        let isa = Isa::detect();
        match element.dtype {
            Dtype::F32 => self.matrix()?.decode_all(Out::F32(out.numbers_mut()), isa, store, threads),
            Dtype::F16 => self.matrix()?.decode_all(Out::F16(out.numbers_mut()), isa, store, threads),
            Dtype::BF16 => self.matrix()?.decode_all(Out::Bf16(out.numbers_mut()), isa, store, threads),
            Dtype::F64 => {
                let view = View::new(self.scheme, self.shape, self.parts)?;
                let mut values = numbers::zeros(view.weight().elements())?;
                view.decode_into(&mut values)?;
                for (wide, value) in out.numbers_mut::<f64>().iter_mut().zip(values) {
                    *wide = f64::from(value);
                }
                Ok(())
            }
            other => Err(unread(other)),
        }
    }

    /// Multiplies it, a matrix, with `batch` vectors: `y[b][r]` is the sum of `W[r][c] * x[b][c]`.
    ///
    /// # Errors
    /// As [`Self::decode`], and [`Error::Argument`] for an `x` or `y` of another length.
    pub(super) fn multiply(&self, x: &[f32], batch: usize, y: &mut [f32], threads: usize) -> Result<()> {
        let matrix = self.matrix()?;
        let (rows, columns) = (matrix.rows(), matrix.cols());
        check_length("x", x.len(), columns, batch)?;
        check_length("y", y.len(), rows, batch)?;
        let isa = Isa::detect();
        let shares = x.chunks(columns.saturating_mul(BATCH).max(1));
        for (x, y) in shares.zip(y.chunks_mut(rows.saturating_mul(BATCH).max(1))) {
            let batch = x.len().checked_div(columns).unwrap_or(0);
            matrix.gemv_all(x, batch, y, isa, threads)?;
        }
        Ok(())
    }

    /// The same with vectors that are rounded to integers of eight bits.
    ///
    /// # Errors
    /// As [`Self::multiply`], and [`Error::Argument`] for a scheme that takes none, or an `x` that is not finite.
    pub(super) fn multiply_rounded(
        &self,
        x: &[f32],
        batch: usize,
        y: &mut [f32],
        threads: usize,
    ) -> Result<()> {
        if matches!(self.scheme, Scheme::Lossless(_)) {
            return Err(takes_none(self.scheme));
        }
        let matrix = self.matrix()?;
        let (rows, columns) = (matrix.rows(), matrix.cols());
        if !matrix.takes_rounded() {
            return Err(takes_none(self.scheme));
        }
        check_length("x", x.len(), columns, batch)?;
        check_length("y", y.len(), rows, batch)?;
        let isa = Isa::detect();
        let shares = x.chunks(columns.saturating_mul(ROUNDED_BATCH).max(1));
        for (share, y) in shares.zip(y.chunks_mut(rows.saturating_mul(ROUNDED_BATCH).max(1))) {
            let batch = share.len().checked_div(columns).unwrap_or(0);
            let rounded =
                matrix.round(share, batch).map_err(|error| not_finite(x, columns).unwrap_or(error))?;
            matrix.gemv_rounded_all(&rounded, y, isa, threads)?;
        }
        Ok(())
    }

    /// The weight as kernels take it.
    fn matrix(&self) -> Result<Matrix<'_>> {
        Matrix::new(self.scheme, self.shape, self.parts)
    }
}

fn unread(dtype: Dtype) -> Error {
    Error::Argument { name: "dtype", reason: format!("{dtype} is not read as numbers") }
}

/// What is wrong with the first number that is not finite, of all vectors.
fn not_finite(x: &[f32], columns: usize) -> Option<Error> {
    let place = x.iter().position(|x| !x.is_finite())?;
    let (vector, column) = (place.checked_div(columns)?, place.checked_rem(columns)?);
    let reason = format!("number {column} of vector {vector} is {}, not finite", x.get(place)?);
    Some(Error::Argument { name: "x", reason })
}

fn check_length(name: &'static str, found: usize, each: usize, batch: usize) -> Result<()> {
    if each.checked_mul(batch) == Some(found) {
        return Ok(());
    }
    Err(Error::Argument { name, reason: format!("{found} numbers, not {batch} times {each}") })
}
