//! Who waits for memory, in order.

use std::collections::VecDeque;

use super::slab::SlotId;
use super::tree::{NOBODY, Node, Tree};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock};

/// How often a waiter is passed by others before nobody passes it any more.
pub(super) const PASSES_MOST: u32 = 8;

const WAITING: u64 = u64::MAX;
const TAKEN: u64 = u64::MAX - 1;

/// Called once when a wait is over.
pub(super) type Waker = Box<dyn FnOnce() + Send>;

/// What a waiter and the thread that grants its wish share. Its state changes under the ledger's lock only.
pub(super) struct Cell {
    /// The slot that was granted, or `WAITING`, or `TAKEN`.
    state: AtomicU64,
    pub(super) granted: Condvar,
    waker: Mutex<Option<Waker>>,
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cell").field("slot", &self.slot()).finish_non_exhaustive()
    }
}

impl Cell {
    pub(super) fn new() -> Self {
        Self { state: AtomicU64::new(WAITING), granted: Condvar::new(), waker: Mutex::new(None) }
    }

    /// The slot that was granted.
    pub(super) fn slot(&self) -> Option<SlotId> {
        SlotId::try_from(self.state.load(Ordering::Acquire)).ok()
    }

    /// The slot that was granted, to the first who asks. Only under the ledger's lock.
    pub(super) fn take(&self) -> Option<SlotId> {
        let slot = self.slot()?;
        self.state.store(TAKEN, Ordering::Release);
        Some(slot)
    }

    pub(super) fn grant(&self, slot: SlotId) {
        self.state.store(u64::from(slot), Ordering::Release);
    }

    /// Wakes whoever waits. Runs foreign code: never under the lock.
    pub(super) fn wake(&self) {
        self.granted.notify_all();
        let waker = lock(&self.waker).take();
        if let Some(waker) = waker {
            waker();
        }
    }

    /// Calls `waker` when the wish is granted, at once if it was.
    pub(super) fn on_granted(&self, waker: Waker) {
        let earlier = lock(&self.waker).replace(waker);
        drop(earlier); // foreign, as the call of it is: never under the lock
        // The grant may have come before the waker stood there.
        if self.slot().is_some() {
            self.wake();
        }
    }
}

/// What a decision is about to take: `bytes` from `node` up to, but not including, `until`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub(super) node: Node,
    pub(super) until: Node,
    pub(super) bytes: u64,
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) id: u64,
    pub(super) node: Node,
    pub(super) bytes: u64,
    pub(super) label: Arc<str>,
    /// Grants to others that it would have wanted the bytes of.
    passed: u32,
    pub(super) cell: Arc<Cell>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiters: VecDeque<Waiter>,
    next_id: u64,
}

impl Queue {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(super) fn get(&self, place: usize) -> &Waiter {
        &self.waiters[place]
    }

    pub(super) fn push(&mut self, node: Node, bytes: u64, label: Arc<str>, cell: Arc<Cell>) -> u64 {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.waiters.push_back(Waiter { id, node, bytes, label, passed: 0, cell });
        id
    }

    pub(super) fn take(&mut self, place: usize) -> Option<Waiter> {
        self.waiters.remove(place)
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Waiter> {
        let place = self.waiters.iter().position(|waiter| waiter.id == id)?;
        self.waiters.remove(place)
    }

    /// The waiter among the first `ahead` that has been passed often enough and needs what is wanted, with the account
    /// where it does.
    pub(super) fn blocking(&self, tree: &Tree, want: &Want, ahead: usize) -> Option<(&Waiter, Node)> {
        self.waiters
            .iter()
            .take(ahead)
            .filter(|waiter| waiter.passed >= PASSES_MOST)
            .find_map(|waiter| Some((waiter, contended(tree, waiter, want)?)))
    }

    /// Notes that what is wanted goes to somebody else than the first `ahead`.
    pub(super) fn pass(&mut self, tree: &Tree, want: &Want, ahead: usize) {
        for waiter in self.waiters.iter_mut().take(ahead) {
            if contended(tree, waiter, want).is_some() {
                waiter.passed = waiter.passed.saturating_add(1);
            }
        }
    }
}

/// The account where granting what is wanted would keep `waiter` waiting; `None` if it would not.
///
/// A waiter that is held up by an account that the other does not touch loses nothing: it can claim nothing either,
/// or one full account would stop the whole tree. Neither can one that is larger than a limit that was lowered since.
fn contended(tree: &Tree, waiter: &Waiter, want: &Want) -> Option<Node> {
    if want.bytes == 0 {
        return None;
    }
    let meeting = tree.meeting(waiter.node, want.node);
    let is_held_up = |level: Node| waiter.bytes > tree.headroom(level);
    if tree.path_to_root(waiter.node).take_while(|&level| level != meeting).any(is_held_up)
        || tree.tightest_limit(waiter.node).is_some_and(|limit| limit.get() < waiter.bytes)
    {
        return None;
    }
    tree.path_to_root(meeting)
        .take_while(|&level| want.until == NOBODY || level > want.until)
        .find(|&level| tree.headroom(level) < waiter.bytes.saturating_add(want.bytes))
}
