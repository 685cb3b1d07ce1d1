//! [`Watch`]: the one place that reads a clock while a solver works.

use std::time::{Duration, Instant};

use crate::solving::{Limits, Progress};

/// Steps of a few nanoseconds between two looks at the clock: well under a millisecond.
const BETWEEN_LOOKS: u64 = 1 << 16;
/// The longest silence towards a listener.
const BETWEEN_REPORTS: Duration = Duration::from_millis(250);

/// Tells a solver when to stop, and its listener how far it is.
pub(crate) struct Watch<'a> {
    limits: &'a Limits<'a>,
    started: Instant,
    /// Work done since the last look.
    work: u64,
    stopped: bool,
    best: Option<u64>,
    lower_bound: u64,
    /// Time from the start to the last report.
    reported: Duration,
}

impl<'a> Watch<'a> {
    pub(crate) fn start(limits: &'a Limits<'a>) -> Self {
        Self {
            limits,
            started: Instant::now(),
            work: 0,
            stopped: false,
            best: None,
            lower_bound: 0,
            reported: Duration::ZERO,
        }
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
        let elapsed = self.started.elapsed();
        let is_late = self.limits.time.is_some_and(|limit| elapsed >= limit);
        self.stopped = self.stopped || is_late || self.limits.interrupted();
        if elapsed.saturating_sub(self.reported) >= BETWEEN_REPORTS {
            self.report(elapsed);
        }
        self.stopped
    }

    /// Notes the best answer and bound so far, and tells the listener where one of them is better than before.
    pub(crate) fn found(&mut self, best: Option<u64>, lower_bound: u64) {
        let is_better = match (best, self.best) {
            (Some(new), Some(old)) => new < old,
            (new, old) => new.is_some() && old.is_none(),
        };
        if is_better || lower_bound > self.lower_bound {
            self.best = if is_better { best } else { self.best };
            self.lower_bound = self.lower_bound.max(lower_bound);
            self.report(self.started.elapsed());
        }
    }

    fn report(&mut self, elapsed: Duration) {
        self.reported = elapsed;
        if let Some(listener) = self.limits.progress {
            listener(Progress { best: self.best, lower_bound: self.lower_bound, elapsed });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_listener_hears_of_what_is_better_and_of_nothing_else() {
        let heard = RefCell::new(Vec::new());
        let listener = |progress: Progress| heard.borrow_mut().push((progress.best, progress.lower_bound));
        let limits = Limits { progress: Some(&listener), ..Limits::default() };
        let mut watch = Watch::start(&limits);
        watch.found(None, 0);
        watch.found(None, 3);
        watch.found(Some(9), 3);
        watch.found(Some(10), 2);
        watch.found(Some(9), 9);
        assert!(!watch.look());
        assert_eq!(*heard.borrow(), [(None, 3), (Some(9), 3), (Some(9), 9)]);
    }

    #[test]
    fn a_watch_stops_by_the_time_and_by_an_interruption_and_stays_stopped() {
        let asked = RefCell::new(false);
        let interrupted = || asked.replace(false);
        let limits = Limits { interrupted: Some(&interrupted), ..Limits::default() };
        let mut watch = Watch::start(&limits);
        assert!(!watch.spent(1));
        asked.replace(true);
        assert!(watch.spent(1 << 20));
        assert!(watch.look());
        let limits = Limits { time: Some(Duration::ZERO), ..Limits::default() };
        assert!(Watch::start(&limits).look());
    }
}
