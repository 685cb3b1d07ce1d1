//! The latest events of a ledger, and what was held before them.

use std::collections::VecDeque;
use std::ops::Range;

use super::tree::Node;
use crate::sync::Arc;

/// Events a chunk holds.
const CHUNK: usize = 4096;

/// A change of what is booked. 32 bytes, the layout of the exported array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// Nanoseconds since the ledger was made.
    pub time_ns: i64,
    /// Bytes more, or less.
    pub delta: i64,
    /// Identity of the reservation through its life.
    pub id: u64,
    /// Index of the account.
    pub account: u32,
    /// Index of the label; a label belongs to one account.
    pub label: u32,
}

/// A bounded run of events: whole chunks that nobody writes to any more, and the one being written.
///
/// It is written under the lock that the decision needs anyway. A chunk that falls out of the window is written over,
/// so that a running timeline allocates nothing. What was held at any instant of the window is what is held now, less
/// the events since: nothing else has to be kept.
#[derive(Debug)]
pub(super) struct Ring {
    full: VecDeque<Arc<Vec<Event>>>,
    current: Vec<Event>,
    chunks_most: usize,
    /// Number of the oldest event.
    oldest: u64,
    /// Number of the next event.
    next: u64,
}

impl Ring {
    /// A window of at least `capacity` events.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            full: VecDeque::new(),
            current: Vec::new(),
            chunks_most: capacity.div_ceil(CHUNK).max(1),
            oldest: 0,
            next: 0,
        }
    }

    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Whether there is no place for another event.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.current.len() == self.current.capacity()
    }

    #[inline]
    pub(super) fn push(&mut self, event: Event) {
        self.current.push(event);
        self.next = self.next.wrapping_add(1);
    }

    /// The range of events that falls out when room is made.
    pub(super) fn leaving(&self) -> Range<u64> {
        let is_leaving = self.current.len() >= CHUNK && self.full.len() >= self.chunks_most;
        let chunk = self.full.front().filter(|_| is_leaving);
        self.oldest..self.oldest.wrapping_add(chunk.map_or(0, |chunk| chunk.len() as u64))
    }

    /// Makes place for more events.
    pub(super) fn make_room(&mut self) {
        if self.current.len() < CHUNK {
            // A young timeline grows by doubling; most ledgers never fill a chunk.
            let more = self.current.len().clamp(64, CHUNK.saturating_sub(self.current.len()));
            self.current.reserve_exact(more);
            return;
        }
        let mut empty = if self.full.len() >= self.chunks_most { self.drop_oldest() } else { Vec::new() };
        empty.reserve_exact(CHUNK);
        self.full.push_back(Arc::new(std::mem::replace(&mut self.current, empty)));
    }

    /// Lets the oldest chunk go; gives its memory, if nobody reads it.
    fn drop_oldest(&mut self) -> Vec<Event> {
        let Some(chunk) = self.full.pop_front() else { return Vec::new() };
        self.oldest = self.oldest.wrapping_add(chunk.len() as u64);
        let mut memory = Arc::try_unwrap(chunk).unwrap_or_default();
        memory.clear();
        memory
    }

    /// What each label held just before the window, of what it holds `now`.
    pub(super) fn balances_before(&self, mut now: Vec<u64>) -> Vec<u64> {
        for event in self.iter() {
            if let Some(balance) = now.get_mut(event.label as usize) {
                *balance = balance.wrapping_add_signed(event.delta.wrapping_neg()); // in this order it may pass below zero
            }
        }
        now
    }

    /// Goes through the window from what was held before it, and tells what each label held once each of `events`
    /// had happened; these are in order.
    pub(super) fn replay(
        &self,
        mut balances: Vec<u64>,
        events: &[u64],
        mut visit: impl FnMut(usize, &[u64]),
    ) {
        let mut wanted = events.iter().enumerate().peekable();
        for (number, event) in (self.oldest..).zip(self.iter()) {
            if wanted.peek().is_none() {
                return;
            }
            if let Some(balance) = balances.get_mut(event.label as usize) {
                *balance = balance.wrapping_add_signed(event.delta);
            }
            while let Some((index, _)) = wanted.next_if(|&(_, &at)| at == number) {
                visit(index, &balances);
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Event> {
        self.full.iter().flat_map(|chunk| chunk.iter()).chain(&self.current)
    }

    /// The window as it stands, cheap to take: whole chunks are shared.
    pub(super) fn window(&self) -> Window {
        Window {
            chunks: self.full.iter().cloned().collect(),
            last: self.current.clone(),
            oldest: self.oldest,
        }
    }
}

/// A copy of the window, put together outside the lock.
#[derive(Debug)]
pub(super) struct Window {
    chunks: Vec<Arc<Vec<Event>>>,
    last: Vec<Event>,
    pub(super) oldest: u64,
}

impl Window {
    /// Fills in the events, and what was held before them, of what is held now.
    pub(super) fn fill(self, timeline: &mut Timeline) {
        let length = self.chunks.iter().fold(self.last.len(), |sum, chunk| sum.saturating_add(chunk.len()));
        timeline.events.reserve_exact(length);
        for chunk in &self.chunks {
            timeline.events.extend_from_slice(chunk);
        }
        timeline.events.extend_from_slice(&self.last);
        for event in &timeline.events {
            let balance = &mut timeline.start[event.label as usize];
            *balance = balance.wrapping_add_signed(event.delta.wrapping_neg()); // in this order it may pass below zero
        }
    }
}

/// The events that a ledger still remembers, oldest first, and what they speak of.
///
/// Booked bytes of an account over time are the sum of `start` of its labels and those below it, plus the running sum
/// of `delta` of their events: exact, whatever was let go before.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The events in the order in which they were decided.
    pub events: Vec<Event>,
    /// Paths by [`Event::account`]; parents before children, the root first.
    pub accounts: Vec<Arc<str>>,
    /// Texts by [`Event::label`].
    pub labels: Vec<Arc<str>>,
    /// The account of each label.
    pub label_accounts: Vec<Node>,
    /// Bytes held under each label just before the first event.
    pub start: Vec<u64>,
    /// Events older than the window.
    pub dropped: u64,
    /// Wall-clock time of `time_ns == 0`, in nanoseconds since 1970.
    pub epoch_unix_ns: u64,
}
