//! Memory that tensors are decoded into.

use crate::error::{Error, Result};
use crate::units::Bytes;

/// Where the memory starts: vectors of a processor are that long.
const ALIGNMENT: usize = 64;
const WORD: usize = size_of::<u64>();

/// So many bytes, aligned for any number and any vector.
#[derive(Debug)]
pub(super) struct Buffer {
    words: Vec<u64>,
    /// The first word that is aligned.
    start: usize,
    bytes: usize,
}

impl Buffer {
    /// A buffer of `bytes` bytes.
    ///
    /// # Errors
    /// [`Error::Argument`] if the system has no memory.
    pub(super) fn new(bytes: usize) -> Result<Self> {
        let count = bytes.div_ceil(WORD).saturating_add(ALIGNMENT / WORD);
        let mut words: Vec<u64> = Vec::new();
        words.try_reserve_exact(count).map_err(|_| {
            let bytes = Bytes::new(u64::try_from(bytes).unwrap_or(u64::MAX));
            Error::Argument { name: "scratch", reason: format!("the system has no {bytes} for one tensor") }
        })?;
        words.resize(count, 0);
        let start = words.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT / WORD);
        Ok(Self { words, start, bytes })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        let all: &[u8] = bytemuck::cast_slice(self.words.get(self.start..).unwrap_or_default());
        all.get(..self.bytes).unwrap_or_default()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        let all: &mut [u8] = bytemuck::cast_slice_mut(self.words.get_mut(self.start..).unwrap_or_default());
        all.get_mut(..self.bytes).unwrap_or_default()
    }

    /// The same as numbers; what does not fill one is left out.
    pub(super) fn numbers_mut<T: bytemuck::Pod>(&mut self) -> &mut [T] {
        let whole = self.bytes.checked_div(size_of::<T>()).unwrap_or(0).saturating_mul(size_of::<T>());
        bytemuck::cast_slice_mut(self.bytes_mut().get_mut(..whole).unwrap_or_default())
    }
}
