//! Whole arrays of integers, read as a block.

use pyo3::buffer::{Element, PyBuffer};
use pyo3::prelude::*;

use crate::error::{Failure, Outcome};

/// Why an array of integers cannot be taken.
#[derive(Clone, Copy)]
pub(crate) enum Unfit {
    /// It has this many dimensions, not one.
    Dimensions(usize),
    /// The value at this place is outside the numbers that are asked for.
    Value(usize, i128),
}

/// The numbers of a contiguous or strided array of 32- or 64-bit integers; `None` for any other value, of which an array
/// of the other byte order is one. `refuse` makes the error of an array that cannot be taken.
pub(crate) fn integers<T: TryFrom<i128>>(
    values: &Bound<'_, PyAny>,
    refuse: impl Fn(Unfit) -> Failure + Copy,
) -> Outcome<Option<Vec<T>>> {
    if let Some(found) = read::<i64, T>(values, refuse)? {
        return Ok(Some(found));
    }
    if let Some(found) = read::<u64, T>(values, refuse)? {
        return Ok(Some(found));
    }
    if let Some(found) = read::<i32, T>(values, refuse)? {
        return Ok(Some(found));
    }
    read::<u32, T>(values, refuse)
}

fn read<S: Element + Into<i128>, T: TryFrom<i128>>(
    values: &Bound<'_, PyAny>,
    refuse: impl Fn(Unfit) -> Failure,
) -> Outcome<Option<Vec<T>>> {
    let Ok(buffer) = PyBuffer::<S>::get(values) else { return Ok(None) };
    if matches!(buffer.format().to_bytes().first(), Some(b'>' | b'!')) && cfg!(target_endian = "little") {
        return Ok(None);
    }
    if buffer.dimensions() != 1 {
        return Err(refuse(Unfit::Dimensions(buffer.dimensions())));
    }
    let number = |(index, value): (usize, S)| {
        let value: i128 = value.into();
        T::try_from(value).map_err(|_| refuse(Unfit::Value(index, value)))
    };
    // One copy: other threads may write to the array meanwhile.
    buffer.to_vec(values.py())?.into_iter().enumerate().map(number).collect::<Outcome<_>>().map(Some)
}
