//! The files that hold the weights of an ML program.
//!
//! Layout: `StorageFormat.hpp` in `mlmodel/src/MILBlob/Blob` of coremltools 9.0. A header of 64 bytes, then for each
//! blob a record of 64 bytes, on a boundary of 64, that says where its data lies.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::package::contained;
use super::{Failure, Fault};
use crate::model::Source;
use crate::units::{Bytes, clip};

/// What the file names of blobs begin with: the directory of the model file.
const BESIDE: &str = "@model_path/";

const SENTINEL: u32 = 0xDEAD_BEEF;

/// Data of one weight in a file beside the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its first byte in that file.
    pub start: u64,
    /// Bytes in all.
    pub bytes: u64,
}

/// Looks up the blob whose record stands at an offset of the file of this name.
///
/// # Errors
/// A [`Failure`] if there is no such file or record.
pub type Lookup<'a> = dyn FnMut(&str, u64) -> Result<Blob, Failure> + 'a;

/// The weight files below one directory, each opened once.
#[derive(Debug)]
pub(super) struct Folder {
    directory: PathBuf,
    files: HashMap<String, Source<File>>,
}

impl Folder {
    pub(super) fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), files: HashMap::new() }
    }

    /// Bytes of the files opened so far.
    pub(super) fn bytes(&self) -> Bytes {
        self.files.values().fold(Bytes::ZERO, |sum, file| sum.saturating_add(Bytes::new(file.length())))
    }

    /// The blob whose record stands at `offset` of the file `name`.
    pub(super) fn find(&mut self, name: &str, offset: u64) -> Result<Blob, Failure> {
        if !self.files.contains_key(name) {
            let opened = self.open(name)?;
            self.files.insert(name.to_owned(), opened);
        }
        match self.files.get_mut(name) {
            Some(source) => record(source, name, offset),
            None => Err(broken(name, "cannot be opened")),
        }
    }

    fn open(&self, name: &str) -> Result<Source<File>, Failure> {
        let inner = name.strip_prefix(BESIDE).unwrap_or(name);
        let Some(inner) = contained(inner) else {
            return Err(broken(name, "leads out of the package"));
        };
        Source::open(&self.directory.join(inner)).map_err(|error| broken(name, &error.to_string()))
    }
}

fn record(source: &mut Source<File>, name: &str, offset: u64) -> Result<Blob, Failure> {
    let length = source.length();
    let outside = || broken(name, &format!("has {length} bytes and no record at {offset}"));
    if offset.checked_add(64).is_none_or(|end| end > length) {
        return Err(outside());
    }
    let record: [u8; 64] = source.lone(offset, "the record of a blob")?;
    let (words, _) = record.as_chunks::<8>();
    let [first, bytes, start, ..] = words else { return Err(outside()) };
    let (bytes, start) = (u64::from_le_bytes(*bytes), u64::from_le_bytes(*start));
    let sentinel = u32::from_le_bytes([first[0], first[1], first[2], first[3]]);
    if sentinel != SENTINEL {
        return Err(broken(name, &format!("has no record of a blob at {offset}")));
    }
    if start.checked_add(bytes).is_none_or(|end| end > length) {
        let reason =
            format!("has {length} bytes, and the blob at {offset} would take {bytes} from {start} on");
        return Err(broken(name, &reason));
    }
    Ok(Blob { start, bytes })
}

fn broken(name: &str, reason: &str) -> Failure {
    Fault::new(format!("the weight file {:?} {reason}", clip(name))).into()
}
