//! What the pool has to look at again at a time of its own.

use std::collections::BTreeSet;

use super::event::ModelId;
use super::instance::InstanceId;
use crate::units::Time;

/// Why to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// A failed load may be tried again.
    Retry(ModelId),
    /// A request has waited long enough for a model in use.
    Turn(ModelId),
    /// A model has been resident for long enough to go.
    Resident(InstanceId),
    /// An unload should have been reported.
    Overdue(InstanceId),
}

/// Alarms by time.
#[derive(Debug, Default)]
pub(super) struct Alarms(BTreeSet<(Time, Alarm)>);

impl Alarms {
    pub(super) fn set(&mut self, at: Time, alarm: Alarm) {
        self.0.insert((at, alarm));
    }

    pub(super) fn clear(&mut self, at: Time, alarm: Alarm) {
        self.0.remove(&(at, alarm));
    }

    /// Takes one that is due by `now`.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Alarm> {
        let &(at, alarm) = self.0.first()?;
        if at > now {
            return None;
        }
        self.0.pop_first();
        Some(alarm)
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.0.first().map(|&(at, _)| at)
    }
}
