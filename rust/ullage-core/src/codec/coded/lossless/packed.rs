//! A weight compressed without loss, with what it takes to bring it back.

use super::super::super::lossless::{Lossless, Method};
use super::super::super::piece::{self, Piece};
use super::super::super::weight::{OVERFLOW, Weight};
use super::super::{cannot, length};
use super::encode::{self, Parts};
use super::form::Form;
use super::planes::{self, Elements};
use super::reader::RawReader;
use crate::error::{Error, Result};
use crate::model::Dtype;
use crate::units::Bytes;

/// A weight compressed without loss: bytes in, the same bytes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    scheme: Lossless,
    dtype: Dtype,
    shape: Vec<u64>,
    elements: usize,
    parts: Parts,
}

impl Packed {
    /// Encodes `bytes`, a weight of `shape` in `dtype`, lowest bytes first, on at most `threads` threads.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of bytes than the shape has, or a dtype that the scheme does not encode: LZ4
    /// takes every one of whole bytes, the others BF16, F16 and F32. [`Error::Overflow`] for a shape beyond 2^64 − 1, or
    /// more than 4 GiB of codes.
    pub fn encode(
        bytes: &[u8],
        dtype: Dtype,
        shape: &[u64],
        scheme: Lossless,
        threads: usize,
    ) -> Result<Self> {
        let (elements, width) = measure(dtype, shape, scheme)?;
        if elements.checked_mul(width) != Some(bytes.len()) {
            let reason = format!("{} bytes are not a weight of shape {shape:?} in {dtype}", bytes.len());
            return Err(Error::Argument { name: "weights", reason });
        }
        let parts = match (scheme.method, Form::of(dtype), Elements::of(dtype)) {
            (Method::Lz4, _, Some(kind)) => planes::encode(kind, bytes, threads)?,
            (method, Some(form), _) => encode::encode(form, bytes, method == Method::Fixed, threads)?,
            _ => return Err(cannot(scheme)),
        };
        Ok(Self { scheme, dtype, shape: shape.to_vec(), elements, parts })
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Lossless {
        self.scheme
    }

    /// The number format.
    #[must_use]
    pub const fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The dimensions.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// What is stored, piece by piece.
    #[must_use]
    pub fn parts(&self) -> &[(Piece, Vec<u8>)] {
        &self.parts
    }

    /// Bytes of all pieces: exactly what is stored.
    ///
    /// # Errors
    /// [`Error::Overflow`] never, for what lies in memory.
    pub fn bytes(&self) -> Result<Bytes> {
        piece::total(self.parts.iter().map(|(piece, _)| piece))
    }

    /// Makes it ready to be read.
    ///
    /// # Errors
    /// None, for what was encoded here.
    pub fn reader(&self) -> Result<RawReader<'_>> {
        let parts: Vec<&[u8]> = self.parts.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        RawReader::new(self.scheme, self.dtype, &self.shape, &parts)
    }
}

/// Elements of `shape`, and bytes of one.
pub(super) fn measure(dtype: Dtype, shape: &[u64], scheme: Lossless) -> Result<(usize, usize)> {
    let elements = length(Weight::new(shape)?.elements())?;
    let width = match scheme.method {
        Method::Lz4 => Elements::of(dtype).map(|kind| kind.width),
        Method::Entropy | Method::Fixed => Form::of(dtype).map(Form::width),
    };
    let Some(width) = width else {
        let reason = format!("{scheme} does not take {dtype}");
        return Err(Error::Argument { name: "dtype", reason });
    };
    elements.checked_mul(width).ok_or(OVERFLOW)?;
    Ok((elements, width))
}
