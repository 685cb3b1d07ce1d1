//! The tree under the lock: nodes, slots, and the arithmetic of charging a path.

use std::collections::HashMap;

use super::snapshot::{AccountSnapshot, Snapshot};
use crate::error::{Error, Holder, Refusal, Result};
use crate::units::{Bytes, clip};

/// Index of an account.
pub(super) type Node = usize;

/// The account above all others.
pub(super) const ROOT: Node = 0;

const LEVELS: usize = 32;
const SEGMENT_CHARS: usize = 255;

/// The parts of an account path; none for the root, written `/` or as the empty text.
pub(super) fn segments(path: &str) -> Result<Vec<&str>> {
    if path.is_empty() || path == "/" {
        return Ok(Vec::new());
    }
    let fail = |reason| Error::AccountPath { path: clip(path), reason };
    let segments: Vec<&str> = path.split('/').collect();
    if segments.len() > LEVELS {
        return Err(fail("more than 32 levels deep"));
    }
    for segment in &segments {
        if segment.is_empty() {
            return Err(fail("an empty segment; write a/b, without a leading, trailing or double '/'"));
        }
        if segment.chars().count() > SEGMENT_CHARS {
            return Err(fail("a segment longer than 255 characters"));
        }
        if segment.chars().any(char::is_control) {
            return Err(fail("a control character"));
        }
    }
    Ok(segments)
}

#[derive(Debug)]
struct AccountState {
    path: Box<str>,
    parent: Option<Node>,
    limit: Option<Bytes>,
    /// Own reservations plus the children's `used`.
    used: Bytes,
    /// The largest value of `used` so far.
    peak: Bytes,
    reservations: u64,
    refusals: u64,
}

impl AccountState {
    fn new(path: &str, parent: Option<Node>) -> Self {
        Self {
            path: path.into(),
            parent,
            limit: None,
            used: Bytes::ZERO,
            peak: Bytes::ZERO,
            reservations: 0,
            refusals: 0,
        }
    }

    /// What still fits under this account's own limit.
    fn headroom(&self) -> Bytes {
        self.limit.unwrap_or(Bytes::MAX).saturating_sub(self.used)
    }
}

/// A live reservation.
#[derive(Debug)]
struct Booking {
    node: Node,
    bytes: Bytes,
    label: Box<str>,
}

/// A place for a booking, used again and again; `generation` tells its tenants apart.
#[derive(Debug, Default)]
struct Slot {
    generation: u64,
    booking: Option<Booking>,
}

/// What a reservation holds on to: a slot, in the generation it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    slot: usize,
    generation: u64,
}

#[derive(Debug)]
pub(super) struct Tree {
    /// Parents stand before their children.
    accounts: Vec<AccountState>,
    by_path: HashMap<Box<str>, Node>,
    slots: Vec<Slot>,
    free: Vec<usize>,
}

impl Tree {
    pub(super) fn new(limit: Option<Bytes>) -> Self {
        let mut root = AccountState::new("/", None);
        root.limit = limit;
        Self { accounts: vec![root], by_path: HashMap::new(), slots: Vec::new(), free: Vec::new() }
    }

    /// The account at `segments`, made with its parents where missing, and whether it is new.
    pub(super) fn open(&mut self, segments: &[&str]) -> (Node, bool) {
        let mut node = ROOT;
        let mut is_new = false;
        let mut path = String::new();
        for segment in segments {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(segment);
            (node, is_new) = if let Some(&known) = self.by_path.get(path.as_str()) {
                (known, false)
            } else {
                let fresh = self.accounts.len();
                self.accounts.push(AccountState::new(&path, Some(node)));
                self.by_path.insert(path.as_str().into(), fresh);
                (fresh, true)
            };
        }
        (node, is_new)
    }

    pub(super) fn path(&self, node: Node) -> &str {
        &self.accounts[node].path
    }

    pub(super) fn limit(&self, node: Node) -> Option<Bytes> {
        self.accounts[node].limit
    }

    pub(super) fn set_limit(&mut self, node: Node, limit: Option<Bytes>) {
        self.accounts[node].limit = limit;
    }

    pub(super) fn used(&self, node: Node) -> Bytes {
        self.accounts[node].used
    }

    pub(super) fn peak(&self, node: Node) -> Bytes {
        self.accounts[node].peak
    }

    /// What a reservation on `node` could get: the least headroom on its path; `None` where no limit stands.
    pub(super) fn available(&self, node: Node) -> Option<Bytes> {
        self.path_to_root(node)
            .filter(|&level| self.accounts[level].limit.is_some())
            .map(|level| self.accounts[level].headroom())
            .min()
    }

    /// The tightest limit on the path of `node`; `None` where no limit stands.
    pub(super) fn tightest_limit(&self, node: Node) -> Option<Bytes> {
        self.path_to_root(node).filter_map(|level| self.accounts[level].limit).min()
    }

    fn path_to_root(&self, node: Node) -> impl Iterator<Item = Node> {
        std::iter::successors(Some(node), |&level| self.accounts[level].parent)
    }

    pub(super) fn reserve(
        &mut self,
        node: Node,
        bytes: Bytes,
        label: Box<str>,
    ) -> Result<Ticket, Box<Refusal>> {
        self.charge(node, bytes)?;
        Ok(self.book(node, bytes, label))
    }

    /// A slot for bytes that are charged already.
    fn book(&mut self, node: Node, bytes: Bytes, label: Box<str>) -> Ticket {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len().saturating_sub(1)
        });
        self.slots[slot].booking = Some(Booking { node, bytes, label });
        self.count(node, true);
        Ticket { slot, generation: self.slots[slot].generation }
    }

    /// Gives the bytes back; false if that was done before.
    pub(super) fn release(&mut self, ticket: Ticket) -> bool {
        let slot = &mut self.slots[ticket.slot];
        if slot.generation != ticket.generation {
            return false;
        }
        let Some(booking) = slot.booking.take() else { return false };
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(ticket.slot);
        self.discharge(booking.node, booking.bytes);
        self.count(booking.node, false);
        true
    }

    /// Size of a reservation; zero once released.
    pub(super) fn bytes(&self, ticket: Ticket) -> Bytes {
        self.booking(ticket).map_or(Bytes::ZERO, |booking| booking.bytes)
    }

    pub(super) fn is_live(&self, ticket: Ticket) -> bool {
        self.booking(ticket).is_some()
    }

    fn booking(&self, ticket: Ticket) -> Option<&Booking> {
        let slot = &self.slots[ticket.slot];
        slot.booking.as_ref().filter(|_| slot.generation == ticket.generation)
    }

    /// Changes a live reservation to `bytes` in one step; `None` if it was released.
    pub(super) fn resize(&mut self, ticket: Ticket, bytes: Bytes) -> Option<Result<(), Box<Refusal>>> {
        let booking = self.booking(ticket)?;
        let (node, held) = (booking.node, booking.bytes);
        if let Some(growth) = bytes.checked_sub(held) {
            if let Err(refusal) = self.charge(node, growth) {
                return Some(Err(refusal));
            }
        } else {
            self.discharge(node, held.saturating_sub(bytes));
        }
        if let Some(booking) = self.slots[ticket.slot].booking.as_mut() {
            booking.bytes = bytes;
        }
        Some(Ok(()))
    }

    /// A booking without bytes yet, for [`Tree::grow`] and [`Tree::shrink`].
    pub(super) fn open_meter(&mut self, node: Node, label: Box<str>) -> Ticket {
        self.book(node, Bytes::ZERO, label)
    }

    /// Adds `growth` to a live booking and to every account above it, or to none.
    pub(super) fn grow(&mut self, ticket: Ticket, growth: Bytes) -> Result<(), Box<Refusal>> {
        let Some(node) = self.booking(ticket).map(|booking| booking.node) else { return Ok(()) };
        self.charge(node, growth)?;
        if let Some(booking) = self.slots[ticket.slot].booking.as_mut() {
            booking.bytes = booking.bytes.saturating_add(growth); // at most `used` of its account, which did not
        }
        Ok(())
    }

    /// Takes `bytes` off a live booking, and no more than it holds.
    pub(super) fn shrink(&mut self, ticket: Ticket, bytes: Bytes) {
        let Some(booking) = self.slots[ticket.slot].booking.as_mut() else { return };
        debug_assert!(booking.bytes >= bytes, "more discharged than this meter holds");
        let given = booking.bytes.min(bytes);
        booking.bytes = booking.bytes.saturating_sub(given);
        let node = booking.node;
        self.discharge(node, given);
    }

    /// Adds `bytes` to every account from `node` to the root, or to none.
    fn charge(&mut self, node: Node, bytes: Bytes) -> Result<(), Box<Refusal>> {
        let full = self.path_to_root(node).find(|&level| bytes > self.accounts[level].headroom());
        if let Some(full) = full {
            self.accounts[node].refusals = self.accounts[node].refusals.saturating_add(1);
            return Err(Box::new(self.refusal(full, bytes)));
        }
        let mut next = Some(node);
        while let Some(level) = next {
            let account = &mut self.accounts[level];
            account.used = account.used.saturating_add(bytes); // cannot saturate: headroom was checked on each level
            account.peak = account.peak.max(account.used);
            next = account.parent;
        }
        Ok(())
    }

    fn discharge(&mut self, node: Node, bytes: Bytes) {
        let mut next = Some(node);
        while let Some(level) = next {
            let account = &mut self.accounts[level];
            debug_assert!(account.used >= bytes, "more released than was ever booked");
            account.used = account.used.saturating_sub(bytes);
            next = account.parent;
        }
    }

    fn count(&mut self, node: Node, is_reserved: bool) {
        let live = &mut self.accounts[node].reservations;
        *live = if is_reserved { live.saturating_add(1) } else { live.saturating_sub(1) };
    }

    fn refusal(&self, full: Node, requested: Bytes) -> Refusal {
        let account = &self.accounts[full];
        Refusal {
            account: account.path.to_string(),
            requested,
            available: account.headroom(),
            limit: account.limit.unwrap_or(Bytes::MAX),
            holders: self.holders(full, Refusal::HOLDERS),
        }
    }

    /// The `most` largest live reservations on `node` and below, largest first.
    pub(super) fn holders(&self, node: Node, most: usize) -> Vec<Holder> {
        let below = |booking: &&Booking| self.path_to_root(booking.node).any(|level| level == node);
        let mut bookings: Vec<&Booking> =
            self.slots.iter().filter_map(|slot| slot.booking.as_ref()).filter(below).collect();
        bookings.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.label.cmp(&b.label)));
        bookings
            .into_iter()
            .take(most)
            .map(|booking| Holder {
                account: self.path(booking.node).to_owned(),
                label: booking.label.to_string(),
                bytes: booking.bytes,
            })
            .collect()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut own: Vec<Bytes> = self.accounts.iter().map(|account| account.used).collect();
        for account in &self.accounts {
            if let Some(parent) = account.parent {
                own[parent] = own[parent].saturating_sub(account.used);
            }
        }
        let mut accounts: Vec<AccountSnapshot> = self
            .accounts
            .iter()
            .zip(own)
            .map(|(account, own)| AccountSnapshot {
                path: account.path.to_string(),
                parent: account.parent.map(|parent| self.path(parent).to_owned()),
                limit: account.limit,
                used: account.used,
                own,
                peak: account.peak,
                reservations: account.reservations,
                refusals: account.refusals,
            })
            .collect();
        accounts[1..].sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')));
        Snapshot { accounts }
    }
}
