//! What is done inside the lock: charging a path, and putting right what the dead left.
//!
//! The cells are the truth, each written in one store by the process it belongs to; the charges are sums of them. Whoever
//! dies inside leaves cells that nobody else wrote and sums that are made anew, so at which store it died changes nothing.

use super::book::Open;
use super::header::{name, set_name};
use super::layout::{
    ACCOUNT_EPOCH, CELL_BYTES, CELL_COUNT, CELL_SINCE, CHARGED, COUNT, EPOCH, LIMIT, NAME_LIMIT, NO_LIMIT,
    PARENT, PEAK, REFUSALS, WAITING,
};
use super::place::Member;
use super::tables::limit_of;
use crate::error::{Error, Result};
use crate::units::clip;

/// The account whose limit refused, and what was free under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    pub(super) account: usize,
    pub(super) available: u64,
}

impl Open<'_> {
    pub(super) fn load(&self, at: usize) -> u64 {
        self.book.words.load(at)
    }

    pub(super) fn store(&self, at: usize, value: u64) {
        self.book.words.store(at, value);
    }

    pub(super) fn account(&self, account: usize, field: usize) -> u64 {
        self.load(self.book.layout.account(account, field))
    }

    pub(super) fn set_account(&self, account: usize, field: usize, value: u64) {
        self.store(self.book.layout.account(account, field), value);
    }

    /// Accounts in use; their indices lie below.
    pub(super) fn count(&self) -> usize {
        usize::try_from(self.load(COUNT)).unwrap_or(usize::MAX).clamp(1, self.book.layout.accounts)
    }

    /// The account above; none for the root.
    pub(super) fn parent(&self, account: usize) -> Option<usize> {
        let parent = usize::try_from(self.account(account, PARENT)).ok()?;
        (parent < account).then_some(parent)
    }

    /// What still fits under the account's own limit.
    pub(super) fn headroom(&self, account: usize) -> u64 {
        self.account(account, LIMIT).saturating_sub(self.account(account, CHARGED))
    }

    fn cell(&self, account: usize, field: usize) -> usize {
        self.book.layout.cell(self.member.index, account, field)
    }

    /// Books `bytes` on `levels`, an account and all above it, or on none. Waiters with a ticket below `ticket` stand
    /// before this request.
    pub(super) fn charge(&self, levels: &[usize], bytes: u64, ticket: u64) -> Result<(), Full> {
        let full = levels.iter().map(|&account| Full { account, available: self.headroom(account) });
        if let Some(full) = full.into_iter().find(|full| bytes > full.available) {
            return Err(full);
        }
        if self.load(WAITING) != 0 {
            self.give_way(levels, bytes, ticket)?;
        }
        self.add_to_cell(levels, bytes);
        for &level in levels {
            let charged = self.account(level, CHARGED).saturating_add(bytes); // headroom was checked on each level
            self.set_account(level, CHARGED, charged);
            if charged > self.account(level, PEAK) {
                self.set_account(level, PEAK, charged);
            }
        }
        Ok(())
    }

    fn add_to_cell(&self, levels: &[usize], bytes: u64) {
        if let Some(&own) = levels.first() {
            let at = self.cell(own, CELL_BYTES);
            self.store(at, self.load(at).saturating_add(bytes));
        }
    }

    /// Gives `bytes` of this process back.
    pub(super) fn discharge(&self, levels: &[usize], bytes: u64) {
        let Some(&own) = levels.first() else { return };
        let at = self.cell(own, CELL_BYTES);
        let held = self.load(at);
        self.store(at, held.saturating_sub(bytes));
        let mut is_sound = held >= bytes;
        for &level in levels {
            let charged = self.account(level, CHARGED);
            is_sound &= charged >= bytes;
            self.set_account(level, CHARGED, charged.saturating_sub(bytes));
        }
        if !is_sound {
            self.rebuild(); // somebody else wrote into the file
        }
    }

    /// Counts a reservation of this process in or out.
    pub(super) fn count_reservation(&self, account: usize, is_reserved: bool) {
        let at = self.cell(account, CELL_COUNT);
        let live = self.load(at);
        if is_reserved && live == 0 {
            self.store(self.cell(account, CELL_SINCE), self.book.world.now_ns());
        }
        self.store(at, if is_reserved { live.saturating_add(1) } else { live.saturating_sub(1) });
    }

    /// Ends a reservation of this process.
    pub(super) fn release(&self, levels: &[usize], bytes: u64) {
        self.discharge(levels, bytes);
        if let Some(&account) = levels.first() {
            self.count_reservation(account, false);
        }
    }

    pub(super) fn count_refusal(&self, account: usize) {
        self.set_account(account, REFUSALS, self.account(account, REFUSALS).saturating_add(1));
    }

    /// Index and identity of each place in use.
    pub(super) fn members(&self) -> Vec<Member> {
        let places = (0..self.book.layout.members)
            .map(|index| Member { identity: self.load(self.book.layout.member(index)), index });
        places.filter(|member| member.identity != 0).collect()
    }

    pub(super) fn has_members(&self) -> bool {
        !self.members().is_empty()
    }

    /// Buries the dead and makes all sums anew.
    pub(super) fn repair(&self) {
        for Member { identity, index } in self.members() {
            if identity != self.member.identity && !self.book.world.is_alive(identity) {
                self.bury(index);
            }
        }
        self.dismiss_the_dead();
        self.rebuild();
    }

    /// Takes the place of a member away, and with it its bookings: cells count for the member that has the place.
    pub(super) fn bury(&self, index: usize) {
        self.store(self.book.layout.member(index), 0);
    }

    /// Empties the cells of a place, whatever its last holder left in them.
    fn clear_cells(&self, index: usize) {
        for account in 0..self.count() {
            for field in [CELL_BYTES, CELL_COUNT, CELL_SINCE] {
                let at = self.book.layout.cell(index, account, field);
                if self.load(at) != 0 {
                    self.store(at, 0);
                }
            }
        }
    }

    /// Makes every sum anew from the cells. The sums are finished before the first is written: readers need no lock.
    pub(super) fn rebuild(&self) {
        let members = self.members();
        let mut sums = vec![0_u64; self.count()];
        for account in (0..sums.len()).rev() {
            let cells = members.iter().map(|member| self.book.layout.cell(member.index, account, CELL_BYTES));
            let own = cells.fold(0_u64, |sum, at| sum.saturating_add(self.load(at)));
            sums[account] = sums[account].saturating_add(own);
            if let Some(parent) = self.parent(account) {
                sums[parent] = sums[parent].saturating_add(sums[account]);
            }
        }
        for (account, sum) in sums.into_iter().enumerate() {
            if self.account(account, CHARGED) != sum {
                self.set_account(account, CHARGED, sum);
            }
            if self.account(account, PEAK) < sum {
                self.set_account(account, PEAK, sum);
            }
        }
    }

    /// Begins anew when nobody lives: accounts and limits stay, peaks and refusals begin at zero.
    pub(super) fn begin_epoch(&self) {
        for account in 0..self.count() {
            for field in [CHARGED, PEAK, REFUSALS] {
                self.set_account(account, field, 0);
            }
        }
        self.store(EPOCH, self.load(EPOCH).saturating_add(1));
    }

    /// Takes a free place for this process.
    pub(super) fn claim(&mut self) -> Result<()> {
        let book = self.book;
        let free = (0..book.layout.members).find(|&index| self.load(book.layout.member(index)) == 0);
        let Some(index) = free else {
            let reason = format!("all {} places are taken by living processes", book.layout.members);
            return Err(book.fault(book.layout.member(0), reason));
        };
        self.clear_cells(index);
        self.store(book.layout.member(index), self.member.identity);
        self.member.index = index;
        book.place.set(self.member);
        Ok(())
    }

    /// The account at `segments`, made with its parents where missing.
    ///
    /// A limit that was set before the present processes came gives way to the one that the first of them names.
    pub(super) fn find_or_add(&self, segments: &[&str], limit: Option<u64>) -> Result<usize> {
        let mut account = 0;
        let mut is_new = false;
        for &segment in segments {
            let known = (1..self.count()).find(|&child| {
                self.parent(child) == Some(account)
                    && name(&self.book.words, self.book.layout, child).as_deref() == Some(segment)
            });
            (account, is_new) = match known {
                Some(child) => (child, false),
                None => (self.add(account, segment)?, true),
            };
        }
        let Some(wanted) = limit else { return Ok(account) };
        let existing = self.account(account, LIMIT);
        if is_new || self.account(account, ACCOUNT_EPOCH) < self.load(EPOCH) {
            self.set_limit(account, wanted);
        } else if existing != wanted {
            let existing =
                limit_of(existing).map_or_else(|| "no limit".to_owned(), |limit| format!("limit {limit}"));
            let wanted = limit_of(wanted).map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
            let path = self.path(account);
            return Err(Error::Argument {
                name: "limit",
                reason: format!(
                    "account {path:?} exists with {existing}, not {wanted}; use set_limit to change it"
                ),
            });
        }
        Ok(account)
    }

    /// Sets the limit; whoever names another one from now on contradicts it.
    pub(super) fn set_limit(&self, account: usize, limit: u64) {
        self.set_account(account, LIMIT, limit);
        self.set_account(account, ACCOUNT_EPOCH, self.load(EPOCH));
    }

    /// Adds an account; it exists from the last store on.
    fn add(&self, parent: usize, segment: &str) -> Result<usize> {
        let (account, layout) = (self.count(), self.book.layout);
        if account >= layout.accounts {
            let reason = format!("all {} accounts are in use", layout.accounts);
            return Err(self.book.fault(COUNT, reason));
        }
        if segment.len() > NAME_LIMIT {
            return Err(Error::AccountPath {
                path: clip(segment),
                reason: "a segment longer than 256 bytes, more than a shared ledger holds",
            });
        }
        for member in 0..layout.members {
            for field in [CELL_BYTES, CELL_COUNT, CELL_SINCE] {
                if self.load(layout.cell(member, account, field)) != 0 {
                    self.store(layout.cell(member, account, field), 0);
                }
            }
        }
        set_name(&self.book.words, layout, account, segment);
        let parent = u64::try_from(parent).unwrap_or(u64::MAX);
        let fields = [
            (PARENT, parent),
            (ACCOUNT_EPOCH, self.load(EPOCH)),
            (LIMIT, NO_LIMIT),
            (CHARGED, 0),
            (PEAK, 0),
            (REFUSALS, 0),
        ];
        for (field, value) in fields {
            self.set_account(account, field, value);
        }
        self.store(COUNT, u64::try_from(account.saturating_add(1)).unwrap_or(u64::MAX));
        Ok(account)
    }
}
