//! The latest events of a ledger, and what was held before them.

use std::collections::VecDeque;

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
/// so that a running timeline allocates nothing.
#[derive(Debug)]
pub(super) struct Ring {
    full: VecDeque<Arc<Vec<Event>>>,
    current: Vec<Event>,
    chunks_most: usize,
    /// Bytes held by each label before the oldest event.
    start: Vec<u64>,
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
            start: Vec::new(),
            oldest: 0,
            next: 0,
        }
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Whether the next event makes the oldest chunk fall out.
    #[inline]
    pub(super) fn is_about_to_drop(&self) -> bool {
        self.current.len() == CHUNK && self.full.len() >= self.chunks_most
    }

    #[inline]
    pub(super) fn push(&mut self, event: Event) {
        if self.current.len() == self.current.capacity() {
            self.make_room();
        }
        self.current.push(event);
        self.next = self.next.wrapping_add(1);
    }

    fn make_room(&mut self) {
        if self.current.len() < CHUNK {
            // A young timeline grows by doubling; most ledgers never fill a chunk.
            let more = self.current.len().clamp(64, CHUNK.saturating_sub(self.current.len()));
            self.current.reserve_exact(more);
            return;
        }
        let mut empty = Vec::new();
        if self.full.len() >= self.chunks_most {
            empty = self.drop_oldest();
        }
        if empty.capacity() < CHUNK {
            empty = Vec::with_capacity(CHUNK);
        }
        self.full.push_back(Arc::new(std::mem::replace(&mut self.current, empty)));
    }

    /// Lets the oldest chunk go; gives its memory, if nobody reads it.
    fn drop_oldest(&mut self) -> Vec<Event> {
        let Some(chunk) = self.full.pop_front() else { return Vec::new() };
        for event in chunk.iter() {
            apply(&mut self.start, event);
        }
        self.oldest = self.oldest.wrapping_add(chunk.len() as u64);
        Arc::try_unwrap(chunk).map_or_else(
            |_| Vec::new(),
            |mut chunk| {
                chunk.clear();
                chunk
            },
        )
    }

    /// What each label held once the events up to and with number `event` had happened; `None` if that is past the
    /// window's beginning.
    pub(super) fn balances_after(&self, event: u64) -> Option<Vec<u64>> {
        let count = usize::try_from(event.checked_sub(self.oldest)?).ok()?.checked_add(1)?;
        let mut balances = self.start.clone();
        self.iter().take(count).for_each(|event| apply(&mut balances, event));
        Some(balances)
    }

    /// What each label held once each of `events` had happened, which fall out next, in order.
    pub(super) fn replay_oldest(&self, events: &[u64], mut visit: impl FnMut(usize, &[u64])) {
        let Some(chunk) = self.full.front() else { return };
        let mut balances = self.start.clone();
        let mut wanted = events.iter().enumerate().peekable();
        for (number, event) in (self.oldest..).zip(chunk.iter()) {
            apply(&mut balances, event);
            while let Some((index, _)) = wanted.next_if(|&(_, &at)| at == number) {
                visit(index, &balances);
            }
        }
    }

    /// The range of events that falls out next.
    pub(super) fn oldest_chunk(&self) -> std::ops::Range<u64> {
        let length = self.full.front().map_or(0, |chunk| chunk.len() as u64);
        self.oldest..self.oldest.wrapping_add(length)
    }

    fn iter(&self) -> impl Iterator<Item = &Event> {
        self.full.iter().flat_map(|chunk| chunk.iter()).chain(&self.current)
    }

    /// The window as it stands, cheap to take: whole chunks are shared.
    pub(super) fn window(&self) -> Window {
        Window {
            chunks: self.full.iter().cloned().collect(),
            last: self.current.clone(),
            start: self.start.clone(),
            oldest: self.oldest,
        }
    }
}

fn apply(balances: &mut Vec<u64>, event: &Event) {
    let label = event.label as usize;
    if balances.len() <= label {
        balances.resize(label.saturating_add(1), 0);
    }
    balances[label] = balances[label].saturating_add_signed(event.delta);
}

/// A copy of the window, put together outside the lock.
#[derive(Debug)]
pub(super) struct Window {
    chunks: Vec<Arc<Vec<Event>>>,
    last: Vec<Event>,
    pub(super) start: Vec<u64>,
    pub(super) oldest: u64,
}

impl Window {
    pub(super) fn into_events(self) -> Vec<Event> {
        let length = self.chunks.iter().fold(self.last.len(), |sum, chunk| sum.saturating_add(chunk.len()));
        let mut events = Vec::with_capacity(length);
        self.chunks.iter().for_each(|chunk| events.extend_from_slice(chunk));
        events.extend_from_slice(&self.last);
        events
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
