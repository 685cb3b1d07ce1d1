//! The words of the file, wherever they lie: mapped in use, on the heap in tests.

use crate::sync::atomic::{AtomicU64, Ordering};

#[cfg(not(loom))]
use super::system::Mapping;
#[cfg(all(test, not(loom)))]
use super::tests::Fuse;

pub(super) enum Memory {
    #[cfg(not(loom))]
    Mapped(Mapping),
    #[cfg(any(test, loom))]
    Heap(std::sync::Arc<[AtomicU64]>),
}

/// One process's view of the words.
///
/// Every store releases and every load acquires: who takes the lock from a dead process has not synchronised with it, and
/// must still see the name of an account whose number it sees. On x86 this costs nothing.
pub(super) struct Words {
    memory: Memory,
    #[cfg(all(test, not(loom)))]
    pub(super) fuse: Fuse,
}

impl Words {
    pub(super) fn new(memory: Memory) -> Self {
        Self {
            memory,
            #[cfg(all(test, not(loom)))]
            fuse: Fuse::default(),
        }
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        match &self.memory {
            #[cfg(not(loom))]
            Memory::Mapped(mapping) => &mapping.words()[index],
            #[cfg(any(test, loom))]
            Memory::Heap(words) => &words[index],
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.memory {
            #[cfg(not(loom))]
            Memory::Mapped(mapping) => mapping.words().len(),
            #[cfg(any(test, loom))]
            Memory::Heap(words) => words.len(),
        }
    }

    pub(super) fn load(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Acquire)
    }

    pub(super) fn store(&self, index: usize, value: u64) {
        #[cfg(all(test, not(loom)))]
        if !self.fuse.allows() {
            return;
        }
        self.word(index).store(value, Ordering::Release);
    }

    /// Writes `new` where `old` stands; gives what stands there if it is something else.
    pub(super) fn exchange(&self, index: usize, old: u64, new: u64) -> Result<(), u64> {
        #[cfg(all(test, not(loom)))]
        if !self.fuse.allows() {
            return Ok(()); // what the dead think that they did
        }
        let outcome = self.word(index).compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire);
        outcome.map(|_| ())
    }
}
