//! A naive ledger: lists, and sums made anew for every question. It knows nothing of credit, slabs, tags or locks.

use std::collections::BTreeMap;

pub(super) const PATHS: [&str; 6] = ["/", "a", "a/b", "a/c", "d", "e"];
const PARENTS: [usize; 6] = [0, 0, 1, 1, 0, 0];
pub(super) const LIMITS: [Option<u64>; 6] = [Some(100), Some(70), None, Some(40), None, Some(50)];
/// Quanta of the credit leaves.
pub(super) const QUANTA: [Option<u64>; 6] = [None, None, None, Some(8), Some(16), None];
pub(super) const PASSES: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Listed one by one.
    Placed,
    /// Counted under its label.
    Metered,
    /// Out of the credit of its leaf.
    Drawn,
}

#[derive(Clone, Debug)]
pub(super) struct Booking {
    pub(super) account: usize,
    pub(super) bytes: u64,
    pub(super) label: String,
    pub(super) form: Form,
}

#[derive(Clone, Debug)]
pub(super) struct Waiter {
    pub(super) id: usize,
    pub(super) account: usize,
    pub(super) bytes: u64,
    pub(super) label: String,
    pub(super) passed: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) made: u64,
    pub(super) released: u64,
    pub(super) refusals: u64,
    pub(super) total: u64,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) limits: [Option<u64>; 6],
    pub(super) bookings: BTreeMap<usize, Booking>,
    pub(super) queue: Vec<Waiter>,
    /// Bookings that waiters were granted, by their number.
    pub(super) granted: BTreeMap<usize, usize>,
    pub(super) tallies: [Tally; 6],
    next: usize,
}

/// An account and those above it, the root last.
pub(super) fn path(account: usize) -> Vec<usize> {
    if account == 0 { vec![0] } else { [vec![account], path(PARENTS[account])].concat() }
}

pub(super) fn is_below(account: usize, above: usize) -> bool {
    path(account).contains(&above)
}

impl Model {
    pub(super) fn new() -> Self {
        let (bookings, granted) = (BTreeMap::new(), BTreeMap::new());
        Self { limits: LIMITS, bookings, queue: Vec::new(), granted, tallies: [Tally::default(); 6], next: 0 }
    }

    pub(super) fn below(&self, account: usize) -> impl Iterator<Item = &Booking> {
        self.bookings.values().filter(move |booking| is_below(booking.account, account))
    }

    pub(super) fn used(&self, account: usize) -> u64 {
        self.below(account).map(|booking| booking.bytes).sum()
    }

    fn room(&self, account: usize) -> u64 {
        self.limits[account].unwrap_or(u64::MAX).saturating_sub(self.used(account))
    }

    pub(super) fn available(&self, account: usize) -> Option<u64> {
        let limited = path(account).into_iter().filter(|&level| self.limits[level].is_some());
        limited.map(|level| self.room(level)).min()
    }

    pub(super) fn tally_below(&self, account: usize) -> Tally {
        let below = (0..6).filter(|&other| is_below(other, account)).map(|other| self.tallies[other]);
        below.fold(Tally::default(), |sum, tally| Tally {
            made: sum.made + tally.made,
            released: sum.released + tally.released,
            refusals: sum.refusals + tally.refusals,
            total: sum.total + tally.total,
        })
    }

    /// The rule: does taking `bytes` on each of `levels` keep `waiter` from what it waits for?
    ///
    /// Not if a level that the taker does not touch holds it up anyway, nor if it can never be served.
    fn is_harmed(&self, waiter: &Waiter, levels: &[usize], bytes: u64) -> bool {
        let way = path(waiter.account);
        bytes > 0
            && way.iter().all(|&level| self.limits[level].is_none_or(|limit| waiter.bytes <= limit))
            && way.iter().all(|level| self.is_shared(*level, levels) || waiter.bytes <= self.room(*level))
            && way
                .iter()
                .any(|level| levels.contains(level) && self.room(*level) < waiter.bytes.saturating_add(bytes))
    }

    /// Whether a level lies on the way of the taker, whose lowest level is the first of `levels`.
    #[expect(clippy::unused_self, reason = "reads like the others")]
    fn is_shared(&self, level: usize, levels: &[usize]) -> bool {
        levels.first().is_some_and(|&lowest| is_below(lowest, level))
    }

    fn is_kept_back(&self, levels: &[usize], bytes: u64, ahead: usize) -> bool {
        let ahead = self.queue.iter().take(ahead);
        ahead.into_iter().any(|waiter| waiter.passed >= PASSES && self.is_harmed(waiter, levels, bytes))
    }

    fn pass(&mut self, levels: &[usize], bytes: u64, ahead: usize) {
        let harmed: Vec<bool> =
            self.queue.iter().map(|waiter| self.is_harmed(waiter, levels, bytes)).collect();
        for (waiter, is_harmed) in self.queue.iter_mut().zip(harmed).take(ahead) {
            waiter.passed += u32::from(is_harmed);
        }
    }

    fn first_full(&self, levels: &[usize], bytes: u64) -> Option<usize> {
        levels.iter().copied().find(|&level| bytes > self.room(level))
    }

    /// Whether `bytes` may be taken on each of `levels`; the level that is full, or `None` where a waiter is kept in
    /// front.
    pub(super) fn admit(&mut self, levels: &[usize], bytes: u64) -> Result<(), Option<usize>> {
        if let Some(full) = self.first_full(levels, bytes) {
            return Err(Some(full));
        }
        self.admit_all(&[(levels.to_vec(), bytes)]).then_some(()).ok_or(None)
    }

    fn admit_all(&mut self, wants: &[(Vec<usize>, u64)]) -> bool {
        let all = self.queue.len();
        if wants.iter().any(|(levels, bytes)| self.is_kept_back(levels, *bytes, all)) {
            return false;
        }
        for (levels, bytes) in wants {
            self.pass(levels, *bytes, all);
        }
        true
    }

    /// Whether all demands may be booked together.
    pub(super) fn admit_many(&mut self, demands: &BTreeMap<usize, u64>) -> bool {
        let asked = |level: usize| -> u64 {
            demands.iter().filter(|&(&account, _)| is_below(account, level)).map(|(_, bytes)| bytes).sum()
        };
        if (0..6).any(|level| asked(level) > self.room(level)) {
            return false;
        }
        let wants: Vec<_> = demands.iter().map(|(&account, &bytes)| (path(account), bytes)).collect();
        self.admit_all(&wants)
    }

    pub(super) fn book(&mut self, account: usize, bytes: u64, label: &str, form: Form) -> usize {
        let id = self.next;
        self.next += 1;
        self.bookings.insert(id, Booking { account, bytes, label: label.to_owned(), form });
        self.tallies[account].made += 1;
        if form != Form::Drawn {
            self.tallies[account].total += bytes;
        }
        id
    }

    pub(super) fn release(&mut self, id: usize) -> bool {
        let gone = self.bookings.remove(&id);
        if let Some(booking) = &gone {
            self.tallies[booking.account].released += 1;
        }
        gone.is_some()
    }

    /// What was drawn is given a place as soon as anything but a release is done with it.
    pub(super) fn place(&mut self, id: usize) {
        if let Some(booking) = self.bookings.get_mut(&id).filter(|booking| booking.form == Form::Drawn) {
            booking.form = Form::Placed;
            self.tallies[booking.account].total += booking.bytes;
        }
    }

    pub(super) fn refuse(&mut self, account: usize) {
        self.tallies[account].refusals += 1;
    }

    /// Takes a place in the queue; `None` where no wait could help.
    pub(super) fn enqueue(&mut self, account: usize, bytes: u64, label: &str) -> Option<usize> {
        if path(account).iter().any(|&level| self.limits[level].is_some_and(|limit| limit < bytes)) {
            self.refuse(account);
            return None;
        }
        let id = self.next;
        self.next += 1;
        self.queue.push(Waiter { id, account, bytes, label: label.to_owned(), passed: 0 });
        Some(id)
    }

    /// Grants whatever can be granted, in order. Whatever was done before: nobody who fits may be left waiting.
    pub(super) fn serve(&mut self) {
        let mut place = 0;
        while let Some(waiter) = self.queue.get(place).cloned() {
            let levels = path(waiter.account);
            if self.first_full(&levels, waiter.bytes).is_some()
                || self.is_kept_back(&levels, waiter.bytes, place)
            {
                place += 1;
                continue;
            }
            self.pass(&levels, waiter.bytes, place);
            self.queue.remove(place);
            let booking = self.book(waiter.account, waiter.bytes, &waiter.label, Form::Placed);
            self.granted.insert(waiter.id, booking);
        }
    }
}
