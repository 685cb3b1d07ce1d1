//! [`Watch`]: when to stop.

use std::cell::Cell;
use std::time::Instant;

use crate::solving::Limits;

/// Limits with the clock running. Once stopped, it stays stopped.
pub(crate) struct Watch<'a> {
    limits: Limits<'a>,
    deadline: Option<Instant>,
    stopped: Cell<bool>,
}

impl<'a> Watch<'a> {
    pub(crate) fn start(limits: &Limits<'a>) -> Self {
        let deadline = limits.time.and_then(|time| Instant::now().checked_add(time));
        Self { limits: *limits, deadline, stopped: Cell::new(false) }
    }

    /// A watch that also stops after `time`.

    pub(crate) fn stopped(&self) -> bool {
        if !self.stopped.get() {
            let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            self.stopped.set(late || self.limits.interrupted());
        }
        self.stopped.get()
    }
}
