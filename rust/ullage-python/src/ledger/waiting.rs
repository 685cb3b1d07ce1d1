//! Waiting for memory: in a thread, and the place in the queue that a coroutine waits with.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use ullage_core::ledger as core;
use ullage_core::{Bytes, Error};

use super::account::Account;
use super::reservation::Reservation;
use crate::detach::{self, detached};
use crate::error::{Failure, Outcome, wait_timeout};

/// How long a wait may keep Ctrl-C waiting.
const SIGNALS_EVERY: Duration = Duration::from_millis(50);

/// The longest wait: some 30 years, beyond which no clock of the system can count.
const FOREVER: Duration = Duration::from_secs(1 << 30);

/// A wait as Python gives it: seconds, or infinity.
pub(crate) fn duration(seconds: f64, name: &'static str) -> Outcome<Duration> {
    if seconds.is_nan() || seconds < 0.0 {
        let reason = format!("{seconds} is no number of seconds to wait");
        return Err(Error::Argument { name, reason }.into());
    }
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(FOREVER).min(FOREVER))
}

/// Takes a place in the queue and waits there for at most `timeout`.
#[cold]
pub(super) fn reserve(
    py: Python<'_>,
    account: &Account,
    bytes: Bytes,
    label: &str,
    timeout: Duration,
) -> Outcome<Reservation> {
    let pending = account.core.queue(bytes, label).map_err(Error::from)?;
    let begun = Instant::now();
    loop {
        if detach::is_forking() {
            detach::pause(py);
            continue;
        }
        let left = timeout.saturating_sub(begun.elapsed());
        if let Some(reservation) = detached(py, || pending.wait(left.min(SIGNALS_EVERY))) {
            return Ok(Reservation::made(py, reservation, Some(account.frames)));
        }
        if left.is_zero() {
            let refusal = pending.obstacle(bytes);
            return Err(wait_timeout(py, &refusal, begun.elapsed().as_secs_f64()));
        }
        py.check_signals()?;
    }
}

/// Tells Python of a grant, unless the interpreter is on its way out.
fn call(callback: &Py<PyAny>) {
    Python::try_attach(|py| {
        // Memory is freed in the middle of anything, an exception on its way up included, which must not be lost.
        let pending = PyErr::take(py);
        if let Err(raised) = callback.call0(py) {
            raised.write_unraisable(py, Some(callback.bind(py)));
        }
        if let Some(pending) = pending {
            pending.restore(py);
        }
    });
}

/// A request's place in the queue.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Pending {
    core: Mutex<Option<Arc<core::Pending>>>,
    bytes: Bytes,
}

impl Pending {
    pub(super) fn new(pending: core::Pending, bytes: Bytes) -> Self {
        Self { core: Mutex::new(Some(Arc::new(pending))), bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<core::Pending>>> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place, unless it was given up. What is called on it may run foreign code: never under the lock.
    fn get(&self) -> Option<Arc<core::Pending>> {
        self.lock().clone()
    }
}

#[pymethods]
impl Pending {
    fn take(&self, py: Python<'_>) -> Option<Reservation> {
        let taken = self.get().and_then(|pending| pending.take());
        taken.map(|reservation| Reservation::made(py, reservation, None))
    }

    fn on_granted(&self, callback: Py<PyAny>) {
        if let Some(pending) = self.get() {
            pending.on_granted(move || call(&callback));
        }
    }

    fn cancel(&self) {
        let pending = self.lock().take();
        drop(pending);
    }

    fn timed_out(&self, py: Python<'_>, waited_s: f64) -> PyErr {
        let refusal = self.get().map(|pending| pending.obstacle(self.bytes));
        let failure = match refusal {
            Some(refusal) => wait_timeout(py, &refusal, waited_s),
            None => Failure::Core(Error::Argument { name: "pending", reason: "was cancelled".to_owned() }),
        };
        failure.into_pyerr(py)
    }
}
