//! A handle to one account of the tree.

use super::batch::Batch;
use super::home::{Home, Shared};
use super::meter::{Draw, Meter};
use super::pressure::PressureGuard;
use super::report::{Held, HeldOrder};
use super::reservation::Reservation;
use super::scope::{Scope, ScopeStats};
use super::snapshot::Kind;
use super::tree::{Counts, Node};
use super::waiting::Pending;
use crate::error::{Holder, Refusal, Result};
use crate::sync::Arc;
use crate::units::Bytes;

/// A handle to one account. Cloning gives another handle to the same account.
#[derive(Clone, Debug)]
pub struct Account {
    pub(super) home: Arc<Home>,
}

impl Account {
    pub(super) fn new(home: Arc<Home>) -> Self {
        Self { home }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.home.shared
    }

    /// The path below the root, such as `gpu0/resnet`; the root is `/`.
    #[must_use]
    pub fn path(&self) -> Arc<str> {
        self.shared().with(|books| books.tree.path(self.home.node).clone())
    }

    /// Number of the ledger, as [`Ledger::id`](super::Ledger::id) gives it.
    #[must_use]
    pub fn ledger_id(&self) -> u64 {
        self.home.shared.id
    }

    /// Index of the account, as in the timeline.
    #[must_use]
    pub fn id(&self) -> Node {
        self.home.node
    }

    /// How the account books.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.home.credit.is_some() { Kind::Credit } else { Kind::Exact }
    }

    /// Bytes booked on this account and below.
    #[must_use]
    pub fn used(&self) -> Bytes {
        self.shared().with(|books| {
            let idle = books.idle_below(self.home.node);
            Bytes::new(books.tree.charged(self.home.node).saturating_sub(idle))
        })
    }

    /// What stands against the limit: [`Account::used`], and credit that leaves below have bought and not given out.
    #[must_use]
    pub fn charged(&self) -> Bytes {
        self.shared().with(|books| Bytes::new(books.tree.charged(self.home.node)))
    }

    /// The largest value that [`Account::charged`] ever had; of a credit leaf the largest [`Account::used`].
    #[must_use]
    pub fn peak(&self) -> Bytes {
        self.shared().with(|books| Bytes::new(books.tree.peak(self.home.node).0))
    }

    /// The account's own limit.
    #[must_use]
    pub fn limit(&self) -> Option<Bytes> {
        self.shared().with(|books| books.tree.limit(self.home.node))
    }

    /// The least limit on the way from this account to the root: nothing larger can ever be reserved here.
    #[must_use]
    pub fn tightest_limit(&self) -> Option<Bytes> {
        self.shared().with(|books| books.tree.tightest_limit(self.home.node))
    }

    /// Sets the limit. Lowering it below what is booked is allowed: nothing new fits until the account has drained.
    pub fn set_limit(&self, limit: Option<Bytes>) {
        self.shared().with(|books| books.set_limit(self.home.node, limit));
    }

    /// What could be reserved now, the least headroom on the way to the root; `None` where no limit stands.
    #[must_use]
    pub fn available(&self) -> Option<Bytes> {
        self.shared().with(|books| books.tree.available(self.home.node))
    }

    /// The `most` largest holdings on this account and below, by account and label, largest first.
    #[must_use]
    pub fn holders(&self, most: usize) -> Vec<Holder> {
        self.shared().with(|books| books.holders(self.home.node, most))
    }

    /// Live reservations on this account and below, one by one; the time grows with all that are live in the ledger.
    #[must_use]
    pub fn held(&self, most: usize, order: HeldOrder) -> Vec<Held> {
        self.shared().with(|books| books.held(self.home.node, most, order))
    }

    /// Who held what when the account stood at its peak, largest first: exact, also when the events of that time
    /// have left the timeline. `None` without a timeline, and on a credit leaf.
    #[must_use]
    pub fn peak_holders(&self, most: usize) -> Option<Vec<Holder>> {
        self.shared().with(|books| books.peak_holders(self.home.node, most))
    }

    /// Books `bytes` on this account and every account above it, or on none.
    ///
    /// On a credit leaf a request without a label is drawn from the credit, without a lock; what was drawn is counted
    /// together, not listed one by one. Before a refusal idle credit is taken back, then the callbacks of
    /// [`Account::on_pressure`] are asked.
    ///
    /// # Errors
    /// The [`Refusal`] of the first account on the way to the root whose limit would be passed, or where a waiter that
    /// was passed over eight times wants what is free.
    #[inline]
    pub fn reserve(&self, bytes: Bytes, label: &str) -> Result<Reservation, Box<Refusal>> {
        Reservation::on(self, bytes, label)
    }

    /// As [`Account::reserve`], for as long as the account is borrowed: two atomic updates fewer, on a credit leaf half.
    ///
    /// # Errors
    /// As [`Account::reserve`].
    #[inline]
    pub fn hold(&self, bytes: Bytes, label: &str) -> Result<Reservation<&Self>, Box<Refusal>> {
        Reservation::anchored(self, bytes, label)
    }

    /// Books `bytes` until the result is dropped, without a label: the cheapest form, two atomic operations a pair on a
    /// credit leaf.
    ///
    /// # Errors
    /// As [`Account::reserve`].
    #[inline]
    pub fn draw(&self, bytes: Bytes) -> Result<Draw<'_>, Box<Refusal>> {
        Draw::new(self, bytes)
    }

    /// A counter under `label` that is charged and discharged in bulk.
    #[must_use]
    pub fn meter(&self, label: &str) -> Meter {
        Meter::new(self.home.clone(), label)
    }

    /// Books every one of `sizes` on this account, or none.
    ///
    /// # Errors
    /// The [`Refusal`] of the first account whose limit all together would pass.
    pub fn reserve_many(&self, sizes: &[u64], label: &str) -> Result<Batch, Box<Refusal>> {
        Batch::reserve(self, sizes, label)
    }

    /// Takes a place in the queue for `bytes`; it is granted at once where it fits.
    ///
    /// The queue is served in order. A request that fits may pass one in front that does not, but each is passed
    /// eight times at most by requests that take what it wants; from then on what becomes free is kept for it.
    ///
    /// # Errors
    /// The [`Refusal`] of an account whose limit is smaller than `bytes`: no wait could help.
    pub fn queue(&self, bytes: Bytes, label: &str) -> Result<Pending, Box<Refusal>> {
        Pending::new(self, bytes, label)
    }

    /// Asks `callback` to free memory of this account before any request is refused for lack of it, by this account or
    /// one above.
    ///
    /// It runs in the thread of the request, without any lock; several threads may run it at once. It may release,
    /// resize and reserve; a reservation inside of it that is refused is refused at once, without callbacks.
    pub fn on_pressure(&self, callback: impl Fn(&Refusal) + Send + Sync + 'static) -> PressureGuard {
        // Loom's Arc takes no trait objects by coercion.
        let callback: Box<dyn Fn(&Refusal) + Send + Sync> = Box::new(callback);
        let id = self.shared().callbacks.add(self.home.node, Arc::from(callback));
        PressureGuard::new(self.shared().clone(), id)
    }

    /// Opens a scope: peak, net and counts of this account from now on.
    #[must_use]
    pub fn scope(&self) -> Scope {
        let (id, before) = self.shared().with(|books| {
            let id = books.regions;
            books.regions = id.wrapping_add(1);
            books.tree.open_region(self.home.node, id);
            (id, books.tree.counts_below(self.home.node))
        });
        Scope::new(self.clone(), id, before)
    }

    pub(super) fn scope_stats(&self, id: u64, before: Counts) -> ScopeStats {
        self.shared().with(|books| {
            let (start, highest) = books.tree.region(self.home.node, id).unwrap_or_default();
            let counts = books.tree.counts_below(self.home.node).since(before);
            ScopeStats {
                start: Bytes::new(start),
                end: Bytes::new(books.tree.charged(self.home.node)),
                highest: Bytes::new(highest),
                reservations: counts.made,
                releases: counts.released,
                refusals: counts.refusals,
                total: Bytes::new(counts.total),
            }
        })
    }

    pub(super) fn close_scope(&self, id: u64) {
        self.shared().with(|books| books.tree.close_region(self.home.node, id));
    }
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        self.home.node == other.home.node && self.home.shared.id == other.home.shared.id
    }
}

impl Eq for Account {}
