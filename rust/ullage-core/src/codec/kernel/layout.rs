//! A weight as kernels see it, checked once: after that no element's data lies outside its piece.

use std::sync::OnceLock;

use super::super::coded::View;
use super::super::linear::{Granularity, Linear};
use super::super::palettized::Palettized;
use super::super::piece::Part;
use super::super::scheme::Scheme;
use super::super::sparse::Kept;
use super::super::weight::{OVERFLOW, Weight};
use super::runs::Sharing;
use super::sparse::Sparse;
use crate::error::Result;
use crate::model::Dtype;

/// Where the data of an element lie.
#[derive(Debug)]
pub(super) enum Layout<'a> {
    /// Numbers of `dtype`, which is F16, BF16 or F32.
    Numbers { dtype: Dtype, data: &'a [u8] },
    /// Indices into tables of halves.
    Palette(Palette<'a>),
    /// Integers with scales.
    Integers(Integers<'a>),
    /// A mask, and halves.
    Sparse(Sparse<'a>),
    /// GGML blocks of a type that has a kernel.
    Blocks { block: Block, data: &'a [u8] },
    /// A scheme without a kernel: decoded as a whole at the first use, and kept.
    Whole { view: View<'a>, decoded: OnceLock<Vec<f32>> },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Palette<'a> {
    /// Bits of an index, at most 8.
    pub(super) bits: u32,
    pub(super) indices: &'a [u8],
    /// A table of 2^bits halves for every run.
    pub(super) tables: &'a [u8],
    pub(super) sharing: Sharing,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Integers<'a> {
    /// 4 or 8.
    pub(super) bits: u32,
    pub(super) codes: &'a [u8],
    pub(super) scales: &'a [u8],
    /// Empty where the integers are signed.
    pub(super) zeros: &'a [u8],
    pub(super) is_affine: bool,
    pub(super) sharing: Sharing,
}

/// GGML blocks with a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    Q4_0,
    Q8_0,
    Q4K,
    Q6K,
}

impl Block {
    const fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::Q4_0 => Some(Self::Q4_0),
            Dtype::Q8_0 => Some(Self::Q8_0),
            Dtype::Q4_K => Some(Self::Q4K),
            Dtype::Q6_K => Some(Self::Q6K),
            _ => None,
        }
    }

    /// Elements of a block.
    pub(super) const fn elements(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q6K => 210,
        }
    }
}

impl<'a> Layout<'a> {
    pub(super) fn of(view: View<'a>) -> Result<Self> {
        let part = |part| view.part(part).unwrap_or_default();
        let weight = view.weight();
        Ok(match view.scheme() {
            Scheme::Dense(dense) if matches!(dense.dtype(), Dtype::F16 | Dtype::BF16 | Dtype::F32) => {
                Self::Numbers { dtype: dense.dtype(), data: part(Part::Values) }
            }
            Scheme::Palettized(scheme)
                if scheme.vector == 1 && !scheme.has_scale && !scheme.has_int8_table =>
            {
                let (indices, tables) = (part(Part::Indices), part(Part::Tables));
                let sharing = shared_table(scheme, weight)?;
                Self::Palette(Palette { bits: scheme.bits, indices, tables, sharing })
            }
            Scheme::Linear(scheme) => Self::Integers(Integers {
                bits: scheme.bits,
                codes: part(Part::Integers),
                scales: part(Part::Scales),
                zeros: part(Part::ZeroPoints),
                is_affine: scheme.is_affine,
                sharing: shared_scale(scheme, weight)?,
            }),
            Scheme::Sparse(scheme) if scheme.kept == Kept::F16 => {
                Self::Sparse(Sparse::new(part(Part::Values), part(Part::Mask), size(weight.elements())?)?)
            }
            Scheme::Gguf(gguf) => match Block::of(stored_as(gguf.dtype(), weight)) {
                Some(block) => Self::Blocks { block, data: part(Part::Blocks) },
                None => Self::Whole { view, decoded: OnceLock::new() },
            },
            _ => Self::Whole { view, decoded: OnceLock::new() },
        })
    }

    /// Bytes held beside the pieces.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Sparse(sparse) => sparse.index_bytes(),
            Self::Whole { decoded, .. } => {
                decoded.get().map_or(0, |values| values.len().saturating_mul(size_of::<f32>()))
            }
            _ => 0,
        }
    }

    /// Decodes a scheme without a kernel, unless that has been done.
    pub(super) fn prepare(&self) -> Result<()> {
        if let Self::Whole { view, decoded } = self
            && decoded.get().is_none()
        {
            let mut values = vec![0.0; size(view.weight().elements())?];
            view.decode_into(&mut values)?;
            // Another thread may have been first, with the same numbers.
            let _ = decoded.set(values);
        }
        Ok(())
    }
}

/// Rows that the type's blocks do not divide are of another.
fn stored_as(dtype: Dtype, weight: &Weight) -> Dtype {
    let row = weight.shape().last().copied().unwrap_or(1);
    if row.is_multiple_of(dtype.block().0) { dtype } else { Dtype::Q8_0 }
}

fn shared_table(scheme: Palettized, weight: &Weight) -> Result<Sharing> {
    let channels = scheme.group_size.unwrap_or(weight.outputs()).min(weight.outputs());
    let group = size(channels.saturating_mul(weight.row()))?;
    Ok(Sharing::new(group, group))
}

fn shared_scale(scheme: Linear, weight: &Weight) -> Result<Sharing> {
    let (row, inputs) = (weight.row(), weight.inputs());
    let kernel = row.checked_div(inputs).unwrap_or(1).max(1);
    Ok(match scheme.granularity {
        Granularity::Tensor => {
            let all = size(weight.elements())?;
            Sharing::new(all, all)
        }
        Granularity::Channel => Sharing::new(size(row)?, size(row)?),
        Granularity::Block(block) => {
            Sharing::new(size(row)?, size(block.min(inputs).saturating_mul(kernel))?)
        }
    })
}

pub(super) fn size(count: u64) -> Result<usize> {
    usize::try_from(count).map_err(|_| OVERFLOW)
}
