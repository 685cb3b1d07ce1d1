//! Threads that encode tensors and write them in their order.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::units::Bytes;

/// How often whoever waits for the threads looks up.
const PAUSE: Duration = Duration::from_millis(20);

/// How far a file is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Tensors written.
    pub tensors: usize,
    /// Tensors in all.
    pub of_tensors: usize,
    /// Bytes of the tensors written, as they were.
    pub bytes: Bytes,
    /// Bytes of all tensors, as they were.
    pub of_bytes: Bytes,
    /// Since the start.
    pub elapsed: Duration,
}

/// Who asks how far it is.
pub(super) struct Watcher<'a> {
    pub(super) progress: Option<&'a dyn Fn(Progress)>,
    pub(super) interrupted: Option<&'a dyn Fn() -> bool>,
}

/// What the threads share.
struct Turns {
    /// The next one to be begun.
    next: usize,
    /// The next one to be written.
    turn: usize,
    /// Bytes of those that are written.
    bytes: Bytes,
    working: usize,
    failure: Option<Error>,
    is_stopped: bool,
}

struct Queue {
    turns: Mutex<Turns>,
    changed: Condvar,
}

/// For the numbers from 0 to `sizes.len()`, calls `make` on `threads` threads at once, and `write` with what it gave, one
/// after the other in their order. No more is made ahead than there are threads. `false` if it was interrupted.
///
/// # Errors
/// The first that `make` or `write` raises, by number.
pub(super) fn run<T>(
    threads: usize,
    sizes: &[Bytes],
    watcher: &Watcher<'_>,
    make: impl Fn(usize) -> Result<T> + Sync,
    write: impl FnMut(usize, T) -> Result<()> + Send,
) -> Result<bool> {
    let threads = threads.min(sizes.len());
    let turns =
        Turns { next: 0, turn: 0, bytes: Bytes::ZERO, working: threads, failure: None, is_stopped: false };
    let queue = Queue { turns: Mutex::new(turns), changed: Condvar::new() };
    let write = Mutex::new(write);
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let _leaving = Leaving(&queue);
                while let Some(number) = queue.begin(sizes.len()) {
                    let outcome = make(number);
                    if !queue.finish(number, sizes[number], outcome, |made| {
                        write.lock().unwrap_or_else(PoisonError::into_inner)(number, made)
                    }) {
                        break;
                    }
                }
            });
        }
        queue.watch(sizes, started, watcher);
    });
    let mut turns = queue.lock();
    match turns.failure.take() {
        Some(error) => Err(error),
        None => Ok(turns.turn >= sizes.len()),
    }
}

/// A thread that ends, in whatever way: the others shall not wait for its turn.
struct Leaving<'a>(&'a Queue);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut turns = self.0.lock();
        turns.working = turns.working.saturating_sub(1);
        turns.is_stopped |= thread::panicking();
        drop(turns);
        self.0.changed.notify_all();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next number, unless all are given out or nobody wants more.
    fn begin(&self, count: usize) -> Option<usize> {
        let mut turns = self.lock();
        let number = turns.next;
        if turns.is_stopped || number >= count {
            return None;
        }
        turns.next = number.saturating_add(1);
        Some(number)
    }

    /// Waits for the turn of `number` and writes it. `false` if nobody wants more.
    fn finish<T>(
        &self,
        number: usize,
        size: Bytes,
        made: Result<T>,
        write: impl FnOnce(T) -> Result<()>,
    ) -> bool {
        let mut turns = self.lock();
        while turns.turn != number && !turns.is_stopped {
            turns = self.changed.wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
        if turns.is_stopped {
            return false;
        }
        drop(turns);
        let written = made.and_then(write);
        let mut turns = self.lock();
        match written {
            Ok(()) => {
                turns.turn = number.saturating_add(1);
                turns.bytes = turns.bytes.saturating_add(size);
            }
            Err(error) => {
                turns.failure = Some(error);
                turns.is_stopped = true;
            }
        }
        let goes_on = !turns.is_stopped;
        drop(turns);
        self.changed.notify_all();
        goes_on
    }

    /// Tells how far it is until all threads are done.
    fn watch(&self, sizes: &[Bytes], started: Instant, watcher: &Watcher<'_>) {
        let of_bytes = sizes.iter().fold(Bytes::ZERO, |sum, &size| sum.saturating_add(size));
        let mut told = None;
        let mut turns = self.lock();
        loop {
            let (working, tensors, bytes) = (turns.working, turns.turn, turns.bytes);
            drop(turns);
            if told != Some(tensors)
                && let Some(progress) = watcher.progress
            {
                let of_tensors = sizes.len();
                progress(Progress { tensors, of_tensors, bytes, of_bytes, elapsed: started.elapsed() });
            }
            told = Some(tensors);
            if working == 0 {
                return;
            }
            let is_interrupted = watcher.interrupted.is_some_and(|interrupted| interrupted());
            turns = self.lock();
            turns.is_stopped |= is_interrupted;
            if turns.working == working && turns.turn == tensors {
                turns = self.changed.wait_timeout(turns, PAUSE).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}
