//! The header of a safetensors file that is being written.
//!
//! It stands before the data, and says where the data ends: where a codec finds that out as it goes, room is left for the
//! longest header there could be, and what is not needed of it becomes blanks, as the format allows.

use std::collections::BTreeMap;

use serde::Serialize;

use super::manifest::{self, Row};
use crate::error::{Error, Result};
use crate::units::Bytes;

/// Data begin at a multiple of it, so that tensors lie as aligned as the format orders them.
const ALIGNMENT: usize = 64;
const PREFIX: usize = 8;

/// A tensor as the header lists it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Listed {
    #[serde(skip)]
    pub(super) name: String,
    pub(super) dtype: String,
    pub(super) shape: Vec<u64>,
    pub(super) data_offsets: (u64, u64),
}

impl Listed {
    /// A tensor of `bytes` bytes, which has no place yet.
    pub(super) fn new(name: String, dtype: String, shape: Vec<u64>, bytes: Bytes) -> Self {
        Self { name, dtype, shape, data_offsets: (0, bytes.get()) }
    }

    /// A piece of `bytes` bytes, which has no place yet.
    pub(super) fn bytes(name: String, bytes: Bytes) -> Self {
        Self::new(name, "U8".to_owned(), vec![bytes.get()], bytes)
    }

    /// Its bytes.
    pub(super) fn size(&self) -> Bytes {
        Bytes::new(self.data_offsets.1.saturating_sub(self.data_offsets.0))
    }
}

/// Gives each tensor its place, in their order.
pub(super) fn place(listed: &mut [Listed]) -> Result<Bytes> {
    let mut end = Bytes::ZERO;
    for tensor in listed {
        let start = end;
        end = start.checked_add(tensor.size()).ok_or(Error::Overflow { what: "the compressed file" })?;
        tensor.data_offsets = (start.get(), end.get());
    }
    Ok(end)
}

/// The header in full: its length, the JSON, blanks. At least `least` bytes.
pub(super) fn render(
    listed: &[Listed],
    rows: &[Row],
    tied: &BTreeMap<String, String>,
    least: usize,
) -> Result<Vec<u8>> {
    let failed = |error: serde_json::Error| Error::Argument { name: "header", reason: error.to_string() };
    let mut metadata =
        vec![(manifest::FORMAT, manifest::VERSION.to_owned()), (manifest::TENSORS, manifest::text(rows))];
    if !tied.is_empty() {
        metadata.push((manifest::TIED, serde_json::to_string(tied).map_err(failed)?));
    }
    let mut text = String::from("{\"__metadata__\":{");
    for (place, (key, value)) in metadata.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        let key = serde_json::to_string(key).map_err(failed)?;
        let value = serde_json::to_string(value).map_err(failed)?;
        text.extend([comma, &key, ":", &value]);
    }
    text.push('}');
    for tensor in listed {
        text.push(',');
        text.push_str(&serde_json::to_string(&tensor.name).map_err(failed)?);
        text.push(':');
        text.push_str(&serde_json::to_string(tensor).map_err(failed)?);
    }
    text.push('}');
    let whole = text.len().saturating_add(PREFIX).max(least).checked_next_multiple_of(ALIGNMENT);
    let length = whole.ok_or(Error::Overflow { what: "the header" })?.saturating_sub(PREFIX);
    let mut header = u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes().to_vec();
    header.extend_from_slice(text.as_bytes());
    header.resize(length.saturating_add(PREFIX), b' ');
    Ok(header)
}
