//! A request that waits in the queue.

use std::time::{Duration, Instant};

use super::account::Account;
use super::queue::Cell;
use super::reservation::Reservation;
use crate::error::Refusal;
use crate::sync::{Arc, lock};
use crate::units::Bytes;

/// A place in the queue of a ledger. Dropping it gives the place up, and what was granted back.
#[derive(Debug)]
#[must_use = "dropping it gives the place in the queue up"]
pub struct Pending {
    account: Account,
    id: u64,
    cell: Arc<Cell>,
}

impl Pending {
    pub(super) fn new(account: &Account, bytes: Bytes, label: &str) -> Result<Self, Box<Refusal>> {
        let (node, bytes) = (account.home.node, bytes.get());
        let cell = Arc::new(Cell::new());
        let id = account.home.shared.with(|books| {
            let tight = books
                .tree
                .path_to_root(node)
                .find(|&level| books.tree.limit(level).is_some_and(|limit| limit.get() < bytes));
            if let Some(tight) = tight {
                books.count_refusal(node);
                return Err(Box::new(books.refusal(tight, bytes)));
            }
            Ok(books.enqueue(node, bytes, label.into(), cell.clone()))
        })?;
        Ok(Self { account: account.clone(), id, cell })
    }

    /// Takes what was granted; `None` as long as nothing was, and ever after it was taken.
    #[must_use]
    pub fn take(&self) -> Option<Reservation> {
        let slot = self.account.home.shared.with(|_| self.cell.take())?;
        Some(Reservation::placed(self.account.clone(), slot))
    }

    /// Waits for at most `timeout`; `None` if nothing was granted by then. The place in the queue stays.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Option<Reservation> {
        let deadline = Instant::now().checked_add(timeout);
        let mut books = lock(self.account.home.shared.mutex());
        while self.cell.slot().is_none() {
            let left =
                deadline.map_or(timeout, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            let waited = self.cell.granted.wait_timeout(books, left);
            books = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        drop(books);
        self.take()
    }

    /// Calls `waker` once when the request is granted, at once if it was; from any thread, under no lock.
    pub fn on_granted(&self, waker: impl FnOnce() + Send + 'static) {
        self.cell.on_granted(Box::new(waker));
    }

    /// What is in the way now, as a refusal.
    #[must_use]
    pub fn obstacle(&self, bytes: Bytes) -> Refusal {
        self.account.home.shared.with(|books| {
            let node = self.account.home.node;
            books.count_refusal(node);
            let full = books.tree.first_full(node, super::tree::NOBODY, bytes.get());
            books.refusal(full.unwrap_or(node), bytes.get())
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.account.home.shared.with(|books| {
            if let Some(slot) = self.cell.take() {
                books.release(slot);
            } else if books.queue.remove(self.id).is_some() {
                books.serve(); // those behind may have waited for this one only
            }
        });
    }
}
