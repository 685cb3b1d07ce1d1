//! The header of a GGUF file: keys, then a list of tensors, then the data.
//!
//! Layout: `GGUF`, version, number of tensors, number of keys; each key a name, a type and a value; each tensor a name,
//! dimensions innermost first, a type and an offset into the data, which starts at the next multiple of
//! `general.alignment`. Counts and dimensions take four bytes in version 1 and eight since. Versions 1 to 3 are read,
//! little-endian alone: what else there is fits a few mainframes.
//!
//! Why not a crate: of those there are, `ggus` wants the whole file in memory, trusts the counts of the header before
//! it allocates and turns type numbers into its enumeration unchecked (it ends at 33); `gguf-rs` ends at 39 and takes
//! memory for any length a string claims; `gguf` stops before the tensors' sizes; `gguf-rs-lib` knows every type and
//! has limits, but reads version 3 alone and keeps each of the half million strings of a vocabulary. This reader keeps
//! what memory depends on, walks over the rest, and takes its sizes from the table of [`Dtype`](super::Dtype).

mod cursor;
mod keys;
mod kind;
mod layout;
mod shards;

use std::collections::HashSet;
use std::io::{Read, Seek};
use std::path::Path;

pub(crate) use keys::Keys;
pub(super) use shards::{is_directory_of, name_of};

use super::fault::{Failure, Fault};
use super::source::Source;
use super::tensor::Tensor;
use super::{Contents, architecture};
use crate::error::Result;
use crate::units::Bytes;
use cursor::Cursor;
use layout::{Data, Entry};

/// What a file of the format starts with.
pub(super) const MAGIC: &[u8] = b"GGUF";

const PREFIX: u64 = 8;
const ALIGNMENT: u64 = 32;

/// The largest models have some thousands.
const MOST_TENSORS: u64 = 1 << 22;
/// ggml stops at 63 bytes, other writers of the format do not.
const LONGEST_NAME: u64 = 1 << 12;
/// ggml stops at 4.
const MOST_DIMENSIONS: u32 = 8;

/// The header of one file.
struct Header {
    keys: Keys,
    tensors: Vec<Tensor>,
    notes: Vec<String>,
    file_bytes: Bytes,
}

/// Reads the headers of the model at `path`: one file, any file of a complete set `x-00001-of-0000N.gguf`, or a
/// directory that holds either and nothing else of the format.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) for what cannot be read, [`Error::ModelFile`](crate::Error::ModelFile) with file,
/// offset and tensor or key for a header that breaks the format and for a set that is not complete.
pub fn open(path: &Path) -> Result<Contents> {
    shards::open(path)
}

/// Reads one file.
///
/// # Errors
/// [`Failure::Fault`] for what no valid file holds, [`Failure::Io`] for what `source` itself reports.
pub fn read<R: Read + Seek>(source: &mut Source<R>) -> Result<Contents, Failure> {
    Ok(Header::read(source)?.contents()?)
}

impl Header {
    fn open(path: &Path) -> Result<Self> {
        Self::read(&mut Source::open(path)?).map_err(|failure| failure.at(path))
    }

    fn read<R: Read + Seek>(source: &mut Source<R>) -> Result<Self, Failure> {
        let file_length = source.length();
        let version = version(source.array(0, "the magic number and version")?)?;
        let mut cursor = Cursor::new(source, PREFIX, version > 1);
        let tensors = cursor.count_of(24, MOST_TENSORS, "the tensor list")?;
        let keys = cursor.count("the number of keys")?;
        let keys = Keys::read(&mut cursor, keys)?;
        let entries = (0..tensors).map(|_| entry(&mut cursor)).collect::<Result<Vec<_>, _>>()?;
        no_name_twice(&entries)?;
        let alignment = alignment(&keys)?;
        let Some(start) = cursor.at().checked_next_multiple_of(alignment) else {
            return Err(Fault::new("the data would start beyond 2^64").field("general.alignment").into());
        };
        let (tensors, notes) = layout::place(entries, Data { start, alignment, file_length })?;
        Ok(Self { keys, tensors, notes, file_bytes: Bytes::new(file_length) })
    }

    /// The contents of a file that stands alone.
    fn contents(self) -> Result<Contents, Fault> {
        let Self { keys, tensors, mut notes, file_bytes } = self;
        let (architecture, assumed) = architecture::of_keys(&keys, &tensors)?;
        notes.extend(assumed);
        Ok(Contents { tensors, file_bytes, architecture, notes, ..Contents::default() })
    }
}

fn version(prefix: [u8; 8]) -> Result<u32, Fault> {
    let [magic @ .., a, b, c, d] = prefix;
    let number = u32::from_le_bytes([a, b, c, d]);
    match (&magic[..] == MAGIC, number) {
        (false, _) => Err(Fault::new("it does not start with GGUF").offset(0)),
        (true, 1..=3) => Ok(number),
        (true, _) if (1..=3).contains(&number.swap_bytes()) => {
            Err(Fault::new("a big-endian file; little-endian ones alone are read").offset(4))
        }
        (true, _) => Err(Fault::new(format!("version {number}; 1 to 3 are known")).offset(4)),
    }
}

fn alignment(keys: &Keys) -> Result<u64, Fault> {
    let key = "general.alignment";
    let alignment = keys.number(key)?.unwrap_or(ALIGNMENT);
    if alignment.is_power_of_two() {
        return Ok(alignment);
    }
    Err(Fault::new(format!("{alignment} is not a power of two")).field(key))
}

fn entry<R: Read + Seek>(cursor: &mut Cursor<'_, R>) -> Result<Entry, Failure> {
    let start = cursor.at();
    let name = cursor.text(LONGEST_NAME, "a tensor's name")?.to_owned();
    if name.is_empty() {
        return Err(Fault::new("a tensor without a name").offset(start).into());
    }
    let part = "the tensor list";
    let at = cursor.at();
    let dimensions = cursor.u32(part)?;
    if dimensions > MOST_DIMENSIONS {
        let reason = format!("{dimensions} dimensions; the limit is {MOST_DIMENSIONS}");
        return Err(Fault::new(reason).field(&name).offset(at).into());
    }
    let mut shape = (0..dimensions).map(|_| cursor.count(part)).collect::<Result<Vec<_>, _>>()?;
    shape.reverse();
    Ok(Entry { name, shape, kind: cursor.u32(part)?, offset: cursor.u64(part)? })
}

fn no_name_twice(entries: &[Entry]) -> Result<(), Fault> {
    let mut names = HashSet::with_capacity(entries.len());
    match entries.iter().find(|entry| !names.insert(entry.name.as_str())) {
        None => Ok(()),
        Some(entry) => Err(Fault::new("the tensor stands twice").field(&entry.name)),
    }
}

#[cfg(test)]
mod tests;
