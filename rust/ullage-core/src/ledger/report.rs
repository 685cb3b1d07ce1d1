//! What the books say when they are asked: holders, live reservations, peaks, snapshots, the timeline.

use std::cmp::Reverse;
use std::time::Duration;

use super::books::Books;
use super::credit::Word;
use super::origin::Origin;
use super::prepaid::CREDIT;
use super::slab::{Slot, SlotId};
use super::snapshot::{AccountSnapshot, Kind, Snapshot};
use super::tag::{Tag, TagId};
use super::timeline::{Ring, Timeline, Window};
use super::tree::Node;
use crate::error::Holder;
use crate::sync::Arc;
use crate::units::Bytes;

/// A live reservation as reports name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Path of its account.
    pub account: Arc<str>,
    /// Its label.
    pub label: Arc<str>,
    /// Its size.
    pub bytes: Bytes,
    /// How long it has been held.
    pub age: Duration,
    /// Where it was made, if that was asked for.
    pub origin: Option<Origin>,
}

/// The order in which live reservations are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldOrder {
    /// Largest first.
    Largest,
    /// Oldest first.
    Oldest,
}

impl Books {
    /// The `most` largest holdings on `node` and below, by account and label, largest first.
    pub(super) fn holders(&self, node: Node, most: usize) -> Vec<Holder> {
        let now = self.clock.now();
        let holdings = self.tags.iter().map(|(_, tag)| (tag, self.drawn(tag)));
        let holdings = holdings.filter(|&(tag, bytes)| bytes > 0 || tag.count > 0);
        self.largest(node, most, holdings, |tag, bytes| Holder {
            account: self.tree.path(tag.node).to_string(),
            label: tag.label.to_string(),
            bytes: Bytes::new(bytes),
            reservations: tag.count,
            age: Duration::from_nanos(now.saturating_sub(tag.since)),
        })
    }

    /// What is held under a tag; of what a credit leaf has bought, what was drawn.
    fn drawn(&self, tag: &Tag) -> u64 {
        if *tag.label == *CREDIT { tag.bytes.saturating_sub(self.tree.idle(tag.node)) } else { tag.bytes }
    }

    fn largest<'a>(
        &'a self,
        node: Node,
        most: usize,
        holdings: impl Iterator<Item = (&'a Tag, u64)>,
        row: impl Fn(&Tag, u64) -> Holder,
    ) -> Vec<Holder> {
        let below = |&(tag, _): &(&Tag, u64)| self.tree.is_below(tag.node, node);
        let mut found: Vec<_> = holdings.filter(below).collect();
        let order = |&(tag, bytes): &(&'a Tag, u64)| (Reverse(bytes), tag.node, &*tag.label);
        if let Some(last) = most.checked_sub(1)
            && last < found.len()
        {
            found.select_nth_unstable_by(last, |one, other| order(one).cmp(&order(other)));
        }
        found.truncate(most);
        found.sort_unstable_by(|one, other| order(one).cmp(&order(other)));
        found.into_iter().map(|(tag, bytes)| row(tag, bytes)).collect()
    }

    /// Live reservations on `node` and below, one by one.
    pub(super) fn held(&self, node: Node, most: usize, order: HeldOrder) -> Vec<Held> {
        let now = self.clock.now();
        let below = |tag| self.tree.is_below(self.tags.get(tag).node, node);
        let mut found: Vec<_> = self.slab.iter().filter(|(_, slot)| below(slot.tag)).collect();
        match order {
            HeldOrder::Largest => found.sort_by_key(|(_, slot)| (Reverse(slot.bytes), slot.born)),
            HeldOrder::Oldest => found.sort_by_key(|(_, slot)| slot.born),
        }
        found.truncate(most);
        found.into_iter().map(|(_, slot)| self.held_in(slot, now)).collect()
    }

    /// The live reservation in a place.
    pub(super) fn held_by(&self, slot: SlotId) -> Held {
        self.held_in(self.slab.get(slot), self.clock.now())
    }

    fn held_in(&self, slot: &Slot, now: u64) -> Held {
        let tag = self.tags.get(slot.tag);
        Held {
            account: self.tree.path(tag.node).clone(),
            label: tag.label.clone(),
            bytes: Bytes::new(slot.bytes),
            age: Duration::from_nanos(now.saturating_sub(slot.born)),
            origin: self.origins.get(slot.origin).cloned(),
        }
    }

    /// Who held what when `node` stood at its peak; `None` without a timeline, or on a credit leaf.
    pub(super) fn peak_holders(&self, node: Node, most: usize) -> Option<Vec<Holder>> {
        let ring = self.timeline.as_ref()?;
        let (peak, at) = self.tree.peak(node);
        let event = at?.event;
        if peak == 0 {
            return Some(Vec::new());
        }
        if event < ring.oldest() {
            return self.peaks.get(&node).map(|kept| kept.iter().take(most).cloned().collect());
        }
        let mut holders = Vec::new();
        ring.replay(ring.balances_before(self.tags.balances()), &[event], |_, balances| {
            holders = self.composition(node, most, balances);
        });
        Some(holders)
    }

    /// What is in `balances` of labels on `node` and below, largest first.
    fn composition(&self, node: Node, most: usize, balances: &[u64]) -> Vec<Holder> {
        let holdings =
            self.tags.iter().map(|(id, tag)| (tag, balances.get(id as usize).copied().unwrap_or(0)));
        let holdings = holdings.filter(|&(_, bytes)| bytes > 0);
        self.largest(node, most, holdings, |tag, bytes| Holder {
            account: self.tree.path(tag.node).to_string(),
            label: tag.label.to_string(),
            bytes: Bytes::new(bytes),
            reservations: 0,
            age: Duration::ZERO,
        })
    }

    /// Keeps who held what at the peaks whose events are about to fall out of the timeline, for an event that has
    /// happened to the books and is not yet in it.
    #[cold]
    pub(super) fn keep_peaks(&mut self, tag: TagId, delta: i64) {
        let Some(ring) = &self.timeline else { return };
        let leaving = ring.leaving();
        if leaving.is_empty() {
            return;
        }
        let peak_event = |node| self.tree.peak(node).1.map(|at| (at.event, node));
        let is_leaving =
            |&(event, node): &(u64, Node)| leaving.contains(&event) && self.tree.peak(node).0 > 0;
        let mut peaks: Vec<(u64, Node)> =
            self.tree.nodes().filter_map(peak_event).filter(is_leaving).collect();
        if peaks.is_empty() {
            return;
        }
        peaks.sort_unstable();
        let events: Vec<u64> = peaks.iter().map(|&(event, _)| event).collect();
        let mut kept = Vec::with_capacity(peaks.len());
        let mut now = self.tags.balances();
        now[tag as usize] = now[tag as usize].wrapping_add_signed(delta.wrapping_neg());
        ring.replay(ring.balances_before(now), &events, |index, balances| {
            let node = peaks[index].1;
            kept.push((node, self.composition(node, usize::MAX, balances)));
        });
        self.peaks.extend(kept);
    }

    /// Every account at this instant.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        let mut words = vec![None; self.tree.len()];
        for (node, word) in self.words() {
            words[node as usize] = Some(word);
        }
        let idle: Vec<u64> = words.iter().map(|word| word.map_or(0, Word::credit)).collect();
        let mut idle_below = idle.clone();
        let mut own: Vec<u64> = self.tree.nodes().map(|node| self.tree.charged(node)).collect();
        for node in self.tree.nodes().rev() {
            if let Some(parent) = self.tree.account(node).parent {
                let below = idle_below[node as usize];
                idle_below[parent as usize] = idle_below[parent as usize].saturating_add(below);
                own[parent as usize] = own[parent as usize].saturating_sub(self.tree.charged(node));
            }
        }
        let row = |node: Node| {
            let (account, place) = (self.tree.account(node), node as usize);
            let ((peak, peak_at), counts) = (self.tree.peak(node), self.tree.counts_with(node, words[place]));
            AccountSnapshot {
                path: account.path.clone(),
                parent: account.parent.map(|parent| self.tree.path(parent).clone()),
                kind: if account.credit.is_some() { Kind::Credit } else { Kind::Exact },
                limit: account.limit,
                charged: Bytes::new(self.tree.charged(node)),
                used: Bytes::new(self.tree.charged(node).saturating_sub(idle_below[place])),
                own: Bytes::new(own[place].saturating_sub(idle[place])),
                peak: Bytes::new(peak),
                peak_at: peak_at.map(|at| Duration::from_nanos(at.now)),
                reservations: counts.made.wrapping_sub(counts.released),
                made: counts.made,
                released: counts.released,
                refusals: counts.refusals,
                leaked: account.leaked,
                total: Bytes::new(counts.total),
            }
        };
        let mut accounts: Vec<AccountSnapshot> = self.tree.nodes().map(row).collect();
        accounts[1..].sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')));
        Snapshot { accounts, waiting: self.queue.len() }
    }

    /// The timeline but for its events, which are put together outside the lock; `start` is what is held now.
    pub(super) fn timeline(&self) -> (Option<Window>, Timeline) {
        let window = self.timeline.as_ref().map(Ring::window);
        let mut labels = vec![Arc::<str>::from(""); self.tags.len()];
        let mut label_accounts = vec![super::tree::ROOT; self.tags.len()];
        for (id, tag) in self.tags.iter() {
            labels[id as usize] = tag.label.clone();
            label_accounts[id as usize] = tag.node;
        }
        let timeline = Timeline {
            events: Vec::new(),
            accounts: self.tree.nodes().map(|node| self.tree.path(node).clone()).collect(),
            labels,
            label_accounts,
            start: self.tags.balances(),
            dropped: window.as_ref().map_or(0, |window| window.oldest),
            epoch_unix_ns: self.clock.epoch_unix_ns,
        };
        (window, timeline)
    }
}
