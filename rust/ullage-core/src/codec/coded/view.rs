//! Stored pieces that lie elsewhere: in a mapped file, or in memory of another owner.

use super::super::piece::{self, Part, Piece};
use super::super::scheme::Scheme;
use super::super::weight::{OVERFLOW, Weight};
use super::{cannot, damaged, dense, length, linear, palettized, sparse};
use crate::error::{Error, Result};
use crate::model::Dtype;
use crate::units::Bytes;

/// One weight in a scheme, its pieces borrowed. Making one compares lengths and copies nothing; contents are checked as
/// they are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View<'a> {
    scheme: Scheme,
    weight: Weight,
    /// As [`Scheme::pieces`] names them, each as long as it says.
    parts: Vec<(Piece, &'a [u8])>,
}

impl<'a> View<'a> {
    /// A weight of `shape` in `scheme` whose pieces hold `parts`, in the order of [`Scheme::pieces`].
    ///
    /// # Errors
    /// [`Error::Damaged`] for another number of pieces or bytes than the scheme stores; [`Error::Argument`] for a weight
    /// that the scheme leaves as it is; [`Error::Overflow`] for a shape beyond 2^64 − 1.
    pub fn new(scheme: Scheme, shape: &[u64], parts: &[&'a [u8]]) -> Result<Self> {
        let weight = Weight::new(shape)?;
        let pieces = scheme.stored(&weight, Dtype::F32)?.ok_or_else(|| cannot(scheme))?;
        if pieces.len() != parts.len() {
            let reason = format!("there are {}, not {}", parts.len(), pieces.len());
            return Err(Error::Damaged { piece: "pieces", reason });
        }
        for (piece, bytes) in pieces.iter().zip(parts) {
            let expected = piece.bytes()?.get();
            if expected != u64::try_from(bytes.len()).map_err(|_| OVERFLOW)? {
                return Err(damaged(piece.part, format!("{} bytes, not {expected}", bytes.len())));
            }
        }
        Ok(Self::checked(scheme, weight, pieces.into_iter().zip(parts.iter().copied()).collect()))
    }

    /// Of pieces that are as long as the scheme says.
    pub(super) const fn checked(scheme: Scheme, weight: Weight, parts: Vec<(Piece, &'a [u8])>) -> Self {
        Self { scheme, weight, parts }
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The weight's dimensions, and which of them are channels.
    #[must_use]
    pub const fn weight(&self) -> &Weight {
        &self.weight
    }

    /// What is stored, piece by piece.
    #[must_use]
    pub fn parts(&self) -> &[(Piece, &'a [u8])] {
        &self.parts
    }

    /// The first piece that holds `part`.
    #[must_use]
    pub fn part(&self, part: Part) -> Option<&'a [u8]> {
        self.parts.iter().find(|(piece, _)| piece.part == part).map(|&(_, bytes)| bytes)
    }

    /// Bytes of all pieces.
    ///
    /// # Errors
    /// [`Error::Overflow`] never, for what lies in memory.
    pub fn bytes(&self) -> Result<Bytes> {
        piece::total(self.parts.iter().map(|(piece, _)| piece))
    }

    /// Writes the weight to `out`.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of elements, [`Error::Damaged`] for data that contradicts itself.
    pub fn decode_into(&self, out: &mut [f32]) -> Result<()> {
        if length(self.weight.elements())? != out.len() {
            let reason = format!("{} elements, not {}", out.len(), self.weight.elements());
            return Err(Error::Argument { name: "out", reason });
        }
        let data: Vec<&[u8]> = self.parts.iter().map(|&(_, bytes)| bytes).collect();
        match self.scheme {
            Scheme::Dense(dense) => dense::decode(dense, &data, out),
            Scheme::Linear(linear) => linear::decode(linear, &self.weight, &data, out),
            Scheme::Palettized(palettized) => palettized::decode(palettized, &self.weight, &data, out),
            Scheme::Sparse(sparse) => sparse::decode(sparse, &self.weight, &data, out),
            Scheme::Gguf(_) | Scheme::Lossless(_) => Err(cannot(self.scheme)),
        }
    }
}
