//! A file that stays open and is read again and again from its start.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::str;

/// The largest file that is read; `memory.stat` and `meminfo` have some 2 KiB.
const LARGEST: usize = 8 << 10;

/// Where what was read stands until the next read.
pub(super) struct Buffer([u8; LARGEST]);

impl Buffer {
    pub(super) fn new() -> Self {
        Self([0; LARGEST])
    }
}

/// An open file and what tells it from all others: somebody may close every descriptor of the process, and the number
/// then comes to stand for a file of theirs.
#[derive(Debug)]
pub(super) struct KeptFile {
    /// Taken only when this is dropped.
    file: Option<File>,
    identity: (u64, u64),
}

impl KeptFile {
    /// Opens a plain file; a pipe would block.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no plain file"));
        }
        let file = File::open(path)?;
        let identity = identity(&file)?;
        Ok(Self { file: Some(file), identity })
    }

    /// The whole content as text; `None` where it cannot be read, is too long to be a file of this kind, or is no text.
    pub(super) fn text<'buffer>(&self, buffer: &'buffer mut Buffer) -> Option<&'buffer str> {
        str::from_utf8(self.read(buffer)?).ok()
    }

    /// The whole content; `None` where it cannot be read or is too long to be a file of this kind.
    pub(super) fn read<'buffer>(&self, buffer: &'buffer mut Buffer) -> Option<&'buffer [u8]> {
        let length = read_from_start(self.file.as_ref()?, &mut buffer.0).ok()?;
        if length < LARGEST { buffer.0.get(..length) } else { None }
    }

    /// Whether the descriptor still stands for the file that was opened.
    pub(super) fn is_mine(&self) -> bool {
        self.file.as_ref().is_some_and(|file| identity(file).is_ok_and(|found| found == self.identity))
    }
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        if !self.is_mine()
            && let Some(theirs) = self.file.take()
        {
            forget(theirs);
        }
    }
}

#[cfg(unix)]
fn identity(file: &File) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = file.metadata()?;
    Ok((found.dev(), found.ino()))
}

#[cfg(unix)]
fn read_from_start(file: &File, into: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, 0)
}

/// Leaves a descriptor open that is not ours to close.
#[cfg(unix)]
fn forget(file: File) {
    let _ = std::os::fd::IntoRawFd::into_raw_fd(file);
}

#[cfg(not(unix))]
fn identity(_: &File) -> io::Result<(u64, u64)> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn read_from_start(_: &File, _: &mut [u8]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn forget(file: File) {
    drop(file);
}

#[cfg(all(test, unix))]
impl KeptFile {
    /// Pretends that `file` took the number of the file at `path`.
    pub(super) fn of_another(file: File, path: &Path) -> io::Result<Self> {
        let identity = identity(&File::open(path)?)?;
        Ok(Self { file: Some(file), identity })
    }

    pub(super) fn number(&self) -> Option<std::os::fd::RawFd> {
        self.file.as_ref().map(std::os::fd::AsRawFd::as_raw_fd)
    }
}
