//! Those who wait, in order: a request may pass an older one that it would deprive, but only so often.

use super::book::Open;
use super::charge::Full;
use super::layout::{
    TICKET, WAITER, WAITER_ACCOUNT, WAITER_BYTES, WAITER_PASSED, WAITER_SEEN, WAITER_TICKET, WAITING,
};

/// The ticket of a request that does not wait.
pub(super) const NEWCOMER: u64 = u64::MAX;
/// How often younger requests may take what a waiter needs.
const PASSES: u64 = 8;
/// A waiter that has not asked for so long is stopped, or its event loop hangs: it keeps its turn, others stop yielding.
const ASLEEP_NS: u64 = 1_000_000_000;

/// An entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) entry: usize,
    pub(super) ticket: u64,
}

impl Open<'_> {
    fn waiter(&self, entry: usize, field: usize) -> u64 {
        self.load(self.book.layout.waiter(entry, field))
    }

    fn set_waiter(&self, entry: usize, field: usize, value: u64) {
        self.store(self.book.layout.waiter(entry, field), value);
    }

    fn entries(&self) -> impl Iterator<Item = usize> {
        (0..self.book.layout.waiters).filter(|&entry| self.waiter(entry, WAITER) != 0)
    }

    /// Queues a request; `None` if the table is full, and the request is a newcomer each time it asks.
    pub(super) fn queue(&self, account: usize, bytes: u64) -> Option<Turn> {
        let entry = (0..self.book.layout.waiters).find(|&entry| self.waiter(entry, WAITER) == 0)?;
        let ticket = self.load(TICKET).saturating_add(1).min(NEWCOMER - 1);
        self.store(TICKET, ticket);
        let fields = [
            (WAITER_TICKET, ticket),
            (WAITER_ACCOUNT, u64::try_from(account).unwrap_or(u64::MAX)),
            (WAITER_BYTES, bytes),
            (WAITER_PASSED, 0),
            (WAITER_SEEN, self.book.world.now_ns()),
        ];
        for (field, value) in fields {
            self.set_waiter(entry, field, value);
        }
        self.store(WAITING, self.load(WAITING).saturating_add(1)); // before the entry: never too low
        self.set_waiter(entry, WAITER, self.waiting_as());
        Some(Turn { entry, ticket })
    }

    /// A waiter belongs to a place, which one process holds: the index behind 1, so that it is never 0.
    fn waiting_as(&self) -> u64 {
        place_mark(self.member.index)
    }

    /// Says that the waiter still asks.
    pub(super) fn keep_turn(&self, turn: Turn) {
        self.set_waiter(turn.entry, WAITER_SEEN, self.book.world.now_ns());
    }

    pub(super) fn leave(&self, turn: Turn) {
        let is_own = self.waiter(turn.entry, WAITER) == self.waiting_as()
            && self.waiter(turn.entry, WAITER_TICKET) == turn.ticket;
        if is_own {
            self.set_waiter(turn.entry, WAITER, 0);
            self.store(WAITING, self.load(WAITING).saturating_sub(1));
        }
    }

    /// Removes the waiters of places that nobody holds, and counts the rest.
    pub(super) fn dismiss_the_dead(&self) {
        let held: Vec<u64> = self.members().iter().map(|member| place_mark(member.index)).collect();
        let mut waiting = 0_u64;
        for entry in self.entries() {
            if held.contains(&self.waiter(entry, WAITER)) {
                waiting = waiting.saturating_add(1);
            } else {
                self.set_waiter(entry, WAITER, 0);
            }
        }
        self.store(WAITING, waiting);
    }

    /// Refuses a request that fits if it would deprive an older waiter: one that was passed often enough, or, if the
    /// request waits as well, one that fits itself. Otherwise each waiter that it deprives is passed once more.
    pub(super) fn give_way(&self, levels: &[usize], bytes: u64, ticket: u64) -> Result<(), Full> {
        let now = self.book.world.now_ns();
        let mut passed = Vec::new();
        for entry in self.entries() {
            let is_older = self.waiter(entry, WAITER_TICKET) < ticket;
            if !is_older || now.saturating_sub(self.waiter(entry, WAITER_SEEN)) > ASLEEP_NS {
                continue;
            }
            let Some(deprived) = self.deprived(entry, levels, bytes) else { continue };
            let is_next = ticket != NEWCOMER && deprived.fits;
            if is_next || self.waiter(entry, WAITER_PASSED) >= PASSES {
                return Err(deprived.full);
            }
            passed.push(entry);
        }
        for entry in passed {
            let times = self.waiter(entry, WAITER_PASSED).saturating_add(1);
            self.set_waiter(entry, WAITER_PASSED, times);
        }
        Ok(())
    }

    /// Whether `bytes` on `levels` would take what the waiter needs. Not while it is an account elsewhere that keeps the
    /// waiter waiting.
    fn deprived(&self, entry: usize, levels: &[usize], bytes: u64) -> Option<Deprived> {
        let needed = self.waiter(entry, WAITER_BYTES);
        let mut next =
            usize::try_from(self.waiter(entry, WAITER_ACCOUNT)).ok().filter(|&own| own < self.count());
        let mut full = None;
        let mut fits = true;
        while let Some(account) = next {
            let headroom = self.headroom(account);
            fits &= needed <= headroom;
            if !fits && !levels.contains(&account) {
                return None;
            }
            if needed.saturating_add(bytes) > headroom && levels.contains(&account) {
                full = full.or(Some(Full { account, available: headroom.saturating_sub(needed) }));
            }
            next = self.parent(account);
        }
        full.map(|full| Deprived { full, fits })
    }
}

/// A waiter that a request would deprive.
struct Deprived {
    /// The account in which both want the same bytes, and what would be left there.
    full: Full,
    /// Whether the waiter's request fits now, so that it is served as soon as it asks.
    fits: bool,
}

fn place_mark(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1)
}
