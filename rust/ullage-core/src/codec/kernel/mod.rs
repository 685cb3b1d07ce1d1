//! Kernels: stored weights decoded, or multiplied without being decoded to memory, by the instructions a processor has.
//!
//! A [`Matrix`] is a weight in a [`Scheme`] whose pieces lie elsewhere, in a mapped file for example. It is checked once;
//! after that [`Matrix::decode_rows`] and [`Matrix::gemv`] take any range of rows, on any thread, and cannot read outside
//! the pieces. Each [`Isa`] gives the same bits: the portable form defines them.
//!
//! ```text
//! pieces ──► Layout ──► decode 2048 columns ──► out                 decode_rows
//! (checked)             (a tile, in L1)     └─► sums of products    gemv, up to eight vectors for one decoding
//! ```
//!
//! [`Matrix::gemv_rounded`] multiplies integers with vectors that were rounded to integers first.
//!
//! With kernels of their own: numbers in F16, BF16 and F32; palettes of 1 to 8 bits per tensor and group; integers of 4 and
//! 8 bits; sparse halves; GGML's `Q4_0`, `Q8_0`, `Q4_K` and `Q6_K`. Every other scheme is decoded as a whole at the first use
//! and kept ([`Matrix::held_bytes`] says how much that is).
#![expect(
    clippy::inline_always,
    reason = "the portable form is compiled once more inside each function that has more instructions"
)]

/// Calls `$call` with the kernel of `$isa`, which this processor must have.
macro_rules! with_kernel {
    ($isa:expr, |$kernel:ident| $call:expr) => {{
        let isa: Isa = $isa;
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx512
            && let Some($kernel) = $crate::codec::kernel::avx512::Avx512::new()
        {
            return Ok($call);
        }
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx2
            && let Some($kernel) = $crate::codec::kernel::avx2::Avx2::new()
        {
            return Ok($call);
        }
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        if isa == Isa::Neon
            && let Some($kernel) = $crate::codec::kernel::neon::Neon::new()
        {
            return Ok($call);
        }
        if isa == Isa::Portable {
            let $kernel = Portable;
            return Ok($call);
        }
        Err(Error::Argument { name: "isa", reason: format!("this processor has no {isa}") })
    }};
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
pub(in crate::codec) mod avx512;
mod blocks;
mod dot;
mod format;
mod isa;
mod layout;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
mod parallel;
mod portable;
mod roofs;
mod rounded;
mod runs;
mod sparse;
#[cfg(test)]
mod tests;
mod timing;

use std::borrow::Cow;
use std::ops::Range;

use super::coded::View;
use super::scheme::Scheme;
use crate::error::{Error, Result};
use dot::Sums;
use format::{Bf16, F16, F32, Format};
use layout::{Layout, size};
use rounded::Plan;

pub use isa::Isa;
pub use parallel::{parallel, splits};
pub use roofs::{fill, read};
pub(crate) use rounded::takes_none;
pub use rounded::{ROUNDED_BATCH, Rounded};
pub use timing::{Course, Work, fill_times, read_times};

/// The most vectors that one decoding of a weight is multiplied with.
pub const BATCH: usize = 8;

/// Columns that are decoded at once to be multiplied: 8 KiB of numbers, that stay in the first cache.
const TILE: usize = 2048;

/// Where decoded weights are written: numbers of 32 bits, or the bits of those of 16.
#[derive(Debug)]
pub enum Out<'a> {
    /// Numbers of 32 bits.
    F32(&'a mut [f32]),
    /// IEEE numbers of 16 bits.
    F16(&'a mut [u16]),
    /// Numbers of bfloat16.
    Bf16(&'a mut [u16]),
}

/// How decoded weights are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Through the caches: for what is read again soon.
    Cached,
    /// Past the caches: for outputs larger than they are, which need then not be read before they are written.
    Streamed,
}

/// A weight as a matrix: a row for each output channel, its other dimensions in one row. A vector is one row.
#[derive(Debug)]
pub struct Matrix<'a> {
    scheme: Scheme,
    rows: usize,
    cols: usize,
    layout: Layout<'a>,
}

/// A form of the kernels. Every method trusts that its arguments lie within the weight.
trait Kernel: Copy + Sync {
    fn decode<F: Format>(self, layout: &Layout<'_>, start: usize, out: &mut [F::Word], store: Store);
    fn add(self, sums: &mut Sums, weights: &[f32], x: &[f32]);

    /// `x` as [`Kernel::fused`] takes it for the layout.
    fn arranged<'x>(self, layout: &Layout<'_>, x: &'x [f32]) -> Cow<'x, [f32]> {
        let _ = layout;
        Cow::Borrowed(x)
    }

    /// Adds the products of an arranged `x` and the elements from `start` on, without a tile between; returns how many it
    /// has added, a multiple of [`dot::STEP`]. None where the form has no such kernel for the layout.
    fn fused(self, layout: &Layout<'_>, start: usize, x: &[f32], sums: &mut Sums) -> usize {
        let _ = (layout, start, x, sums);
        0
    }

    /// Multiplies `rows`, of which there is one at least, with vectors that were rounded as the plan says.
    fn rounded(self, layout: &Layout<'_>, plan: Plan, rows: Range<usize>, x: &Rounded, y: &mut [f32]) {
        rounded::plain::multiply(layout, plan, rows, x, y);
    }
}

#[derive(Clone, Copy)]
struct Portable;

impl Kernel for Portable {
    fn decode<F: Format>(self, layout: &Layout<'_>, start: usize, out: &mut [F::Word], _: Store) {
        portable::decode::<F>(layout, start, out);
    }

    fn add(self, sums: &mut Sums, weights: &[f32], x: &[f32]) {
        dot::add(sums, weights, x);
    }
}

impl<'a> Matrix<'a> {
    /// A weight of `shape` in `scheme` whose pieces hold `parts`, in the order of [`Scheme::pieces`].
    ///
    /// # Errors
    /// Those of [`View::new`]; [`Error::Damaged`] for a mask that contradicts what is stored.
    pub fn new(scheme: Scheme, shape: &[u64], parts: &[&'a [u8]]) -> Result<Self> {
        Self::of(View::new(scheme, shape, parts)?)
    }

    /// The matrix of a view.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a mask that contradicts what is stored; [`Error::Overflow`] for what no memory holds.
    pub fn of(view: View<'a>) -> Result<Self> {
        let (rows, cols) = (size(view.weight().outputs())?, size(view.weight().row())?);
        Ok(Self { scheme: view.scheme(), rows, cols, layout: Layout::of(view)? })
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Rows: output channels.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: elements of an output channel.
    #[must_use]
    pub const fn cols(&self) -> usize {
        self.cols
    }

    /// Whether the scheme has kernels of its own; others are decoded as a whole at the first use.
    #[must_use]
    pub const fn has_kernel(&self) -> bool {
        !matches!(self.layout, Layout::Whole { .. })
    }

    /// Bytes held beside the pieces: the index of a sparse weight, a weight that was decoded as a whole.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.layout.held_bytes()
    }

    /// Decodes `rows` to `out`, which holds just them.
    ///
    /// # Errors
    /// [`Error::Argument`] for rows that there are not, an `out` of another length, or instructions this processor does not
    /// have; for a scheme without kernels also those of [`View::decode_into`].
    pub fn decode_rows(&self, rows: Range<usize>, out: Out<'_>, isa: Isa, store: Store) -> Result<()> {
        let count = self.check_rows(&rows)?.saturating_mul(self.cols);
        if out.len() != count {
            return Err(wrong_length("out", out.len(), count));
        }
        self.layout.prepare()?;
        let start = rows.start.saturating_mul(self.cols);
        with_kernel!(isa, |kernel| match out {
            Out::F32(out) => kernel.decode::<F32>(&self.layout, start, out, store),
            Out::F16(out) => kernel.decode::<F16>(&self.layout, start, out, store),
            Out::Bf16(out) => kernel.decode::<Bf16>(&self.layout, start, out, store),
        })
    }

    /// Decodes all rows with so many threads, each as many cache lines of `out` as the others.
    ///
    /// # Errors
    /// Those of [`Matrix::decode_rows`].
    pub fn decode_all(&self, out: Out<'_>, isa: Isa, store: Store, threads: usize) -> Result<()> {
        let count = self.rows.saturating_mul(self.cols);
        if out.len() != count {
            return Err(wrong_length("out", out.len(), count));
        }
        let mut rest = out;
        let mut works = Vec::new();
        let multiple = parallel::whole_lines(self.cols.saturating_mul(rest.width()));
        for rows in splits(threads, self.rows, multiple) {
            let (part, later) = rest.split_at(rows.len().saturating_mul(self.cols));
            works.push(move || self.decode_rows(rows, part, isa, store));
            rest = later;
        }
        parallel::run(works)
    }

    /// Multiplies `rows` with `batch` vectors, decoded on the fly: `y[b][r] = sum of W[r][c] * x[b][c]`, where `r` counts from
    /// the first of `rows`. All processors sum in the same order, so that they agree bit for bit, and a row's result hangs
    /// neither on the range nor on the batch.
    ///
    /// # Errors
    /// [`Error::Argument`] for rows that there are not, a batch that is not from 1 to [`BATCH`], an `x` or `y` of another
    /// length, or instructions this processor does not have; for a scheme without kernels also those of
    /// [`View::decode_into`].
    pub fn gemv(&self, rows: Range<usize>, x: &[f32], batch: usize, y: &mut [f32], isa: Isa) -> Result<()> {
        let count = self.check_product(&rows, x, batch)?;
        if y.len() != count {
            return Err(wrong_length("y", y.len(), count));
        }
        self.layout.prepare()?;
        with_kernel!(isa, |kernel| self.multiply(kernel, rows, x, batch, y))
    }

    /// The same for all rows with so many threads.
    ///
    /// # Errors
    /// Those of [`Matrix::gemv`].
    pub fn gemv_all(&self, x: &[f32], batch: usize, y: &mut [f32], isa: Isa, threads: usize) -> Result<()> {
        let count = self.check_product(&(0..self.rows), x, batch)?;
        if y.len() != count {
            return Err(wrong_length("y", y.len(), count));
        }
        self.shared_out(batch, y, threads, |rows, y| self.gemv(rows, x, batch, y, isa))
    }

    fn multiply<K: Kernel>(&self, kernel: K, rows: Range<usize>, x: &[f32], batch: usize, y: &mut [f32]) {
        let count = rows.len();
        let mut tile = [0.0_f32; TILE];
        let arranged = if batch == 1 { kernel.arranged(&self.layout, x) } else { Cow::Borrowed(x) };
        for (place, row) in rows.enumerate() {
            let mut sums = [Sums::default(); BATCH];
            let start = row.saturating_mul(self.cols);
            let done =
                if batch == 1 { kernel.fused(&self.layout, start, &arranged, &mut sums[0]) } else { 0 };
            for column in (done..self.cols).step_by(TILE) {
                let tile = &mut tile[..TILE.min(self.cols.saturating_sub(column))];
                kernel.decode::<F32>(&self.layout, start.saturating_add(column), tile, Store::Cached);
                for (sums, x) in sums.iter_mut().zip(x.chunks_exact(self.cols.max(1))) {
                    kernel.add(sums, tile, &x[column..column.saturating_add(tile.len())]);
                }
            }
            for (sums, y) in sums.iter().zip(y.chunks_exact_mut(count)) {
                y[place] = dot::total(sums);
            }
        }
    }

    /// The number of `rows`, which must be rows of this matrix.
    fn check_rows(&self, rows: &Range<usize>) -> Result<usize> {
        if rows.start > rows.end || rows.end > self.rows {
            let reason = format!("{} to {} are not within {}", rows.start, rows.end, self.rows);
            return Err(Error::Argument { name: "rows", reason });
        }
        Ok(rows.len())
    }

    /// The length of a product.
    fn check_product(&self, rows: &Range<usize>, x: &[f32], batch: usize) -> Result<usize> {
        let count = self.check_rows(rows)?;
        if !(1..=BATCH).contains(&batch) {
            let reason = format!("{batch} vectors are not from 1 to {BATCH}");
            return Err(Error::Argument { name: "batch", reason });
        }
        let columns = self.cols.saturating_mul(batch);
        if x.len() == columns {
            Ok(count.saturating_mul(batch))
        } else {
            Err(wrong_length("x", x.len(), columns))
        }
    }
}

impl Out<'_> {
    /// Numbers that it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::F32(out) => out.len(),
            Self::F16(out) | Self::Bf16(out) => out.len(),
        }
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of a number.
    #[must_use]
    pub const fn width(&self) -> usize {
        match self {
            Self::F32(_) => 4,
            Self::F16(_) | Self::Bf16(_) => 2,
        }
    }
}

impl Out<'_> {
    /// Its first `count` numbers, and the others.
    fn split_at(self, count: usize) -> (Self, Self) {
        match self {
            Self::F32(out) => {
                let (first, rest) = out.split_at_mut(count);
                (Self::F32(first), Self::F32(rest))
            }
            Self::F16(out) => {
                let (first, rest) = out.split_at_mut(count);
                (Self::F16(first), Self::F16(rest))
            }
            Self::Bf16(out) => {
                let (first, rest) = out.split_at_mut(count);
                (Self::Bf16(first), Self::Bf16(rest))
            }
        }
    }
}

fn wrong_length(name: &'static str, length: usize, expected: usize) -> Error {
    Error::Argument { name, reason: format!("{length} numbers, not {expected}") }
}
