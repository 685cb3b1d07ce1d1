//! Weights in a scheme: encoded, decoded, and how far off they then are. The plain form, an element at a time.
//!
//! What is stored has exactly the pieces that [`Scheme::pieces`] names. Encoded are `dense` (F16 and F32), `linear`,
//! `palettized` with tables of 16-bit values, and `sparse` by share; the other schemes have sizes alone so far.

mod bits;
mod dense;
mod half;
mod linear;
mod palettized;
mod sparse;
#[cfg(test)]
mod tests;

use std::fmt;

use super::piece::Piece;
use super::scheme::Scheme;
use super::weight::{OVERFLOW, Remainder, Weight};
use crate::error::{Error, Result};
use crate::model::Dtype;
use crate::units::Bytes;

const REMAINDER: Remainder = Remainder::Smaller;

/// One weight in a scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coded {
    scheme: Scheme,
    weight: Weight,
    parts: Vec<(Piece, Vec<u8>)>,
}

/// How far decoded weights are from the original ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distortion {
    /// The largest absolute error.
    pub max: f64,
    /// The root of the mean squared error.
    pub rms: f64,
    /// Power of the weights over that of the error, in decibels; infinite without an error.
    pub snr_db: f64,
}

impl Coded {
    /// Encodes `values`, a weight of `shape`.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of values than the shape has, one that is not finite, or a scheme that is not
    /// encoded; [`Error::Overflow`] for a shape beyond 2^64 − 1.
    pub fn encode(values: &[f32], shape: &[u64], scheme: Scheme) -> Result<Self> {
        let weight = Weight::new(shape)?;
        if length(weight.elements())? != values.len() {
            let reason = format!("{} values are not a weight of shape {shape:?}", values.len());
            return Err(Error::Argument { name: "weights", reason });
        }
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            let reason = format!("element {place} is {}", values[place]);
            return Err(Error::Argument { name: "weights", reason });
        }
        let data = match scheme {
            Scheme::Dense(dense) => dense::encode(dense, values)?,
            Scheme::Linear(linear) => linear::encode(linear, &weight, values)?,
            Scheme::Palettized(palettized) => palettized::encode(palettized, &weight, values)?,
            Scheme::Sparse(sparse) => sparse::encode(sparse, &weight, values)?,
            Scheme::Gguf(_) | Scheme::Lossless(_) => return Err(cannot(scheme)),
        };
        Self::from_data(data, shape, scheme)
    }

    /// A weight of `shape` whose pieces hold `data`, in the order of [`Scheme::pieces`].
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of pieces or bytes than the scheme stores.
    pub fn from_data(data: Vec<Vec<u8>>, shape: &[u64], scheme: Scheme) -> Result<Self> {
        let weight = Weight::new(shape)?;
        let pieces = scheme.pieces(&weight, Dtype::F32, REMAINDER)?.ok_or_else(|| cannot(scheme))?;
        if pieces.len() != data.len() {
            return Err(damaged(&format!("{} pieces of {}", data.len(), pieces.len())));
        }
        for (piece, bytes) in pieces.iter().zip(&data) {
            if piece.bytes()?.get() != u64::try_from(bytes.len()).map_err(|_| OVERFLOW)? {
                let reason =
                    format!("{:?} of {} bytes, not {}", piece.part, bytes.len(), piece.bytes()?.get());
                return Err(damaged(&reason));
            }
        }
        Ok(Self { scheme, weight, parts: pieces.into_iter().zip(data).collect() })
    }

    /// Writes the weight to `out`.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of elements, or data that contradicts itself.
    pub fn decode_into(&self, out: &mut [f32]) -> Result<()> {
        if length(self.weight.elements())? != out.len() {
            let reason = format!("{} elements, not {}", out.len(), self.weight.elements());
            return Err(Error::Argument { name: "out", reason });
        }
        let data: Vec<&[u8]> = self.parts.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        match self.scheme {
            Scheme::Dense(dense) => dense::decode(dense, &data, out),
            Scheme::Linear(linear) => linear::decode(linear, &self.weight, &data, out),
            Scheme::Palettized(palettized) => palettized::decode(palettized, &self.weight, &data, out),
            Scheme::Sparse(sparse) => sparse::decode(sparse, &self.weight, &data, out),
            Scheme::Gguf(_) | Scheme::Lossless(_) => Err(cannot(self.scheme)),
        }
    }

    /// What is stored, piece by piece.
    #[must_use]
    pub fn parts(&self) -> &[(Piece, Vec<u8>)] {
        &self.parts
    }

    /// Bytes of all pieces.
    ///
    /// # Errors
    /// [`Error::Overflow`] never, for what lies in memory.
    pub fn bytes(&self) -> Result<Bytes> {
        let sizes: Vec<Bytes> = self.parts.iter().map(|(piece, _)| piece.bytes()).collect::<Result<_>>()?;
        Ok(Bytes::sum(sizes, "the compressed weights")?)
    }
}

impl Distortion {
    /// The distance of `decoded` from `original`.
    ///
    /// # Errors
    /// [`Error::Argument`] unless both have as many elements.
    pub fn of(original: &[f32], decoded: &[f32]) -> Result<Self> {
        if original.len() != decoded.len() {
            let reason = format!("{} elements, not {}", decoded.len(), original.len());
            return Err(Error::Argument { name: "decoded", reason });
        }
        let (mut max, mut error, mut power) = (0.0_f64, 0.0_f64, 0.0_f64);
        for (&before, &after) in original.iter().zip(decoded) {
            let off = f64::from(before) - f64::from(after);
            max = max.max(off.abs());
            error += off * off;
            power += f64::from(before) * f64::from(before);
        }
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let count = original.len().max(1) as f64;
        let snr_db = if error > 0.0 { 10.0 * (power / error).log10() } else { f64::INFINITY };
        Ok(Self { max, rms: (error / count).sqrt(), snr_db })
    }
}

fn length(count: u64) -> Result<usize> {
    usize::try_from(count).map_err(|_| OVERFLOW)
}

fn cannot(scheme: impl fmt::Display) -> Error {
    Error::Argument { name: "scheme", reason: format!("weights cannot be encoded as {scheme} yet") }
}

fn damaged(why: &str) -> Error {
    Error::Argument { name: "data", reason: format!("it is damaged: {why}") }
}
