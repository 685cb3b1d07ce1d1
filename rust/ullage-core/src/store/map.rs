//! A whole file as memory: the only unsafe code of the store.
#![expect(unsafe_code, reason = "mapping a file has no safe form: another process may change it meanwhile")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::error::{Error, Result};
use crate::model::Fault;

/// A file mapped for reading, whole.
///
/// What the mapping cannot rule out is another process that cuts the file short while it is mapped: touching the lost part
/// kills this process (`SIGBUS`). [`Map::checked`] looks at the length first, which leaves but the instant between.
#[derive(Debug)]
pub(super) struct Map {
    path: PathBuf,
    pages: Pages,
}

#[derive(Debug)]
enum Pages {
    /// An empty file cannot be mapped.
    Mapped(File, Option<Mmap>),
    /// What somebody read already.
    Held(Vec<u8>),
}

impl Map {
    /// Maps the regular file at `path`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        // Asked before it is opened: opening a pipe would wait for a writer.
        if !fs::metadata(path).map_err(io)?.is_file() {
            return Err(Fault::new("not a regular file").at(path));
        }
        let file = File::open(path).map_err(io)?;
        let is_empty = file.metadata().map_err(io)?.len() == 0;
        // SAFETY: the mapping is private to this struct and read as plain bytes alone, of which every value is valid. All
        // that is decided by its content is decided anew for each decode, and no reference to it is kept across two.
        let pages = if is_empty { None } else { Some(unsafe { Mmap::map(&file) }.map_err(io)?) };
        Ok(Self { path: path.to_owned(), pages: Pages::Mapped(file, pages) })
    }

    /// Bytes in memory in place of the file at `path`.
    pub(super) fn held(path: &Path, bytes: Vec<u8>) -> Self {
        Self { path: path.to_owned(), pages: Pages::Held(bytes) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Everything, whatever the file's length is by now.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.pages {
            Pages::Mapped(_, pages) => pages.as_deref().unwrap_or_default(),
            Pages::Held(bytes) => bytes,
        }
    }

    /// Everything, if the file is still as long as it was.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if it is shorter, [`Error::Io`] if the system does not say.
    pub(super) fn checked(&self) -> Result<&[u8]> {
        let bytes = self.bytes();
        let Pages::Mapped(file, _) = &self.pages else { return Ok(bytes) };
        let io = |source| Error::Io { path: self.path.clone(), source };
        let length = file.metadata().map_err(io)?.len();
        if usize::try_from(length).is_ok_and(|length| length < bytes.len()) {
            let reason = format!("the file was cut to {length} bytes of {} while it was open", bytes.len());
            return Err(Fault::new(reason).offset(length).at(&self.path));
        }
        Ok(bytes)
    }
}
