//! Ctrl-C while the interpreter is not held.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// How often long work looks for signals.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(20);

/// Asks Python for signals while it is detached, rarely enough not to disturb other threads.
pub(crate) struct SignalWatch {
    asked: Cell<Instant>,
    raised: RefCell<Option<PyErr>>,
}

impl SignalWatch {
    pub(crate) fn new(started: Instant) -> Self {
        Self { asked: Cell::new(started), raised: RefCell::new(None) }
    }

    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method itself is not general enough")]
    pub(crate) fn interrupted(&self) -> bool {
        if self.raised.borrow().is_some() {
            return true;
        }
        if self.asked.get().elapsed() < SIGNAL_INTERVAL {
            return false;
        }
        let raised = Python::attach(|py| py.check_signals()).err();
        self.asked.set(Instant::now());
        raised.is_some_and(|error| self.raised.replace(Some(error)).is_none())
    }

    /// What a signal handler raised, if any did.
    pub(crate) fn into_raised(self) -> Option<PyErr> {
        self.raised.into_inner()
    }
}
