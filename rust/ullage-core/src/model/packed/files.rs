//! The content of the few small tensors that say what a packed weight was before.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::model::Tensor;

/// The files that a list of tensors comes from, in the same order. The last one read stays open: descriptions of packed
/// weights lie by the hundred in one file.
#[derive(Debug, Default)]
pub(in crate::model) struct Files {
    /// For each file, the place behind its last tensor.
    ends: Vec<(usize, PathBuf)>,
    open: Option<(usize, File)>,
}

impl Files {
    /// Adds the file that holds the tensors up to the place `end`.
    pub(in crate::model) fn push(&mut self, end: usize, file: &Path) {
        self.ends.push((end, file.to_owned()));
    }

    /// The bytes of the tensor at `place`, which the caller knows to be few; `None` if they cannot be read.
    pub(in crate::model) fn read(&mut self, tensor: &Tensor, place: usize) -> Option<Vec<u8>> {
        let number = self.ends.partition_point(|(end, _)| *end <= place);
        if self.open.as_ref().is_none_or(|(open, _)| *open != number) {
            self.open = Some((number, File::open(&self.ends.get(number)?.1).ok()?));
        }
        let (_, file) = self.open.as_mut()?;
        file.seek(SeekFrom::Start(tensor.offset)).ok()?;
        let mut bytes = vec![0; usize::try_from(tensor.bytes.get()).ok()?];
        file.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }
}
