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

/// Where a page after a jump begins.
const ALIGNMENT: u64 = 1 << 12;

/// Places that a file is read from in turns, such as the tables, names and buffers of flat buffers: a page for each.
const PAGES: usize = 8;

/// A file, or a buffer in its place, of which any part can be asked for. Nothing outside it is ever allocated: a length
/// that passes the end of the file is refused before memory is taken for it.
#[derive(Debug)]
pub struct Source<R> {
    input: R,
    length: u64,
    /// The one used last first; at most one is longer than [`LARGEST_PAGE`].
    pages: Vec<Page>,
}

/// A part of the file as it was read.
#[derive(Debug, Default)]
struct Page {
    start: u64,
    bytes: Vec<u8>,
}

impl Page {
    fn end(&self) -> u64 {
        self.start.saturating_add(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX))
    }

    fn holds(&self, start: u64, end: u64) -> bool {
        start >= self.start && end <= self.end()
    }

    /// Whether what starts at `start`, and passes its end, goes on from it.
    fn leads_to(&self, start: u64) -> bool {
        (self.start..=self.end()).contains(&start)
    }
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
        Self { input, length, pages: Vec::with_capacity(PAGES) }
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
        match self.pages.iter().position(|page| page.holds(offset, end)) {
            Some(place) => self.pages[..=place].rotate_right(1),
            None => self.turn_to(offset, end, size)?,
        }
        let page = self.pages.first().map(|page| (page.start, page.bytes.as_slice())).unwrap_or_default();
        let start = usize::try_from(offset.saturating_sub(page.0)).unwrap_or(usize::MAX);
        let found = start.checked_add(size).and_then(|end| page.1.get(start..end));
        // The file may have shrunk since its length was asked.
        found.ok_or_else(|| Fault::new(format!("the file ends within {part}")).offset(offset).into())
    }

    /// The first bytes of the file, `count` of them or all there are, and no page around them.
    ///
    /// # Errors
    /// What the system reports.
    pub(super) fn start(&mut self, count: usize) -> Result<&[u8], Failure> {
        let page = self.read(Page::default(), 0, count)?;
        self.pages.insert(0, page);
        self.pages.truncate(PAGES);
        Ok(self.pages.first().map(|page| page.bytes.as_slice()).unwrap_or_default())
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
        let is_held = end.is_some_and(|end| self.pages.iter().any(|page| page.holds(offset, end)));
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

    /// Puts a page first that holds what lies between `offset` and `end`, which are `size` bytes: twice as long as the one
    /// it goes on from, or else a short one that begins before it, for files that are read backwards.
    fn turn_to(&mut self, offset: u64, end: u64, size: usize) -> Result<(), Failure> {
        let previous = self.pages.iter().find(|page| page.leads_to(offset)).map(|page| page.bytes.len());
        let start = if previous.is_some() { offset } else { offset.saturating_sub(offset % ALIGNMENT) };
        let wanted = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX).max(size);
        let usual = previous.map_or(FIRST_PAGE, |length| length.saturating_mul(2));
        let count = usual.clamp(FIRST_PAGE, LARGEST_PAGE).max(wanted);
        if count > LARGEST_PAGE {
            self.pages.retain(|page| page.bytes.len() <= LARGEST_PAGE);
        }
        let recycled = if self.pages.len() < PAGES { None } else { self.pages.pop() };
        let page = self.read(recycled.unwrap_or_default(), start, count)?;
        self.pages.insert(0, page);
        Ok(())
    }

    /// Reads `count` bytes from `start` on, or all there are, into `page`.
    fn read(&mut self, mut page: Page, start: u64, count: usize) -> Result<Page, Failure> {
        page.bytes.clear();
        page.bytes.shrink_to(LARGEST_PAGE);
        page.start = start;
        self.input.seek(SeekFrom::Start(start))?;
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        (&mut self.input).take(count).read_to_end(&mut page.bytes)?;
        Ok(page)
    }
}
