//! Which buffers are in the scratch space, and which of them goes first. Bookkeeping alone: nothing here waits or decodes.
//!
//! Networks read their weights in the same order again and again. Of such a round, a cache that drops what was used least
//! recently keeps nothing; so the time between two uses of a tensor is taken for the time until the next, and what is
//! expected latest goes first. Tensors of which one use is known are expected as far ahead as that use lies back, which
//! makes the oldest of them go first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::buffer::Buffer;
use super::output::Form;
use crate::error::{Holder, Refusal};
use crate::ledger::Meter;
use crate::units::Bytes;

/// A tensor in a form.
pub(super) type Key = (usize, Form);

/// What was asked of a store, and what it did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Arrays that were decoded already when asked for.
    pub hits: u64,
    /// Arrays that had to be decoded.
    pub misses: u64,
    /// Arrays that another caller was decoding just then.
    pub shared: u64,
    /// Arrays that are views of the file.
    pub views: u64,
    /// Buffers taken from one tensor for another.
    pub evictions: u64,
    /// Bytes decoded.
    pub decoded: Bytes,
    /// Time spent decoding, summed over threads.
    pub decoding: Duration,
    /// Bytes of all buffers.
    pub used: Bytes,
    /// Bytes of those that somebody holds.
    pub held: Bytes,
    /// The most bytes of all buffers at once.
    pub peak: Bytes,
}

/// A buffer of the scratch space.
#[derive(Debug)]
struct Slot {
    /// Nothing while it is being filled.
    buffer: Option<Arc<Buffer>>,
    bytes: u64,
}

impl Slot {
    /// Whether a caller reads or fills it. Copies are made under the lock alone, so one is all there is or will be.
    fn is_held(&self) -> bool {
        self.buffer.as_ref().is_none_or(|buffer| Arc::strong_count(buffer) > 1)
    }
}

/// When a tensor was used.
#[derive(Clone, Copy, Debug, Default)]
struct Uses {
    /// Nothing if it was only decoded ahead.
    last: Option<u64>,
    interval: Option<u64>,
    /// Whether it was decoded ahead and not used since: somebody said that it is needed next.
    is_expected: bool,
}

impl Uses {
    /// When it is expected again, asked at `now`.
    fn next(self, now: u64) -> u64 {
        if self.is_expected {
            return now;
        }
        let last = self.last.unwrap_or(0);
        let expected = self.interval.map(|interval| last.saturating_add(interval));
        // What is overdue, or was used once, is expected as far ahead as its last use lies back.
        let overdue = now.saturating_add(now.saturating_sub(last));
        expected.filter(|&next| next > now).unwrap_or(overdue)
    }
}

/// Whether a tensor is there.
#[derive(Debug)]
pub(super) enum Found {
    Ready(Arc<Buffer>),
    Filling,
    Absent,
}

/// The scratch space's books.
#[derive(Debug)]
pub(super) struct Room {
    limit: u64,
    meter: Option<Meter>,
    slots: HashMap<Key, Slot>,
    uses: HashMap<Key, Uses>,
    clock: u64,
    is_closed: bool,
    pub(super) stats: Stats,
}

impl Room {
    pub(super) fn new(limit: Bytes, meter: Option<Meter>) -> Self {
        Self {
            limit: limit.get(),
            meter,
            slots: HashMap::new(),
            uses: HashMap::new(),
            clock: 0,
            is_closed: false,
            stats: Stats::default(),
        }
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Notes that `key` is used.
    pub(super) fn note_use(&mut self, key: Key) {
        self.clock = self.clock.saturating_add(1);
        let now = self.clock;
        let uses = self.uses.entry(key).or_default();
        uses.interval = uses.last.map(|last| now.saturating_sub(last));
        uses.last = Some(now);
        uses.is_expected = false;
    }

    /// Notes that `key` will be used next.
    pub(super) fn note_ahead(&mut self, key: Key) {
        self.uses.entry(key).or_default().is_expected = true;
    }

    pub(super) fn find(&self, key: Key) -> Found {
        match self.slots.get(&key) {
            None => Found::Absent,
            Some(Slot { buffer: None, .. }) => Found::Filling,
            Some(Slot { buffer: Some(buffer), .. }) => Found::Ready(buffer.clone()),
        }
    }

    /// Books `bytes` for `key`, which is absent, and marks it as being filled. Gives a buffer of that length if one was to
    /// go; what is decoded ahead takes none from its like. `name` names tensors for a refusal.
    pub(super) fn take(
        &mut self,
        key: Key,
        bytes: u64,
        is_ahead: bool,
        account: &str,
        name: &dyn Fn(Key) -> String,
    ) -> Result<Option<Buffer>, Box<Refusal>> {
        let held = self.held();
        if held.saturating_add(bytes) > self.limit {
            return Err(self.refusal(bytes, self.limit.saturating_sub(held), account, name).into());
        }
        let mut spare = None;
        while self.stats.used.get().saturating_add(bytes) > self.limit {
            if !self.evict(bytes, is_ahead, &mut spare) {
                return Err(self.refusal(bytes, self.limit.saturating_sub(held), account, name).into());
            }
        }
        while let Some(Err(refusal)) = self.meter.as_ref().map(|meter| meter.charge(Bytes::new(bytes))) {
            // What the account has no room for may be here: buffers that nobody holds.
            if !self.evict(bytes, is_ahead, &mut spare) {
                return Err(refusal);
            }
        }
        self.slots.insert(key, Slot { buffer: None, bytes });
        self.stats.used = self.stats.used.saturating_add(Bytes::new(bytes));
        self.stats.peak = self.stats.peak.max(self.stats.used);
        Ok(spare)
    }

    /// The buffer of `key` is filled.
    pub(super) fn fill(&mut self, key: Key, buffer: Arc<Buffer>) {
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.buffer = Some(buffer);
        }
    }

    /// Gives up the buffer of `key`, filled or not.
    pub(super) fn remove(&mut self, key: Key) -> Option<Arc<Buffer>> {
        let Slot { buffer, bytes } = self.slots.remove(&key)?;
        self.stats.used = self.stats.used.saturating_sub(Bytes::new(bytes));
        if let Some(meter) = &self.meter {
            meter.discharge(Bytes::new(bytes));
        }
        buffer
    }

    /// Refuses everything from now on and gives up what nobody holds.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.sweep();
    }

    /// Gives up what nobody holds.
    pub(super) fn sweep(&mut self) {
        let free: Vec<Key> =
            self.slots.iter().filter(|(_, slot)| !slot.is_held()).map(|(key, _)| *key).collect();
        for key in free {
            self.remove(key);
        }
    }

    /// Bytes that somebody reads or fills.
    pub(super) fn held(&self) -> u64 {
        let held = self.slots.values().filter(|slot| slot.is_held());
        held.fold(0, |sum, slot| sum.saturating_add(slot.bytes))
    }

    /// Gives up the buffer that is expected latest of those that nobody holds, and keeps it in `spare` if it has `wanted`
    /// bytes. `false` if there is none, or, for what is decoded ahead, none but of its like.
    fn evict(&mut self, wanted: u64, is_ahead: bool, spare: &mut Option<Buffer>) -> bool {
        let next = |key: &Key| self.uses.get(key).map_or(u64::MAX, |uses| uses.next(self.clock));
        let is_expected = |key: &Key| self.uses.get(key).is_some_and(|uses| uses.is_expected);
        let free = self.slots.iter().filter(|(_, slot)| !slot.is_held()).map(|(key, _)| *key);
        let free = free.filter(|key| !(is_ahead && is_expected(key)));
        let Some(victim) = free.max_by_key(|key| (next(key), *key)) else { return false };
        if let Some(buffer) = self.remove(victim).and_then(Arc::into_inner) {
            self.stats.evictions = self.stats.evictions.saturating_add(1);
            let is_wanted = u64::try_from(buffer.bytes().len()) == Ok(wanted);
            if is_wanted && spare.is_none() {
                *spare = Some(buffer);
            }
        }
        true
    }

    fn refusal(
        &self,
        requested: u64,
        available: u64,
        account: &str,
        name: &dyn Fn(Key) -> String,
    ) -> Refusal {
        let mut held: Vec<(&Key, &Slot)> = self.slots.iter().filter(|(_, slot)| slot.is_held()).collect();
        held.sort_by_key(|(key, slot)| (std::cmp::Reverse(slot.bytes), **key));
        let holders = held.into_iter().take(Refusal::HOLDERS).map(|(key, slot)| Holder {
            account: account.to_owned(),
            label: name(*key),
            bytes: Bytes::new(slot.bytes),
            reservations: 1,
            age: Duration::ZERO,
        });
        Refusal {
            account: account.to_owned(),
            requested: Bytes::new(requested),
            available: Bytes::new(available),
            limit: Bytes::new(self.limit),
            holders: holders.collect(),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let keys: Vec<Key> = self.slots.keys().copied().collect();
        for key in keys {
            self.remove(key);
        }
    }
}
