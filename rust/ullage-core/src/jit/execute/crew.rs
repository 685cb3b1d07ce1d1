//! Threads that go through the same layers together: a barrier that is passed within microseconds.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::yield_now;

/// Looks before a waiting thread lets others run.
const SPINS: u32 = 1 << 12;

/// Waits until `is_ready`, attentively.
pub(super) fn wait_until(is_ready: impl Fn() -> bool) {
    let mut looks = 0_u32;
    while !is_ready() {
        if looks < SPINS {
            looks = looks.saturating_add(1);
            spin_loop();
        } else {
            yield_now();
        }
    }
}

/// A barrier for so many threads, to be passed over and over.
pub(super) struct Barrier {
    threads: usize,
    waiting: AtomicUsize,
    turn: AtomicUsize,
    /// Whether a thread has failed, so that the others need not wait for it.
    failed: AtomicBool,
}

impl Barrier {
    pub(super) const fn new(threads: usize) -> Self {
        Self {
            threads,
            waiting: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
        }
    }

    /// Waits for all the others; `false` where one has failed.
    pub(super) fn wait(&self) -> bool {
        if self.threads > 1 {
            let turn = self.turn.load(Ordering::Acquire);
            if self.waiting.fetch_add(1, Ordering::AcqRel).saturating_add(1) == self.threads {
                self.waiting.store(0, Ordering::Release);
                self.turn.store(turn.wrapping_add(1), Ordering::Release);
            } else {
                wait_until(|| self.turn.load(Ordering::Acquire) != turn || self.has_failed());
            }
        }
        !self.has_failed()
    }

    /// Lets nobody wait any more.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}
