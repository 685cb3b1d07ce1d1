//! Many reservations in one decision.

use super::account::Account;
use super::books::{Books, Denied};
use super::home::Shared;
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
    bytes: u64,
}

impl Batch {
    pub(super) fn reserve(account: &Account, sizes: &[u64], label: &str) -> Result<Self, Box<Refusal>> {
        let node = account.home.node;
        let total = sizes.iter().fold(0_u64, |sum, &size| sum.saturating_add(size));
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
    let mut sums: Vec<Option<u64>> = Vec::new();
    for (node, bytes) in pairs {
        let place = node as usize;
        if sums.len() <= place {
            sums.resize(place.saturating_add(1), None);
        }
        sums[place] = Some(sums[place].unwrap_or(0).saturating_add(bytes));
    }
    let demand = |(node, bytes): (Node, Option<u64>)| bytes.map(|bytes| Demand { node, bytes });
    (0..).zip(sums).filter_map(demand).collect()
}

impl Books {
    /// Charges all demands, of `count` reservations, or none.
    fn admit_demands(&mut self, demands: &[Demand], count: usize) -> Result<(), Box<Denied>> {
        if !self.slab.has_room_for(count) {
            let refusal = Box::new(self.refusal(ROOT, u64::MAX));
            return Err(Box::new(Denied { node: ROOT, refusal }));
        }
        if let [demand] = demands {
            self.admit(demand.node, NOBODY, demand.bytes)?;
        } else {
            self.check_levels(demands)?;
            for demand in demands {
                self.claim(demand.node, demand.bytes)?;
            }
        }
        let at = self.stamp();
        // Their events come one by one, yet they are one decision: the peak is what all of them together made.
        let last = (count as u64).saturating_sub(1);
        let at = Stamp { event: at.event.wrapping_add(last), ..at };
        for demand in demands {
            self.tree.charge(demand.node, NOBODY, demand.bytes, at);
        }
        Ok(())
    }

    /// Whether every account has room for the sum of the demands at and below it.
    fn check_levels(&mut self, demands: &[Demand]) -> Result<(), Box<Denied>> {
        let mut sums = vec![0_u64; self.tree.len()];
        for demand in demands {
            sums[demand.node as usize] = demand.bytes;
        }
        for node in self.tree.nodes().rev() {
            let sum = sums[node as usize];
            if sum > self.tree.headroom(node) {
                self.drain_below(node);
                if sum > self.tree.headroom(node) {
                    let refusal = Box::new(self.refusal(node, sum));
                    return Err(Box::new(Denied { node, refusal }));
                }
            }
            if let Some(parent) = self.tree.account(node).parent {
                sums[parent as usize] = sums[parent as usize].saturating_add(sum);
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
        let mut open: Option<Demand> = None;
        for &slot in slots {
            let held = self.leave(slot, Stamp { now, event: 0 });
            let node = self.tags.get(held.tag).node;
            match &mut open {
                Some(demand) if demand.node == node => demand.bytes = demand.bytes.saturating_add(held.bytes),
                other => {
                    if let Some(done) = other.replace(Demand { node, bytes: held.bytes }) {
                        self.tree.discharge(done.node, NOBODY, done.bytes);
                    }
                }
            }
        }
        if let Some(done) = open {
            self.tree.discharge(done.node, NOBODY, done.bytes);
        }
        self.serve();
    }
}
