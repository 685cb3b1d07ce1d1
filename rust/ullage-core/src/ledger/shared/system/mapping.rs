//! Memory that the kernel maps: the only unsafe code of the shared ledger.
#![expect(unsafe_code, reason = "mapping a file and viewing it as words has no safe form")]

use std::ffi::c_void;
use std::os::fd::AsFd;
use std::ptr;
use std::slice;
use std::sync::atomic::AtomicU64;

use rustix::io;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

const WORD_BYTES: usize = size_of::<AtomicU64>();

/// Mapped pages, given back when dropped.
struct Pages {
    start: *mut c_void,
    words: usize,
}

// SAFETY: the pages stay mapped at `start` until the drop, whichever thread that happens in, and are reached through
// `AtomicU64` alone.
unsafe impl Send for Pages {}
// SAFETY: as above; a shared reference gives atomics only.
unsafe impl Sync for Pages {}

impl Pages {
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: `start` is a page boundary, so it is aligned for u64, and `words` words from there are mapped readable
        // and writable while `self` lives. Whoever else writes to them, in this process or another, does it through
        // atomics; any bits make a valid u64.
        unsafe { slice::from_raw_parts(self.start.cast::<AtomicU64>(), self.words) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by this module, is unmapped once, and no reference outlives `self`. An error is
        // impossible for such a range, and would only leave it mapped.
        let _ = unsafe { munmap(self.start, self.words.saturating_mul(WORD_BYTES)) };
    }
}

/// A file's words, shared with every process that maps them.
pub(in super::super) struct Mapping(Pages);

impl Mapping {
    /// Maps the first `words` words of `file`, which must be that long.
    pub(in super::super) fn new(file: impl AsFd, words: usize) -> io::Result<Self> {
        let bytes = words.saturating_mul(WORD_BYTES);
        // SAFETY: a null hint lets the kernel choose a free range, so nothing that is mapped already is touched.
        let start = unsafe {
            mmap(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file, 0)
        }?;
        Ok(Self(Pages { start, words }))
    }

    pub(in super::super) fn words(&self) -> &[AtomicU64] {
        self.0.words()
    }
}

/// A page of this process alone: in a forked child it reads as zero.
pub(in super::super) struct OwnPage {
    pages: Pages,
}

impl OwnPage {
    const WORDS: usize = 512;

    /// Fails where the kernel has no such pages (before Linux 4.14).
    pub(in super::super) fn new() -> io::Result<Self> {
        let bytes = Self::WORDS.saturating_mul(WORD_BYTES);
        // SAFETY: a null hint lets the kernel choose a free range, so nothing that is mapped already is touched.
        let start = unsafe {
            mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        }?;
        let pages = Pages { start, words: Self::WORDS };
        // SAFETY: the range was mapped just above; wiping it in a child changes no memory of this process, and the
        // child's atomics read 0, a valid value.
        unsafe { madvise(start, bytes, Advice::LinuxWipeOnFork) }?;
        Ok(Self { pages })
    }

    pub(in super::super) fn words(&self) -> &[AtomicU64] {
        self.pages.words()
    }
}
