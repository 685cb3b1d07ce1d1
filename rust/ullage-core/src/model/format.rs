//! Which format a file is of, by its content and not its name.

use std::fs;
use std::path::Path;

use super::configured;
use super::source::Source;
use crate::error::{Error, Result};

/// A file format of models that there is a reader for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A `config.json` without weights, or a directory that holds no more than that.
    Config,
    /// `.safetensors`, a directory of shards, or an index of them.
    Safetensors,
}

impl Format {
    /// The name used in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
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
            return Ok(if configured::is_bare(path) { Self::Config } else { Self::Safetensors });
        }
        if configured::is_config(path) {
            return Ok(Self::Config);
        }
        let mut source = Source::open(path)?;
        let length = source.length().min(16);
        let start = source.bytes(0, length, "the first bytes").map_err(|failure| failure.at(path))?;
        Ok(Self::of_start(start))
    }

    fn of_start(_start: &[u8]) -> Self {
        Self::Safetensors
    }
}
