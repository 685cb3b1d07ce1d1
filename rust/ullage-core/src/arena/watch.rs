//! [`Watch`]: the one place that reads a clock while buffers are placed.

use std::time::Instant;

use crate::solving::Limits;

/// Placed neighbours looked at between two looks at the clock: well under a millisecond.
const BETWEEN_LOOKS: u64 = 1 << 16;

/// Tells a solver when to stop.
pub(crate) struct Watch<'a> {
    limits: &'a Limits<'a>,
    started: Instant,
    /// Work done since the last look.
    work: u64,
    stopped: bool,
}

impl<'a> Watch<'a> {
    pub(crate) fn start(limits: &'a Limits<'a>) -> Self {
        Self { limits, started: Instant::now(), work: 0, stopped: false }
    }

    /// Counts `work`; whether to stop, by the time or by an interruption.
    pub(crate) fn spent(&mut self, work: usize) -> bool {
        self.work = self.work.saturating_add(work as u64).saturating_add(1);
        if self.work >= BETWEEN_LOOKS {
            self.look();
        }
        self.stopped
    }

    /// Whether to stop, by a look at the clock.
    pub(crate) fn look(&mut self) -> bool {
        self.work = 0;
        let is_late = || self.limits.time.is_some_and(|limit| self.started.elapsed() >= limit);
        self.stopped = self.stopped || self.limits.interrupted() || is_late();
        self.stopped
    }
}
