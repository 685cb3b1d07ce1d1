//! A request that waits until it fits.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::account::SharedAccount;
use super::book::{Open, WAITING_SWEEP_NS};
use super::place::Member;
use super::queue::{NEWCOMER, Turn};
use super::reservation::SharedReservation;
use crate::error::Result;
use crate::units::Bytes;

/// A request with a place in the queue, which it keeps as long as somebody asks for it at least once a second, and leaves
/// when it is dropped.
pub struct SharedWaiter {
    account: SharedAccount,
    bytes: Bytes,
    label: Box<str>,
    state: Mutex<State>,
}

struct State {
    /// With the process that stands there: a forked child has to queue itself.
    turn: Option<(Member, Turn)>,
    pause: Duration,
}

impl SharedWaiter {
    const FIRST_PAUSE: Duration = Duration::from_micros(100);
    const LONGEST_PAUSE: Duration = Duration::from_millis(50);

    pub(super) fn new(account: SharedAccount, bytes: Bytes, label: &str) -> Self {
        let state = Mutex::new(State { turn: None, pause: Self::FIRST_PAUSE });
        Self { account, bytes, label: label.into(), state }
    }

    /// Asks once; `None` if the request has to wait on.
    ///
    /// # Errors
    /// See [`SharedAccount`].
    pub fn poll(&self) -> Result<Option<SharedReservation>> {
        if let Some(reservation) = self.ask()? {
            return Ok(Some(reservation));
        }
        self.account.book.sweep_after(WAITING_SWEEP_NS)?;
        self.ask()
    }

    /// How long to pause before the next [`SharedWaiter::poll`]: longer each time, up to 50 ms.
    pub fn pause(&self) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = state.pause;
        state.pause = pause.mul_f64(1.5).min(Self::LONGEST_PAUSE);
        pause
    }

    /// Asks for the last time.
    ///
    /// # Errors
    /// [`Error::BudgetExceeded`](crate::Error::BudgetExceeded) if it still does not fit; else see [`SharedAccount`].
    pub fn give_up(&self) -> Result<SharedReservation> {
        let account = &self.account;
        let granted = account.book.admit(account.index(), self.bytes, |open| {
            let ticket = self.turn_in(open).map_or(NEWCOMER, |turn| turn.ticket);
            Ok(account.book_in(open, self.bytes, &self.label, ticket))
        });
        self.leave();
        granted
    }

    /// Waits for at most `patience`.
    ///
    /// # Errors
    /// As [`SharedWaiter::give_up`].
    pub fn wait(&self, patience: Duration) -> Result<SharedReservation> {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if let Some(reservation) = self.poll()? {
                return Ok(reservation);
            }
            std::thread::sleep(self.pause().min(patience.saturating_sub(begun.elapsed())));
        }
        self.give_up()
    }

    /// Where it stands, if this process put it there.
    fn turn_in(&self, open: &Open<'_>) -> Option<Turn> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.turn.filter(|&(member, _)| member == open.member).map(|(_, turn)| turn)
    }

    fn ask(&self) -> Result<Option<SharedReservation>> {
        let open = self.account.book.lock()?;
        let turn = self.turn_in(&open);
        let ticket = turn.map_or(NEWCOMER, |turn| turn.ticket);
        if let Ok(reservation) = self.account.book_in(&open, self.bytes, &self.label, ticket) {
            if let Some(turn) = turn {
                open.leave(turn);
                self.state.lock().unwrap_or_else(PoisonError::into_inner).turn = None;
            }
            return Ok(Some(reservation));
        }
        if let Some(turn) = turn {
            open.keep_turn(turn);
        } else {
            let turn = open.queue(self.account.index(), self.bytes.get()).map(|turn| (open.member, turn));
            self.state.lock().unwrap_or_else(PoisonError::into_inner).turn = turn;
        }
        Ok(None)
    }

    /// Gives its turn up, as dropping it does.
    pub fn leave(&self) {
        let turn = self.state.lock().unwrap_or_else(PoisonError::into_inner).turn.take();
        let Some((member, turn)) = turn else { return };
        if self.account.book.place.current() == Some(member)
            && let Ok(open) = self.account.book.lock()
        {
            open.leave(turn);
        }
    }
}

impl Drop for SharedWaiter {
    fn drop(&mut self) {
        self.leave();
    }
}
