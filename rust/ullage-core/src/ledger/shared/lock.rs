//! The lock: one word that holds the identity of the process inside, or 0.
//!
//! An identity is never used again, so a holder that is known to be dead stays dead, and one compare-and-swap from its
//! identity to one's own takes the lock over; of several that try, one succeeds. Threads of one process write the same
//! identity and exclude each other all the same, because each comes from 0.

use super::layout::LOCK;
use super::words::Words;

/// Takes a free lock, or gives the identity of its holder.
pub(super) fn take(words: &Words, own: u64) -> Result<(), u64> {
    words.exchange(LOCK, 0, own)
}

/// Takes the lock over from a holder that is dead; false if somebody else was faster.
pub(super) fn take_over(words: &Words, dead: u64, own: u64) -> bool {
    words.exchange(LOCK, dead, own).is_ok()
}

/// Gives a held lock back.
pub(super) fn give_back(words: &Words) {
    words.store(LOCK, 0);
}

/// Pauses between attempts that grow: a few turns of a loop, the rest of the time slice, then sleep.
#[derive(Default)]
pub(super) struct Pauses {
    taken: u32,
}

#[cfg(not(loom))]
impl Pauses {
    const SPINS: u32 = 32;
    const YIELDS: u32 = 32;
    /// The longest sleep is 2^6 times the first.
    const DOUBLINGS: u32 = 6;
    const FIRST_SLEEP: std::time::Duration = std::time::Duration::from_micros(30);

    /// Whether the holder had time enough for its few stores, so that it is worth asking if it lives.
    pub(super) fn are_long(&self) -> bool {
        self.taken > Self::SPINS.saturating_add(Self::YIELDS)
    }

    pub(super) fn pause(&mut self) {
        self.taken = self.taken.saturating_add(1);
        if self.taken <= Self::SPINS {
            std::hint::spin_loop();
        } else if !self.are_long() {
            std::thread::yield_now();
        } else {
            let slept = self.taken.saturating_sub(Self::SPINS.saturating_add(Self::YIELDS));
            let doublings = slept.min(Self::DOUBLINGS);
            std::thread::sleep(Self::FIRST_SLEEP.saturating_mul(1_u32 << doublings));
        }
    }
}

#[cfg(loom)]
impl Pauses {
    pub(super) fn are_long(&self) -> bool {
        self.taken > 0
    }

    pub(super) fn pause(&mut self) {
        self.taken = self.taken.saturating_add(1);
        loom::thread::yield_now();
    }
}
