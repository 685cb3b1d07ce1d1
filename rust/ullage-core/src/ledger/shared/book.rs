//! One process's hold on a shared ledger: its view of the words, its place among the members, the way into the lock.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::charge::Full;
use super::header;
use super::identity::{World, id};
use super::layout::{LOCK, Layout, SWEPT};
use super::lock::{Pauses, give_back, take, take_over};
use super::place::{Member, Place};
use super::words::Words;
use crate::error::{Error, Result};
use crate::units::Bytes;

/// How a thread waits for the lock: calls what it is given, and lets go meanwhile of whatever others need.
pub type Waits = fn(&mut (dyn FnMut() + Send));

/// A living process holds the lock for microseconds, unless it is stopped.
const PATIENCE: Duration = Duration::from_secs(10);
/// After this long the dead are looked for again.
pub(super) const SWEEP_NS: u64 = 500_000_000;
/// The same while somebody waits for bytes.
pub(super) const WAITING_SWEEP_NS: u64 = 50_000_000;
/// No index: of a process that has no place yet.
const NOWHERE: usize = usize::MAX;

/// The words of a ledger as one process sees them, and where it notes its place.
pub(super) struct View {
    pub(super) words: Words,
    pub(super) layout: Layout,
    pub(super) place: Place,
}

pub(super) struct Book {
    pub(super) words: Words,
    pub(super) layout: Layout,
    pub(super) place: Place,
    pub(super) world: Box<dyn World>,
    pub(super) path: PathBuf,
    /// Set under the lock.
    pub(super) closed: AtomicBool,
    waits: Waits,
    /// How long a living process may hold the lock before this one gives up.
    pub(super) patience: Duration,
    debts: Mutex<Vec<Debt>>,
    has_debts: AtomicBool,
}

/// Bytes of a dropped reservation that could not be given back yet.
pub(super) struct Debt {
    pub(super) owner: Member,
    pub(super) levels: Arc<[usize]>,
    pub(super) bytes: u64,
}

impl Book {
    /// A view that has not joined yet.
    pub(super) fn new(view: View, world: Box<dyn World>, path: PathBuf, waits: Waits) -> Self {
        let View { words, layout, place } = view;
        let (closed, has_debts) = (AtomicBool::new(false), AtomicBool::new(false));
        Self {
            words,
            layout,
            place,
            world,
            path,
            closed,
            waits,
            patience: PATIENCE,
            debts: Mutex::default(),
            has_debts,
        }
    }

    pub(super) fn fault(&self, word: usize, reason: impl Into<String>) -> Error {
        let offset = u64::try_from(word).ok().and_then(|word| word.checked_mul(8));
        Error::SharedFile { path: self.path.clone(), offset, reason: reason.into() }
    }

    fn shut(&self) -> Error {
        Error::SharedClosed { path: self.path.clone() }
    }

    /// The place of this process, taken now if this is a child that has none.
    pub(super) fn member(&self) -> Result<Member> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(self.shut());
        }
        match self.place.current() {
            Some(member) => Ok(member),
            None => self.join(),
        }
    }

    /// Takes the lock; what a holder left that died inside is put right first.
    pub(super) fn lock(&self) -> Result<Open<'_>> {
        let member = self.member()?;
        let is_taken_over = self.acquire(member.identity)?;
        let open = Open { book: self, member };
        if is_taken_over {
            open.repair();
        }
        if self.closed.load(Ordering::Relaxed) {
            return Err(self.shut());
        }
        let at = self.layout.member(member.index);
        if self.words.load(at) != member.identity {
            return Err(self.fault(at, "the place of this process was taken from it"));
        }
        if self.has_debts.load(Ordering::Acquire) {
            self.settle(&open);
        }
        Ok(open)
    }

    /// True if the lock was taken over from the dead.
    fn acquire(&self, own: u64) -> Result<bool> {
        if take(&self.words, own).is_ok() {
            return Ok(false);
        }
        let mut outcome = None;
        (self.waits)(&mut || outcome = Some(self.acquire_in_time(own)));
        outcome.unwrap_or_else(|| self.acquire_in_time(own))
    }

    fn acquire_in_time(&self, own: u64) -> Result<bool> {
        let started = Instant::now();
        let mut pauses = Pauses::default();
        loop {
            let Err(holder) = take(&self.words, own) else { return Ok(false) };
            if pauses.are_long() {
                if !self.world.is_alive(holder) && take_over(&self.words, holder, own) {
                    return Ok(true);
                }
                let waited = started.elapsed();
                if waited > self.patience {
                    let pid = Some(id(holder));
                    return Err(Error::SharedBusy {
                        path: self.path.clone(),
                        pid,
                        waited_s: waited.as_secs_f64(),
                    });
                }
            }
            pauses.pause();
        }
    }

    /// Begins with what a file holds: checks it, buries the dead, and takes a place.
    pub(super) fn open(&self) -> Result<()> {
        let own = self.world.own_identity()?;
        self.acquire(own)?;
        let mut open = Open { book: self, member: Member { identity: own, index: NOWHERE } };
        header::check_tables(&self.words, self.layout)
            .map_err(|fault| self.fault(fault.word, fault.reason))?;
        open.repair();
        if !open.has_members() {
            open.begin_epoch();
        }
        open.claim()
    }

    fn join(&self) -> Result<Member> {
        let own = self.world.own_identity()?;
        let is_taken_over = self.acquire(own)?;
        let mut open = Open { book: self, member: Member { identity: own, index: NOWHERE } };
        if let Some(member) = self.place.current() {
            if is_taken_over {
                open.repair();
            }
            return Ok(member); // another thread of this process was faster
        }
        open.repair();
        open.claim()?;
        Ok(open.member)
    }

    /// Takes the bookings and places of the dead away, if any died.
    pub(super) fn sweep(&self) -> Result<()> {
        self.words.store(SWEPT, self.world.now_ns());
        if self.has_dead() {
            self.lock()?.repair();
        }
        Ok(())
    }

    /// Sweeps unless somebody did so in the last `interval_ns`.
    pub(super) fn sweep_after(&self, interval_ns: u64) -> Result<()> {
        // In either direction: a time in the future was written by no process of this boot.
        if self.world.now_ns().abs_diff(self.words.load(SWEPT)) < interval_ns { Ok(()) } else { self.sweep() }
    }

    /// Whether a member or the holder of the lock is dead. Looks without the lock, because looking takes system calls.
    fn has_dead(&self) -> bool {
        let own = self.place.current().map_or(0, |member| member.identity);
        let members = (0..self.layout.members).map(|index| self.layout.member(index));
        let mut last = own;
        members.chain([LOCK]).any(|at| {
            let identity = self.words.load(at);
            if identity == 0 || identity == own || identity == last {
                return false;
            }
            last = identity;
            !self.world.is_alive(identity)
        })
    }

    /// Does what charges, and if that is refused once more after the dead are gone; then it is a refusal by `account`.
    pub(super) fn admit<T>(
        &self,
        account: usize,
        requested: Bytes,
        attempt: impl Fn(&Open<'_>) -> Result<Result<T, Full>>,
    ) -> Result<T> {
        if let Ok(done) = attempt(&self.lock()?)? {
            return Ok(done);
        }
        self.sweep()?;
        let open = self.lock()?;
        attempt(&open)?.map_err(|full| {
            open.count_refusal(account);
            Box::new(open.refusal(full, requested)).into()
        })
    }

    /// Keeps in mind what could not be given back because the lock was stuck; the next who gets in gives it back.
    pub(super) fn owe(&self, debt: Debt) {
        if let Ok(mut debts) = self.debts.try_lock() {
            debts.push(debt);
            self.has_debts.store(true, Ordering::Release);
        }
    }

    fn settle(&self, open: &Open<'_>) {
        let Ok(mut debts) = self.debts.try_lock() else { return };
        for debt in debts.drain(..).filter(|debt| debt.owner == open.member) {
            open.release(&debt.levels, debt.bytes);
        }
        self.has_debts.store(false, Ordering::Release);
    }

    /// Gives everything of this process back, and its place; false if that was done before.
    pub(super) fn close(&self) -> Result<bool> {
        if self.closed.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if self.place.current().is_none() {
            return Ok(!self.closed.swap(true, Ordering::Relaxed)); // a child that never booked anything
        }
        let open = match self.lock() {
            Err(Error::SharedClosed { .. }) => return Ok(false),
            open => open?,
        };
        self.closed.store(true, Ordering::Relaxed);
        open.bury(open.member.index);
        open.dismiss_the_dead();
        open.rebuild();
        Ok(true)
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        // Whatever stands in the way, the place is taken away when this process has ended.
        let _ = self.close();
    }
}

/// The books while this process is inside the lock. Dropping it gives the lock back.
pub(super) struct Open<'a> {
    pub(super) book: &'a Book,
    pub(super) member: Member,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        give_back(&self.book.words);
    }
}
