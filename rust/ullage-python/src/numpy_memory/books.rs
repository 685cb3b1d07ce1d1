//! What one tracker has booked, refused and lost. Every call may come from any thread, and some come from a thread that
//! does not hold the interpreter, so nothing here touches Python. What is given back may wake a coroutine that waits for
//! memory; whoever registered that sees to the interpreter.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use ullage_core::ledger::{Account, Meter};
use ullage_core::{Bytes, Refusal};

/// The books of one tracker, shared by its handlers.
pub(super) struct Books {
    meter: Meter,
    label: Box<str>,
    held: AtomicU64,
    blocks: AtomicU64,
    damaged: AtomicU64,
    refusals: AtomicU64,
    last: Mutex<Option<Refused>>,
}

struct Refused {
    refusal: Refusal,
    /// How many refusals there had been, this one among them.
    count: u64,
    /// The thread whose allocation was refused, until another of its allocations fails for another reason.
    thread: Option<ThreadId>,
}

impl Books {
    pub(super) fn new(account: &Account, label: &str) -> Self {
        let none = || AtomicU64::new(0);
        Self {
            meter: account.meter(label),
            label: label.into(),
            held: none(),
            blocks: none(),
            damaged: none(),
            refusals: none(),
            last: Mutex::new(None),
        }
    }

    /// Path of the account.
    pub(super) fn account(&self) -> String {
        self.meter.account().path().to_string()
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Bytes of the live blocks.
    pub(super) fn bytes(&self) -> Bytes {
        Bytes::new(self.held.load(Ordering::Relaxed))
    }

    /// Live blocks.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks.load(Ordering::Relaxed)
    }

    /// Blocks whose check word was overwritten.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    pub(super) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    pub(super) fn last_refusal(&self) -> Option<Refusal> {
        self.last().as_ref().map(|refused| refused.refusal.clone())
    }

    /// Why this thread's last failed allocation failed, if it was refused after the first `refusals`.
    pub(super) fn cause(&self, refusals: u64) -> Option<Refusal> {
        let last = self.last();
        let refused = last.as_ref()?;
        let is_ours = refused.count > refusals && refused.thread == Some(thread::current().id());
        is_ours.then(|| refused.refusal.clone())
    }

    /// Books a block that is about to be made; false if it does not fit.
    pub(super) fn open(&self, size: usize) -> bool {
        let fits = self.booked(|meter| meter.charge(bytes(size)));
        if fits {
            self.held.fetch_add(size as u64, Ordering::Relaxed);
            self.blocks.fetch_add(1, Ordering::Relaxed);
        }
        fits
    }

    /// Gives a block's bytes back once it is gone.
    pub(super) fn close(&self, size: usize) {
        self.held.fetch_sub(size as u64, Ordering::Relaxed);
        self.blocks.fetch_sub(1, Ordering::Relaxed);
        self.booked(|meter| {
            meter.discharge(bytes(size));
            Ok(())
        });
    }

    /// Books the growth of a block; false if it does not fit.
    pub(super) fn grow(&self, old: usize, new: usize) -> bool {
        let fits = self.booked(|meter| meter.resize(bytes(old), bytes(new)));
        if fits {
            self.held.fetch_add(new.saturating_sub(old) as u64, Ordering::Relaxed);
        }
        fits
    }

    /// Gives back what a block has shrunk by.
    pub(super) fn shrink(&self, old: usize, new: usize) {
        let surplus = old.saturating_sub(new);
        self.held.fetch_sub(surplus as u64, Ordering::Relaxed);
        self.booked(|meter| {
            // A credit leaf books the new size beside the old one for a moment, which may not fit.
            if meter.resize(bytes(old), bytes(new)).is_err() {
                meter.discharge(bytes(surplus));
            }
            Ok(())
        });
    }

    fn booked(&self, book: impl FnOnce(&Meter) -> Result<(), Box<Refusal>>) -> bool {
        // A panic must not reach the C code above: the process would end.
        match catch_unwind(AssertUnwindSafe(|| book(&self.meter))) {
            Ok(Ok(())) => true,
            Ok(Err(refusal)) => {
                self.refuse(*refusal);
                false
            }
            Err(_) => false,
        }
    }

    /// Notes that an allocation of this thread failed although it was booked.
    pub(super) fn note_failure(&self) {
        let this = Some(thread::current().id());
        if let Some(refused) = self.last().as_mut().filter(|refused| refused.thread == this) {
            refused.thread = None;
        }
    }

    /// Notes a block that cannot be given back, because its size is not known any more.
    pub(super) fn note_damage(&self) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
    }

    #[cold]
    fn refuse(&self, refusal: Refusal) {
        let mut last = self.last();
        let count = self.refusals.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        *last = Some(Refused { refusal, count, thread: Some(thread::current().id()) });
    }

    fn last(&self) -> MutexGuard<'_, Option<Refused>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(size: usize) -> Bytes {
    Bytes::new(size as u64)
}
