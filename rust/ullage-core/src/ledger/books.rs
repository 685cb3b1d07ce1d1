//! All that stands under the lock, and the decisions: who is charged, refused, granted.

use std::collections::HashMap;

use super::clock::Clock;
use super::origin::Origins;
use super::queue::{Cell, Queue, Want};
use super::slab::{Left, Slab, SlotId, Tenure};
use super::tag::{TagId, Tags};
use super::timeline::{Event, Ring};
use super::tree::{NOBODY, Node, Stamp, Tree};
use crate::error::{Holder, Refusal};
use crate::sync::Arc;
use crate::units::Bytes;

/// A request that was refused.
#[derive(Debug)]
pub(super) struct Denied {
    /// Who asked.
    pub(super) asked: Node,
    /// Who refused.
    pub(super) node: Node,
    pub(super) refusal: Box<Refusal>,
}

#[derive(Debug)]
pub(super) struct Books {
    pub(super) tree: Tree,
    pub(super) tags: Tags,
    pub(super) slab: Slab,
    pub(super) queue: Queue,
    pub(super) timeline: Option<Ring>,
    pub(super) clock: Clock,
    pub(super) origins: Origins,
    /// Peaks whose events fell out of the timeline: what was held, by account.
    pub(super) peaks: HashMap<Node, Vec<Holder>>,
    pub(super) regions: u64,
    /// Grants whose waiters are to be woken once the lock is open.
    pub(super) woken: Vec<Arc<Cell>>,
}

impl Books {
    pub(super) fn new(limit: Option<Bytes>, timeline: usize, origins: Origins) -> Self {
        let ring = (timeline > 0).then(|| Ring::new(timeline));
        Self {
            tree: Tree::new(limit),
            tags: Tags::new(),
            slab: Slab::new(),
            queue: Queue::default(),
            clock: Clock::new(ring.is_some()),
            timeline: ring,
            origins,
            peaks: HashMap::new(),
            regions: 0,
            woken: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn stamp(&self) -> Stamp {
        Stamp { now: self.clock.now(), event: self.timeline.as_ref().map_or(0, Ring::next) }
    }

    /// When a release happened: nobody asks unless there is a timeline.
    #[inline]
    pub(super) fn stamp_of_release(&self) -> Stamp {
        if self.timeline.is_some() { self.stamp() } else { Stamp { now: 0, event: 0 } }
    }

    #[inline]
    pub(super) fn tag(&mut self, node: Node, label: &str) -> TagId {
        let oldest = self.timeline.as_ref().map_or(u64::MAX, Ring::oldest);
        self.tags.intern(&mut self.tree, node, label, oldest)
    }

    #[inline]
    pub(super) fn note(&mut self, tag: TagId, id: u64, delta: i64, at: Stamp) {
        let Some(ring) = &mut self.timeline else { return };
        if ring.is_full() {
            return self.note_in_new_room(tag, id, delta, at);
        }
        self.tags.note_event(tag, ring.next());
        let account = self.tags.get(tag).node;
        ring.push(Event { time_ns: at.now.cast_signed(), delta, id, account, label: tag });
    }

    #[cold]
    fn note_in_new_room(&mut self, tag: TagId, id: u64, delta: i64, at: Stamp) {
        self.keep_peaks(tag, delta);
        if let Some(ring) = &mut self.timeline {
            ring.make_room();
        }
        self.note(tag, id, delta, at);
    }

    /// Books `bytes` on `node` and every account above it, or on none.
    #[inline]
    pub(super) fn reserve(
        &mut self,
        node: Node,
        bytes: u64,
        label: &str,
        tenure: Tenure,
    ) -> Result<SlotId, Box<Denied>> {
        self.admit(node, NOBODY, bytes)?;
        Ok(self.book(node, bytes, label, tenure))
    }

    /// Books `bytes`, which fit.
    #[inline]
    pub(super) fn book(&mut self, node: Node, bytes: u64, label: &str, tenure: Tenure) -> SlotId {
        let at = self.stamp();
        self.tree.charge(node, NOBODY, bytes, at);
        let tag = self.tag(node, label);
        self.enter(tag, bytes, tenure, at)
    }

    /// A live reservation of `bytes` that are charged.
    #[inline]
    pub(super) fn enter(&mut self, tag: TagId, bytes: u64, tenure: Tenure, at: Stamp) -> SlotId {
        let node = self.tags.get(tag).node;
        self.tags.hold(tag, bytes, at.now);
        self.tree.count_made(node, bytes);
        let slot = self.slab.take(bytes, at.now, tag, tenure);
        let id = identity(slot, self.slab.get(slot).generation);
        self.note(tag, id, change(0, bytes), at);
        slot
    }

    /// Gives the bytes of a live reservation back.
    #[inline]
    pub(super) fn release(&mut self, slot: SlotId) {
        let at = self.stamp_of_release();
        let held = self.leave(slot, at);
        let node = self.tags.get(held.tag).node;
        self.tree.discharge(node, NOBODY, held.bytes);
        self.serve();
    }

    /// Forgets a live reservation; its bytes stay charged.
    #[inline]
    pub(super) fn leave(&mut self, slot: SlotId, at: Stamp) -> Left {
        let held = self.slab.give_back(slot);
        self.tags.let_go(held.tag, held.bytes);
        self.tree.count_released(self.tags.get(held.tag).node);
        self.note(held.tag, identity(slot, held.generation), change(held.bytes, 0), at);
        held
    }

    /// Changes a live reservation to `bytes` in one step.
    pub(super) fn resize(&mut self, slot: SlotId, bytes: u64) -> Result<(), Box<Denied>> {
        let held = *self.slab.get(slot);
        let node = self.tags.get(held.tag).node;
        if let Some(growth) = bytes.checked_sub(held.bytes) {
            self.admit(node, NOBODY, growth)?;
            let at = self.stamp();
            self.tree.charge(node, NOBODY, growth, at);
            self.tree.count_more(node, growth);
            self.set_size(slot, bytes, at);
        } else {
            let at = self.stamp_of_release();
            self.tree.discharge(node, NOBODY, held.bytes.saturating_sub(bytes));
            self.set_size(slot, bytes, at);
            self.serve();
        }
        Ok(())
    }

    /// Notes a new size of a live reservation; what is charged is the caller's matter.
    pub(super) fn set_size(&mut self, slot: SlotId, bytes: u64, at: Stamp) {
        let held = *self.slab.get(slot);
        self.slab.get_mut(slot).bytes = bytes;
        self.tags.change(held.tag, held.bytes, bytes);
        self.note(held.tag, identity(slot, held.generation), change(held.bytes, bytes), at);
    }

    /// Moves a live reservation to another account: booked once at every instant, on what both share not even touched.
    pub(super) fn transfer(&mut self, slot: SlotId, to: Node) -> Result<(), Box<Denied>> {
        let held = *self.slab.get(slot);
        let from = self.tags.get(held.tag).node;
        if from == to {
            return Ok(());
        }
        let meeting = self.tree.meeting(from, to);
        self.admit(to, meeting, held.bytes)?;
        let at = self.stamp();
        let arrival = Stamp { event: at.event.wrapping_add(1), ..at };
        let id = identity(slot, held.generation);
        let label = self.tags.get(held.tag).label.clone();
        self.tree.charge(to, meeting, held.bytes, arrival);
        self.tree.discharge(from, meeting, held.bytes);
        self.tree.count_moved(from, to, held.bytes);
        self.tags.let_go(held.tag, held.bytes);
        self.note(held.tag, id, change(held.bytes, 0), at);
        let tag = self.tag(to, &label);
        self.tags.hold(tag, held.bytes, at.now);
        self.slab.get_mut(slot).tag = tag;
        self.note(tag, id, change(0, held.bytes), arrival);
        self.serve();
        Ok(())
    }

    /// Whether `bytes` fit from `node` up to `until`, which no waiter in front claims; frees idle credit if that helps.
    #[inline]
    pub(super) fn admit(&mut self, node: Node, until: Node, bytes: u64) -> Result<(), Box<Denied>> {
        if self.queue.is_empty() && self.tree.first_full(node, until, bytes).is_none() {
            return Ok(());
        }
        self.admit_slowly(node, until, bytes)
    }

    #[cold]
    fn admit_slowly(&mut self, node: Node, until: Node, bytes: u64) -> Result<(), Box<Denied>> {
        if let Some(full) = self.fit(node, until, bytes) {
            let refusal = Box::new(self.refusal(full, bytes));
            return Err(Box::new(Denied { asked: node, node: full, refusal }));
        }
        self.claim(&[Want { node, until, bytes }])
    }

    /// Whether all of `wants`, which fit, may pass those who wait; only if so, that is held against each of them.
    pub(super) fn claim(&mut self, wants: &[Want]) -> Result<(), Box<Denied>> {
        let all = self.queue.len();
        if all == 0 {
            return Ok(());
        }
        for want in wants {
            if let Some((waiter, meeting)) = self.queue.blocking(&self.tree, want, all) {
                let refusal = Box::new(self.set_aside(meeting, want.bytes, waiter));
                return Err(Box::new(Denied { asked: want.node, node: meeting, refusal }));
            }
        }
        for want in wants {
            self.queue.pass(&self.tree, want, all);
        }
        Ok(())
    }

    /// The account where `bytes` do not fit, with all idle credit below it taken back; `None` if they fit.
    pub(super) fn fit(&mut self, node: Node, until: Node, bytes: u64) -> Option<Node> {
        let mut drained = None;
        loop {
            let full = self.tree.first_full(node, until, bytes)?;
            if drained == Some(full) {
                return Some(full);
            }
            self.drain_below(full);
            drained = Some(full);
        }
    }

    /// Books `bytes` under a tag without a place of their own.
    pub(super) fn charge_tag(&mut self, tag: TagId, id: u64, bytes: u64) -> Result<(), Box<Denied>> {
        let node = self.tags.get(tag).node;
        self.admit(node, NOBODY, bytes)?;
        let at = self.stamp();
        self.tree.charge(node, NOBODY, bytes, at);
        self.tree.count_made(node, bytes);
        self.tags.hold(tag, bytes, at.now);
        self.note(tag, id, change(0, bytes), at);
        Ok(())
    }

    /// Gives `bytes` that were booked under a tag back.
    pub(super) fn discharge_tag(&mut self, tag: TagId, id: u64, bytes: u64) {
        let at = self.stamp_of_release();
        let node = self.tags.get(tag).node;
        self.tree.discharge(node, NOBODY, bytes);
        self.tree.count_released(node);
        self.tags.let_go(tag, bytes);
        self.note(tag, id, change(bytes, 0), at);
        self.serve();
    }

    /// Changes what one holder has booked under a tag, in one step.
    pub(super) fn recharge_tag(
        &mut self,
        tag: TagId,
        id: u64,
        from: u64,
        to: u64,
    ) -> Result<(), Box<Denied>> {
        let node = self.tags.get(tag).node;
        let growth = to.saturating_sub(from);
        if growth > 0 {
            self.admit(node, NOBODY, growth)?;
        }
        let at = self.stamp();
        self.tree.charge(node, NOBODY, growth, at);
        self.tree.discharge(node, NOBODY, from.saturating_sub(to));
        self.tree.count_more(node, growth);
        self.tags.change(tag, from, to);
        self.note(tag, id, change(from, to), at);
        self.serve();
        Ok(())
    }

    /// Grants what fits now to those who wait, in order.
    #[inline]
    pub(super) fn serve(&mut self) {
        if !self.queue.is_empty() {
            self.serve_waiters();
        }
    }

    #[cold]
    fn serve_waiters(&mut self) {
        let mut place = 0;
        while place < self.queue.len() {
            let (node, bytes) = (self.queue.get(place).node, self.queue.get(place).bytes);
            let fits = self.tree.first_full(node, NOBODY, bytes).is_none();
            let want = Want { node, until: NOBODY, bytes };
            if !fits || self.queue.blocking(&self.tree, &want, place).is_some() {
                place = place.saturating_add(1);
                continue;
            }
            self.queue.pass(&self.tree, &want, place);
            if let Some(waiter) = self.queue.take(place) {
                let slot = self.book(node, bytes, &waiter.label, Tenure::Owned);
                waiter.cell.grant(slot);
                self.woken.push(waiter.cell);
            }
        }
    }

    /// Takes a request into the queue. While anybody waits, credit is not kept idle.
    pub(super) fn enqueue(&mut self, node: Node, bytes: u64, label: Arc<str>, cell: Arc<Cell>) -> u64 {
        let id = self.queue.push(node, bytes, label, cell);
        self.drain_below(super::tree::ROOT);
        self.serve();
        id
    }

    pub(super) fn count_refusal(&mut self, node: Node) {
        let account = self.tree.account_mut(node);
        account.refusals = account.refusals.saturating_add(1);
    }

    pub(super) fn set_limit(&mut self, node: Node, limit: Option<Bytes>) {
        self.tree.set_limit(node, limit);
        if self.tree.is_over(node) {
            self.drain_below(node); // or what is idle would be given out beyond the limit
        }
        self.serve();
    }

    pub(super) fn refusal(&self, full: Node, requested: u64) -> Refusal {
        Refusal {
            account: self.tree.path(full).to_string(),
            requested: Bytes::new(requested),
            available: Bytes::new(self.tree.headroom(full)),
            limit: self.tree.limit(full).unwrap_or(Bytes::MAX),
            holders: self.holders(full, Refusal::HOLDERS),
        }
    }

    /// A refusal because what is free is meant for somebody who has waited long enough.
    fn set_aside(&self, meeting: Node, requested: u64, waiter: &super::queue::Waiter) -> Refusal {
        let free = self.tree.headroom(meeting).saturating_sub(waiter.bytes);
        let mut refusal = self.refusal(meeting, requested);
        refusal.available = Bytes::new(free.min(requested.saturating_sub(1)));
        let waits = Holder {
            account: self.tree.path(waiter.node).to_string(),
            label: format!("{} (waiting)", waiter.label),
            bytes: Bytes::new(waiter.bytes),
            reservations: 1,
            age: std::time::Duration::ZERO,
        };
        refusal.holders.insert(0, waits);
        refusal.holders.truncate(Refusal::HOLDERS);
        refusal
    }
}

/// `to` less `from` as an event says it; clipped to 2^63 − 1 bytes either way.
#[inline]
pub(super) fn change(from: u64, to: u64) -> i64 {
    let clipped = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    clipped(to).wrapping_sub(clipped(from))
}

/// Identity of a reservation in the timeline: no other reservation of the ledger ever has it.
#[inline]
pub(super) fn identity(slot: SlotId, generation: u32) -> u64 {
    (u64::from(generation) << 32) | u64::from(slot)
}
