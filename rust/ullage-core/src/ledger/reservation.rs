//! Booked bytes with an owner.

use super::account::Account;
use super::books::Books;
use super::credit::DRAW_MOST;
use super::home::Home;
use super::origin::Origin;
use super::report::Held;
use super::slab::{SlotId, Tenure};
use super::tag::TagId;
use super::tree::Stamp;
use crate::error::{Error, HandleFault, Refusal, Result};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::units::Bytes;

/// What a reservation keeps its account by: an [`Account`] of its own, a reference to one, or any owner of one.
///
/// An [`Account`] costs two atomic updates of a count that all threads with the same handle share; what borrows or
/// counts otherwise costs none. It must give the same account at all times.
pub trait Anchor: Clone {
    /// The account that it keeps.
    fn account(&self) -> &Account;
}

impl Anchor for Account {
    #[inline]
    fn account(&self) -> &Account {
        self
    }
}

impl Anchor for &Account {
    #[inline]
    fn account(&self) -> &Account {
        self
    }
}

/// Bytes booked on an account. Dropping it gives them back; so does [`Reservation::release`], at any time, once.
#[derive(Debug)]
pub struct Reservation<A: Anchor = Account> {
    anchor: A,
    /// A [`State`], packed. Changes under the ledger's lock only, but for the release of a drawn one.
    state: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the slab.
    Placed(SlotId),
    /// Bytes drawn from the account's credit; at most 2^62 − 1.
    Drawn(u64),
    /// Given back; what it was, as long as its label is remembered.
    Released { tag: TagId, vintage: u32 },
}

const VINTAGES: u32 = (1 << 30) - 1;

/// Beside the place in the slab: the ledger wants to know where this one was made.
const SAMPLED: u64 = 1 << 63;

impl State {
    fn packed(self) -> u64 {
        match self {
            Self::Placed(slot) => u64::from(slot) << 2,
            Self::Drawn(bytes) => (bytes << 2) | 1,
            Self::Released { tag, vintage } => {
                (u64::from(vintage & VINTAGES) << 34) | (u64::from(tag) << 2) | 2
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the fields were packed from 32 bits")]
    fn unpacked(packed: u64) -> Self {
        match packed & 3 {
            0 => Self::Placed((packed >> 2) as u32),
            1 => Self::Drawn(packed >> 2),
            _ => Self::Released { tag: (packed >> 2) as u32, vintage: (packed >> 34) as u32 },
        }
    }
}

/// A decided reservation: its packed state, and whether the ledger wants to know where it was made.
#[inline]
fn entered(slot: SlotId, is_sampled: bool) -> u64 {
    let mark = if is_sampled { SAMPLED } else { 0 };
    State::Placed(slot).packed() | mark
}

/// Books `bytes`; gives the state of the reservation.
#[inline]
fn book(account: &Account, bytes: u64, label: &str) -> Result<u64, Box<Refusal>> {
    let home = &*account.home;
    if label.is_empty()
        && bytes <= DRAW_MOST
        && let Some(leaf) = &home.credit
    {
        home.draw(leaf, bytes)?;
        return Ok(State::Drawn(bytes).packed());
    }
    home.decide(|books| {
        let slot = books.reserve(home.node, bytes, label, Tenure::Owned)?;
        let born = books.slab.get(slot).born;
        Ok(entered(slot, books.origins.wants(born)))
    })
}

impl Reservation {
    /// As [`Account::reserve`], which counts one more owner of the account only where something was booked.
    #[inline]
    pub(super) fn on(account: &Account, bytes: Bytes, label: &str) -> Result<Self, Box<Refusal>> {
        let state = book(account, bytes.get(), label)?;
        Ok(Self { anchor: account.clone(), state: AtomicU64::new(state) })
    }
}

impl<A: Anchor> Reservation<A> {
    /// As [`Account::reserve`] of the account that `anchor` keeps; the reservation keeps it by `anchor`.
    ///
    /// # Errors
    /// As [`Account::reserve`].
    #[inline]
    pub fn anchored(anchor: A, bytes: Bytes, label: &str) -> Result<Self, Box<Refusal>> {
        let state = book(anchor.account(), bytes.get(), label)?;
        Ok(Self { anchor, state: AtomicU64::new(state) })
    }

    #[inline]
    pub(super) fn placed(anchor: A, slot: SlotId) -> Self {
        Self { anchor, state: AtomicU64::new(entered(slot, false)) }
    }

    #[inline]
    fn home(&self) -> &Home {
        &self.anchor.account().home
    }

    /// Whether the ledger wants to know where this reservation was made ([`Reservation::set_origin`]).
    #[inline]
    #[must_use]
    pub fn wants_origin(&self) -> bool {
        self.state.load(Ordering::Relaxed) & (SAMPLED | 3) == SAMPLED
    }

    #[inline]
    fn state(&self) -> State {
        State::unpacked(self.state.load(Ordering::Acquire))
    }

    /// What the bytes are for, as given when they were reserved; empty once the ledger has forgotten.
    #[must_use]
    pub fn label(&self) -> Arc<str> {
        self.home().shared.with(|books| self.named(books).1)
    }

    /// Path of the account.
    #[must_use]
    pub fn account(&self) -> Arc<str> {
        self.home().shared.with(|books| self.named(books).0)
    }

    /// Path and label.
    fn named(&self, books: &Books) -> (Arc<str>, Arc<str>) {
        let tag = match self.state() {
            State::Placed(slot) => Some(books.slab.get(slot).tag),
            State::Released { tag, vintage } => {
                let is_same =
                    (tag as usize) < books.tags.len() && books.tags.get(tag).vintage & VINTAGES == vintage;
                is_same.then_some(tag)
            }
            State::Drawn(_) => None,
        };
        let Some(tag) = tag.map(|tag| books.tags.get(tag)) else {
            return (books.tree.path(self.home().node).clone(), Arc::from(""));
        };
        (books.tree.path(tag.node).clone(), tag.label.clone())
    }

    /// Bytes held; zero once released.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.home().shared.with(|books| match self.state() {
            State::Placed(slot) => Bytes::new(books.slab.get(slot).bytes),
            State::Drawn(bytes) => Bytes::new(bytes),
            State::Released { .. } => Bytes::ZERO,
        })
    }

    /// Whether the bytes are still held.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !matches!(self.state(), State::Released { .. })
    }

    /// The place in the slab, given to a drawn reservation now; `None` once released.
    fn place(&self, books: &mut Books) -> Option<SlotId> {
        match self.state() {
            State::Placed(slot) => Some(slot),
            State::Released { .. } => None,
            State::Drawn(bytes) => {
                // Nobody sees the place before the lock is open, and by then it is taken.
                let drawn = State::Drawn(bytes).packed();
                let placed = State::Placed(books.slab.next()).packed();
                let exchanged =
                    self.state.compare_exchange(drawn, placed, Ordering::AcqRel, Ordering::Acquire);
                exchanged.is_ok().then(|| books.materialise(self.home().node, bytes)) // else released meanwhile
            }
        }
    }

    fn released(&self) -> Error {
        let (account, label) = self.home().shared.with(|books| self.named(books));
        Error::Released { account: account.to_string(), label: label.to_string() }
    }

    /// Changes the size in one step: no other thread sees the old bytes given back before the new ones are taken.
    ///
    /// # Errors
    /// [`Error::BudgetExceeded`] if the growth does not fit (the old size stays booked), [`Error::Released`] if the
    /// bytes were given back already.
    pub fn resize(&self, bytes: Bytes) -> Result<()> {
        let resized = self.home().decide(|books| match self.place(books) {
            Some(slot) => books.resize(slot, bytes.get()).map(|()| true),
            None => Ok(false),
        })?;
        if resized { Ok(()) } else { Err(self.released()) }
    }

    /// Takes `bytes` out into a reservation of their own, on the same account under the same label.
    ///
    /// # Errors
    /// [`Error::Argument`] if it holds fewer, [`Error::Released`] if it holds none any more.
    pub fn split(&self, bytes: Bytes) -> Result<Self> {
        let split = self.home().shared.with(|books| {
            let slot = self.place(books)?;
            let held = *books.slab.get(slot);
            let Some(rest) = held.bytes.checked_sub(bytes.get()) else { return Some(Err(held.bytes)) };
            let at = books.stamp();
            books.set_size(slot, rest, at);
            let at = Stamp { event: at.event.wrapping_add(1), ..at };
            let fresh = books.enter(held.tag, bytes.get(), Tenure::Owned, at);
            let origin = books.slab.get(slot).origin;
            books.slab.get_mut(fresh).origin = origin;
            Some(Ok(fresh))
        });
        match split {
            None => Err(self.released()),
            Some(Ok(slot)) => Ok(Self::placed(self.anchor.clone(), slot)),
            Some(Err(held)) => Err(Error::Argument {
                name: "bytes",
                reason: format!("{bytes} cannot be split from a reservation of {}", Bytes::new(held)),
            }),
        }
    }

    /// Takes the bytes of `other` over, which is released by that; what is booked does not change.
    ///
    /// # Errors
    /// [`Error::Handle`] if `other` belongs to another ledger, [`Error::Argument`] if it is this very reservation or
    /// stands on another account, [`Error::Released`] if one of the two was released.
    pub fn merge(&self, other: &Self) -> Result<()> {
        if self.home().shared.id != other.home().shared.id {
            return Err(Error::Handle { index: 0, fault: HandleFault::Foreign });
        }
        let unfit = |reason: &str| Error::Argument { name: "other", reason: reason.to_owned() };
        if std::ptr::eq(self, other) {
            return Err(unfit("a reservation cannot be merged with itself"));
        }
        self.home()
            .shared
            .with(|books| {
                let (Some(ours), Some(theirs)) = (self.place(books), other.place(books)) else { return None };
                let (kept, gone) = (*books.slab.get(ours), *books.slab.get(theirs));
                if books.tags.get(kept.tag).node != books.tags.get(gone.tag).node {
                    return Some(Err(unfit("it stands on another account; transfer it first")));
                }
                let at = books.stamp();
                other.set_released(books, theirs);
                books.leave(theirs, at);
                let at = Stamp { event: at.event.wrapping_add(1), ..at };
                books.set_size(ours, kept.bytes.saturating_add(gone.bytes), at);
                Some(Ok(()))
            })
            .unwrap_or_else(|| Err(if self.is_live() { other.released() } else { self.released() }))
    }

    /// Moves the bytes to another account of the ledger: booked once at every instant, and not at all anew on the
    /// accounts above both.
    ///
    /// # Errors
    /// [`Error::BudgetExceeded`] if they do not fit there (they stay where they were), [`Error::Handle`] if the account
    /// belongs to another ledger, [`Error::Released`] if the bytes were given back already.
    pub fn transfer(&self, to: &Account) -> Result<()> {
        if self.home().shared.id != to.home.shared.id {
            return Err(Error::Handle { index: 0, fault: HandleFault::Foreign });
        }
        let moved = to.home.decide(|books| match self.place(books) {
            Some(slot) => books.transfer(slot, to.home.node).map(|()| true),
            None => Ok(false),
        })?;
        if moved { Ok(()) } else { Err(self.released()) }
    }

    /// Gives the bytes back; false if that was done before.
    #[inline]
    pub fn release(&self) -> bool {
        match self.state() {
            State::Released { .. } => false,
            State::Drawn(bytes) => self.release_drawn(bytes),
            State::Placed(_) => self.release_placed(),
        }
    }

    fn release_placed(&self) -> bool {
        self.home().shared.with(|books| {
            // Another thread may have been faster; nobody changes the state while the lock is held.
            let State::Placed(slot) = self.state() else { return false };
            self.set_released(books, slot);
            books.release(slot);
            true
        })
    }

    fn set_released(&self, books: &Books, slot: SlotId) {
        let tag = books.slab.get(slot).tag;
        let vintage = books.tags.get(tag).vintage;
        self.state.store(State::Released { tag, vintage }.packed(), Ordering::Release);
    }

    fn release_drawn(&self, bytes: u64) -> bool {
        let gone = State::Released { tag: TagId::MAX, vintage: 0 }.packed();
        let drawn = State::Drawn(bytes).packed();
        if self.state.compare_exchange(drawn, gone, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return self.release(); // given a place meanwhile, or released
        }
        if let Some(leaf) = &self.home().credit {
            self.home().put(leaf, bytes);
        }
        true
    }

    /// Notes where the reservation was made, innermost frame first.
    pub fn set_origin(&self, origin: Origin) {
        self.home().shared.with(|books| {
            if let State::Placed(slot) = self.state() {
                let number = books.origins.intern(origin);
                books.slab.get_mut(slot).origin = number;
            }
        });
    }

    /// Where it was made, if that was asked for.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.home().shared.with(|books| match self.state() {
            State::Placed(slot) => books.origins.get(books.slab.get(slot).origin).cloned(),
            _ => None,
        })
    }

    /// Gives back the bytes of a reservation that its owner lost without releasing it, counts it as leaked and tells what
    /// it was; `None` if it was released.
    #[must_use]
    pub fn abandon(&self) -> Option<Held> {
        if !self.is_live() {
            return None;
        }
        let held = self.home().shared.with(|books| {
            let slot = self.place(books)?;
            let held = books.held_by(slot);
            let node = books.tags.get(books.slab.get(slot).tag).node;
            let account = books.tree.account_mut(node);
            account.leaked = account.leaked.saturating_add(1);
            Some(held)
        });
        self.release();
        held
    }
}

impl<A: Anchor> Drop for Reservation<A> {
    #[inline]
    fn drop(&mut self) {
        // Nobody else sees the state any more, so that it need not be changed.
        match (self.state(), &self.home().credit) {
            (State::Released { .. }, _) => {}
            (State::Drawn(bytes), Some(leaf)) => self.home().put(leaf, bytes),
            _ => {
                self.release();
            }
        }
    }
}
