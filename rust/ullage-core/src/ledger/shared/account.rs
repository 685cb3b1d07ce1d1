//! A handle to one account of a shared ledger.

use std::sync::Arc;

use super::book::{Book, Open, SWEEP_NS};
use super::charge::Full;
use super::layout::{CHARGED, LIMIT, NO_LIMIT, PEAK};
use super::queue::NEWCOMER;
use super::reservation::SharedReservation;
use super::tables::limit_of;
use super::waiter::SharedWaiter;
use crate::error::{Holder, Result};
use crate::units::Bytes;

/// A handle to one account. Cloning gives another handle to the same account.
///
/// Every method may fail with [`Error::SharedBusy`](crate::Error::SharedBusy) if a living process sits on the lock, and
/// with [`Error::SharedClosed`](crate::Error::SharedClosed) after [`SharedLedger::close`](super::SharedLedger::close).
#[derive(Clone)]
pub struct SharedAccount {
    pub(super) book: Arc<Book>,
    /// The account and all above it, the root last.
    pub(super) levels: Arc<[usize]>,
    pub(super) path: Arc<str>,
}

impl SharedAccount {
    pub(super) fn new(book: &Arc<Book>, open: &Open<'_>, account: usize) -> Self {
        let path = open.path(account).into();
        Self { book: book.clone(), levels: open.levels(account).into(), path }
    }

    pub(super) fn index(&self) -> usize {
        self.levels.first().copied().unwrap_or_default()
    }

    fn word(&self, account: usize, field: usize) -> u64 {
        self.book.words.load(self.book.layout.account(account, field))
    }

    /// What dead processes held vanishes from what is read within this interval.
    fn refresh(&self) -> Result<()> {
        self.book.member()?;
        self.book.sweep_after(SWEEP_NS)
    }

    /// The path below the root, such as `gpu0/resnet`; the root is `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Bytes booked on this account and below, by all processes.
    ///
    /// # Errors
    /// See [`SharedAccount`].
    pub fn used(&self) -> Result<Bytes> {
        self.refresh()?;
        Ok(Bytes::new(self.word(self.index(), CHARGED)))
    }

    /// The largest value [`SharedAccount::used`] had since the ledger was first opened while no other process had it open.
    ///
    /// # Errors
    /// See [`SharedAccount`].
    pub fn peak(&self) -> Result<Bytes> {
        self.book.member()?;
        Ok(Bytes::new(self.word(self.index(), PEAK)))
    }

    /// The account's own limit.
    ///
    /// # Errors
    /// See [`SharedAccount`].
    pub fn limit(&self) -> Result<Option<Bytes>> {
        self.book.member()?;
        Ok(limit_of(self.word(self.index(), LIMIT)))
    }

    /// Sets the limit for all processes. Lowering it below what is booked is allowed: nothing new fits until the account
    /// has drained. [`Bytes::MAX`] is no limit.
    ///
    /// # Errors
    /// See [`SharedAccount`].
    pub fn set_limit(&self, limit: Option<Bytes>) -> Result<()> {
        self.book.lock()?.set_limit(self.index(), limit.map_or(NO_LIMIT, Bytes::get));
        Ok(())
    }

    /// What could be reserved now, the least headroom on the way to the root; `None` where no limit stands.
    ///
    /// # Errors
    /// See [`SharedAccount`].
    pub fn available(&self) -> Result<Option<Bytes>> {
        self.refresh()?;
        let limited = self.levels.iter().filter(|&&level| self.word(level, LIMIT) != NO_LIMIT);
        let headroom =
            limited.map(|&level| self.word(level, LIMIT).saturating_sub(self.word(level, CHARGED)));
        Ok(headroom.min().map(Bytes::new))
    }

    /// The `most` largest bookings of one process on one account, here and below, largest first, labelled by process.
    ///
    /// # Errors
    /// See [`SharedAccount`].
    pub fn holders(&self, most: usize) -> Result<Vec<Holder>> {
        self.refresh()?;
        Ok(self.book.lock()?.holders(self.index(), most))
    }

    /// Books `bytes` on this account and every account above it, or on none.
    ///
    /// Before a refusal the dead are looked for, so what they held never refuses anybody. A request that fits is refused
    /// only if an older one waits for the bytes and was passed eight times already.
    ///
    /// # Errors
    /// [`Error::BudgetExceeded`](crate::Error::BudgetExceeded) with the numbers of the first account on the way to the
    /// root whose limit would be passed; else see [`SharedAccount`].
    pub fn reserve(&self, bytes: Bytes, label: &str) -> Result<SharedReservation> {
        self.book.admit(self.index(), bytes, |open| Ok(self.book_in(open, bytes, label, NEWCOMER)))
    }

    /// Begins to wait for `bytes`, behind those who wait already.
    ///
    /// # Errors
    /// [`Error::BudgetExceeded`](crate::Error::BudgetExceeded) if a limit on the way to the root is smaller than that,
    /// so that no release could help; else see [`SharedAccount`].
    pub fn wait(&self, bytes: Bytes, label: &str) -> Result<SharedWaiter> {
        if self.levels.iter().any(|&level| bytes.get() > self.word(level, LIMIT)) {
            drop(self.reserve(bytes, label)?); // refused, unless the limit was raised just now
        }
        Ok(SharedWaiter::new(self.clone(), bytes, label))
    }

    pub(super) fn book_in(
        &self,
        open: &Open<'_>,
        bytes: Bytes,
        label: &str,
        ticket: u64,
    ) -> Result<SharedReservation, Full> {
        open.charge(&self.levels, bytes.get(), ticket)?;
        open.count_reservation(self.index(), true);
        Ok(SharedReservation::new(self.clone(), open.member, bytes, label))
    }
}

impl PartialEq for SharedAccount {
    fn eq(&self, other: &Self) -> bool {
        self.index() == other.index() && Arc::ptr_eq(&self.book, &other.book)
    }
}

impl Eq for SharedAccount {}

impl std::fmt::Debug for SharedAccount {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SharedAccount").field("path", &self.path).finish_non_exhaustive()
    }
}
