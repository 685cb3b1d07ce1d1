//! Many reservations in one decision.

use super::account::Account;
use super::books::{Books, Denied};
use super::home::Shared;
use super::queue::Want;
use super::slab::{Handle, SlotId, Tenure};
use super::tree::{NOBODY, Node, ROOT, Stamp};
use crate::error::{Error, Refusal, Result};
use crate::sync::Arc;
use crate::units::Bytes;

/// Reservations that were made together, each with a [`Handle`]. Dropping it gives back all that are still held.
#[derive(Debug)]
pub struct Batch {
    shared: Arc<Shared>,
    handles: Vec<Handle>,
}

/// What is asked for an account, together.
#[derive(Debug)]
struct Demand {
    node: Node,
    /// `None` beyond 2^64 - 1.
    bytes: Option<u64>,
}

impl Batch {
    pub(super) fn reserve(account: &Account, sizes: &[u64], label: &str) -> Result<Self, Box<Refusal>> {
        let node = account.home.node;
        let total = sizes.iter().try_fold(0_u64, |sum, &size| sum.checked_add(size));
        let handles = account.home.decide(|books| {
            books.admit_demands(&[Demand { node, bytes: total }], sizes.len())?;
            Ok(books.enter_many(account.home.shared.id, sizes.iter().map(|&size| (node, size)), label))
        })?;
        Ok(Self { shared: account.home.shared.clone(), handles })
    }

    /// Books every pair of an account and a size, or none. `root` is the account whose ledger it is.
    pub(super) fn reserve_on(
        root: &Account,
        nodes: &[Node],
        sizes: &[u64],
        label: &str,
    ) -> Result<Self, Box<Refusal>> {
        let pairs = || nodes.iter().copied().zip(sizes.iter().copied());
        let demands = demands(pairs());
        let handles = root.home.decide(|books| {
            books.admit_demands(&demands, sizes.len())?;
            Ok(books.enter_many(root.home.shared.id, pairs(), label))
        })?;
        Ok(Self { shared: root.home.shared.clone(), handles })
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
        (Self { shared, handles }, mask)
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
    #[expect(clippy::must_use_candidate, reason = "most callers only want the bytes given back")]
    pub fn release(&self) -> usize {
        let id = self.shared.id;
        self.shared.with(|books| {
            let live = |&handle: &Handle| books.slab.find(handle, id).ok();
            let slots: Vec<SlotId> = self.handles.iter().filter_map(live).collect();
            books.release_slots(&slots);
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
        let mut slots = Vec::with_capacity(handles.len());
        for (index, &handle) in handles.iter().enumerate() {
            let slot = books.slab.find(handle, shared.id).map_err(|fault| Error::Handle { index, fault })?;
            slots.push(slot);
        }
        if let Some(index) = repeated(&slots) {
            return Err(Error::Handle { index, fault: crate::error::HandleFault::Released });
        }
        books.release_slots(&slots);
        Ok(())
    })
}

/// The second place of a slot that is named twice.
fn repeated(slots: &[SlotId]) -> Option<usize> {
    let mut order: Vec<usize> = (0..slots.len()).collect();
    order.sort_unstable_by_key(|&index| (slots[index], index));
    order.windows(2).filter(|pair| slots[pair[0]] == slots[pair[1]]).map(|pair| pair[1]).min()
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

    /// Live reservations of bytes that are charged.
    fn enter_many(
        &mut self,
        ledger: u64,
        pairs: impl Iterator<Item = (Node, u64)>,
        label: &str,
    ) -> Vec<Handle> {
        let at = self.stamp();
        let enter = |(node, size): (Node, u64)| {
            let tag = self.tag(node, label);
            let slot = self.enter(tag, size, Tenure::Handled, at);
            self.slab.handle(slot, ledger)
        };
        pairs.map(enter).collect()
    }

    /// Gives the bytes of live reservations back, all at one instant.
    fn release_slots(&mut self, slots: &[SlotId]) {
        let now = self.stamp().now;
        let mut open: Option<(Node, u64)> = None;
        for &slot in slots {
            let held = self.leave(slot, Stamp { now, event: 0 });
            let node = self.tags.get(held.tag).node;
            match &mut open {
                Some((same, bytes)) if *same == node => *bytes = bytes.saturating_add(held.bytes),
                other => {
                    if let Some((done, bytes)) = other.replace((node, held.bytes)) {
                        self.tree.discharge(done, NOBODY, bytes);
                    }
                }
            }
        }
        if let Some((done, bytes)) = open {
            self.tree.discharge(done, NOBODY, bytes);
        }
        self.serve();
    }
}
