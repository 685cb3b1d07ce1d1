//! Who holds what: one running balance for each label of each account.

use super::tree::{NOBODY, Node, Tree};
use crate::sync::Arc;

/// Index of a tag.
pub(super) type TagId = u32;

/// Tags without any holding are kept for the next reservation of their label, up to this many.
const IDLE_MOST: usize = 1024;

/// A label of an account, and what is booked under it.
#[derive(Debug)]
pub(super) struct Tag {
    pub(super) node: Node,
    pub(super) label: Arc<str>,
    pub(super) bytes: u64,
    /// Live reservations under it.
    pub(super) count: u64,
    /// Meters that charge to it.
    pins: u64,
    /// Since when it has held something, in nanoseconds of the ledger.
    pub(super) since: u64,
    /// Its last event in the timeline.
    last_event: u64,
    /// How often the place was given to another label.
    pub(super) vintage: u32,
}

impl Tag {
    fn is_idle(&self) -> bool {
        self.count == 0 && self.bytes == 0 && self.pins == 0
    }
}

/// Whether two labels are the same. Most are short: compared in registers they cost less than a call of `memcmp`.
#[inline]
fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    match (one.first_chunk::<8>(), other.first_chunk::<8>(), one.last_chunk::<8>(), other.last_chunk::<8>()) {
        (Some(one_first), Some(other_first), Some(one_last), Some(other_last)) if one.len() <= 16 => {
            one_first == other_first && one_last == other_last
        }
        (None, ..) => one.iter().zip(other).all(|(one, other)| one == other),
        _ => one == other,
    }
}

#[derive(Debug)]
pub(super) struct Tags {
    list: Vec<Tag>,
    free: Vec<TagId>,
    /// Upper bound of idle tags, recounted by every sweep.
    idle: usize,
    /// Idle tags are swept when there are more; doubled where a sweep may not take them, so that sweeps stay rare.
    idle_most: usize,
}

impl Tags {
    pub(super) fn new() -> Self {
        Self { list: Vec::new(), free: Vec::new(), idle: 0, idle_most: IDLE_MOST }
    }

    /// The tag of `label` on `node`, made where missing.
    #[inline]
    pub(super) fn intern(&mut self, tree: &mut Tree, node: Node, label: &str, oldest_event: u64) -> TagId {
        let last = tree.last_tag(node);
        if let Some(tag) = self.list.get(last as usize)
            && tag.node == node
            && is_same(&tag.label, label)
        {
            return last;
        }
        self.look_up(tree, node, label, oldest_event)
    }

    fn look_up(&mut self, tree: &mut Tree, node: Node, label: &str, oldest_event: u64) -> TagId {
        let known = tree.account(node).labels.get(label).copied();
        let id = known.unwrap_or_else(|| self.make(tree, node, label, oldest_event));
        tree.set_last_tag(node, id);
        id
    }

    fn make(&mut self, tree: &mut Tree, node: Node, label: &str, oldest_event: u64) -> TagId {
        if self.idle > self.idle_most {
            self.sweep(tree, oldest_event);
        }
        let label: Arc<str> = label.into();
        let id = self.free.pop().unwrap_or_else(|| {
            self.list.push(Tag {
                node: NOBODY,
                label: label.clone(),
                bytes: 0,
                count: 0,
                pins: 0,
                since: 0,
                last_event: 0,
                vintage: 0,
            });
            // 2^32 labels with live reservations would take hundreds of gigabytes.
            TagId::try_from(self.list.len().saturating_sub(1)).unwrap_or(TagId::MAX)
        });
        let tag = &mut self.list[id as usize];
        tag.node = node;
        tag.label = label.clone();
        tree.account_mut(node).labels.insert(label, id);
        self.idle = self.idle.saturating_add(1);
        id
    }

    /// Gives up labels that hold nothing and that no event since `oldest_event` names.
    fn sweep(&mut self, tree: &mut Tree, oldest_event: u64) {
        self.idle = 0;
        for (id, tag) in (0..).zip(&mut self.list) {
            if tag.node == NOBODY || !tag.is_idle() {
                continue;
            }
            if tag.last_event >= oldest_event {
                self.idle = self.idle.saturating_add(1);
                continue;
            }
            tree.account_mut(tag.node).labels.remove(&tag.label);
            tag.node = NOBODY;
            tag.label = "".into();
            tag.vintage = tag.vintage.wrapping_add(1);
            self.free.push(id);
        }
        self.idle_most = self.idle.saturating_mul(2).max(IDLE_MOST);
    }

    pub(super) fn get(&self, id: TagId) -> &Tag {
        &self.list[id as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Every tag that belongs to an account.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TagId, &Tag)> {
        (0..).zip(&self.list).filter(|(_, tag)| tag.node != NOBODY)
    }

    /// What is held under each tag.
    pub(super) fn balances(&self) -> Vec<u64> {
        self.list.iter().map(|tag| tag.bytes).collect()
    }

    pub(super) fn pin(&mut self, id: TagId) {
        let tag = &mut self.list[id as usize];
        if tag.is_idle() {
            self.idle = self.idle.saturating_sub(1);
        }
        tag.pins = tag.pins.saturating_add(1);
    }

    pub(super) fn unpin(&mut self, id: TagId) {
        let tag = &mut self.list[id as usize];
        tag.pins = tag.pins.saturating_sub(1);
        if tag.is_idle() {
            self.idle = self.idle.saturating_add(1);
        }
    }

    #[inline]
    pub(super) fn note_event(&mut self, id: TagId, event: u64) {
        self.list[id as usize].last_event = event;
    }

    /// A reservation of `bytes` more.
    #[inline]
    pub(super) fn hold(&mut self, id: TagId, bytes: u64, now: u64) {
        self.hold_many(id, 1, bytes, now);
    }

    /// `count` reservations, of `bytes` together, more.
    #[inline]
    pub(super) fn hold_many(&mut self, id: TagId, count: u64, bytes: u64, now: u64) {
        if count == 0 {
            return;
        }
        let tag = &mut self.list[id as usize];
        if tag.count == 0 {
            tag.since = now;
            if tag.is_idle() {
                self.idle = self.idle.saturating_sub(1);
            }
        }
        tag.count = tag.count.saturating_add(count);
        tag.bytes = tag.bytes.saturating_add(bytes);
    }

    /// A reservation of `bytes` less.
    #[inline]
    pub(super) fn let_go(&mut self, id: TagId, bytes: u64) {
        self.let_go_many(id, 1, bytes);
    }

    /// `count` reservations, of `bytes` together, less; not none.
    #[inline]
    pub(super) fn let_go_many(&mut self, id: TagId, count: u64, bytes: u64) {
        let tag = &mut self.list[id as usize];
        tag.count = tag.count.saturating_sub(count);
        tag.bytes = tag.bytes.saturating_sub(bytes);
        if tag.is_idle() {
            self.idle = self.idle.saturating_add(1);
        }
    }

    /// The same reservations, larger or smaller.
    #[inline]
    pub(super) fn change(&mut self, id: TagId, from: u64, to: u64) {
        let tag = &mut self.list[id as usize];
        tag.bytes = tag.bytes.saturating_sub(from).saturating_add(to);
    }
}
