//! A process's own place among the members: lost in a forked child, which must take one of its own.

#[cfg(not(loom))]
use super::system::OwnPage;
use std::sync::atomic::{AtomicU64, Ordering};

/// Who acts, and in which place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) identity: u64,
    pub(super) index: usize,
}

/// Two words: the identity, which is 0 as long as there is no place, and the index of the place.
pub(super) enum Place {
    /// In memory that reads as zero in a child: no system call is needed to notice that one is one.
    #[cfg(not(loom))]
    Wiped(OwnPage),
    /// In ordinary memory, with the process that wrote it: where the kernel wipes nothing.
    #[cfg(not(loom))]
    Copied(AtomicU64, AtomicU64),
    /// For processes that are simulated.
    #[cfg(any(test, loom))]
    Simulated(AtomicU64, AtomicU64),
}

impl Place {
    #[cfg(not(loom))]
    pub(super) fn new() -> Self {
        OwnPage::new().map_or_else(|_| Self::Copied(AtomicU64::new(0), AtomicU64::new(0)), Self::Wiped)
    }

    fn words(&self) -> (&AtomicU64, &AtomicU64) {
        match self {
            #[cfg(not(loom))]
            Self::Wiped(page) => (&page.words()[0], &page.words()[1]),
            #[cfg(not(loom))]
            Self::Copied(identity, index) => (identity, index),
            #[cfg(any(test, loom))]
            Self::Simulated(identity, index) => (identity, index),
        }
    }

    /// The place of this process; none before it has taken one, nor in a child that has not yet.
    pub(super) fn current(&self) -> Option<Member> {
        let (identity, index) = self.words();
        let identity = identity.load(Ordering::Acquire);
        #[cfg(not(loom))]
        if matches!(self, Self::Copied(..)) && super::identity::id(identity) != std::process::id() {
            return None;
        }
        let index = usize::try_from(index.load(Ordering::Relaxed)).ok()?;
        (identity != 0).then_some(Member { identity, index })
    }

    pub(super) fn set(&self, member: Member) {
        let (identity, index) = self.words();
        index.store(u64::try_from(member.index).unwrap_or(u64::MAX), Ordering::Relaxed);
        identity.store(member.identity, Ordering::Release);
    }
}
