//! What the threads of a run do with each layer.

use super::prepare::{Home, Stage};
use crate::codec::Scheme;
use crate::codec::kernel::Matrix;
use crate::error::Result;
use crate::jit::engine::Resource;
use crate::jit::{Layer, Policy, Scratch};

/// What the threads do with one layer.
pub(super) enum Step<'a> {
    /// Multiply from where it lies.
    Direct(Matrix<'a>),
    /// Decode so many rows at a time into a share of scratch memory, and multiply from there.
    Tiled(Matrix<'a>, usize),
    /// Multiply what another thread decoded.
    Decoded(Matrix<'a>),
    /// Multiply what was read from the file at this byte, by another thread or on the spot.
    Read(u64, bool),
}

/// A step for each layer.
pub(super) fn steps<'a>(stage: &'a Stage, layers: &[Layer], policies: &[Policy]) -> Result<Vec<Step<'a>>> {
    let of = |(place, (layer, policy)): (usize, (&Layer, &Policy))| {
        let stored =
            || Matrix::new(layer.scheme, &layer.shape, &stage.places[place].of(stage.stored.bytes(), 0));
        Ok(match (stage.homes[place], *policy) {
            (Home::File(start), policy) => Step::Read(start, policy.prefetch() > 0),
            (Home::Dense(start), _) => {
                let bytes = &stage.dense.bytes()[start..start.saturating_add(index(layer.dense.get()))];
                Step::Direct(Matrix::new(Scheme::F16, &layer.shape, &[bytes])?)
            }
            (Home::Stored, Policy::JustInTime { scratch, prefetch }) if !layer.is_dense() => match scratch {
                Scratch::Layer if prefetch > 0 => Step::Decoded(stored()?),
                Scratch::Layer => Step::Tiled(stored()?, usize::MAX),
                Scratch::Tile(bytes) => {
                    let row = layer.row().saturating_mul(2).max(1);
                    Step::Tiled(stored()?, index(bytes.get().checked_div(row).unwrap_or(1).max(1)))
                }
            },
            (Home::Stored, _) => Step::Direct(stored()?),
        })
    };
    layers.iter().zip(policies).enumerate().map(of).collect()
}

impl Step<'_> {
    /// Bytes that kernels hold beside what is stored.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Direct(matrix) | Self::Tiled(matrix, _) | Self::Decoded(matrix) => matrix.held_bytes(),
            Self::Read(..) => 0,
        }
    }

    /// Whether a thread of the given kind makes it ready.
    pub(super) fn is_ahead(&self, resource: Resource) -> bool {
        match self {
            Self::Decoded(_) => resource == Resource::Decompressor,
            Self::Read(_, is_ahead) => *is_ahead && resource == Resource::Storage,
            Self::Direct(_) | Self::Tiled(..) => false,
        }
    }
}

/// A count of bytes or rows as a place in memory.
pub(super) fn index(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
