//! Random access to a file that is never read whole.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::fault::{Failure, Fault};
use crate::error::{Error, Result};

/// Bytes taken at once after a jump, and at most: most jumps are to one small field among gigabytes of weights, while
/// small reads in a row should cost few calls.
const FIRST_PAGE: usize = 1 << 12;
const LARGEST_PAGE: usize = 1 << 16;

/// A file, or a buffer in its place, of which any part can be asked for. Nothing outside it is ever allocated: a length
/// that passes the end of the file is refused before memory is taken for it.
#[derive(Debug)]
pub struct Source<R> {
    input: R,
    length: u64,
    page: Vec<u8>,
    page_start: u64,
    next_page: usize,
}

impl Source<File> {
    /// Opens the regular file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be opened, [`Error::ModelFile`] if it is a pipe, a device or a directory.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        // Asked before it is opened: opening a pipe would wait for a writer.
        if !fs::metadata(path).map_err(io)?.is_file() {
            return Err(Fault::new("not a regular file").at(path));
        }
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        Ok(Self::new(file, length))
    }
}

impl<R: Read + Seek> Source<R> {
    /// Reads from `input`, which holds `length` bytes.
    pub fn new(input: R, length: u64) -> Self {
        Self { input, length, page: Vec::new(), page_start: 0, next_page: FIRST_PAGE }
    }

    /// Bytes in all.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The `count` bytes from `offset` on; `part` names them in a fault.
    ///
    /// # Errors
    /// [`Fault`] if they pass the end of the file, or what the system reports.
    pub fn bytes(&mut self, offset: u64, count: u64, part: &str) -> Result<&[u8], Failure> {
        let end = offset.checked_add(count).filter(|&end| end <= self.length);
        let (Some(end), Ok(size)) = (end, usize::try_from(count)) else {
            let reason = format!(
                "{part} would take {count} bytes from {offset} on, in a file of {} bytes",
                self.length
            );
            return Err(Fault::new(reason).offset(offset.min(self.length)).into());
        };
        let held = u64::try_from(self.page.len()).unwrap_or(u64::MAX);
        let page_end = self.page_start.saturating_add(held);
        if offset < self.page_start || end > page_end {
            let is_jump = offset < self.page_start || offset > page_end;
            self.next_page =
                if is_jump { FIRST_PAGE } else { self.next_page.saturating_mul(2).min(LARGEST_PAGE) };
            self.turn_to(offset, size.max(self.next_page))?;
        }
        let start = usize::try_from(offset.saturating_sub(self.page_start)).unwrap_or(usize::MAX);
        let found = start.checked_add(size).and_then(|end| self.page.get(start..end));
        // The file may have shrunk since its length was asked.
        found.ok_or_else(|| Fault::new(format!("the file ends within {part}")).offset(offset).into())
    }

    /// The first bytes of the file, `count` of them or all there are, and no page around them.
    ///
    /// # Errors
    /// What the system reports.
    pub(super) fn start(&mut self, count: usize) -> Result<&[u8], Failure> {
        self.turn_to(0, count)?;
        Ok(&self.page)
    }

    /// The `N` bytes from `offset` on, for `from_le_bytes`.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    pub fn array<const N: usize>(&mut self, offset: u64, part: &str) -> Result<[u8; N], Failure> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(offset, u64::try_from(N).unwrap_or(u64::MAX), part)?);
        Ok(array)
    }

    /// The `N` bytes from `offset` on, read alone: for headers strewn over a file, around which nothing else is wanted.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    pub(super) fn lone<const N: usize>(&mut self, offset: u64, part: &str) -> Result<[u8; N], Failure> {
        let count = u64::try_from(N).unwrap_or(u64::MAX);
        let end = offset.checked_add(count).filter(|&end| end <= self.length);
        let is_held = offset >= self.page_start
            && end.is_some_and(|end| {
                let held = u64::try_from(self.page.len()).unwrap_or(u64::MAX);
                end <= self.page_start.saturating_add(held)
            });
        if is_held || end.is_none() {
            return self.array(offset, part);
        }
        let mut array = [0; N];
        self.input.seek(SeekFrom::Start(offset))?;
        self.input.read_exact(&mut array).map_err(|error| Failure::truncated(error, part))?;
        Ok(array)
    }

    /// What is read from, at no particular position.
    pub fn into_input(self) -> R {
        self.input
    }

    fn turn_to(&mut self, offset: u64, size: usize) -> Result<(), Failure> {
        self.page.clear();
        self.page_start = offset;
        self.input.seek(SeekFrom::Start(offset))?;
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        (&mut self.input).take(size).read_to_end(&mut self.page)?;
        Ok(())
    }
}
