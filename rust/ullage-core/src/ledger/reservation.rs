//! Booked bytes with an owner.

use super::tree::{Node, Ticket, Tree};
use crate::error::{Error, Result};
use crate::sync::{Arc, Mutex, lock};
use crate::units::Bytes;

/// Bytes booked on an account. Dropping it gives them back; so does [`Reservation::release`], at any time, once.
#[derive(Debug)]
pub struct Reservation {
    shared: Arc<Mutex<Tree>>,
    node: Node,
    ticket: Ticket,
    label: Box<str>,
}

impl Reservation {
    pub(super) fn new(shared: Arc<Mutex<Tree>>, node: Node, ticket: Ticket, label: &str) -> Self {
        Self { shared, node, ticket, label: label.into() }
    }

    /// What the bytes are for, as given when they were reserved.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Path of the account.
    #[must_use]
    pub fn account(&self) -> String {
        lock(&self.shared).path(self.node).to_owned()
    }

    /// Bytes held; zero once released.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        lock(&self.shared).bytes(self.ticket)
    }

    /// Whether the bytes are still held.
    #[must_use]
    pub fn is_live(&self) -> bool {
        lock(&self.shared).is_live(self.ticket)
    }

    /// Changes the size in one step: no other thread sees the old bytes given back before the new ones are taken.
    ///
    /// # Errors
    /// [`Error::BudgetExceeded`] if the growth does not fit (the old size stays booked), [`Error::Released`] if the
    /// bytes were given back already.
    pub fn resize(&self, bytes: Bytes) -> Result<()> {
        let outcome = lock(&self.shared).resize(self.ticket, bytes);
        match outcome {
            Some(resized) => Ok(resized?),
            None => Err(Error::Released { account: self.account(), label: self.label.to_string() }),
        }
    }

    /// Gives the bytes back; false if that was done before.
    #[expect(clippy::must_use_candidate, reason = "most callers only want the bytes given back")]
    pub fn release(&self) -> bool {
        lock(&self.shared).release(self.ticket)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release();
    }
}
