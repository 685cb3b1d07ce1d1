//! What an array of a store is made of.

use super::entry::Entry;
use super::numbers::own_scheme;
use crate::error::{Error, Result};
use crate::model::{Dtype, Kind};
use crate::units::Bytes;

/// What a caller asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// The format before compression, or 32-bit numbers where arrays have no such format: BF16, F8 and GGML's blocks.
    #[default]
    Native,
    /// 32-bit numbers.
    F32,
    /// 16-bit IEEE numbers.
    F16,
    /// The upper halves of 32-bit numbers.
    Bf16,
}

/// What an array is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Number format; `U8` also for the plain bytes of a format that is not read as numbers.
    pub dtype: Dtype,
    /// Shape, outermost dimension first.
    pub shape: Vec<u64>,
    /// Bytes in all.
    pub bytes: Bytes,
}

impl Element {
    /// What `entry` is made of in `form`.
    ///
    /// # Errors
    /// [`Error::Argument`] for what is not read as numbers in a form of numbers; [`Error::Overflow`] beyond 2^64 − 1 bytes.
    pub(super) fn of(entry: &Entry, form: Form) -> Result<Self> {
        let is_read = own_scheme(entry.dtype).is_some();
        let dtype = match form {
            Form::Native => native(entry.dtype, is_read || entry.scheme.is_some()),
            Form::F32 => Dtype::F32,
            Form::F16 => Dtype::F16,
            Form::Bf16 => Dtype::BF16,
        };
        if form != Form::Native && !is_read && entry.scheme.is_none() && dtype != entry.dtype {
            let reason = format!("{:?} holds {}, which is not read as {dtype}", entry.name, entry.dtype);
            return Err(Error::Argument { name: "dtype", reason });
        }
        let is_plain = dtype == Dtype::U8 && entry.dtype != Dtype::U8;
        let shape = if is_plain { vec![entry.bytes.get()] } else { entry.shape.clone() };
        let elements = if is_plain { entry.bytes.get() } else { entry.elements() };
        let bytes = dtype.bytes_of(elements).ok_or(Error::Overflow { what: "a tensor's numbers" })?;
        Ok(Self { dtype, shape, bytes })
    }
}

fn native(dtype: Dtype, is_read: bool) -> Dtype {
    let (_, bits) = dtype.block();
    match (dtype, dtype.kind()) {
        (Dtype::F16 | Dtype::F32 | Dtype::F64 | Dtype::C64, _) => dtype,
        (_, Kind::Integer) if bits.is_multiple_of(8) => dtype,
        _ if is_read => Dtype::F32,
        _ => Dtype::U8,
    }
}
