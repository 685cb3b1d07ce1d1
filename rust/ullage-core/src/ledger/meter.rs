//! Bytes booked without a reservation of their own: drawn for a scope, or counted in bulk under a label.

use super::account::Account;
use super::books::Books;
use super::credit::{CreditLeaf, DRAW_MOST};
use super::home::Home;
use super::tag::TagId;
use crate::error::Refusal;
use crate::sync::Arc;
use crate::units::Bytes;

/// Identity of a meter's bytes in the timeline: all of a label are one.
const METER_ID: u64 = 1 << 62;

/// The leaf that `bytes` are drawn from, if they are: told by their number alone, so that they go back where they
/// came from.
#[inline]
fn source(home: &Home, bytes: u64) -> Option<&CreditLeaf> {
    home.credit.as_deref().filter(|_| bytes <= DRAW_MOST)
}

/// Bytes drawn from an account, until dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the bytes back"]
pub struct Draw<'a> {
    home: &'a Home,
    /// Where the bytes were drawn from, if they were.
    leaf: Option<&'a CreditLeaf>,
    bytes: u64,
}

impl<'a> Draw<'a> {
    #[inline]
    pub(super) fn new(account: &'a Account, bytes: Bytes) -> Result<Self, Box<Refusal>> {
        let (home, bytes) = (&*account.home, bytes.get());
        let leaf = source(home, bytes);
        match leaf {
            Some(leaf) => home.draw(leaf, bytes)?,
            None => home.decide(|books| {
                let tag = books.tag(home.node, "");
                books.charge_tag(tag, identity(tag), bytes)
            })?,
        }
        Ok(Self { home, leaf, bytes })
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        Bytes::new(self.bytes)
    }
}

impl Drop for Draw<'_> {
    #[inline]
    fn drop(&mut self) {
        match self.leaf {
            Some(leaf) => self.home.put(leaf, self.bytes),
            None => self.home.shared.with(|books| {
                let tag = books.tag(self.home.node, "");
                books.discharge_tag(tag, identity(tag), self.bytes);
            }),
        }
    }
}

fn identity(tag: TagId) -> u64 {
    METER_ID | u64::from(tag)
}

/// A counter of bytes under one label of an account: for owners that keep the sizes themselves, such as an allocator.
///
/// On a credit leaf the bytes are drawn from the credit, and the label is not kept.
#[derive(Debug)]
pub struct Meter {
    home: Arc<Home>,
    tag: TagId,
}

impl Meter {
    pub(super) fn new(home: Arc<Home>, label: &str) -> Self {
        let tag = home.shared.with(|books| {
            let tag = books.tag(home.node, label);
            books.tags.pin(tag);
            tag
        });
        Self { home, tag }
    }

    /// The account that is charged.
    #[must_use]
    pub fn account(&self) -> Account {
        Account::new(self.home.clone())
    }

    /// Books `bytes`. No callback is asked and nobody waits: this may run inside of an allocator.
    ///
    /// # Errors
    /// The [`Refusal`] of the first account on the way to the root whose limit would be passed.
    #[inline]
    pub fn charge(&self, bytes: Bytes) -> Result<(), Box<Refusal>> {
        let bytes = bytes.get();
        let charge = |books: &mut Books| match source(&self.home, bytes) {
            Some(_) => books.draw(self.home.node, bytes),
            None => books.charge_tag(self.tag, identity(self.tag), bytes),
        };
        if source(&self.home, bytes).is_some_and(|leaf| leaf.draw(bytes)) {
            return Ok(());
        }
        self.home.shared.with(charge).inspect_err(|_| self.count_refusal()).map_err(|denied| denied.refusal)
    }

    #[cold]
    fn count_refusal(&self) {
        self.home.shared.with(|books| books.count_refusal(self.home.node));
    }

    /// Gives back `bytes` that one call of [`Meter::charge`] or [`Meter::resize`] booked.
    #[inline]
    pub fn discharge(&self, bytes: Bytes) {
        let bytes = bytes.get();
        match source(&self.home, bytes) {
            Some(leaf) => self.home.put(leaf, bytes),
            None => {
                self.home.shared.with(|books| books.discharge_tag(self.tag, identity(self.tag), bytes));
            }
        }
    }

    /// Changes `from` bytes that one call booked to `to`, in one step.
    ///
    /// # Errors
    /// As [`Meter::charge`]; `from` stays booked.
    pub fn resize(&self, from: Bytes, to: Bytes) -> Result<(), Box<Refusal>> {
        if source(&self.home, from.get().max(to.get())).is_some() {
            // The difference is drawn or put, beside a put or draw of nothing that keeps the counts even.
            self.charge(to.saturating_sub(from))?;
            self.discharge(from.saturating_sub(to));
            return Ok(());
        }
        if source(&self.home, from.get().min(to.get())).is_some() {
            self.charge(to)?; // from the credit to the path, or back: no credit is that large
            self.discharge(from);
            return Ok(());
        }
        let (from, to) = (from.get(), to.get());
        let change = |books: &mut Books| books.recharge_tag(self.tag, identity(self.tag), from, to);
        self.home.shared.with(change).inspect_err(|_| self.count_refusal()).map_err(|denied| denied.refusal)
    }
}

impl Clone for Meter {
    fn clone(&self) -> Self {
        self.home.shared.with(|books| books.tags.pin(self.tag));
        Self { home: self.home.clone(), tag: self.tag }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.home.shared.with(|books| books.tags.unpin(self.tag));
    }
}
