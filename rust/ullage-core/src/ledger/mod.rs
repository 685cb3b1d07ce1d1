//! The ledger: the one truth about *booked* bytes.
//!
//! ```text
//!                 /            limit 20 GiB        used = own + gpu0 + host
//!            ┌────┴─────┐
//!          gpu0        host    limit 16 GiB | none
//!        ┌───┴────┐
//!    gpu0/resnet  gpu0/llama   reservations are charged here and to every account above
//! ```
//!
//! A [`Ledger`] is a tree of [`Account`]s, each with an optional limit. A [`Reservation`] charges its account and every
//! account above it in one decision, and gives the bytes back when it is released or dropped.
//!
//! **Always true**, at every instant that any thread can observe:
//!
//! 1. `used <= limit` on every account, except one whose limit was lowered below its use: that account takes nothing
//!    new until it has drained ([`AccountSnapshot::over_by`] says how far it is over);
//! 2. an account's `used` is the sum of its own reservations and of its children's `used`;
//! 3. `peak` is the largest value `used` ever had;
//! 4. a request is refused only if it did not fit at the instant of the decision: two requests never refuse each other
//!    when one of them fits.
//!
//! **How.** One short mutex guards the tree. Charging is a read-only check of the path followed by the additions, both
//! inside the lock, so there is nothing to roll back: an add-then-roll-back tree refuses requests that fit, and one
//! compare-and-swap per level refuses them whenever the limit sits above the first level. A critical section touches
//! as many words as the path has levels (a refusal also collects its holders); no file is read and no callback runs
//! inside it.
//!
//! **Not tracked:** allocations that nobody declares. The ledger holds what was promised, the probes of the
//! machine hold it against what is really used.

mod account;
#[cfg(all(test, loom))]
mod loom_tests;
mod reservation;
pub mod shared;
mod snapshot;
mod tree;

pub use account::Account;
pub use reservation::Reservation;
pub use snapshot::{AccountSnapshot, Snapshot};

use crate::error::{Error, Result};
use crate::sync::{Arc, Mutex, lock};
use crate::units::Bytes;

/// A tree of accounts. Cloning gives another handle to the same tree.
///
/// ```
/// use ullage_core::{Bytes, Ledger};
///
/// let ledger = Ledger::new(Some("1GiB".parse()?));
/// let resnet = ledger.account("gpu0/resnet", Some("600MiB".parse()?))?;
/// let weights = resnet.reserve("400MiB".parse()?, "weights")?;
/// let refused = resnet.reserve("300MiB".parse()?, "batch").unwrap_err();
/// assert_eq!(refused.available, "200MiB".parse::<Bytes>()?);
/// assert_eq!(refused.holders[0].label, "weights");
/// weights.release();
/// assert_eq!(ledger.root().used(), Bytes::ZERO);
/// # Ok::<(), ullage_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ledger {
    shared: Arc<Mutex<tree::Tree>>,
}

impl Ledger {
    /// An empty tree whose root may hold `limit` bytes, or any number with `None`.
    #[must_use]
    pub fn new(limit: Option<Bytes>) -> Self {
        Self { shared: Arc::new(Mutex::new(tree::Tree::new(limit))) }
    }

    /// The account above all others, `/`.
    #[must_use]
    pub fn root(&self) -> Account {
        Account::new(self.shared.clone(), tree::ROOT)
    }

    /// The account at `path`, such as `gpu0/resnet`; it and its parents are made where they are missing.
    ///
    /// A new account gets `limit`; parents made on the way have none. An existing account keeps its limit.
    ///
    /// # Errors
    /// - [`Error::AccountPath`] for a path with an empty, overlong or unprintable segment, or more than 32 levels.
    /// - [`Error::Argument`] if the account exists with another limit than the one given: changing it is
    ///   [`Account::set_limit`]'s work, so that two owners never overwrite each other unseen.
    pub fn account(&self, path: &str, limit: Option<Bytes>) -> Result<Account> {
        let segments = tree::segments(path)?;
        let mut tree = lock(&self.shared);
        let (node, is_new) = tree.open(&segments);
        if let Some(wanted) = limit {
            let existing = tree.limit(node);
            if is_new {
                tree.set_limit(node, limit);
            } else if existing != limit {
                let existing =
                    existing.map_or_else(|| "no limit".to_owned(), |bytes| format!("limit {bytes}"));
                return Err(Error::Argument {
                    name: "limit",
                    reason: format!(
                        "account {path:?} exists with {existing}, not {wanted}; use set_limit to change it"
                    ),
                });
            }
        }
        drop(tree);
        Ok(Account::new(self.shared.clone(), node))
    }

    /// Every account at one instant, parents before children, siblings by path.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        lock(&self.shared).snapshot()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
