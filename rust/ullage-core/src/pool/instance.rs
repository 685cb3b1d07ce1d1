//! A model at one of its places: the state it is in there, and the bytes it holds.

use super::booking::Booking;
use super::demand::{Demand, DomainId};
use super::event::ModelId;
use super::registration::PlaceId;
use super::sizes::Sizes;
use crate::units::{Bytes, Time};

/// A model at a place, numbered through all models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct InstanceId(pub(super) usize);

/// Where the bytes of an instance are.
#[derive(Debug)]
pub(super) enum State {
    Cold,
    /// Booked with the workspace of one lease, so that a loaded model can always be used.
    Loading {
        weights: Booking,
        workspace: Booking,
    },
    /// `spare` is the workspace of one lease, kept while nobody uses it: a hit never waits for others' memory.
    Ready {
        weights: Booking,
        spare: Option<Booking>,
    },
    /// The model, or its compressed form, is on its way out.
    Unloading {
        held: Booking,
    },
    /// Gone by itself; what it held has not been seen to come back.
    Lost {
        held: Booking,
    },
    Stuck {
        held: Booking,
    },
    Compressing {
        weights: Booking,
        compressed: Booking,
    },
    Compressed {
        compressed: Booking,
    },
    Promoting {
        compressed: Booking,
        weights: Booking,
        workspace: Booking,
    },
}

/// What may be expected of an instance's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There are none.
    Absent,
    /// They are about to be free.
    Leaving,
    /// They can be had by sending the instance away.
    Evictable,
    /// They cannot be had.
    Fixed,
    /// They will be of use first.
    Coming,
}

impl State {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Loading { .. } => "loading",
            Self::Ready { .. } => "ready",
            Self::Unloading { .. } => "unloading",
            Self::Lost { .. } => "lost",
            Self::Stuck { .. } => "stuck",
            Self::Compressing { .. } => "compressing",
            Self::Compressed { .. } => "compressed",
            Self::Promoting { .. } => "promoting",
        }
    }

    /// What is booked for it, at most three bookings.
    fn bookings(&self) -> [Option<&Booking>; 3] {
        match self {
            Self::Cold => [None, None, None],
            Self::Loading { weights, workspace } => [Some(weights), Some(workspace), None],
            Self::Ready { weights, spare } => [Some(weights), spare.as_ref(), None],
            Self::Unloading { held } | Self::Lost { held } | Self::Stuck { held } => [Some(held), None, None],
            Self::Compressing { weights, compressed } => [Some(weights), Some(compressed), None],
            Self::Compressed { compressed } => [Some(compressed), None, None],
            Self::Promoting { compressed, weights, workspace } => {
                [Some(compressed), Some(weights), Some(workspace)]
            }
        }
    }

    /// Everything that it holds, in one booking.
    pub(super) fn into_booking(self) -> Booking {
        let (mut first, rest) = match self {
            Self::Cold => return Booking::default(),
            Self::Ready { weights, spare } => (weights, [spare, None]),
            Self::Unloading { held } | Self::Lost { held } | Self::Stuck { held } => (held, [None, None]),
            Self::Compressed { compressed } => (compressed, [None, None]),
            Self::Loading { weights, workspace: other }
            | Self::Compressing { weights, compressed: other } => (weights, [Some(other), None]),
            Self::Promoting { compressed, weights, workspace } => {
                (weights, [Some(workspace), Some(compressed)])
            }
        };
        rest.into_iter().flatten().for_each(|other| first.absorb(other));
        first
    }
}

/// A model at one of its places.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "facts of their own, none of which excludes another")]
pub(super) struct Instance {
    pub(super) model: ModelId,
    pub(super) place: PlaceId,
    pub(super) state: State,
    /// As the pool's lists have it.
    pub(super) standing: Standing,
    /// Live leases. Only a `Ready` instance has any.
    pub(super) leases: u64,
    /// Workspaces of the live leases.
    pub(super) leased: Demand,
    /// Counts what came and went here: a lease of an earlier one is not a lease of this.
    pub(super) incarnation: u64,
    /// Chosen to go for an older request's sake once its leases end; a lower number was chosen earlier. Kept from one
    /// walk of the queue to the next, so that the choice does not move on each time another model is used.
    pub(super) draining: Option<u64>,
    /// Draining, and the request for whose sake has waited long enough: no new lease.
    pub(super) is_closed: bool,
    /// When the state began.
    pub(super) since: Time,
    /// Left behind by earlier unloads.
    pub(super) residue: Booking,
    /// The largest size ever measured.
    pub(super) measured: Option<Demand>,
    /// What its loads took.
    pub(super) sizes: Sizes,
    /// What the next load books at least: it ran out of memory before.
    pub(super) raised: Demand,
    /// Loads that failed here in a row.
    pub(super) failures: u32,
    /// Its unload should have been reported long ago.
    pub(super) is_overdue: bool,
    /// Its compression failed.
    pub(super) is_incompressible: bool,
    /// Its place needs a memory domain that is retired.
    pub(super) is_retired: bool,
}

impl Instance {
    pub(super) fn new(model: ModelId, place: PlaceId) -> Self {
        Self {
            model,
            place,
            state: State::Cold,
            standing: Standing::Absent,
            leases: 0,
            leased: Demand::ZERO,
            incarnation: 0,
            draining: None,
            is_closed: false,
            since: Time::ZERO,
            residue: Booking::default(),
            measured: None,
            sizes: Sizes::default(),
            raised: Demand::ZERO,
            failures: 0,
            is_overdue: false,
            is_incompressible: false,
            is_retired: false,
        }
    }

    /// What its state says of its bytes, were it pinned or not.
    pub(super) const fn stands(&self, is_pinned: bool) -> Standing {
        match &self.state {
            State::Cold => Standing::Absent,
            State::Stuck { .. } => Standing::Fixed,
            State::Unloading { .. } | State::Lost { .. } if self.is_overdue => Standing::Fixed,
            State::Unloading { .. } | State::Lost { .. } => Standing::Leaving,
            _ if is_pinned => Standing::Fixed,
            State::Ready { .. } | State::Compressed { .. } => Standing::Evictable,
            State::Compressing { .. } | State::Loading { .. } | State::Promoting { .. } => Standing::Coming,
        }
    }

    /// Bytes booked in `domain` for the model and a lease to come; those of live leases come on top.
    pub(super) fn booked_in(&self, domain: DomainId) -> Bytes {
        let all = self.state.bookings().into_iter().flatten();
        all.fold(Bytes::ZERO, |sum, booking| sum.saturating_add(booking.bytes_in(domain)))
    }

    pub(super) fn booked(&self) -> Demand {
        let all = self.state.bookings().into_iter().flatten();
        all.fold(Demand::ZERO, |sum, booking| sum.plus(&booking.demand()))
    }

    /// Everything that it holds in `domain` and that goes with it, workspaces of leases included, residue not.
    pub(super) fn bytes_in(&self, domain: DomainId) -> Bytes {
        self.booked_in(domain).saturating_add(self.leased.bytes_in(domain))
    }

    pub(super) fn state_name(&self) -> &'static str {
        if self.is_closed || (self.is_retired && self.is_ready()) { "draining" } else { self.state.name() }
    }

    pub(super) const fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    /// Whether it takes leases, as far as its own state says.
    pub(super) const fn is_open(&self) -> bool {
        self.is_ready() && !self.is_closed && !self.is_retired
    }

    /// Whether nobody uses it: a model without leases, or a compressed form.
    pub(super) const fn is_unused(&self) -> bool {
        self.leases == 0 && matches!(self.state, State::Ready { .. } | State::Compressed { .. })
    }

    /// Whether it counts as resident: not one that is leaving.
    pub(super) const fn holds_seat(&self) -> bool {
        !matches!(self.state, State::Cold | State::Unloading { .. } | State::Lost { .. })
    }

    /// Whether it serves, will serve, or would for less than a load.
    pub(super) const fn is_usable(&self) -> bool {
        self.holds_seat() && !self.is_retired && !matches!(self.state, State::Stuck { .. })
    }

    /// What of `workspace` the spare does not cover.
    pub(super) fn gap(&self, workspace: &Demand) -> Demand {
        match &self.state {
            State::Ready { spare: Some(spare), .. } if spare.covers(workspace) => Demand::ZERO,
            State::Ready { spare: Some(spare), .. } => workspace.minus(&spare.demand()),
            _ => workspace.clone(),
        }
    }
}
