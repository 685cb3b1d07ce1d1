//! The whole tree at one instant, as plain data.

use std::time::Duration;

use crate::sync::Arc;
use crate::units::Bytes;

/// How an account books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every reservation is charged to the account and to all above it.
    Exact,
    /// A leaf that buys bytes from the accounts above in quanta, and gives them out without a lock.
    Credit,
}

/// Every account at one instant: parents before children, siblings by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The root first.
    pub accounts: Vec<AccountSnapshot>,
    /// Requests that wait for memory.
    pub waiting: usize,
}

/// One account of a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSnapshot {
    /// Path; the root is `/`.
    pub path: Arc<str>,
    /// Path of the account above; `None` for the root.
    pub parent: Option<Arc<str>>,
    /// How it books.
    pub kind: Kind,
    /// The limit, if there is one.
    pub limit: Option<Bytes>,
    /// What stands against the limit: `used`, and what credit leaves at or below have bought and not given out.
    pub charged: Bytes,
    /// Booked here and below: `own` plus the children's `used`.
    pub used: Bytes,
    /// Booked on this very account.
    pub own: Bytes,
    /// The largest `charged` so far; of a credit leaf the largest `used`.
    pub peak: Bytes,
    /// When that was, since the ledger was made; unknown on a credit leaf.
    pub peak_at: Option<Duration>,
    /// Live reservations on this very account.
    pub reservations: u64,
    /// Reservations ever made on this very account.
    pub made: u64,
    /// Reservations given back.
    pub released: u64,
    /// Requests on this very account that were refused, here or further up.
    pub refusals: u64,
    /// Reservations that were dropped without having been released.
    pub leaked: u64,
    /// Sum of all that was reserved on this very account, draws from credit excepted.
    pub total: Bytes,
}

impl AccountSnapshot {
    /// How far what is charged stands over a limit that was lowered; zero otherwise.
    #[must_use]
    pub fn over_by(&self) -> Bytes {
        self.limit.map_or(Bytes::ZERO, |limit| self.charged.saturating_sub(limit))
    }
}
