//! A scheme, whichever it is, and the size of a tensor in it.

use std::fmt;
use std::str::FromStr;

use super::dense::Dense;
use super::gguf::Gguf;
use super::linear::Linear;
use super::lossless::Lossless;
use super::palettized::Palettized;
use super::piece::{self, Piece};
use super::sparse::{Kept, Sparse};
use super::text::Fault;
use super::weight::{Remainder, Weight};
use crate::error::{Error, Result};
use crate::model::{Dtype, Kind, Model, Tensor};
use crate::units::{Bytes, clip};

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Numbers as they are.
    Dense(Dense),
    /// Blocks of a GGML type.
    Gguf(Gguf),
    /// Integers with scales.
    Linear(Linear),
    /// Exponents in fewer bits, and nothing lost.
    Lossless(Lossless),
    /// Indices into tables.
    Palettized(Palettized),
    /// A mask and what is not zero.
    Sparse(Sparse),
}

const FORMS: &str = "dense:f16, gguf:q4_k, palettized:4[,group=16], linear:8[,symmetric|affine][,block=32], sparse:0.75, \
     sparse:0.5+palettized:4 or lossless";

impl Scheme {
    /// Every number in 16 bits.
    pub const F16: Self = Self::Dense(Dense::F16);

    /// What is stored for `weight` of numbers in `dtype`; `None` where the scheme leaves it as it is.
    ///
    /// # Errors
    /// [`Error::Overflow`] where the pieces pass 2^64 − 1 elements or bytes.
    pub fn pieces(self, weight: &Weight, dtype: Dtype, remainder: Remainder) -> Result<Option<Vec<Piece>>> {
        match self {
            Self::Dense(dense) => Ok(Some(dense.pieces(weight))),
            Self::Gguf(gguf) => Ok(gguf.pieces(weight, remainder)),
            Self::Linear(linear) => linear.pieces(weight, remainder),
            Self::Lossless(lossless) => lossless.pieces(weight, dtype),
            Self::Palettized(palettized) => palettized.pieces(weight, remainder),
            Self::Sparse(sparse) => sparse.pieces(weight, remainder),
        }
    }

    /// Bytes of a weight of `shape`, numbers in `dtype`, in this scheme and no container: packed pieces end to end, the
    /// last group or block smaller where it does not divide. `None` where the scheme leaves it as it is.
    ///
    /// # Errors
    /// [`Error::Overflow`] where they pass 2^64 − 1.
    pub fn compressed_bytes(self, shape: &[u64], dtype: Dtype) -> Result<Option<Bytes>> {
        let pieces = self.stored(&Weight::new(shape)?, dtype)?;
        pieces.map(|pieces| piece::total(&pieces)).transpose()
    }

    /// What is stored for `weight` of numbers in `dtype` in no container: as [`Scheme::pieces`], groups and blocks that do not
    /// divide being smaller but for GGML's, which begin with a row.
    ///
    /// # Errors
    /// [`Error::Overflow`] where the pieces pass 2^64 − 1 elements or bytes.
    pub fn stored(self, weight: &Weight, dtype: Dtype) -> Result<Option<Vec<Piece>>> {
        let remainder = match self {
            Self::Gguf(_) => Remainder::Refused, // a row of blocks begins with a block
            _ => Remainder::Smaller,
        };
        self.pieces(weight, dtype, remainder)
    }

    /// Bytes of all of `model`'s tensors with its matrices in this scheme.
    ///
    /// # Errors
    /// [`Error::Overflow`] where they pass 2^64 − 1.
    pub fn model_bytes(self, model: &Model) -> Result<Bytes> {
        let sizes: Result<Vec<Bytes>> =
            model.tensors.iter().map(|tensor| self.tensor_bytes(tensor)).collect();
        Ok(Bytes::sum(sizes?, "the re-encoded weights")?)
    }

    /// Bytes of `tensor` in this scheme. Vectors, integers, and what would grow stay as they are.
    ///
    /// # Errors
    /// [`Error::Overflow`] where they pass 2^64 − 1.
    pub fn tensor_bytes(self, tensor: &Tensor) -> Result<Bytes> {
        if tensor.bytes.is_zero() || tensor.dtype.kind() != Kind::Real && tensor.dtype.kind() != Kind::Block {
            return Ok(tensor.bytes);
        }
        let takes_vectors = matches!(self, Self::Dense(_) | Self::Lossless(_));
        let is_matrix = tensor.shape.len() > 1 || tensor.is_lump();
        if !is_matrix && !takes_vectors {
            return Ok(tensor.bytes);
        }
        let size = match self {
            // What is known by its size alone is taken to divide.
            Self::Gguf(gguf) if tensor.is_lump() => gguf.dtype().bytes_of(tensor.elements()),
            _ => self.compressed_bytes(&tensor.shape, tensor.dtype)?,
        };
        Ok(size.unwrap_or(tensor.bytes).min(tensor.bytes))
    }

    /// Whether encoding may be told what a weight is multiplied with ([`super::Inputs`]): palettes of single numbers.
    #[must_use]
    pub fn takes_inputs(self) -> bool {
        matches!(self, Self::Palettized(palettized) if palettized.vector == 1)
    }

    /// Bits an element takes, scales left out: the coarser, the lossier.
    #[must_use]
    pub fn bits(self) -> u64 {
        match self {
            Self::Dense(dense) => dense.bits(),
            Self::Gguf(gguf) => gguf.bits(),
            Self::Linear(linear) => u64::from(linear.bits),
            Self::Lossless(_) => 16, // as good as any
            Self::Palettized(palettized) => {
                u64::from(palettized.bits).checked_div(palettized.vector).unwrap_or(0)
            }
            Self::Sparse(sparse) => sparse.bits(),
        }
    }

    fn read(text: &str) -> Result<Self, Fault> {
        if let Some((first, second)) = text.split_once('+') {
            if second.contains('+') {
                return Err("two schemes are joined at most".to_owned());
            }
            let kept = match Self::read(second)? {
                Self::Palettized(palettized) => Kept::Palettized(palettized),
                Self::Linear(linear) => Kept::Linear(linear),
                _ => return Err("what sparse weights keep is palettized or linear".to_owned()),
            };
            return match Self::read(first)? {
                Self::Sparse(sparse) => sparse.with(kept).map(Self::Sparse),
                _ => Err("only sparse is joined with another scheme".to_owned()),
            };
        }
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let mut words = rest.split(',');
        let first = words.next().unwrap_or("");
        let options: Vec<&str> = words.collect();
        match kind {
            "dense" => Dense::read(first, &options).map(Self::Dense),
            "gguf" => Gguf::read(first, &options).map(Self::Gguf),
            "linear" => Linear::read(first, &options).map(Self::Linear),
            "lossless" => Lossless::read(first, &options).map(Self::Lossless),
            "palettized" => Palettized::read(first, &options).map(Self::Palettized),
            "sparse" => Sparse::read(first, &options).map(Self::Sparse),
            alone if !text.contains(':') => Gguf::read(alone, &[]).map(Self::Gguf),
            _ => Err("it is of no kind".to_owned()),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dense(scheme) => scheme.fmt(f),
            Self::Gguf(scheme) => scheme.fmt(f),
            Self::Linear(scheme) => scheme.fmt(f),
            Self::Lossless(scheme) => scheme.fmt(f),
            Self::Palettized(scheme) => scheme.fmt(f),
            Self::Sparse(scheme) => scheme.fmt(f),
        }
    }
}

impl FromStr for Scheme {
    type Err = Error;

    /// Reads `dense:f16`, `sparse:0.75`, `palettized:4[,group=16]`, `linear:8[,symmetric|affine][,block=32]`,
    /// `sparse:0.5+palettized:4`, `gguf:q4_k` or `q4_k` alone, `lossless`, with the options of each kind.
    fn from_str(text: &str) -> Result<Self> {
        Self::read(text).map_err(|fault| {
            let reason = format!("{:?} is none of {FORMS}: {fault}", clip(text));
            Error::Argument { name: "scheme", reason }
        })
    }
}
