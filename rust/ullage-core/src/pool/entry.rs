//! One model of the pool: what was registered, and the state it is in.

use crate::ledger::Reservation;
use std::time::Duration;

use crate::units::{Bytes, Time};

/// What is told of a model when it joins a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// A name not in use.
    pub name: String,
    /// The most likely size, for display.
    pub estimated: Bytes,
    /// What to book before a load: the most it can be.
    pub booked: Bytes,
    /// What each lease books on top (activations, key-value cache).
    pub workspace: Bytes,
    /// Whether it stays in memory once loaded.
    pub is_pinned: bool,
    /// The most leases at once; `None` for as many as memory allows.
    pub max_concurrency: Option<u64>,
    /// How long a load is likely to take, until one was seen; `None` for half a second and a second for each GB.
    pub load_time: Option<Duration>,
}

/// Where a model's bytes are.
#[derive(Debug)]
pub(super) enum State {
    Cold,
    /// Booked with the workspace of one lease, so that a loaded model can always be used.
    Loading {
        weights: Reservation,
        workspace: Reservation,
    },
    /// `spare` is the workspace of one lease, kept while nobody uses it: a hit never waits for others' memory.
    Ready {
        weights: Reservation,
        spare: Option<Reservation>,
    },
    Unloading {
        weights: Reservation,
    },
    Stuck {
        weights: Reservation,
    },
}

impl State {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Loading { .. } => "loading",
            Self::Ready { .. } => "ready",
            Self::Unloading { .. } => "unloading",
            Self::Stuck { .. } => "stuck",
        }
    }

    /// Bytes booked for the model itself and a lease to come; those of live leases come on top.
    pub(super) fn booked(&self) -> Bytes {
        match self {
            Self::Cold => Bytes::ZERO,
            Self::Loading { weights, workspace } | Self::Ready { weights, spare: Some(workspace) } => {
                weights.bytes().saturating_add(workspace.bytes())
            }
            Self::Ready { weights, spare: None } | Self::Unloading { weights } | Self::Stuck { weights } => {
                weights.bytes()
            }
        }
    }
}

/// A model and its history.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) registration: Registration,
    pub(super) state: State,
    /// Live leases. Only a `Ready` model has any.
    pub(super) leases: u64,
    /// Workspaces of the live leases.
    pub(super) leased: Bytes,
    /// Chosen to go for an older request's sake once its leases end; a lower number was chosen earlier. Kept from one
    /// walk of the queue to the next, so that the choice does not move on each time another model is used.
    pub(super) draining: Option<u64>,
    /// The largest size ever measured.
    pub(super) measured: Option<Bytes>,
    pub(super) last_used: Time,
    /// The number of its latest use among all uses in the pool.
    pub(super) turn: u64,
    /// When the load under way began.
    pub(super) load_began: Time,
    /// What a load costs, in seconds: what was told, then what was seen.
    pub(super) load_s: f64,
    pub(super) loads: u64,
    pub(super) evictions: u64,
}

impl Entry {
    pub(super) fn new(registration: Registration) -> Self {
        let load_s = match registration.load_time {
            Some(time) => time.as_secs_f64(),
            None => assumed_load_s(registration.estimated),
        };
        Self {
            turn: 0,
            load_began: Time::ZERO,
            load_s,
            registration,
            state: State::Cold,
            leases: 0,
            leased: Bytes::ZERO,
            draining: None,
            measured: None,
            last_used: Time::ZERO,
            loads: 0,
            evictions: 0,
        }
    }

    /// What to book for the next load: the registered size, or what was measured if that was more.
    pub(super) fn weights_needed(&self) -> Bytes {
        self.registration.booked.max(self.measured.unwrap_or(Bytes::ZERO))
    }

    /// What a first lease needs: the model and its workspace.
    pub(super) fn needed(&self) -> Bytes {
        self.weights_needed().saturating_add(self.registration.workspace)
    }

    pub(super) fn has_place(&self) -> bool {
        self.registration.max_concurrency.is_none_or(|most| self.leases < most)
    }

    pub(super) const fn state_name(&self) -> &'static str {
        if self.draining.is_some() { "draining" } else { self.state.name() }
    }

    pub(super) const fn has_spare(&self) -> bool {
        matches!(self.state, State::Ready { spare: Some(_), .. })
    }

    /// Whether one more lease needs nothing that is not there.
    pub(super) fn is_free(&self) -> bool {
        let needs_nothing = self.has_spare() || self.registration.workspace.is_zero();
        self.is_ready() && self.has_place() && needs_nothing
    }

    pub(super) const fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    /// Whether it counts as resident: not one that is leaving.
    pub(super) const fn holds_place(&self) -> bool {
        !matches!(self.state, State::Cold | State::Unloading { .. })
    }

    /// Whether it is resident for nobody, and may go.
    pub(super) const fn is_idle(&self) -> bool {
        self.is_ready() && self.leases == 0 && !self.registration.is_pinned
    }

    /// Whether its memory cannot be had by evicting it.
    pub(super) const fn is_fixed(&self) -> bool {
        let is_held = !matches!(self.state, State::Cold | State::Unloading { .. });
        (self.registration.is_pinned && is_held) || matches!(self.state, State::Stuck { .. })
    }
}

/// A load of which nothing is known: reading at 1 GB/s, and what every load takes.
#[allow(clippy::cast_precision_loss, reason = "a guess, not a count")]
fn assumed_load_s(bytes: Bytes) -> f64 {
    0.5 + bytes.get() as f64 / 1e9
}
