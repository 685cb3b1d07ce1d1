//! Many reservations in one decision.

use super::account::Account;
use super::books::{Books, Denied, change, identity};
use super::home::Shared;
use super::queue::Want;
use super::slab::{Handle, SlotId, Tenure};
use super::tag::TagId;
use super::timeline::Ring;
use super::tree::{NOBODY, Node, ROOT, Stamp};
use crate::error::{Error, Refusal, Result};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::units::Bytes;

/// Reservations that were made together, each with a [`Handle`]. Dropping it gives back all that are still held.
#[derive(Debug)]
pub struct Batch {
    shared: Arc<Shared>,
    handles: Vec<Handle>,
    /// Whether none can be live any more. Changes under the ledger's lock only.
    is_over: AtomicBool,
}

/// What is asked for an account, together.
#[derive(Debug)]
struct Demand {
    node: Node,
    /// `None` beyond 2^64 - 1.
    bytes: Option<u64>,
}

impl Batch {
    fn new(shared: Arc<Shared>, handles: Vec<Handle>) -> Self {
        Self { shared, handles, is_over: AtomicBool::new(false) }
    }

    pub(super) fn reserve(account: &Account, sizes: &[u64], label: &str) -> Result<Self, Box<Refusal>> {
        let node = account.home.node;
        let total = sizes.iter().try_fold(0_u64, |sum, &size| sum.checked_add(size));
        let handles = account.home.decide(|books| {
            books.admit_demands(&[Demand { node, bytes: total }], sizes.len())?;
            Ok(books.enter_many(account.home.shared.id, [(node, sizes)], sizes.len(), label))
        })?;
        Ok(Self::new(account.home.shared.clone(), handles))
    }

    /// Books every pair of an account and a size, or none. `root` is the account whose ledger it is.
    pub(super) fn reserve_on(
        root: &Account,
        nodes: &[Node],
        sizes: &[u64],
        label: &str,
    ) -> Result<Self, Box<Refusal>> {
        let demands = demands(nodes.iter().copied().zip(sizes.iter().copied()));
        let handles = root.home.decide(|books| {
            books.admit_demands(&demands, sizes.len())?;
            let mut rest = sizes;
            let runs = nodes.chunk_by(|one, next| one == next).map(|run| {
                let (sizes, later) = rest.split_at(run.len());
                rest = later;
                (run[0], sizes)
            });
            Ok(books.enter_many(root.home.shared.id, runs, sizes.len(), label))
        })?;
        Ok(Self::new(root.home.shared.clone(), handles))
    }

    /// Books each pair of an account and a size that still fits after those before it; tells which did.
    pub(super) fn reserve_what_fits(
        root: &Account,
        nodes: &[Node],
        sizes: &[u64],
        label: &str,
    ) -> (Self, Vec<bool>) {
        let shared = root.home.shared.clone();
        let mut handles = Vec::new();
        let mask = shared.with(|books| {
            let pairs = nodes.iter().zip(sizes);
            let reserve = |(&node, &size): (&Node, &u64)| {
                let reserved = books.reserve(node, size, label, Tenure::Handled);
                match reserved {
                    Ok(slot) => handles.push(books.slab.handle(slot, root.home.shared.id)),
                    Err(_) => books.count_refusal(node),
                }
                reserved.is_ok()
            };
            pairs.map(reserve).collect()
        });
        (Self::new(shared, handles), mask)
    }

    /// A handle for each reservation, in the order of the sizes.
    #[must_use]
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }

    /// Bytes that are still held.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        let held = self.shared.with(|books| {
            let live = self.handles.iter().filter_map(|&handle| books.slab.find(handle, self.shared.id).ok());
            live.fold(0_u64, |sum, slot| sum.saturating_add(books.slab.get(slot).bytes))
        });
        Bytes::new(held)
    }

    /// Reservations that are still held.
    #[must_use]
    pub fn live(&self) -> usize {
        let id = self.shared.id;
        self.shared
            .with(|books| self.handles.iter().filter(|&&handle| books.slab.find(handle, id).is_ok()).count())
    }

    /// Gives back all that are still held; tells how many that were.
    pub fn release(&self) -> usize {
        if self.is_over.load(Ordering::Acquire) {
            return 0;
        }
        let id = self.shared.id;
        self.shared.with(|books| {
            let live = |&handle: &Handle| books.slab.find(handle, id).ok();
            let slots: Vec<SlotId> = self.handles.iter().filter_map(live).collect();
            books.release_slots(&slots);
            self.is_over.store(true, Ordering::Release);
            slots.len()
        })
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.release();
    }
}

/// Gives back the reservations of `handles`, or none.
pub(super) fn release_many(shared: &Shared, handles: &[Handle]) -> Result<()> {
    shared.with(|books| {
        let slots = books
            .slab
            .find_all(handles, shared.id)
            .map_err(|(index, fault)| Error::Handle { index, fault })?;
        books.release_slots(&slots);
        Ok(())
    })
}

/// What was made or given back under one tag and is not summed up yet.
#[derive(Clone, Copy, Debug)]
struct Run {
    tag: TagId,
    count: u64,
    bytes: u64,
}

impl Run {
    fn of(tag: TagId) -> Self {
        Self { tag, count: 0, bytes: 0 }
    }

    #[inline]
    fn add(&mut self, bytes: u64) {
        self.count = self.count.wrapping_add(1); // as many as places, of which there are 2^32 at most
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// The sum for each account.
fn demands(pairs: impl Iterator<Item = (Node, u64)>) -> Vec<Demand> {
    let mut sums: Vec<Option<Demand>> = Vec::new();
    for (node, bytes) in pairs {
        let place = node as usize;
        if sums.len() <= place {
            sums.resize_with(place.saturating_add(1), || None);
        }
        let demand = sums[place].get_or_insert(Demand { node, bytes: Some(0) });
        demand.bytes = demand.bytes.and_then(|sum| sum.checked_add(bytes));
    }
    sums.into_iter().flatten().collect()
}

impl Books {
    /// Charges all demands, of `count` reservations, or none.
    fn admit_demands(&mut self, demands: &[Demand], count: usize) -> Result<(), Box<Denied>> {
        if !self.slab.has_room_for(count) {
            return Err(Box::new(self.beyond_count(ROOT)));
        }
        if let [Demand { node, bytes }] = *demands {
            let Some(bytes) = bytes else { return Err(Box::new(self.beyond_count(node))) };
            self.admit(node, NOBODY, bytes)?;
        } else {
            self.check_levels(demands)?;
            let want =
                |demand: &Demand| Some(Want { node: demand.node, until: NOBODY, bytes: demand.bytes? });
            let wants: Vec<Want> = demands.iter().filter_map(want).collect();
            self.claim(&wants)?;
        }
        let at = self.stamp();
        // Their events come one by one, yet they are one decision: the peak is what all of them together made.
        let last = (count as u64).saturating_sub(1);
        let at = Stamp { event: at.event.wrapping_add(last), ..at };
        for demand in demands {
            self.tree.charge(demand.node, NOBODY, demand.bytes.unwrap_or(0), at);
        }
        Ok(())
    }

    /// A refusal of what no number counts: more than 2^64 - 1 bytes together, or more than 2^32 reservations.
    fn beyond_count(&self, asked: Node) -> Denied {
        let mut refusal = Box::new(self.refusal(ROOT, u64::MAX));
        refusal.available = refusal.available.min(Bytes::new(u64::MAX.saturating_sub(1)));
        Denied { asked, node: ROOT, refusal }
    }

    /// Whether every account has room for the sum of the demands at and below it.
    fn check_levels(&mut self, demands: &[Demand]) -> Result<(), Box<Denied>> {
        let mut sums = vec![Some(0_u64); self.tree.len()];
        for demand in demands {
            sums[demand.node as usize] = demand.bytes;
        }
        for node in self.tree.nodes().rev() {
            let Some(sum) = sums[node as usize] else { return Err(Box::new(self.beyond_count(ROOT))) };
            if sum > self.tree.headroom(node) {
                self.drain_below(node);
                if sum > self.tree.headroom(node) {
                    let refusal = Box::new(self.refusal(node, sum));
                    return Err(Box::new(Denied { asked: ROOT, node, refusal }));
                }
            }
            if let Some(parent) = self.tree.account(node).parent {
                let above = &mut sums[parent as usize];
                *above = above.and_then(|above| above.checked_add(sum));
            }
        }
        Ok(())
    }

    /// Live reservations of bytes that are charged, of `count` in all: for each account its sizes.
    fn enter_many<'a>(
        &mut self,
        ledger: u64,
        runs: impl IntoIterator<Item = (Node, &'a [u64])>,
        count: usize,
        label: &str,
    ) -> Vec<Handle> {
        let at = self.stamp();
        let mut handles = Vec::with_capacity(count);
        for (node, sizes) in runs {
            let mut run = Run::of(self.tag(node, label));
            for &size in sizes {
                run.add(size);
                let slot = self.slab.take(size, at.now, run.tag, Tenure::Handled);
                let handle = self.slab.handle(slot, ledger);
                handles.push(handle);
                if !self.note_of_run(run.tag, identity(slot, handle.generation), change(0, size), at) {
                    self.sum_made(&mut run, at);
                    self.note(run.tag, identity(slot, handle.generation), change(0, size), at);
                }
            }
            self.sum_made(&mut run, at);
        }
        handles
    }

    fn sum_made(&mut self, run: &mut Run, at: Stamp) {
        let Run { tag, count, bytes } = *run;
        self.tags.hold_many(tag, count, bytes, at.now);
        self.tree.count_made_many(self.tags.get(tag).node, count, bytes);
        *run = Run::of(tag);
    }

    /// Gives the bytes of live reservations back, all at one instant.
    fn release_slots(&mut self, slots: &[SlotId]) {
        let at = self.stamp_of_release();
        let mut run = Run::of(TagId::MAX);
        for &slot in slots {
            let held = self.slab.give_back(slot);
            if held.tag != run.tag {
                self.sum_released(&mut run);
                run = Run::of(held.tag);
            }
            run.add(held.bytes);
            let id = identity(slot, held.generation);
            if !self.note_of_run(held.tag, id, change(held.bytes, 0), at) {
                self.sum_released(&mut run);
                self.note(held.tag, id, change(held.bytes, 0), at);
            }
        }
        self.sum_released(&mut run);
        self.serve();
    }

    fn sum_released(&mut self, run: &mut Run) {
        let Run { tag, count, bytes } = *run;
        if count > 0 {
            let node = self.tags.get(tag).node;
            self.tags.let_go_many(tag, count, bytes);
            self.tree.count_released_many(node, count);
            self.tree.discharge(node, NOBODY, bytes);
            *run = Run::of(tag);
        }
    }

    /// Notes an event of a run that is not summed up yet; false where the window of the timeline turns, for which the
    /// balances must agree with the events.
    #[inline]
    fn note_of_run(&mut self, tag: TagId, id: u64, delta: i64, at: Stamp) -> bool {
        if self.timeline.as_ref().is_some_and(Ring::is_full) {
            return false;
        }
        self.note(tag, id, delta, at);
        true
    }
}
