//! What is wrong with a file, before it has a name.

use std::io::ErrorKind;
use std::path::Path;

use crate::error::Error;
use crate::units::clip;

const MISSING: &str = "missing";

/// A breach of a format: what, where, and in which tensor or key.
#[derive(Debug)]
pub struct Fault {
    reason: String,
    offset: Option<u64>,
    field: Option<String>,
}

impl Fault {
    /// A fault of which only the reason is known.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), offset: None, field: None }
    }

    /// At this byte of the file.
    #[must_use]
    pub fn offset(self, offset: u64) -> Self {
        Self { offset: Some(offset), ..self }
    }

    /// In this tensor or key.
    #[must_use]
    pub fn field(self, name: &str) -> Self {
        Self { field: Some(clip(name)), ..self }
    }

    /// That a key is not there.
    pub(super) fn missing(name: &str) -> Self {
        Self::new(MISSING).field(name)
    }

    /// Whether a key is at fault for not being there.
    pub(super) fn is_missing(&self) -> bool {
        self.reason == MISSING
    }

    /// In the file at `path`.
    #[must_use]
    pub fn at(self, path: &Path) -> Error {
        let Self { reason, offset, field } = self;
        Error::ModelFile { path: path.to_owned(), offset, field, reason }
    }
}

/// Why a header could not be read.
#[derive(Debug)]
pub enum Failure {
    /// The operating system's answer.
    Io(std::io::Error),
    /// The header breaks the format.
    Fault(Fault),
}

impl Failure {
    /// The error for the file at `path`.
    #[must_use]
    pub fn at(self, path: &Path) -> Error {
        match self {
            Self::Io(source) => Error::Io { path: path.to_owned(), source },
            Self::Fault(fault) => fault.at(path),
        }
    }

    /// For a read of `part` that failed: running out of bytes is the file's fault, anything else the system's.
    pub(super) fn truncated(error: std::io::Error, part: &str) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => Fault::new(format!("the file ends within {part}")).offset(0).into(),
            _ => Self::Io(error),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
