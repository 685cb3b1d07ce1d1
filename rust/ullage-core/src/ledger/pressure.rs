//! Callbacks that may free memory before a refusal.

use std::cell::Cell;
use std::fmt;

use super::tree::Node;
use crate::error::Refusal;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, lock};

thread_local! {
    static IS_CALLING: Cell<bool> = const { Cell::new(false) };
}

/// What is called: with the refusal that is about to be given.
pub(super) type Callback = Arc<dyn Fn(&Refusal) + Send + Sync>;

/// A callback and the account whose memory it can free.
#[derive(Clone)]
pub(super) struct Registration {
    id: u64,
    pub(super) node: Node,
    callback: Callback,
}

impl Registration {
    /// Runs the callback; false if this thread is inside of one already, where a refusal is final.
    pub(super) fn call(&self, refusal: &Refusal) -> bool {
        if IS_CALLING.replace(true) {
            return false;
        }
        let _leaving = Leaving;
        (self.callback)(refusal);
        true
    }
}

/// Marks the thread as outside of callbacks again, however they end.
struct Leaving;

impl Drop for Leaving {
    fn drop(&mut self) {
        IS_CALLING.set(false);
    }
}

/// The callbacks of a ledger, in the order in which they were registered.
pub(super) struct Callbacks {
    is_any: AtomicBool,
    list: Mutex<(u64, Vec<Registration>)>,
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Callbacks").field("count", &self.all().len()).finish()
    }
}

impl Callbacks {
    pub(super) fn new() -> Self {
        Self { is_any: AtomicBool::new(false), list: Mutex::new((0, Vec::new())) }
    }

    pub(super) fn add(&self, node: Node, callback: Callback) -> u64 {
        let mut list = lock(&self.list);
        let id = list.0;
        list.0 = id.wrapping_add(1);
        list.1.push(Registration { id, node, callback });
        self.is_any.store(true, Ordering::Release);
        id
    }

    pub(super) fn remove(&self, id: u64) {
        let mut list = lock(&self.list);
        let place = list.1.iter().position(|registration| registration.id == id);
        let removed = place.map(|place| list.1.remove(place));
        self.is_any.store(!list.1.is_empty(), Ordering::Release);
        drop(list);
        drop(removed); // what the callback owns may be foreign: never dropped under the lock
    }

    pub(super) fn clear(&self) {
        let mut list = lock(&self.list);
        let cleared = std::mem::take(&mut list.1);
        self.is_any.store(false, Ordering::Release);
        drop(list);
        drop(cleared);
    }

    /// All of them: the list may change while they run.
    pub(super) fn all(&self) -> Vec<Registration> {
        if self.is_any.load(Ordering::Acquire) { lock(&self.list).1.clone() } else { Vec::new() }
    }
}

/// A registered callback, until it is dropped.
#[must_use = "dropping it takes the callback off"]
pub struct PressureGuard {
    shared: Option<Arc<super::home::Shared>>,
    id: u64,
}

impl fmt::Debug for PressureGuard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PressureGuard").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PressureGuard {
    pub(super) fn new(shared: Arc<super::home::Shared>, id: u64) -> Self {
        Self { shared: Some(shared), id }
    }

    /// Leaves the callback registered for as long as the ledger lives, or until all are taken off.
    pub fn keep(mut self) {
        self.shared = None;
    }
}

impl Drop for PressureGuard {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.callbacks.remove(self.id);
        }
    }
}
