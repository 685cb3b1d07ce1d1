//! The bytes that one walk through the queue can give out, and what the requests walked past have claimed.

use super::event::ModelId;
use crate::units::Bytes;

/// Bytes free, coming free and claimed, as a walk through the queue sees them.
#[derive(Debug)]
pub(super) struct Room {
    /// Free in the ledger now.
    free: u128,
    /// Held by models that are being unloaded, or will be when their leases end.
    incoming: u128,
    /// Needed by older requests that wait.
    claimed: u128,
    /// Models that take no new lease, because an older request needs their memory.
    draining: Vec<bool>,
    /// Models that an older request waits for.
    wanted: Vec<bool>,
    /// How many more models may be resident; those on their way out do not count.
    places: usize,
}

impl Room {
    pub(super) fn new(
        free: Bytes,
        incoming: impl Iterator<Item = Bytes>,
        models: usize,
        places: usize,
    ) -> Self {
        Self {
            free: free.get().into(),
            incoming: incoming.map(|bytes| u128::from(bytes.get())).sum(),
            claimed: 0,
            draining: vec![false; models],
            wanted: vec![false; models],
            places,
        }
    }

    /// Takes `bytes` if they are free now and no older request will miss them.
    pub(super) fn take(&mut self, bytes: Bytes) -> bool {
        let bytes = u128::from(bytes.get());
        let spare = self.free.saturating_add(self.incoming).saturating_sub(self.claimed);
        let fits = bytes <= self.free && bytes <= spare;
        if fits {
            self.free = self.free.saturating_sub(bytes);
        }
        fits
    }

    /// Whether `bytes` more would be free than is taken and claimed.
    pub(super) fn has(&self, bytes: Bytes) -> bool {
        self.missing_for(bytes) == 0
    }

    /// How many more models may be resident.
    pub(super) const fn places(&self) -> usize {
        self.places
    }

    /// Takes the place of one more model.
    pub(super) fn take_place(&mut self) {
        self.places = self.places.saturating_sub(1);
    }

    /// Sets `bytes` aside for a request that waits.
    pub(super) fn claim(&mut self, bytes: Bytes) {
        self.claimed = self.claimed.saturating_add(bytes.get().into());
    }

    /// How much of `bytes` and all that is claimed has no source yet.
    pub(super) fn missing_for(&self, bytes: Bytes) -> u128 {
        let wanted = self.claimed.saturating_add(bytes.get().into());
        wanted.saturating_sub(self.free.saturating_add(self.incoming))
    }

    /// Counts on the memory of a model that is on its way out.
    pub(super) fn expect(&mut self, model: ModelId, bytes: Bytes) {
        self.draining[model.0] = true;
        self.places = self.places.saturating_add(1);
        self.incoming = self.incoming.saturating_add(bytes.get().into());
    }

    pub(super) fn is_draining(&self, model: ModelId) -> bool {
        self.draining[model.0]
    }

    /// Notes that a request waits for `model`; true if it is the first.
    pub(super) fn want(&mut self, model: ModelId) -> bool {
        !std::mem::replace(&mut self.wanted[model.0], true)
    }

    pub(super) fn is_wanted(&self, model: ModelId) -> bool {
        self.wanted[model.0]
    }
}
