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
//! 1. `used <= charged <= limit` on every account, except one whose limit was lowered below its use: that account takes
//!    nothing new until it has drained ([`AccountSnapshot::over_by`] says how far it is over);
//! 2. an account's `used` is the sum of its own reservations and of its children's `used`;
//! 3. `peak` is the largest value that was ever booked;
//! 4. a request is refused only if it did not fit at the instant of the decision, beside what is kept for a waiter
//!    that was passed over too often: two requests never refuse each other when one of them fits.
//!
//! **How.** One short mutex guards the tree. Charging is a read-only check of the path followed by the additions, both
//! inside the lock, so there is nothing to roll back: an add-then-roll-back tree refuses requests that fit, and one
//! compare-and-swap per level refuses them whenever the limit sits above the first level. One lock costs less than
//! one atomic addition per level, alone and in contention (`benches/ledger.rs` has them side by side). A critical
//! section touches as many words as the path has levels; no file is read and no callback runs inside it.
//!
//! Where even that is too much, a *credit* leaf ([`Kind::Credit`]) buys bytes from the accounts above in quanta and
//! gives them out with one compare-and-swap. Idle credit is charged but not used; it is taken back before any refusal
//! and while anybody waits.
//!
//! **Not tracked:** allocations that nobody declares. The ledger holds what was promised, the probes of the
//! machine hold it against what is really used.

mod account;
mod batch;
mod books;
mod clock;
mod credit;
mod home;
#[cfg(all(test, loom))]
mod loom_tests;
mod meter;
mod origin;
mod path;
mod prepaid;
mod pressure;
mod queue;
mod report;
mod reservation;
mod scope;
pub mod shared;
mod slab;
mod snapshot;
mod tag;
mod timeline;
mod tree;
mod waiting;

pub use account::Account;
pub use batch::Batch;
pub use meter::{Draw, Meter};
pub use origin::{Frame, Origin, OriginPolicy};
pub use pressure::PressureGuard;
pub use report::{Held, HeldOrder};
pub use reservation::{Anchor, Reservation};
pub use scope::{Scope, ScopeStats};
pub use slab::Handle;
pub use snapshot::{AccountSnapshot, Kind, Snapshot};
pub use timeline::{Event, Timeline};
pub use waiting::Pending;

use std::time::Duration;

use crate::error::{Error, Result};
use crate::sync::Arc;
use crate::units::Bytes;

/// Events that a ledger remembers unless told otherwise: 2 MiB once they are full.
pub const TIMELINE_EVENTS: usize = 65_536;

/// How a ledger is made.
#[derive(Clone, Copy, Debug)]
pub struct LedgerOptions {
    /// Limit of the root.
    pub limit: Option<Bytes>,
    /// Events that the timeline remembers at least; none with 0.
    pub timeline: usize,
    /// Which reservations are asked where they were made.
    pub origins: OriginPolicy,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        Self { limit: None, timeline: TIMELINE_EVENTS, origins: OriginPolicy::Sampled }
    }
}

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
    root: Account,
}

impl Ledger {
    /// An empty tree whose root may hold `limit` bytes, or any number with `None`.
    #[must_use]
    pub fn new(limit: Option<Bytes>) -> Self {
        Self::with_options(LedgerOptions { limit, ..LedgerOptions::default() })
    }

    /// An empty tree made to measure.
    #[must_use]
    pub fn with_options(options: LedgerOptions) -> Self {
        let LedgerOptions { limit, timeline, origins } = options;
        let books = books::Books::new(limit, timeline, origin::Origins::new(origins));
        let shared = Arc::new(home::Shared::new(books));
        let home = shared.with(|books| home::Home::new(shared.clone(), books, tree::ROOT));
        Self { root: Account::new(home) }
    }

    fn shared(&self) -> &Arc<home::Shared> {
        &self.root.home.shared
    }

    /// Number of the ledger: no other ledger of the process has or had it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.shared().id
    }

    /// The account above all others, `/`.
    #[must_use]
    pub fn root(&self) -> Account {
        self.root.clone()
    }

    /// The account at `path`, such as `gpu0/resnet`; it and its parents are made where they are missing.
    ///
    /// A new account gets `limit`; parents made on the way have none. An existing account keeps its limit.
    ///
    /// # Errors
    /// - [`Error::AccountPath`] for a path with an empty, overlong or unprintable segment, or more than 32 levels.
    /// - [`Error::Argument`] if the account exists with another limit than the one given: changing it is
    ///   [`Account::set_limit`]'s work, so that two owners never overwrite each other unseen; or if an account above
    ///   is a credit leaf.
    pub fn account(&self, path: &str, limit: Option<Bytes>) -> Result<Account> {
        self.open(path, limit, None)
    }

    /// A credit leaf at `path`, which buys `quantum` bytes at once; a 256th of the tightest limit above it, between 64 KiB
    /// and 8 MiB, without one given. At most 1 GiB.
    ///
    /// # Errors
    /// As [`Ledger::account`], and [`Error::Argument`] if the account exists and is no credit leaf, for the root, and
    /// for a quantum of nothing or of more than 1 GiB.
    pub fn credit_account(
        &self,
        path: &str,
        limit: Option<Bytes>,
        quantum: Option<Bytes>,
    ) -> Result<Account> {
        if quantum.is_some_and(|quantum| quantum.is_zero() || quantum.get() > credit::QUANTUM_MOST) {
            return Err(Error::Argument {
                name: "quantum",
                reason: "not between 1 byte and 1 GiB".to_owned(),
            });
        }
        self.open(path, limit, Some(quantum))
    }

    #[expect(
        clippy::option_option,
        reason = "no credit, credit of the usual quantum, credit of this quantum"
    )]
    fn open(&self, path: &str, limit: Option<Bytes>, credit: Option<Option<Bytes>>) -> Result<Account> {
        let segments = path::segments(path)?;
        let home = self.shared().with(|books| {
            let (node, known) = books.tree.find(&segments);
            let is_new = known < segments.len();
            let account = books.tree.account(node);
            if is_new && account.credit.is_some() {
                let reason =
                    format!("account {:?} is a credit leaf, nothing can stand below it", account.path);
                return Err(Error::Argument { name: "path", reason });
            }
            if !is_new {
                agrees(path, account.limit, limit)?;
                if credit.is_some() && account.credit.is_none() {
                    let reason = format!("account {path:?} exists, and is no credit leaf");
                    return Err(Error::Argument { name: "kind", reason });
                }
            }
            let node = books.tree.grow(node, &segments, known);
            if is_new {
                books.tree.set_limit(node, limit);
                if let Some(quantum) = credit {
                    books.open_credit(node, quantum.map(Bytes::get));
                }
            }
            Ok(home::Home::new(self.shared().clone(), books, node))
        })?;
        Ok(Account::new(home))
    }

    /// Books each size on its account, or none of them. `accounts` are [`Account::id`]s of this ledger.
    ///
    /// # Errors
    /// [`Error::Argument`] if the two are not equally long or an id is unknown; [`Error::BudgetExceeded`] of the first
    /// account whose limit all together would pass.
    pub fn reserve_many(&self, accounts: &[u32], sizes: &[u64], label: &str) -> Result<Batch> {
        self.check_batch(accounts, sizes)?;
        Ok(Batch::reserve_on(&self.root, accounts, sizes, label)?)
    }

    /// Books each size on its account that still fits after those before it; tells which did.
    ///
    /// # Errors
    /// [`Error::Argument`] as [`Ledger::reserve_many`].
    pub fn reserve_what_fits(
        &self,
        accounts: &[u32],
        sizes: &[u64],
        label: &str,
    ) -> Result<(Batch, Vec<bool>)> {
        self.check_batch(accounts, sizes)?;
        Ok(Batch::reserve_what_fits(&self.root, accounts, sizes, label))
    }

    fn check_batch(&self, accounts: &[u32], sizes: &[u64]) -> Result<()> {
        let fail = |reason: String| Err(Error::Argument { name: "accounts", reason });
        if accounts.len() != sizes.len() {
            return fail(format!("{} accounts for {} sizes", accounts.len(), sizes.len()));
        }
        let known = self.shared().with(|books| books.tree.len());
        match accounts.iter().position(|&account| account as usize >= known) {
            Some(place) => fail(format!("accounts[{place}] is {}, of {known} accounts", accounts[place])),
            None => Ok(()),
        }
    }

    /// Gives back the reservations of all `handles`, or, if one of them names no live reservation, none.
    ///
    /// # Errors
    /// [`Error::Handle`] names the first that was released already, belongs to another ledger, or was never given.
    pub fn release_many(&self, handles: &[Handle]) -> Result<()> {
        batch::release_many(self.shared(), handles)
    }

    /// Every account at one instant, parents before children, siblings by path.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared().with(books::Books::snapshot)
    }

    /// Takes all callbacks of [`Account::on_pressure`] off.
    pub fn clear_callbacks(&self) {
        self.shared().callbacks.clear();
    }

    /// Wall-clock time at which the ledger was made, since 1970.
    #[must_use]
    pub fn epoch(&self) -> Duration {
        Duration::from_nanos(self.shared().with(|books| books.clock.epoch_unix_ns))
    }

    /// The events that the ledger remembers; without any if it keeps no timeline.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        let (window, mut timeline) = self.shared().with(|books| books.timeline());
        if let Some(window) = window {
            window.fill(&mut timeline);
        }
        timeline
    }
}

fn agrees(path: &str, existing: Option<Bytes>, wanted: Option<Bytes>) -> Result<()> {
    let Some(wanted) = wanted.filter(|&wanted| existing != Some(wanted)) else { return Ok(()) };
    let existing = existing.map_or_else(|| "no limit".to_owned(), |bytes| format!("limit {bytes}"));
    let reason = format!("account {path:?} exists with {existing}, not {wanted}; use set_limit to change it");
    Err(Error::Argument { name: "limit", reason })
}

#[cfg(all(test, not(loom)))]
mod tests;
