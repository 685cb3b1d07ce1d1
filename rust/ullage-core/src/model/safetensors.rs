//! The header of a safetensors file, read by the format's own crate.
//!
//! Layout: 8 bytes little-endian length `n`, `n` bytes of JSON (`name -> dtype, shape, data_offsets`), then the data.
//! The crate parses and validates; what this file adds is reading the header alone, checking it against the length of
//! the file, and saying which byte or tensor is at fault.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{ErrorKind, Read};
use std::path::Path;

use safetensors::SafeTensorError;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::Contents;
use super::dtype::Dtype;
use super::fault::{Failure, Fault};
use super::source::Source;
use super::tensor::Tensor;
use crate::error::Result;
use crate::units::{Bytes, clip};

/// Length of the length field.
const PREFIX: u64 = 8;

/// The entry that is no tensor.
const METADATA: &str = "__metadata__";

/// The format's own limit on the JSON, 100 MB.
const LONGEST_HEADER: u64 = 100_000_000;

/// What the header of one file says.
#[derive(Clone, Debug)]
pub struct Header {
    /// Every tensor, in order of offset.
    pub tensors: Vec<Tensor>,
    /// Bytes of the whole file.
    pub file_bytes: Bytes,
    /// Texts by name, as `__metadata__` holds them; empty where there is none.
    pub metadata: HashMap<String, String>,
}

impl From<Header> for Contents {
    fn from(header: Header) -> Self {
        Self { tensors: header.tensors, file_bytes: header.file_bytes, ..Self::default() }
    }
}

/// Reads the header of the file at `path`: its first `8 + n` bytes and its length, nothing else.
///
/// # Errors
/// [`crate::Error::Io`] if it cannot be read, [`crate::Error::ModelFile`] with offset and tensor if it is not what it
/// says.
pub fn open(path: &Path) -> Result<Header> {
    let source = Source::open(path)?;
    let length = source.length();
    read_header(source.into_input(), length).map_err(|failure| failure.at(path))
}

/// Reads a header from `input`, the start of a file of `file_len` bytes.
///
/// # Errors
/// [`Failure::Fault`] for what no valid file holds, [`Failure::Io`] for what `input` itself reports.
pub fn read_header(mut input: impl Read, file_len: u64) -> Result<Header, Failure> {
    let mut prefix = [0; 8];
    input.read_exact(&mut prefix).map_err(|error| Failure::truncated(error, "the 8-byte header length"))?;
    let length = u64::from_le_bytes(prefix);
    if length > LONGEST_HEADER {
        let reason = match str::from_utf8(&prefix) {
            Ok(text) if !text.contains(|letter: char| letter.is_control() && !letter.is_whitespace()) => {
                format!("it begins with the text {text:?} where safetensors has the length of its header")
            }
            _ => {
                format!("the header claims {length} bytes, more than the format's limit of {LONGEST_HEADER}")
            }
        };
        return Err(Fault::new(reason).offset(0).into());
    }
    let data_start = length.saturating_add(PREFIX);
    if data_start > file_len {
        let reason = format!("the header claims {length} bytes, the file has {file_len} in all");
        return Err(Fault::new(reason).offset(0).into());
    }
    // Bounded by the file's own length, so a lying header cannot ask for more memory than the file justifies.
    let mut json = Vec::new();
    input.take(length).read_to_end(&mut json)?;
    if u64::try_from(json.len()) != Ok(length) {
        return Err(Failure::truncated(ErrorKind::UnexpectedEof.into(), "the header"));
    }
    let Entries { metadata, tensors: entries } = parse(&json)?;
    let data_len = entries.last().map_or(0, |(_, info)| wide(info.data_offsets.1));
    let expected = data_start.saturating_add(data_len);
    if expected != file_len {
        let reason = format!("the header describes a file of {expected} bytes, this one has {file_len}");
        return Err(Fault::new(reason).offset(expected.min(file_len)).into());
    }
    let tensors: Result<Vec<Tensor>, Failure> =
        entries.into_iter().map(|(name, info)| tensor_of(name, &info, data_start)).collect();
    Ok(Header { tensors: tensors?, file_bytes: Bytes::new(file_len), metadata: metadata.unwrap_or_default() })
}

/// The metadata of a header, and its tensors in order of offset, checked by the format's crate.
fn parse(json: &[u8]) -> Result<Entries, Failure> {
    let text = std::str::from_utf8(json).map_err(|error| {
        let offset = u64::try_from(error.valid_up_to()).unwrap_or(u64::MAX).saturating_add(PREFIX);
        Fault::new("the header is not UTF-8 text").offset(offset)
    })?;
    let Entries { metadata, mut tensors } = serde_json::from_str(text).map_err(|error| {
        Fault::new(format!("the header is not what the format asks for: {}", clip(&error.to_string())))
            .offset(PREFIX)
    })?;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    // The crate keeps an index by name, which nothing here asks: only to name a culprit does it get the names.
    let nameless = tensors.iter().map(|(_, info)| (String::new(), info.clone())).collect();
    if Metadata::new(None, nameless).is_ok() {
        return Ok(Entries { metadata, tensors });
    }
    match Metadata::new(None, tensors.clone()) {
        Ok(_) => Ok(Entries { metadata, tensors }),
        Err(error) => Err(fault_of(&error, &tensors).into()),
    }
}

/// The JSON of a header, entry by entry: the crate's own form collapses names that stand twice.
struct Entries {
    metadata: Option<HashMap<String, String>>,
    tensors: Vec<(String, TensorInfo)>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let twice = |name: &str| A::Error::custom(format!("{:?} stands twice", clip(name)));
        let mut metadata = None;
        let mut tensors: Vec<(String, TensorInfo)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name != METADATA {
                tensors.push((name, map.next_value()?));
            } else if metadata.replace(map.next_value()?).is_some() {
                return Err(twice(METADATA));
            }
        }
        let mut names = HashSet::with_capacity(tensors.len());
        match tensors.iter().find(|(name, _)| !names.insert(name.as_str())) {
            Some((name, _)) => Err(twice(name)),
            None => Ok(Entries { metadata: metadata.flatten(), tensors }),
        }
    }
}

fn tensor_of(name: String, info: &TensorInfo, data_start: u64) -> Result<Tensor, Failure> {
    let Some(dtype) = Dtype::of(info.dtype) else {
        return Err(Fault::new(format!("unknown dtype {}", info.dtype)).field(&name).into());
    };
    let (start, end) = (wide(info.data_offsets.0), wide(info.data_offsets.1));
    let shape = info.shape.iter().copied().map(wide).collect();
    let bytes = Bytes::new(end.saturating_sub(start));
    Ok(Tensor::plain(name, dtype, shape, data_start.saturating_add(start), bytes))
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Names the tensor behind an error of the format's crate, which mostly names none.
fn fault_of(error: &SafeTensorError, tensors: &[(String, TensorInfo)]) -> Fault {
    let culprit = |is_wrong: fn(&TensorInfo) -> bool| tensors.iter().find(|(_, info)| is_wrong(info));
    let bits = |info: &TensorInfo| {
        let elements = info.shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        elements.and_then(|count| count.checked_mul(info.dtype.bitsize()))
    };
    let (found, reason) = match error {
        SafeTensorError::InvalidOffset(name) => {
            let reason = "data offsets leave a gap, overlap or run backwards";
            return Fault::new(reason).field(name);
        }
        SafeTensorError::TensorInvalidInfo => {
            let found = tensors.iter().find(|(_, info)| {
                let held = info.data_offsets.1.checked_sub(info.data_offsets.0);
                bits(info).map(|bits| bits / 8) != held
            });
            (found, "shape and dtype disagree with the data offsets")
        }
        SafeTensorError::ValidationOverflow => {
            (tensors.iter().find(|(_, info)| bits(info).is_none()), "the shape's size overflows")
        }
        SafeTensorError::MisalignedSlice => {
            (culprit(|info| info.dtype.bitsize() % 8 != 0), "the elements do not fill whole bytes")
        }
        other => return Fault::new(clip(&other.to_string())),
    };
    match found {
        Some((name, _)) => Fault::new(reason).field(name),
        None => Fault::new(reason),
    }
}
