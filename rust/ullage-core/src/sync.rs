//! The one place that names locks and atomics: `std` in use, `loom` under `--cfg loom`, so that the same ledger code
//! is model-checked and shipped.

#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, atomic};
// Loom's own holds no unsized values, such as texts; counts of references are not what is checked here.
pub(crate) use std::sync::Arc;
#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};

/// Locks `mutex`, going on after a panic elsewhere.
///
/// Every critical section of this crate computes first and writes last, so a state left by a panicking thread is
/// one that a caller could have seen anyway; refusing all further work would lose the bookings of the innocent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
