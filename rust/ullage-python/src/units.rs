//! Byte counts and times as Python writes them.

use std::borrow::Cow;

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};
use ullage_core::{Bytes, Error};

use crate::error::{Failure, Outcome};

/// A byte count from an `int`, an integral `float` or a text such as `"24GiB"`.
#[derive(Clone, Copy)]
pub(crate) struct ByteCount(pub(crate) Bytes);

impl<'py> FromPyObject<'_, 'py> for ByteCount {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        // Nearly every byte count is an int that fits; the rest is told apart below.
        if value.is_exact_instance_of::<PyInt>()
            && let Ok(count) = value.extract::<u64>()
        {
            return Ok(Self(Bytes::new(count)));
        }
        bytes_of(&value).map(Self).map_err(|failure| failure.into_pyerr(value.py()))
    }
}

fn refused(value: &Bound<'_, PyAny>, reason: &'static str) -> Failure {
    let input = value
        .repr()
        .map_or_else(|_| "?".to_owned(), |repr| repr.to_string_lossy().chars().take(60).collect());
    Error::Quantity { input, reason }.into()
}

fn bytes_of(value: &Bound<'_, PyAny>) -> Outcome<Bytes> {
    if let Ok(text) = value.cast::<PyString>() {
        let text: Cow<'_, str> = text.to_string_lossy();
        return Ok(text.parse()?);
    }
    if value.is_instance_of::<PyBool>() {
        return Err(refused(value, "a truth value is not a byte count"));
    }
    if let Ok(float) = value.cast::<PyFloat>() {
        return bytes_of_float(value, float.value());
    }
    if let Ok(count) = value.extract::<u64>() {
        return Ok(Bytes::new(count));
    }
    match value.extract::<i128>() {
        Ok(count) if count < 0 => Err(refused(value, "a byte count cannot be negative")),
        Ok(_) => Err(refused(value, "larger than 2^64 - 1 bytes")),
        Err(_) => match value.call_method0(c"__index__") {
            Ok(_) => Err(refused(value, "outside 0 ... 2^64 - 1 bytes")),
            Err(_) => Err(refused(value, "expected an int, an integral float or a text such as \"24GiB\"")),
        },
    }
}

fn bytes_of_float(value: &Bound<'_, PyAny>, count: f64) -> Outcome<Bytes> {
    if !count.is_finite() {
        return Err(refused(value, "not a finite number"));
    }
    if count < 0.0 {
        return Err(refused(value, "a byte count cannot be negative"));
    }
    if count.fract() != 0.0 {
        return Err(refused(value, "not a whole number of bytes"));
    }
    // Above 2^53 a float no longer names one byte count; 2^63 is far beyond any machine and exact in both types.
    if count > 9_007_199_254_740_992.0 {
        return Err(refused(value, "too large to be exact as a float; pass an int"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked: whole, >= 0, <= 2^53"
    )]
    Ok(Bytes::new(count as u64))
}

/// A whole number; beyond 128 bits it stands at the end of the range, where every check refuses it.
#[derive(Clone, Copy)]
pub(crate) struct WholeNumber(i128);

impl WholeNumber {
    pub(crate) const ZERO: Self = Self(0);
    pub(crate) const ONE: Self = Self(1);

    /// The number as a count, for the argument called `name`.
    pub(crate) fn count(self, name: &'static str) -> Outcome<u64> {
        u64::try_from(self.0).map_err(|_| {
            let reason = format!("{} is not between 0 and 2^64 - 1", self.0);
            Error::Argument { name, reason }.into()
        })
    }
}

impl<'py> FromPyObject<'_, 'py> for WholeNumber {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match value.extract::<i128>() {
            Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => Ok(Self(i128::MAX)),
            outcome => outcome.map(Self),
        }
    }
}

/// Read a byte count: an int, an integral float, or a text such as "24GiB" or "1.5 GB".
#[pyfunction]
pub(crate) fn parse_bytes(value: ByteCount) -> u64 {
    value.0.get()
}

/// Show a byte count: "4.20 GB", or "3.91 GiB" with `binary=True`.
#[pyfunction]
#[pyo3(signature = (value, *, binary = false))]
pub(crate) fn format_bytes(value: ByteCount, binary: bool) -> String {
    if binary { value.0.binary().to_string() } else { value.0.decimal().to_string() }
}
