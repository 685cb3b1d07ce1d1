//! Why a request is refused, with the numbers and what would help.

use std::time::Duration;

use super::demand::DomainId;
use super::event::ModelId;
use super::registration::PlaceId;
use crate::units::Bytes;

/// What is nearest to what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// The place that lacks the least.
    pub place: PlaceId,
    /// The domain of it that lacks the most.
    pub domain: DomainId,
    /// How much is lacking there.
    pub short_by: Bytes,
    /// The largest workspace with which the model would fit there; `None` where even the model alone does not.
    pub workspace: Option<Bytes>,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// More than the limit: it could not be granted on an empty machine.
    TooLarge {
        /// Model and workspace together, in the domain that lacks the most at the nearest place.
        requested: Bytes,
        /// The tightest limit on that domain's account.
        limit: Bytes,
        /// What would fit.
        nearest: Nearest,
    },
    /// More than the limit leaves beside what may not go.
    Pinned {
        /// Model and workspace together, in the domain that lacks the most at the nearest place.
        requested: Bytes,
        /// What is left there beside the others.
        available: Bytes,
        /// The tightest limit on that domain's account.
        limit: Bytes,
        /// The models that are pinned or stuck there, overdue, or left something behind.
        blocked_by: Vec<ModelId>,
        /// What would fit.
        nearest: Nearest,
    },
    /// Its deadline passed.
    Timeout {
        /// How long it waited.
        waited: Duration,
        /// How long it might have taken from now on, as far as that can be told.
        retry_after: Option<Duration>,
    },
    /// Its model could not be loaded.
    LoadFailed {
        /// Loads that failed in a row.
        attempts: u32,
        /// When a load will be tried again for whoever asks.
        retry_after: Duration,
    },
    /// An earlier unload of its model failed, so nobody knows what state it is in.
    Stuck,
    /// Every memory domain that its model could stand on is retired.
    NoPlace,
    /// The machine is short of memory: nothing is loaded until that is over.
    Pressure {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The pool is closing.
    Closed,
}

impl Denial {
    /// The word used in events and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::Pinned { .. } => "pinned",
            Self::Timeout { .. } => "timeout",
            Self::LoadFailed { .. } => "load_failed",
            Self::Stuck => "stuck",
            Self::NoPlace => "no_place",
            Self::Pressure { .. } => "pressure",
            Self::Closed => "closed",
        }
    }

    /// When it is worth asking again; `None` where time alone does not help, or nobody can tell.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Timeout { retry_after, .. } => *retry_after,
            Self::LoadFailed { retry_after, .. } | Self::Pressure { retry_after } => Some(*retry_after),
            Self::TooLarge { .. } | Self::Pinned { .. } | Self::Stuck | Self::NoPlace | Self::Closed => None,
        }
    }

    /// What would fit, where too much was asked for.
    #[must_use]
    pub const fn nearest(&self) -> Option<Nearest> {
        match self {
            Self::TooLarge { nearest, .. } | Self::Pinned { nearest, .. } => Some(*nearest),
            _ => None,
        }
    }
}
