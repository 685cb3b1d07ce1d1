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
        Self { meter, damaged: AtomicU64::new(0), refusals: AtomicU64::new(0), last: Mutex::new(None) }
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
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
        self.booked(|meter| meter.charge(bytes(size)))
    }

    /// Gives a block's bytes back once it is gone.
    pub(super) fn close(&self, size: usize) {
        self.booked(|meter| {
            meter.discharge(bytes(size));
            Ok(())
        });
    }

    /// Books the change of a block's size; false if the growth does not fit.
    pub(super) fn resize(&self, old: usize, new: usize) -> bool {
        self.booked(|meter| meter.resize(bytes(old), bytes(new)))
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
