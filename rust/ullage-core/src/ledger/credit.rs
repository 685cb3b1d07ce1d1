//! A credit leaf: bytes paid for in advance, drawn and put back without a lock.
//!
//! ```text
//!   ancestors      charged with whole quanta, under the lock
//!       │
//!   credit leaf    charged = used + credit      used = charged − credit
//!                  └ one word:  frozen 1 │ epoch 11 │ puts 10 │ draws 10 │ credit 32
//! ```
//!
//! A draw takes from the credit, a put gives back to it: one compare-and-swap each, nothing shared with other leaves.
//! Only the holder of the ledger's lock changes `charged`, always in the same compare-and-swap that changes the credit
//! with it, under a new epoch; `charged` of the two latest epochs stands in two places, so that a draw knows the exact
//! `used` that it made (its own word proves that the epoch had not moved) and the peak is exact. The counts of
//! draws and puts ride in the word and are folded into the account under the lock before they run over.
//!
//! A *frozen* leaf has no credit, and every draw and put on it goes through the lock: while a refusal is being decided
//! and while anybody waits for memory. What a refusal finds is therefore what there was at one instant.

use crate::sync::atomic::{AtomicU64, Ordering};

const CREDIT_BITS: u32 = 32;
const COUNT_BITS: u32 = 10;
const DRAWS_SHIFT: u32 = CREDIT_BITS;
const PUTS_SHIFT: u32 = CREDIT_BITS + COUNT_BITS;
const EPOCH_SHIFT: u32 = CREDIT_BITS + 2 * COUNT_BITS;
const FROZEN: u64 = 1 << 63;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const EPOCH_MASK: u64 = (1 << (63 - EPOCH_SHIFT)) - 1;
const CREDIT_MASK: u64 = (1 << CREDIT_BITS) - 1;

/// The largest quantum: idle credit stays below twice this, which the word can hold.
pub(super) const QUANTUM_MOST: u64 = 1 << 30;

/// What is larger than this is never drawn, but charged to the path like a reservation of an exact account.
pub(super) const DRAW_MOST: u64 = 1 << 47;

/// The word of a leaf, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u64);

impl Word {
    #[inline]
    pub(super) const fn credit(self) -> u64 {
        self.0 & CREDIT_MASK
    }

    #[inline]
    pub(super) const fn draws(self) -> u64 {
        (self.0 >> DRAWS_SHIFT) & COUNT_MASK
    }

    #[inline]
    pub(super) const fn puts(self) -> u64 {
        (self.0 >> PUTS_SHIFT) & COUNT_MASK
    }

    #[inline]
    const fn epoch(self) -> u64 {
        (self.0 >> EPOCH_SHIFT) & EPOCH_MASK
    }

    #[inline]
    pub(super) const fn is_frozen(self) -> bool {
        self.0 & FROZEN != 0
    }

    /// One of the two places of `charged`.
    #[inline]
    const fn place(self) -> usize {
        (self.epoch() & 1) as usize
    }

    /// The same counts in the next epoch, with `credit` and frozen or not.
    const fn next_epoch(self, credit: u64, is_frozen: bool) -> Self {
        let epoch = self.epoch().wrapping_add(1) & EPOCH_MASK;
        let counts = self.0 & ((COUNT_MASK << DRAWS_SHIFT) | (COUNT_MASK << PUTS_SHIFT));
        let frozen = if is_frozen { FROZEN } else { 0 };
        Self(frozen | (epoch << EPOCH_SHIFT) | counts | (credit & CREDIT_MASK))
    }

    const fn without_counts(self) -> Self {
        Self(self.0 & !((COUNT_MASK << DRAWS_SHIFT) | (COUNT_MASK << PUTS_SHIFT)))
    }
}

/// What a holder of the lock makes of a word: the change of `charged`, and the credit that is left.
pub(super) struct Settlement {
    /// `charged` afterwards.
    pub(super) charged: u64,
    /// Credit afterwards.
    pub(super) credit: u64,
    /// Whether draws and puts go through the lock from now on.
    pub(super) is_frozen: bool,
}

/// Two cache lines: what stands beside it is never fetched anew because it changed, nor as its prefetched pair.
#[derive(Debug)]
#[repr(align(128))]
struct Apart(AtomicU64);

#[derive(Debug)]
pub(super) struct CreditLeaf {
    word: Apart,
    // Read by every draw, and seldom changed: in the caches of all who draw.
    charged: [AtomicU64; 2],
    peak: AtomicU64,
    /// Bytes bought at once when the credit runs out.
    pub(super) quantum: u64,
}

impl CreditLeaf {
    /// A leaf that has bought nothing; frozen, so that its first draw goes through the lock.
    pub(super) fn new(quantum: u64, charged: u64) -> Self {
        Self {
            word: Apart(AtomicU64::new(FROZEN)),
            charged: [AtomicU64::new(charged), AtomicU64::new(charged)],
            peak: AtomicU64::new(charged),
            quantum: quantum.clamp(1, QUANTUM_MOST),
        }
    }

    /// Idle credit above this goes back to the accounts above.
    fn credit_most(&self) -> u64 {
        self.quantum.saturating_mul(2)
    }

    #[cfg(not(loom))]
    pub(super) fn word(&self) -> Word {
        Word(self.word.0.load(Ordering::Acquire))
    }

    /// Loom forgets who read a value as soon as another thread reads it too, and then never lets that one write in
    /// between; of those who write it forgets nobody.
    #[cfg(loom)]
    pub(super) fn word(&self) -> Word {
        Word(self.word.0.fetch_or(0, Ordering::AcqRel))
    }

    /// The largest `used` that the leaf ever had, of which `charged` is charged now. Only for the holder of the
    /// ledger's lock.
    pub(super) fn peak(&self, charged: u64) -> u64 {
        self.saw(charged, self.word());
        self.peak.load(Ordering::Relaxed)
    }

    /// Notes a `used` that was seen: who made it may not have come to that yet.
    pub(super) fn saw(&self, charged: u64, word: Word) {
        self.raise_peak(charged.saturating_sub(word.credit()));
    }

    /// Takes `bytes` out of the credit; false where that needs the lock.
    #[inline]
    pub(super) fn draw(&self, bytes: u64) -> bool {
        let mut word = self.word();
        loop {
            if word.is_frozen() || word.credit() < bytes || word.draws() == COUNT_MASK {
                return false;
            }
            let charged = self.charged[word.place()].load(Ordering::Relaxed);
            let next = Word(word.0.wrapping_sub(bytes).wrapping_add(1 << DRAWS_SHIFT));
            match self.exchange(word, next) {
                Ok(()) => {
                    self.raise_peak(charged.saturating_sub(next.credit()));
                    return true;
                }
                Err(seen) => word = seen,
            }
        }
    }

    /// Gives `bytes` back to the credit; false where that needs the lock.
    #[inline]
    pub(super) fn put(&self, bytes: u64) -> bool {
        let mut word = self.word();
        loop {
            let credit = word.credit().saturating_add(bytes);
            if word.is_frozen() || credit > self.credit_most() || word.puts() == COUNT_MASK {
                return false;
            }
            let next = Word(word.0.wrapping_add(bytes).wrapping_add(1 << PUTS_SHIFT));
            match self.exchange(word, next) {
                Ok(()) => return true,
                Err(seen) => word = seen,
            }
        }
    }

    #[inline]
    fn exchange(&self, word: Word, next: Word) -> Result<(), Word> {
        self.word
            .0
            .compare_exchange_weak(word.0, next.0, Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
            .map_err(Word)
    }

    #[inline]
    fn raise_peak(&self, used: u64) {
        if used > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(used, Ordering::Relaxed);
        }
    }

    /// Changes `charged` and the credit in one step: `decide` is asked with the word as it stands, again and again
    /// until nobody drew or put meanwhile, or says `None`. Only for the holder of the ledger's lock.
    ///
    /// Gives the word as it was when `decide` had its way.
    pub(super) fn settle(&self, mut decide: impl FnMut(Word) -> Option<Settlement>) -> Option<Word> {
        let mut word = self.word();
        loop {
            let Settlement { charged, credit, is_frozen } = decide(word)?;
            let next = word.next_epoch(credit, is_frozen);
            self.charged[next.place()].store(charged, Ordering::Relaxed);
            match self.exchange(word, next) {
                Ok(()) => {
                    self.raise_peak(charged.saturating_sub(credit));
                    return Some(word);
                }
                Err(seen) => word = seen,
            }
        }
    }

    /// Takes the counts of draws and puts out of the word. Only for the holder of the ledger's lock.
    pub(super) fn take_counts(&self) -> (u64, u64) {
        let mut word = self.word();
        loop {
            match self.exchange(word, word.without_counts()) {
                Ok(()) => return (word.draws(), word.puts()),
                Err(seen) => word = seen,
            }
        }
    }
}
