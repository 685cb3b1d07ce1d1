//! One budget for many processes: a ledger in a file that all of them map.
//!
//! ```text
//!  worker 1 ─┐                 ┌ cells of worker 1 ┐
//!  worker 2 ─┼─► lock word ──► │ cells of worker 2 │ ──► charges: their sums, account by account
//!  worker 3 ─┘                 └ cells of worker 3 ┘
//! ```
//!
//! A [`SharedLedger`] is opened by name in every process. What a process has booked on an account stands in a cell that no
//! other process writes; what an account is charged with is the sum of the cells, kept beside them. Both are changed inside
//! a lock, which is one word that holds the identity (process id and start time) of whoever is inside.
//!
//! **Always true**, whatever process is killed at whatever instruction:
//!
//! 1. nothing is booked that passes a limit, the bookings of all living processes counted;
//! 2. a dead process loses its own bookings and nothing else: every refusal looks for the dead first, every reading does if
//!    nobody did for half a second, and their cells are emptied. A process id that was used again is not its predecessor;
//! 3. a process that dies inside the lock is found out by whoever waits for it, and the sums are made anew from the cells
//!    of the living;
//! 4. a request is refused only if it did not fit at that instant, or if an older one waits for the very bytes and was passed
//!    eight times.
//!
//! A forked child is a process of its own: it takes a place when it first books, and what it inherited stays its parent's.
//! Once no process lives that has the ledger open, the next one finds accounts and limits but no bookings; limits that it
//! names then replace the old ones.
//!
//! **Not defended against:** a process of the same user that writes into the file, or truncates it. What stands there when
//! the ledger is opened is checked; what is read later never leads beyond the file.

#![cfg_attr(
    any(loom, not(target_os = "linux")),
    allow(dead_code, reason = "loom explores the lock alone, and elsewhere no file is mapped")
)]

mod account;
mod book;
mod charge;
mod header;
mod identity;
mod layout;
mod lock;
#[cfg(all(test, loom))]
mod loom_tests;
mod place;
mod queue;
mod reservation;
mod snapshot;
#[cfg(not(loom))]
#[cfg_attr(not(target_os = "linux"), path = "system_elsewhere.rs")]
mod system;
mod tables;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
mod waiter;
mod words;

pub use account::SharedAccount;
pub use book::Waits;
pub use reservation::SharedReservation;
pub use snapshot::{SharedAccountSnapshot, SharedProcess, SharedSnapshot};
pub use waiter::SharedWaiter;

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::ledger::path::segments;
use crate::units::Bytes;
use book::Book;

/// A tree of accounts that processes share. Cloning gives another handle; the last one dropped gives the bookings back.
///
/// ```
/// use ullage_core::Bytes;
/// use ullage_core::ledger::shared::SharedLedger;
///
/// let name = format!("doc-{}", std::process::id());
/// let ledger = SharedLedger::open(&name, Some("1GiB".parse()?))?;
/// let weights = ledger.account("gpu0/resnet", None)?.reserve("600MiB".parse()?, "weights")?;
/// let other = SharedLedger::open(&name, None)?; // as another process would
/// assert_eq!(other.root().available()?, Some("424MiB".parse()?));
/// assert!(weights.release()?);
/// assert_eq!(other.root().used()?, Bytes::ZERO);
/// SharedLedger::unlink(&name)?;
/// # Ok::<(), ullage_core::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedLedger {
    book: Arc<Book>,
    root: SharedAccount,
}

impl SharedLedger {
    /// Opens the ledger called `name`, or makes it. `limit` is the root's.
    ///
    /// The file lies in `/dev/shm` where there is one, else in the user's runtime folder or the folder for temporary files,
    /// and its name holds the user's id. A name that begins with `/` is the path of the file itself.
    ///
    /// # Errors
    /// - [`SharedFile`](crate::Error::SharedFile) for a name that is none, a file that is no ledger or damaged, belongs to somebody else, may
    ///   be read or written by others, is a symbolic link, or was made in another process namespace; and where the system
    ///   has no such files.
    /// - [`Argument`](crate::Error::Argument) if other processes have it open with another limit.
    /// - [`SharedBusy`](crate::Error::SharedBusy) if a living process holds it locked.
    #[cfg(not(loom))]
    pub fn open(name: &str, limit: Option<Bytes>) -> Result<Self> {
        Self::open_with(name, limit, |wait| wait())
    }

    /// Opens as [`SharedLedger::open`] does; whenever a thread must wait for the lock, it does so inside `waits`.
    ///
    /// # Errors
    /// As [`SharedLedger::open`].
    #[cfg(not(loom))]
    pub fn open_with(name: &str, limit: Option<Bytes>, waits: Waits) -> Result<Self> {
        let path = system::path_of(name)?;
        let opened = system::open(&path)?;
        let book = Book::new(opened.view, opened.world, path, waits);
        book.open()?;
        drop(opened.guard);
        Self::of(book, limit)
    }

    fn of(book: Book, limit: Option<Bytes>) -> Result<Self> {
        let book = Arc::new(book);
        let open = book.lock()?;
        let account = open.find_or_add(&[], limit.map(Bytes::get))?;
        let root = SharedAccount::new(&book, &open, account);
        drop(open);
        Ok(Self { book, root })
    }

    /// Removes the file called `name`, and with it the way to the ledger: processes that have it open go on, whoever opens
    /// the name next makes another. False if there is none.
    ///
    /// # Errors
    /// [`SharedFile`](crate::Error::SharedFile) for a name that is none, or a path to something that is no shared ledger.
    #[cfg(not(loom))]
    pub fn unlink(name: &str) -> Result<bool> {
        system::unlink(&system::path_of(name)?, name.starts_with('/'))
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.book.path
    }

    /// The account above all others, `/`.
    #[must_use]
    pub fn root(&self) -> &SharedAccount {
        &self.root
    }

    /// The account at `path`, such as `gpu0/resnet`; it and its parents are made where they are missing.
    ///
    /// A new account gets `limit`; parents made on the way have none. An existing account keeps its limit.
    ///
    /// # Errors
    /// - [`AccountPath`](crate::Error::AccountPath) for a path with an empty, overlong or unprintable segment, or more than 32 levels.
    /// - [`Argument`](crate::Error::Argument) if the account exists with another limit than the one given.
    /// - [`SharedFile`](crate::Error::SharedFile) if there is no room for another account, else see [`SharedAccount`].
    pub fn account(&self, path: &str, limit: Option<Bytes>) -> Result<SharedAccount> {
        let segments = segments(path)?;
        let open = self.book.lock()?;
        let account = open.find_or_add(&segments, limit.map(Bytes::get))?;
        Ok(SharedAccount::new(&self.book, &open, account))
    }

    /// Every account and process at one instant.
    ///
    /// # Errors
    /// See [`SharedAccount`].
    pub fn snapshot(&self) -> Result<SharedSnapshot> {
        self.book.member()?;
        self.book.sweep_after(book::SWEEP_NS)?;
        Ok(self.book.lock()?.snapshot())
    }

    /// The living processes that have the ledger open, by process id.
    ///
    /// # Errors
    /// See [`SharedAccount`].
    pub fn processes(&self) -> Result<Vec<SharedProcess>> {
        self.book.member()?;
        self.book.sweep_after(book::SWEEP_NS)?;
        Ok(self.book.lock()?.processes())
    }

    /// Gives all bookings of this handle and its clones back; false if that was done before. They are of no use afterwards.
    ///
    /// # Errors
    /// [`SharedBusy`](crate::Error::SharedBusy), and then the ledger is still open.
    pub fn close(&self) -> Result<bool> {
        self.book.close()
    }
}

impl std::fmt::Debug for SharedLedger {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SharedLedger").field("path", &self.book.path).finish_non_exhaustive()
    }
}
