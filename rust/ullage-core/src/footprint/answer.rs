//! Yes, no, or it depends.

use super::device::Availability;
use super::interval::Interval;

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// The most it can need is certainly there.
    Yes,
    /// The intervals overlap.
    Depends,
    /// Even the least it can need is certainly not there.
    No,
}

impl Answer {
    /// The word used in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Depends => "depends",
            Self::No => "no",
        }
    }

    pub(super) fn of(required: &Interval, available: &Availability) -> Self {
        if required.hi <= available.lo {
            Self::Yes
        } else if required.lo > available.hi {
            Self::No
        } else {
            Self::Depends
        }
    }
}
