//! A handle to one account of the tree.

use super::meter::Meter;
use super::reservation::Reservation;
use super::tree::{Node, Tree};
use crate::error::{Holder, Refusal};
use crate::sync::{Arc, Mutex, lock};
use crate::units::Bytes;

/// A handle to one account. Cloning gives another handle to the same account.
#[derive(Clone, Debug)]
pub struct Account {
    shared: Arc<Mutex<Tree>>,
    node: Node,
}

impl Account {
    pub(super) fn new(shared: Arc<Mutex<Tree>>, node: Node) -> Self {
        Self { shared, node }
    }

    /// The path below the root, such as `gpu0/resnet`; the root is `/`.
    #[must_use]
    pub fn path(&self) -> String {
        lock(&self.shared).path(self.node).to_owned()
    }

    /// Bytes booked on this account and below.
    #[must_use]
    pub fn used(&self) -> Bytes {
        lock(&self.shared).used(self.node)
    }

    /// The largest value [`Account::used`] ever had.
    #[must_use]
    pub fn peak(&self) -> Bytes {
        lock(&self.shared).peak(self.node)
    }

    /// The account's own limit.
    #[must_use]
    pub fn limit(&self) -> Option<Bytes> {
        lock(&self.shared).limit(self.node)
    }

    /// The least limit on the way from this account to the root: nothing larger can ever be reserved here.
    #[must_use]
    pub fn tightest_limit(&self) -> Option<Bytes> {
        lock(&self.shared).tightest_limit(self.node)
    }

    /// Sets the limit. Lowering it below what is booked is allowed: nothing new fits until the account has drained.
    pub fn set_limit(&self, limit: Option<Bytes>) {
        lock(&self.shared).set_limit(self.node, limit);
    }

    /// What could be reserved now, the least headroom on the way to the root; `None` where no limit stands.
    #[must_use]
    pub fn available(&self) -> Option<Bytes> {
        lock(&self.shared).available(self.node)
    }

    /// The `most` largest reservations on this account and below, largest first.
    #[must_use]
    pub fn holders(&self, most: usize) -> Vec<Holder> {
        lock(&self.shared).holders(self.node, most)
    }

    /// Books `bytes` on this account and every account above it, or on none.
    ///
    /// # Errors
    /// The [`Refusal`] of the first account on the way to the root whose limit would be passed.
    pub fn reserve(&self, bytes: Bytes, label: &str) -> Result<Reservation, Box<Refusal>> {
        let ticket = lock(&self.shared).reserve(self.node, bytes, label.into())?;
        Ok(Reservation::new(self.shared.clone(), self.node, ticket, label))
    }

    /// A meter of this account, holding nothing yet.
    #[must_use]
    pub fn meter(&self, label: &str) -> Meter {
        Meter::new(self.shared.clone(), self.node, label)
    }
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node && std::ptr::eq(&raw const *self.shared, &raw const *other.shared)
    }
}

impl Eq for Account {}
