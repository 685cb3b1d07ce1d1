//! Booked bytes with an owner: a process, and within it this object.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::account::SharedAccount;
use super::book::Debt;
use super::identity::id;
use super::place::Member;
use super::queue::NEWCOMER;
use crate::error::{Error, Result};
use crate::units::Bytes;

/// Bytes booked on an account of a shared ledger. Dropping it gives them back; so does [`SharedReservation::release`], once;
/// so does the death of the process.
///
/// In a forked child it is the parent's still: it reads as not live, and nothing done to it there changes the books.
#[derive(Debug)]
pub struct SharedReservation {
    account: SharedAccount,
    owner: Member,
    /// Written inside the lock, as is `live`.
    bytes: AtomicU64,
    live: AtomicBool,
    label: Box<str>,
}

impl SharedReservation {
    pub(super) fn new(account: SharedAccount, owner: Member, bytes: Bytes, label: &str) -> Self {
        let (bytes, live) = (AtomicU64::new(bytes.get()), AtomicBool::new(true));
        Self { account, owner, bytes, live, label: label.into() }
    }

    /// What the bytes are for, as given when they were reserved.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Path of the account.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account.path
    }

    /// Bytes held; zero once released.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        if self.is_live() { Bytes::new(self.bytes.load(Ordering::Relaxed)) } else { Bytes::ZERO }
    }

    /// Whether this process still holds the bytes.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
            && !self.account.book.closed.load(Ordering::Relaxed)
            && self.is_own()
    }

    fn is_own(&self) -> bool {
        self.account.book.place.current() == Some(self.owner)
    }

    /// Changes the size in one step: nobody sees the old bytes given back before the new ones are taken.
    ///
    /// # Errors
    /// - [`Error::BudgetExceeded`] if the growth does not fit; the old size stays booked.
    /// - [`Error::Released`] if the bytes were given back already.
    /// - [`Error::Inherited`] in a child of the process that made it.
    /// - [`Error::SharedBusy`], [`Error::SharedClosed`].
    pub fn resize(&self, bytes: Bytes) -> Result<()> {
        if !self.is_own() {
            return Err(Error::Inherited {
                account: self.account().to_owned(),
                label: self.label().to_owned(),
                pid: id(self.owner.identity),
            });
        }
        let levels = &self.account.levels;
        let growth = bytes.saturating_sub(Bytes::new(self.bytes.load(Ordering::Relaxed)));
        self.account.book.admit(self.account.index(), growth, |open| {
            if !self.live.load(Ordering::Relaxed) {
                let (account, label) = (self.account().to_owned(), self.label().to_owned());
                return Err(Error::Released { account, label });
            }
            let held = self.bytes.load(Ordering::Relaxed);
            match bytes.get().checked_sub(held) {
                Some(growth) => {
                    if let Err(full) = open.charge(levels, growth, NEWCOMER) {
                        return Ok(Err(full));
                    }
                }
                None => open.discharge(levels, held.saturating_sub(bytes.get())),
            }
            self.bytes.store(bytes.get(), Ordering::Relaxed);
            Ok(Ok(()))
        })
    }

    /// Gives the bytes back; false if that was done before, or if they are not this process's.
    ///
    /// # Errors
    /// [`Error::SharedBusy`], and then they are still held.
    pub fn release(&self) -> Result<bool> {
        if !self.is_live() {
            return Ok(false);
        }
        let open = match self.account.book.lock() {
            Err(Error::SharedClosed { .. }) => return Ok(false),
            open => open?,
        };
        let was_live = self.live.swap(false, Ordering::Relaxed);
        if was_live {
            open.release(&self.account.levels, self.bytes.load(Ordering::Relaxed));
        }
        Ok(was_live)
    }
}

impl Drop for SharedReservation {
    fn drop(&mut self) {
        if self.release().is_err() {
            let bytes = self.bytes.load(Ordering::Relaxed);
            self.account.book.owe(Debt { owner: self.owner, levels: self.account.levels.clone(), bytes });
        }
    }
}
