//! Blocks of a GGML type: a fixed number of bytes for so many elements along the innermost dimension, as
//! `ggml-common.h` lays them out.

use std::fmt;

use super::piece::{Part, Piece};
use super::text::{self, Fault};
use super::weight::{Remainder, Weight};
use crate::model::{Dtype, Kind};

/// Blocks of a GGML type: `gguf:q4_k`.
///
/// A weight whose rows the blocks do not divide is stored as `Q8_0`, as llama.cpp's own quantiser does it; one that even
/// those do not divide stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gguf {
    dtype: Dtype,
}

impl Gguf {
    /// Blocks of `dtype`; `None` for a format that has no blocks.
    #[must_use]
    pub fn of(dtype: Dtype) -> Option<Self> {
        let is_known = dtype.kind() == Kind::Block && !matches!(dtype, Dtype::Unknown(_));
        is_known.then_some(Self { dtype })
    }

    /// The type.
    #[must_use]
    pub const fn dtype(self) -> Dtype {
        self.dtype
    }

    /// Bits of an element with its share of the scales, rounded down.
    #[must_use]
    pub fn bits(self) -> u64 {
        let (elements, bits) = self.dtype.block();
        bits.checked_div(elements).unwrap_or(0)
    }

    /// The type that `weight` is stored in: this, or `Q8_0`; `None` where neither divides its rows.
    #[must_use]
    pub fn stored(self, weight: &Weight) -> Option<Dtype> {
        let row = weight.shape().last().copied().unwrap_or(1);
        [self.dtype, Dtype::Q8_0].into_iter().find(|dtype| row.is_multiple_of(dtype.block().0))
    }

    pub(super) fn pieces(self, weight: &Weight, remainder: Remainder) -> Option<Vec<Piece>> {
        let dtype = if remainder == Remainder::Smaller { self.dtype } else { self.stored(weight)? };
        let (elements, bits) = dtype.block();
        Some(vec![Piece::new(Part::Blocks, weight.elements().div_ceil(elements), bits)])
    }

    /// Reads a type's name, which may stand alone.
    pub(super) fn read(name: &str, options: &[&str]) -> Result<Self, Fault> {
        text::none(options)?;
        let is_meant = |dtype: &&Dtype| dtype.to_string().eq_ignore_ascii_case(name);
        let found = Dtype::ALL.iter().find(is_meant).and_then(|&dtype| Self::of(dtype));
        found.ok_or_else(|| "it is no GGML type with blocks, such as q4_k or q8_0".to_owned())
    }
}

impl fmt::Display for Gguf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gguf:{}", self.dtype.to_string().to_ascii_lowercase())
    }
}
