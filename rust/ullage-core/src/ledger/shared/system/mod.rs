//! The part of Linux that a shared ledger stands on.

mod file;
mod mapping;
mod process;

pub(super) use file::{open, path_of, unlink};
pub(super) use mapping::{Mapping, OwnPage};
pub(super) use process::{Linux, surroundings};
