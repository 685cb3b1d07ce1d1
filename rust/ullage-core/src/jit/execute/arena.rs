//! One block of scratch memory of which disjoint pieces are lent out by offset, across threads and without `unsafe`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;

use crate::error::{Error, Result};

/// A block whose free pieces are known by their offsets.
pub(super) struct Arena {
    free: Mutex<BTreeMap<usize, BytesMut>>,
    bytes: usize,
}

const LINE: usize = 64;

/// Allocators give blocks of so many bytes pages of their own, and take them back when they are freed (glibc: above
/// 32 MiB always). Smaller ones may lie in pages that the process has already: its growth would say less than is used.
/// Pages that are never touched cost nothing.
pub(super) const MAPPED: usize = 33 << 20;

impl Arena {
    /// A block of `height` bytes, each page of it touched, that begins with a cache line.
    pub(super) fn new(height: usize) -> Self {
        let mut block = BytesMut::zeroed(height.saturating_add(LINE).max(MAPPED));
        block.truncate(height.saturating_add(LINE));
        block.fill(0);
        let skipped = block.as_ptr().align_offset(LINE).min(LINE);
        let mut aligned = block.split_off(skipped);
        aligned.truncate(height);
        Self { free: Mutex::new(BTreeMap::from([(0, aligned)])), bytes: height.saturating_add(LINE) }
    }

    /// Bytes of the block.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn free(&self) -> MutexGuard<'_, BTreeMap<usize, BytesMut>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends `[offset, offset + bytes)`.
    ///
    /// # Errors
    /// [`Error::Violation`] where some of it is lent already: two buffers were laid over one another.
    pub(super) fn take(&self, offset: usize, bytes: usize) -> Result<BytesMut> {
        let mut free = self.free();
        let found = free.range(..=offset).next_back().map(|(&start, piece)| (start, piece.len()));
        let end = offset.saturating_add(bytes);
        let Some((start, _)) = found.filter(|&(start, length)| start.saturating_add(length) >= end) else {
            let fact = format!("scratch bytes {offset} to {end} are in use by two layers at once");
            return Err(Error::Violation { fact });
        };
        let mut before = free.remove(&start).unwrap_or_default();
        let mut piece = before.split_off(offset.saturating_sub(start));
        let after = piece.split_off(bytes);
        if !before.is_empty() {
            free.insert(start, before);
        }
        if !after.is_empty() {
            free.insert(end, after);
        }
        Ok(piece)
    }

    /// Takes a piece back.
    pub(super) fn give(&self, offset: usize, piece: BytesMut) {
        let mut free = self.free();
        let (mut start, mut whole) = (offset, piece);
        let before = free.range(..offset).next_back().map(|(&start, piece)| (start, piece.len()));
        if let Some((earlier, length)) = before
            && earlier.saturating_add(length) == offset
            && let Some(mut joined) = free.remove(&earlier)
        {
            joined.unsplit(whole);
            (start, whole) = (earlier, joined);
        }
        if let Some(after) = free.remove(&start.saturating_add(whole.len())) {
            whole.unsplit(after);
        }
        free.insert(start, whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_lent_once_and_join_again() {
        let arena = Arena::new(1000);
        let mut a = arena.take(0, 400).unwrap();
        let b = arena.take(600, 400).unwrap();
        assert!(arena.take(300, 200).is_err());
        let middle = arena.take(400, 200).unwrap();
        a.fill(7);
        assert_eq!(a.as_ptr().align_offset(64), 0);
        arena.give(600, b);
        arena.give(0, a);
        arena.give(400, middle);
        let whole = arena.take(0, 1000).unwrap();
        assert_eq!((whole[399], whole[400]), (7, 0));
    }
}
