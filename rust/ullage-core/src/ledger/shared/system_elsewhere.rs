//! Systems without `/proc`: no process could be told dead from another, so nothing is shared.

use std::path::{Path, PathBuf};

use super::book::View;
use super::identity::World;
use crate::error::{Error, Result};
use crate::sync::atomic::AtomicU64;

fn unsupported(path: &Path) -> Error {
    let reason = "shared ledgers need Linux".to_owned();
    Error::SharedFile { path: path.to_owned(), offset: None, reason }
}

pub(super) enum Mapping {}

impl Mapping {
    pub(super) fn words(&self) -> &[AtomicU64] {
        match *self {}
    }
}

pub(super) enum OwnPage {}

impl OwnPage {
    pub(super) fn new() -> Result<Self> {
        Err(unsupported(Path::new("")))
    }

    pub(super) fn words(&self) -> &[AtomicU64] {
        match *self {}
    }
}

/// Never made here.
pub(super) struct Opened {
    pub(super) view: View,
    pub(super) world: Box<dyn World>,
    pub(super) guard: Alone,
}

pub(super) enum Alone {}

pub(super) fn path_of(name: &str) -> Result<PathBuf> {
    Err(unsupported(Path::new(name)))
}

pub(super) fn open(path: &Path) -> Result<Opened> {
    Err(unsupported(path))
}

pub(super) fn unlink(path: &Path, _is_path: bool) -> Result<bool> {
    Err(unsupported(path))
}
