//! What one tracker has booked, refused and lost. Every call may come from any thread, and some come from a thread that
//! does not hold the interpreter, so nothing here may touch Python.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use ullage_core::ledger::Meter;
use ullage_core::{Bytes, Refusal};

/// The books of one tracker, shared by its handlers.
pub(super) struct Books {
    meter: Meter,
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
    pub(super) fn new(meter: Meter) -> Self {
        let none = || AtomicU64::new(0);
        Self { meter, blocks: none(), damaged: none(), refusals: none(), last: Mutex::new(None) }
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
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
        let fits = self.resize(0, size);
        if fits {
            self.blocks.fetch_add(1, Ordering::Relaxed);
        }
        fits
    }

    /// Gives a block's bytes back once it is gone.
    pub(super) fn close(&self, size: usize) {
        self.blocks.fetch_sub(1, Ordering::Relaxed);
        self.resize(size, 0);
    }

    /// Books the change of a block's size; false if the growth does not fit.
    pub(super) fn resize(&self, old: usize, new: usize) -> bool {
        // A panic must not reach the C code above: the process would end.
        let booked = catch_unwind(AssertUnwindSafe(|| self.meter.resize(bytes(old), bytes(new))));
        match booked {
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
