//! A weight compressed without loss, with what it takes to bring it back.

use std::borrow::Cow;

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

    /// The same, of elements in a row.
    ///
    /// # Errors
    /// As for [`Packed::encode`].
    pub fn flat(bytes: &[u8], dtype: Dtype, scheme: Lossless, threads: usize) -> Result<Self> {
        let (_, width) = measure(dtype, &[], scheme)?;
        let elements = bytes.len().checked_div(width).and_then(|count| u64::try_from(count).ok());
        Self::encode(bytes, dtype, &[elements.ok_or(OVERFLOW)?], scheme, threads)
    }

    /// The same in the scheme that takes fewest bytes, as far as a sample of some 256 Ki elements tells; `None` where none
    /// saves one byte in a hundred, or the dtype is not made of whole bytes.
    ///
    /// # Errors
    /// [`Error::Argument`] for bytes that are not whole elements.
    pub fn smallest(bytes: &[u8], dtype: Dtype, threads: usize) -> Result<Option<Self>> {
        let Some(kind) = Elements::of(dtype) else { return Ok(None) };
        let sample = sampled(bytes, kind.width);
        let mut best: Option<(u64, Self)> = None;
        for method in [Method::Entropy, Method::Lz4] {
            if method == Method::Entropy && Form::of(dtype).is_none() {
                continue;
            }
            let found = Self::flat(&sample, dtype, Lossless { exponent_millibits: 2650, method }, threads)?;
            let size = found.bytes()?.get();
            if best.as_ref().is_none_or(|&(least, _)| size < least) {
                best = Some((size, found));
            }
        }
        let Some((_, found)) = best.filter(|&(size, _)| is_gain(size, sample.len())) else { return Ok(None) };
        if sample.len() == bytes.len() {
            return Ok(Some(found));
        }
        let whole = Self::flat(bytes, dtype, found.scheme, threads)?;
        let is_smaller = is_gain(whole.bytes()?.get(), bytes.len());
        Ok(is_smaller.then_some(whole))
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

/// Whether so many bytes save one in a hundred of `length`.
fn is_gain(size: u64, length: usize) -> bool {
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    size < length.saturating_sub(length / 100)
}

/// Places that are looked at.
const SAMPLES: usize = 16;
/// Elements at each of them.
const SAMPLE: usize = 1 << 14;

/// All of `bytes`, or some of it from all over.
fn sampled(bytes: &[u8], width: usize) -> Cow<'_, [u8]> {
    let own = SAMPLE.saturating_mul(width);
    let all = own.saturating_mul(SAMPLES);
    if bytes.len() <= all.saturating_mul(2) {
        return Cow::Borrowed(bytes);
    }
    let step = bytes.len().checked_div(all).unwrap_or(0).saturating_mul(own).max(1);
    Cow::Owned(
        bytes.chunks(step).take(SAMPLES).filter_map(|part| part.get(..own)).flatten().copied().collect(),
    )
}
