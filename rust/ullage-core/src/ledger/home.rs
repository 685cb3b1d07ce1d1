//! What handles share: the ledger, and the part of an account that needs no lock.

use std::sync::atomic::{AtomicU64, Ordering};

use super::books::{Books, Denied};
use super::credit::CreditLeaf;
use super::pressure::Callbacks;
use super::tree::Node;
use crate::error::Refusal;
use crate::sync::{Arc, Mutex, lock};

/// A ledger, shared by all its handles.
#[derive(Debug)]
pub(super) struct Shared {
    books: Mutex<Books>,
    pub(super) callbacks: Callbacks,
    /// No other ledger of the process has or had this number.
    pub(super) id: u64,
}

impl Shared {
    pub(super) fn new(books: Books) -> Self {
        static LEDGERS: AtomicU64 = AtomicU64::new(1);
        let id = LEDGERS.fetch_add(1, Ordering::Relaxed);
        Self { books: Mutex::new(books), callbacks: Callbacks::new(), id }
    }

    pub(super) fn mutex(&self) -> &Mutex<Books> {
        &self.books
    }

    /// Runs `act` under the lock, then wakes those it granted a wish.
    #[inline]
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Books) -> T) -> T {
        let mut books = lock(&self.books);
        let outcome = act(&mut books);
        if books.woken.is_empty() {
            return outcome;
        }
        let woken = std::mem::take(&mut books.woken);
        drop(books);
        for cell in woken {
            cell.wake();
        }
        outcome
    }
}

/// An account as its handles and reservations share it. Threads on different accounts share no count of references.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) shared: Arc<Shared>,
    pub(super) node: Node,
    pub(super) credit: Option<Arc<CreditLeaf>>,
}

impl Home {
    pub(super) fn new(shared: Arc<Shared>, books: &Books, node: Node) -> Arc<Self> {
        let credit = books.tree.account(node).credit.clone();
        Arc::new(Self { shared, node, credit })
    }

    /// Tries `request` until it is granted or every callback that could free memory has been asked.
    #[inline]
    pub(super) fn decide<T>(
        &self,
        mut request: impl FnMut(&mut Books) -> Result<T, Box<Denied>>,
    ) -> Result<T, Box<Refusal>> {
        match self.shared.with(&mut request) {
            Ok(granted) => Ok(granted),
            Err(denied) => self.press(*denied, request),
        }
    }

    #[cold]
    fn press<T>(
        &self,
        mut denied: Denied,
        mut request: impl FnMut(&mut Books) -> Result<T, Box<Denied>>,
    ) -> Result<T, Box<Refusal>> {
        for registration in self.shared.callbacks.all() {
            let concerns = self.shared.with(|books| books.tree.is_below(registration.node, denied.node));
            if concerns && registration.call(&denied.refusal) {
                match self.shared.with(&mut request) {
                    Ok(granted) => return Ok(granted),
                    Err(still) => denied = *still,
                }
            }
        }
        self.shared.with(|books| books.count_refusal(denied.asked));
        Err(denied.refusal)
    }

    /// Draws `bytes` from the credit of this leaf.
    #[inline]
    pub(super) fn draw(&self, leaf: &CreditLeaf, bytes: u64) -> Result<(), Box<Refusal>> {
        if leaf.draw(bytes) {
            return Ok(());
        }
        self.decide(|books| books.draw(self.node, bytes))
    }

    /// Gives `bytes` back to the credit of this leaf.
    #[inline]
    pub(super) fn put(&self, leaf: &CreditLeaf, bytes: u64) {
        if !leaf.put(bytes) {
            self.shared.with(|books| books.put(self.node, bytes));
        }
    }
}
