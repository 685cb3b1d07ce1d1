//! Which format a file is of, by its content and not its name.

use std::fs;
use std::path::Path;

use super::gguf;
use super::source::Source;
use crate::error::{Error, Result};

/// A file format of models that there is a reader for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.gguf`, or a set of shards.
    Gguf,
    /// `.safetensors`, a directory of shards, or an index of them.
    Safetensors,
}

impl Format {
    /// The name used in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gguf => "gguf",
            Self::Safetensors => "safetensors",
        }
    }

    /// The format of what lies at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] for a path that cannot be read, [`Error::ModelFile`] for a file of no known format.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        if metadata.is_dir() {
            return Ok(if gguf::is_directory_of(path) { Self::Gguf } else { Self::Safetensors });
        }
        let mut source = Source::open(path)?;
        let length = source.length().min(16);
        let start = source.bytes(0, length, "the first bytes").map_err(|failure| failure.at(path))?;
        Ok(Self::of_start(start))
    }

    fn of_start(start: &[u8]) -> Self {
        if start.starts_with(gguf::MAGIC) {
            return Self::Gguf;
        }
        Self::Safetensors
    }
}
