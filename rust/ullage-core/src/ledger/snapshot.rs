//! The whole tree at one instant, as plain data.

use crate::units::Bytes;

/// Every account at one instant: parents before children, siblings by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The root first.
    pub accounts: Vec<AccountSnapshot>,
}

/// One account of a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSnapshot {
    /// Path; the root is `/`.
    pub path: String,
    /// Path of the account above; `None` for the root.
    pub parent: Option<String>,
    /// The limit, if there is one.
    pub limit: Option<Bytes>,
    /// Booked here and below: `own` plus the children's `used`.
    pub used: Bytes,
    /// Booked on this very account.
    pub own: Bytes,
    /// The largest `used` so far.
    pub peak: Bytes,
    /// Live reservations on this very account.
    pub reservations: u64,
    /// Requests on this very account that were refused, here or further up.
    pub refusals: u64,
}

impl AccountSnapshot {
    /// How far `used` stands over a limit that was lowered; zero otherwise.
    #[must_use]
    pub fn over_by(&self) -> Bytes {
        self.limit.map_or(Bytes::ZERO, |limit| self.used.saturating_sub(limit))
    }
}
