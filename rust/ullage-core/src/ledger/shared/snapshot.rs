//! The whole ledger at one instant, as plain data.

use crate::units::Bytes;

/// Every account and every process at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedSnapshot {
    /// Parents before children, siblings by path; the root first.
    pub accounts: Vec<SharedAccountSnapshot>,
    /// The living processes that have the ledger open, by process id.
    pub processes: Vec<SharedProcess>,
}

/// A process that has the ledger open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedProcess {
    /// Its process id.
    pub pid: u32,
    /// What it has booked, on all accounts together.
    pub bytes: Bytes,
    /// Its live reservations.
    pub reservations: u64,
}

/// One account of a [`SharedSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedAccountSnapshot {
    /// Path; the root is `/`.
    pub path: String,
    /// Path of the account above; `None` for the root.
    pub parent: Option<String>,
    /// The limit, if there is one.
    pub limit: Option<Bytes>,
    /// Booked here and below, by all processes: `own` plus the children's `used`.
    pub used: Bytes,
    /// Booked on this very account.
    pub own: Bytes,
    /// The largest `used` since a process first opened the ledger while no other had it open.
    pub peak: Bytes,
    /// Live reservations on this very account.
    pub reservations: u64,
    /// Requests on this very account that were refused, here or further up.
    pub refusals: u64,
    /// Process id and bytes of each process that has booked on this very account; they add up to `own`.
    pub processes: Vec<(u32, Bytes)>,
}

impl SharedAccountSnapshot {
    /// How far `used` stands over a limit that was lowered; zero otherwise.
    #[must_use]
    pub fn over_by(&self) -> Bytes {
        self.limit.map_or(Bytes::ZERO, |limit| self.used.saturating_sub(limit))
    }
}
