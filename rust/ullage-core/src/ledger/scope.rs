//! Peaks and sums within a region of time.
//!
//! The algebra is that of RMM's statistics adaptor, made to hold for regions that overlap in any way, not
//! only nested ones: each account keeps its open regions by their beginning, each with the highest value *since it was
//! the latest*, so that a charge raises one number whatever is open. A region's peak is the highest of its own number
//! and of those that began later; closing one folds its number into the one before it.

use super::account::Account;
use super::tree::Counts;
use crate::units::Bytes;

/// A scope of an account, as its account keeps it.
#[derive(Debug)]
pub(super) struct Region {
    id: u64,
    start: u64,
    /// Highest booked while no later region had begun.
    highest: u64,
}

impl Region {
    pub(super) fn new(id: u64, charged: u64) -> Self {
        Self { id, start: charged, highest: charged }
    }

    pub(super) fn raise(&mut self, charged: u64) {
        self.highest = self.highest.max(charged);
    }

    pub(super) fn seen(regions: &[Self], id: u64) -> Option<(u64, u64)> {
        let place = regions.iter().position(|region| region.id == id)?;
        let highest = regions[place..].iter().map(|region| region.highest).max()?;
        Some((regions[place].start, highest))
    }

    pub(super) fn close(regions: &mut Vec<Self>, id: u64) {
        let Some(place) = regions.iter().position(|region| region.id == id) else { return };
        let closed = regions.remove(place);
        if let Some(before) = place.checked_sub(1) {
            regions[before].raise(closed.highest);
        }
    }
}

/// What happened on an account and below since a scope was opened, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopeStats {
    /// Booked when it was opened.
    pub start: Bytes,
    /// Booked now, or when it was closed.
    pub end: Bytes,
    /// The highest booked in between.
    pub highest: Bytes,
    /// Reservations made.
    pub reservations: u64,
    /// Reservations released.
    pub releases: u64,
    /// Requests refused.
    pub refusals: u64,
    /// Sum of all that was reserved; what is drawn from credit is not in it.
    pub total: Bytes,
}

impl ScopeStats {
    /// The highest growth over `start`, RMM's `peak`.
    #[must_use]
    pub fn peak(&self) -> Bytes {
        self.highest.saturating_sub(self.start)
    }

    /// `end` less `start`, RMM's `value`; clipped to what an `i64` holds.
    #[must_use]
    pub fn net(&self) -> i64 {
        let difference = i128::from(self.end.get()).saturating_sub(i128::from(self.start.get()));
        i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
    }
}

/// A region of time on one account, from [`Account::scope`] until it is closed or dropped.
#[derive(Debug)]
pub struct Scope {
    account: Account,
    id: u64,
    before: Counts,
}

impl Scope {
    pub(super) fn new(account: Account, id: u64, before: Counts) -> Self {
        Self { account, id, before }
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> ScopeStats {
        self.account.scope_stats(self.id, self.before)
    }

    /// Ends the region.
    #[must_use]
    pub fn close(self) -> ScopeStats {
        self.stats() // dropping ends it
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.account.close_scope(self.id);
    }
}
