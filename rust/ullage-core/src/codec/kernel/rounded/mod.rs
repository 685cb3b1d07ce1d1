//! Products of rounded vectors: integers of eight bits multiplied with the integers that a weight is stored as.
//!
//! What others call dynamic quantisation of activations (W8A8, W4A8): `x[c]` is taken for `q[c] * s`, where `q` is a whole
//! number from -127 to 127 and `s` is shared by a block of columns. The products of integers are summed exactly; what is
//! rounded besides is the join of blocks, in an order that is part of the definition ([`plain`] is that definition), so that
//! every [`Isa`] gives the same bits.
//!
//! ```text
//! x ──► round: q, s, sums of q ──► codes * q, summed in 32-bit integers ──► times both scales, joined in 16 lanes ──► y
//! ```

pub(super) mod plain;
#[cfg(test)]
mod tests;
pub(super) mod units;
mod vectors;

use std::ops::Range;

use super::isa::Isa;
use super::layout::{Block, Layout};
use super::{Kernel, Matrix, Portable, parallel, splits, wrong_length};
use crate::codec::scheme::Scheme;
use crate::error::{Error, Result};

pub use vectors::Rounded;
pub(super) use vectors::Vector;

/// The most vectors that are multiplied at once.
pub const ROUNDED_BATCH: usize = 16;

/// Columns that share a scale of `x` where weights are in blocks.
pub(super) const BLOCK: usize = 32;
/// Columns that share a scale of `x` where a row of weights has one scale.
pub(super) const LONG_BLOCK: usize = 256;
/// Columns that vectors are padded to a multiple of, with zeros.
pub(super) const UNIT: usize = 512;
/// Lanes that products are joined in.
pub(super) const LANES: usize = 16;

/// How a weight is multiplied with rounded vectors, which says how those are rounded and laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) order: Order,
    pub(super) form: Form,
}

/// Where the integer of a column lies, so that it meets its weight without more work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// As columns lie.
    Natural,
    /// Of each 128 columns the even ones, then the odd ones: integers of four bits, two to a byte.
    EvenOdd,
    /// Of each 128 columns the first 16 of every 32, then the last 16: `Q4_0`.
    Halves,
    /// Of each 128 columns every second 32: `Q4_K`.
    Runs,
}

/// What is summed exactly, and in which lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A row has one scale. Blocks of 256 columns; within one, so many neighbouring columns share a lane, in turn.
    Row { group: usize },
    /// Weights have scales within a row. What a block of 32 columns and a run of weights have in common is one sum; sums go
    /// to lanes in turn. `span` is the columns of a sum where all have as many.
    Blocks { span: usize },
}

impl Plan {
    pub(super) fn of(layout: &Layout<'_>, cols: usize) -> Option<Self> {
        let blocks = |order, span| Some(Self { order, form: Form::Blocks { span } });
        match layout {
            Layout::Integers(integers) => {
                let is_packed = integers.bits == 4;
                let order = if is_packed { Order::EvenOdd } else { Order::Natural };
                if integers.sharing.is_by_row(cols) {
                    return Some(Self { order, form: Form::Row { group: if is_packed { 8 } else { 4 } } });
                }
                blocks(order, BLOCK)
            }
            Layout::Blocks { block: Block::Q4_0, .. } => blocks(Order::Halves, BLOCK),
            Layout::Blocks { block: Block::Q8_0, .. } => blocks(Order::Natural, BLOCK),
            Layout::Blocks { block: Block::Q4K, .. } => blocks(Order::Runs, BLOCK),
            Layout::Blocks { block: Block::Q6K, .. } => blocks(Order::Natural, BLOCK / 2),
            _ => None,
        }
    }

    /// Columns that share a scale of `x`.
    pub(super) const fn block(self) -> usize {
        match self.form {
            Form::Row { .. } => LONG_BLOCK,
            Form::Blocks { .. } => BLOCK,
        }
    }
}

impl Order {
    /// The place of a column.
    #[inline(always)]
    pub(super) const fn place(self, column: usize) -> usize {
        let (base, at) = (column & !127, column & 127);
        base | match self {
            Self::Natural => at,
            Self::EvenOdd => (at & 1) << 6 | at >> 1,
            Self::Halves => (at & 16) << 2 | (at >> 5) << 4 | at & 15,
            Self::Runs => (at & 32) << 1 | (at & 64) >> 1 | at & 31,
        }
    }
}

impl Matrix<'_> {
    /// Whether it is multiplied with rounded vectors: integers of 4 and 8 bits, and GGML's `Q4_0`, `Q8_0`, `Q4_K`, `Q6_K`.
    #[must_use]
    pub fn takes_rounded(&self) -> bool {
        Plan::of(&self.layout, self.cols).is_some()
    }

    /// Rounds `batch` vectors, which lie end to end in `x`, as this weight takes them.
    ///
    /// # Errors
    /// [`Error::Argument`] for a scheme that takes none, a batch that is not from 1 to [`ROUNDED_BATCH`], an `x` of another
    /// length, or a number in it that is not finite.
    pub fn round(&self, x: &[f32], batch: usize) -> Result<Rounded> {
        let plan = self.plan()?;
        if !(1..=ROUNDED_BATCH).contains(&batch) {
            let reason = format!("{batch} vectors are not from 1 to {ROUNDED_BATCH}");
            return Err(Error::Argument { name: "batch", reason });
        }
        let count = self.cols.saturating_mul(batch);
        if x.len() != count {
            return Err(wrong_length("x", x.len(), count));
        }
        Rounded::new(x, batch, self.cols, plan)
    }

    /// Multiplies `rows` with rounded vectors: `y[b][r]` is near the sum of `W[r][c] * x[b][c]`, where `r` counts from the
    /// first of `rows`. Of the exact product it differs by no more than the sum of `|W[r][c]| * s / 2`, where `s` is the scale
    /// of the block of `x[b][c]`, its largest number over 127, and by what 32 bits round. All processors give the same bits;
    /// a row's result hangs neither on the range nor on the batch. Where a scale of the weight is no number, nor is the
    /// result.
    ///
    /// # Errors
    /// [`Error::Argument`] for a scheme that takes none, rows that there are not, vectors that were rounded for another
    /// weight's scheme or columns, a `y` of another length, or instructions this processor does not have.
    pub fn gemv_rounded(&self, rows: Range<usize>, x: &Rounded, y: &mut [f32], isa: Isa) -> Result<()> {
        let count = self.check_rows(&rows)?;
        let plan = self.check_rounded(x)?;
        let count = count.saturating_mul(x.batch());
        if y.len() != count {
            return Err(wrong_length("y", y.len(), count));
        }
        if rows.is_empty() {
            return Ok(());
        }
        with_kernel!(isa, |kernel| kernel.rounded(&self.layout, plan, rows, x, y))
    }

    /// The same for all rows with so many threads.
    ///
    /// # Errors
    /// Those of [`Matrix::gemv_rounded`].
    pub fn gemv_rounded_all(&self, x: &Rounded, y: &mut [f32], isa: Isa, threads: usize) -> Result<()> {
        self.check_rounded(x)?;
        let count = self.rows.saturating_mul(x.batch());
        if y.len() != count {
            return Err(wrong_length("y", y.len(), count));
        }
        self.shared_out(x.batch(), y, threads, |rows, y| self.gemv_rounded(rows, x, y, isa))
    }

    /// Calls `multiply` for all rows with so many threads, and brings their results to `y`.
    pub(super) fn shared_out(
        &self,
        batch: usize,
        y: &mut [f32],
        threads: usize,
        multiply: impl Fn(Range<usize>, &mut [f32]) -> Result<()> + Sync,
    ) -> Result<()> {
        let ranges = splits(threads, self.rows, 16); // a cache line of results
        if let [whole] = ranges.as_slice() {
            return multiply(whole.clone(), y);
        }
        let multiply = &multiply;
        let mut parts: Vec<Vec<f32>> =
            ranges.iter().map(|rows| vec![0.0; rows.len().saturating_mul(batch)]).collect();
        let shares = ranges.iter().zip(&mut parts);
        parallel::run(shares.map(|(rows, part)| move || multiply(rows.clone(), part)).collect())?;
        for (rows, part) in ranges.iter().zip(&parts) {
            let results = part.chunks_exact(rows.len().max(1));
            for (results, y) in results.zip(y.chunks_exact_mut(self.rows.max(1))) {
                y[rows.clone()].copy_from_slice(results);
            }
        }
        Ok(())
    }

    fn plan(&self) -> Result<Plan> {
        Plan::of(&self.layout, self.cols).ok_or_else(|| takes_none(self.scheme))
    }

    fn check_rounded(&self, x: &Rounded) -> Result<Plan> {
        let plan = self.plan()?;
        if x.plan() == plan && x.cols() == self.cols {
            return Ok(plan);
        }
        let reason = format!("it was rounded for a weight of another scheme, or of {} columns", x.cols());
        Err(Error::Argument { name: "x", reason })
    }
}

/// What is wrong with a scheme whose weights are not multiplied with rounded vectors.
pub(crate) fn takes_none(scheme: Scheme) -> Error {
    let kinds = "linear and GGML's q4_0, q8_0, q4_k and q6_k are";
    let reason = format!("{scheme} is not multiplied with rounded vectors; {kinds}");
    Error::Argument { name: "activations", reason }
}
