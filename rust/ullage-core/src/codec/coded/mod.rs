//! Weights in a scheme: encoded, decoded, and how far off they then are. The plain form, an element at a time.
//!
//! What is stored has exactly the pieces that [`Scheme::pieces`] names, so its size is the one that was computed. All
//! schemes are encoded and decoded but `lossless` and, of the GGML types, IQ1, IQ2 and IQ3, which are decoded alone.

mod bits;
mod choices;
mod clusters;
mod dense;
mod distortion;
mod feedback;
mod gguf;
mod inputs;
mod linear;
mod lossless;
mod palettized;
mod small;
mod sparse;
mod stored;
#[cfg(test)]
mod tests;
mod vectors;
mod view;

pub use choices::Choices;
pub use distortion::Distortion;
pub use inputs::Inputs;
pub use lossless::{Packed, RawReader, Reading};
pub use view::View;

use std::fmt;

use super::piece::{Part, Piece};
use super::scheme::Scheme;
use super::weight::{OVERFLOW, Remainder, Weight};
use crate::error::{Error, Result};
use crate::units::Bytes;
use stored::Stored;

const REMAINDER: Remainder = Remainder::Smaller;

/// One weight in a scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coded {
    scheme: Scheme,
    weight: Weight,
    parts: Vec<(Piece, Vec<u8>)>,
}

impl Coded {
    /// Encodes `values`, a weight of `shape`, by the default [`Choices`].
    ///
    /// # Errors
    /// As [`Coded::encode_with`].
    pub fn encode(values: &[f32], shape: &[u64], scheme: Scheme) -> Result<Self> {
        Self::encode_with(values, shape, scheme, Choices::default())
    }

    /// Encodes `values`, a weight of `shape`.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of values than the shape has, for one that is not finite (but in `dense`), for
    /// a scheme that leaves such a weight as it is or is not encoded, for a scale beyond the 16-bit numbers, and for a
    /// quantile that is none; [`Error::Overflow`] for a shape beyond 2^64 − 1.
    pub fn encode_with(values: &[f32], shape: &[u64], scheme: Scheme, choices: Choices) -> Result<Self> {
        Self::encode_for(values, shape, scheme, choices, None)
    }

    /// Encodes `values`, a weight of `shape`, so that what it makes of its `inputs` changes least, where
    /// [`Scheme::takes_inputs`].
    ///
    /// # Errors
    /// As [`Coded::encode_with`], and [`Error::Argument`] for a scheme that takes no inputs, or another number of them than a
    /// row of the weight has.
    pub fn encode_for(
        values: &[f32],
        shape: &[u64],
        scheme: Scheme,
        choices: Choices,
        inputs: Option<&Inputs>,
    ) -> Result<Self> {
        let (weight, choices) = (Weight::new(shape)?, choices.checked()?);
        if length(weight.elements())? != values.len() {
            let reason = format!("{} values are not a weight of shape {shape:?}", values.len());
            return Err(Error::Argument { name: "weights", reason });
        }
        let is_dense = matches!(scheme, Scheme::Dense(_));
        if let Some(place) = values.iter().position(|value| !is_dense && !value.is_finite()) {
            let reason = format!("element {place} is {}", values[place]);
            return Err(Error::Argument { name: "weights", reason });
        }
        check_inputs(scheme, &weight, inputs)?;
        let all = Stored::All(values);
        let data = match scheme {
            Scheme::Dense(dense) => dense::encode(dense, values)?,
            Scheme::Gguf(gguf) => gguf::encode(gguf, &weight, values)?,
            Scheme::Linear(linear) => linear::encode(linear, &weight, &all, choices)?,
            Scheme::Palettized(palettized) => palettized::encode(palettized, &weight, &all, choices, inputs)?,
            Scheme::Sparse(sparse) => sparse::encode(sparse, &weight, values, choices)?,
            Scheme::Lossless(_) => return Err(cannot(scheme)),
        };
        Self::from_data(data, shape, scheme)
    }

    /// A weight of `shape` whose pieces hold `data`, in the order of [`Scheme::pieces`].
    ///
    /// # Errors
    /// [`Error::Damaged`] for another number of pieces or bytes than the scheme stores.
    pub fn from_data(data: Vec<Vec<u8>>, shape: &[u64], scheme: Scheme) -> Result<Self> {
        let parts: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let view = View::new(scheme, shape, &parts)?;
        let pieces: Vec<Piece> = view.parts().iter().map(|(piece, _)| piece.clone()).collect();
        let weight = view.weight().clone();
        Ok(Self { scheme, weight, parts: pieces.into_iter().zip(data).collect() })
    }

    /// The same, borrowed.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        let parts = self.parts.iter().map(|(piece, bytes)| (piece.clone(), bytes.as_slice()));
        View::checked(self.scheme, self.weight.clone(), parts.collect())
    }

    /// Writes the weight to `out`.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of elements, [`Error::Damaged`] for data that contradicts itself.
    pub fn decode_into(&self, out: &mut [f32]) -> Result<()> {
        self.view().decode_into(out)
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The weight's dimensions.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        self.weight.shape()
    }

    /// What is stored, piece by piece.
    #[must_use]
    pub fn parts(&self) -> &[(Piece, Vec<u8>)] {
        &self.parts
    }

    /// The bytes of its pieces, in the order of [`Scheme::pieces`].
    #[must_use]
    pub fn into_data(self) -> Vec<Vec<u8>> {
        self.parts.into_iter().map(|(_, bytes)| bytes).collect()
    }

    /// Bytes of all pieces.
    ///
    /// # Errors
    /// [`Error::Overflow`] never, for what lies in memory.
    pub fn bytes(&self) -> Result<Bytes> {
        self.view().bytes()
    }
}

/// That `inputs` are those of `weight`, and of use.
fn check_inputs(scheme: Scheme, weight: &Weight, inputs: Option<&Inputs>) -> Result<()> {
    let Some(inputs) = inputs else { return Ok(()) };
    let refuse = |reason: String| Err(Error::Argument { name: "inputs", reason });
    if !scheme.takes_inputs() {
        return refuse(format!("{scheme} is encoded without them"));
    }
    if length(weight.row())? != inputs.width() {
        return refuse(format!("rows of {} for a weight with {} inputs", inputs.width(), weight.row()));
    }
    Ok(())
}

fn length(count: u64) -> Result<usize> {
    usize::try_from(count).map_err(|_| OVERFLOW)
}

fn cannot(scheme: impl fmt::Display) -> Error {
    Error::Argument { name: "scheme", reason: format!("weights cannot be encoded as {scheme} yet") }
}

fn untouched(scheme: impl fmt::Display) -> Error {
    Error::Argument { name: "scheme", reason: format!("{scheme} leaves a weight of this shape as it is") }
}

fn damaged(piece: Part, reason: impl Into<String>) -> Error {
    Error::Damaged { piece: piece.name(), reason: reason.into() }
}
