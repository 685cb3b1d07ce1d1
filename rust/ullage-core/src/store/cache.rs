//! The scratch space: buffers under one budget, each filled once however many ask for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buffer::Buffer;
use super::lease::Lease;
use super::room::{Found, Key, Room, Stats};
use crate::error::{Error, Result};
use crate::ledger::Meter;
use crate::sync::{Condvar, Mutex, MutexGuard, lock};
use crate::units::Bytes;

/// The scratch space of one store.
#[derive(Debug)]
pub(super) struct Cache {
    room: Mutex<Room>,
    /// Somebody filled a buffer, gave one up or let one go.
    changed: Condvar,
    /// What a refusal calls the space.
    name: String,
}

/// Takes a buffer that is being filled out of the books, unless it was filled.
struct Filling<'a> {
    cache: &'a Cache,
    key: Key,
    is_done: bool,
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            lock(&self.cache.room).remove(self.key);
            self.cache.changed.notify_all();
        }
    }
}

impl Cache {
    pub(super) fn new(name: String, limit: Bytes, meter: Option<Meter>) -> Arc<Self> {
        Arc::new(Self { room: Mutex::new(Room::new(limit, meter)), changed: Condvar::new(), name })
    }

    /// The buffer of `key`, of `bytes` bytes: as it is there, or filled by `fill`. While every other buffer is held, waits
    /// for room as `purpose` says.
    ///
    /// # Errors
    /// [`Error::BudgetExceeded`] where there is no room by then, [`Error::Argument`] once closed, and what `fill` raises.
    pub(super) fn get(
        self: &Arc<Self>,
        key: Key,
        bytes: usize,
        purpose: Purpose,
        name: &dyn Fn(Key) -> String,
        fill: impl FnOnce(&mut Buffer) -> Result<()>,
    ) -> Result<Lease> {
        let spare = match self.enter(key, bytes, purpose, name)? {
            Entered::Ready(lease) => return Ok(lease),
            Entered::ToFill(spare) => spare,
        };
        let mut filling = Filling { cache: self, key, is_done: false };
        let mut buffer = spare.map_or_else(|| Buffer::new(bytes), Ok)?;
        let started = Instant::now();
        fill(&mut buffer)?;
        let elapsed = started.elapsed();
        let buffer = Arc::new(buffer);
        let mut room = lock(&self.room);
        room.fill(key, buffer.clone());
        filling.is_done = true;
        let stats = &mut room.stats;
        stats.decoded = stats.decoded.saturating_add(Bytes::new(u64::try_from(bytes).unwrap_or(u64::MAX)));
        stats.decoding = stats.decoding.saturating_add(elapsed);
        drop(room);
        self.changed.notify_all();
        Ok(Lease::new(buffer, self.clone()))
    }

    /// Finds the buffer, or books room for it.
    fn enter(
        self: &Arc<Self>,
        key: Key,
        bytes: usize,
        purpose: Purpose,
        name: &dyn Fn(Key) -> String,
    ) -> Result<Entered> {
        let (wait, is_ahead) = match purpose {
            Purpose::Use { wait } => (wait, false),
            Purpose::Ahead => (Duration::ZERO, true),
        };
        let until = Instant::now().checked_add(wait);
        let wanted = u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut room = lock(&self.room);
        let mut has_waited = false;
        loop {
            if room.is_closed() {
                return Err(closed());
            }
            match room.find(key) {
                Found::Ready(buffer) => {
                    if !is_ahead {
                        room.note_use(key);
                        let count = if has_waited { &mut room.stats.shared } else { &mut room.stats.hits };
                        *count = count.saturating_add(1);
                    }
                    return Ok(Entered::Ready(Lease::new(buffer, self.clone())));
                }
                Found::Filling => {
                    has_waited = true;
                    room = self.changed.wait(room).unwrap_or_else(std::sync::PoisonError::into_inner);
                    continue;
                }
                Found::Absent => {}
            }
            match room.take(key, wanted, is_ahead, &self.name, name) {
                Ok(spare) => {
                    room.stats.misses = room.stats.misses.saturating_add(1);
                    if is_ahead {
                        room.note_ahead(key);
                    } else {
                        room.note_use(key);
                    }
                    return Ok(Entered::ToFill(spare));
                }
                Err(refusal) => {
                    // Without an end in sight one waits a long time, again and again.
                    let left = until.map_or(wait, |until| until.saturating_duration_since(Instant::now()));
                    if left.is_zero() || refusal.requested > refusal.limit {
                        return Err(refusal.into());
                    }
                    room = self.paused(room, left);
                }
            }
        }
    }

    fn paused<'a>(&self, room: MutexGuard<'a, Room>, left: Duration) -> MutexGuard<'a, Room> {
        // An account may have room again without anything having changed here.
        let left = left.min(Duration::from_millis(20));
        self.changed.wait_timeout(room, left).unwrap_or_else(std::sync::PoisonError::into_inner).0
    }

    /// Lets go of a buffer.
    pub(super) fn let_go(&self, buffer: Arc<Buffer>) {
        let mut room = lock(&self.room);
        drop(buffer);
        if room.is_closed() {
            room.sweep();
        }
        drop(room);
        self.changed.notify_all();
    }

    /// Counts a view of the file, or nothing but that the store is open.
    ///
    /// # Errors
    /// [`Error::Argument`] once closed.
    pub(super) fn pass(&self, is_view: bool) -> Result<()> {
        let mut room = lock(&self.room);
        if room.is_closed() {
            return Err(closed());
        }
        room.stats.views = room.stats.views.saturating_add(u64::from(is_view));
        Ok(())
    }

    pub(super) fn stats(&self) -> Stats {
        let room = lock(&self.room);
        Stats { held: Bytes::new(room.held()), ..room.stats }
    }

    /// Gives up what nobody holds and refuses everything from now on; what is held goes once it is let go.
    pub(super) fn close(&self) {
        lock(&self.room).close();
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.room).is_closed()
    }

    /// Gives up what nobody holds.
    pub(super) fn clear(&self) {
        lock(&self.room).sweep();
    }
}

/// Why a tensor is decoded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// Somebody uses it now, and waits so long for room.
    Use { wait: Duration },
    /// Somebody says that it will be used next.
    Ahead,
}

fn closed() -> Error {
    Error::Argument { name: "store", reason: "it is closed".to_owned() }
}

enum Entered {
    Ready(Lease),
    ToFill(Option<Buffer>),
}
