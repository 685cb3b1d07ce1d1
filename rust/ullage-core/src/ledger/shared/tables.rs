//! What stands in the tables, read inside the lock.

use std::time::Duration;

use super::book::Open;
use super::charge::Full;
use super::header::name;
use super::identity::id;
use super::layout::{CELL_BYTES, CELL_COUNT, CELL_SINCE, CHARGED, LIMIT, NO_LIMIT, PEAK, REFUSALS};
use super::place::Member;
use super::snapshot::{SharedAccountSnapshot, SharedProcess, SharedSnapshot};
use crate::error::{Holder, Refusal};
use crate::units::Bytes;

/// A limit as the callers know it.
pub(super) fn limit_of(word: u64) -> Option<Bytes> {
    (word != NO_LIMIT).then_some(Bytes::new(word))
}

impl Open<'_> {
    /// The account and all above it, the root last.
    pub(super) fn levels(&self, account: usize) -> Vec<usize> {
        std::iter::successors(Some(account), |&level| self.parent(level)).collect()
    }

    /// The path as callers write it.
    pub(super) fn path(&self, account: usize) -> String {
        let mut levels = self.levels(account);
        levels.pop();
        let names = levels.into_iter().rev().map(|level| {
            name(&self.book.words, self.book.layout, level).unwrap_or_else(|| format!("account {level}"))
        });
        let path = names.collect::<Vec<_>>().join("/");
        if path.is_empty() { "/".to_owned() } else { path }
    }

    fn is_below(&self, account: usize, above: usize) -> bool {
        std::iter::successors(Some(account), |&level| self.parent(level)).any(|level| level == above)
    }

    /// A field of an account's cells, process by process. A process that opened the ledger twice is one.
    fn by_process(&self, members: &[Member], account: usize, field: usize) -> Vec<(u32, u64)> {
        let mut rows: Vec<(u32, u64)> = Vec::new();
        for member in members {
            let value = self.load(self.book.layout.cell(member.index, account, field));
            let pid = id(member.identity);
            match rows.iter_mut().find(|(known, _)| *known == pid) {
                Some((_, sum)) => *sum = sum.saturating_add(value),
                None => rows.push((pid, value)),
            }
        }
        rows
    }

    /// Since when a process has held something on an account without a break.
    fn since(&self, members: &[Member], account: usize, pid: u32) -> u64 {
        let holding = members.iter().filter(|member| {
            id(member.identity) == pid
                && self.load(self.book.layout.cell(member.index, account, CELL_COUNT)) > 0
        });
        let since = holding.map(|member| self.load(self.book.layout.cell(member.index, account, CELL_SINCE)));
        since.min().unwrap_or(u64::MAX)
    }

    /// The `most` largest bookings of one process on one account, on `above` and below, largest first.
    pub(super) fn holders(&self, above: usize, most: usize) -> Vec<Holder> {
        let (members, now) = (self.members(), self.book.world.now_ns());
        let mut found: Vec<(u64, usize, u32, u64)> = Vec::new();
        for account in (above..self.count()).filter(|&account| self.is_below(account, above)) {
            let counts = self.by_process(&members, account, CELL_COUNT);
            for ((pid, bytes), (_, count)) in
                self.by_process(&members, account, CELL_BYTES).into_iter().zip(counts)
            {
                if bytes > 0 {
                    found.push((bytes, account, pid, count));
                }
            }
        }
        found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
        found.truncate(most);
        let holder = |(bytes, account, pid, count)| Holder {
            account: self.path(account),
            label: format!("pid {pid}"),
            bytes: Bytes::new(bytes),
            reservations: count,
            age: Duration::from_nanos(now.saturating_sub(self.since(&members, account, pid))),
        };
        found.into_iter().map(holder).collect()
    }

    pub(super) fn refusal(&self, full: Full, requested: Bytes) -> Refusal {
        Refusal {
            account: self.path(full.account),
            requested,
            available: Bytes::new(full.available),
            limit: Bytes::new(self.account(full.account, LIMIT)),
            holders: self.holders(full.account, Refusal::HOLDERS),
        }
    }

    /// The living, by process id.
    pub(super) fn processes(&self) -> Vec<SharedProcess> {
        let members = self.members();
        let mut rows: Vec<SharedProcess> = Vec::new();
        for member in &members {
            let pid = id(member.identity);
            if !rows.iter().any(|row| row.pid == pid) {
                rows.push(SharedProcess { pid, bytes: Bytes::ZERO, reservations: 0 });
            }
        }
        for account in 0..self.count() {
            let counts = self.by_process(&members, account, CELL_COUNT);
            for ((pid, bytes), (_, count)) in
                self.by_process(&members, account, CELL_BYTES).into_iter().zip(counts)
            {
                if let Some(row) = rows.iter_mut().find(|row| row.pid == pid) {
                    row.bytes = row.bytes.saturating_add(Bytes::new(bytes));
                    row.reservations = row.reservations.saturating_add(count);
                }
            }
        }
        rows.sort_by_key(|row| row.pid);
        rows
    }

    pub(super) fn snapshot(&self) -> SharedSnapshot {
        let members = self.members();
        let mut accounts: Vec<SharedAccountSnapshot> =
            (0..self.count()).map(|account| self.row(&members, account)).collect();
        accounts[1..].sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')));
        SharedSnapshot { accounts, processes: self.processes() }
    }

    fn row(&self, members: &[Member], account: usize) -> SharedAccountSnapshot {
        let held: Vec<(u32, u64)> = self
            .by_process(members, account, CELL_BYTES)
            .into_iter()
            .filter(|&(_, bytes)| bytes > 0)
            .collect();
        let counts = self.by_process(members, account, CELL_COUNT).into_iter().map(|(_, count)| count);
        SharedAccountSnapshot {
            path: self.path(account),
            parent: self.parent(account).map(|parent| self.path(parent)),
            limit: limit_of(self.account(account, LIMIT)),
            used: Bytes::new(self.account(account, CHARGED)),
            own: Bytes::new(held.iter().fold(0, |sum: u64, &(_, bytes)| sum.saturating_add(bytes))),
            peak: Bytes::new(self.account(account, PEAK)),
            reservations: counts.fold(0, u64::saturating_add),
            refusals: self.account(account, REFUSALS),
            processes: held.into_iter().map(|(pid, bytes)| (pid, Bytes::new(bytes))).collect(),
        }
    }
}
