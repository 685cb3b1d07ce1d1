//! What both worlds must agree on after every step.

use std::collections::BTreeMap;

use super::super::assert_adds_up;
use super::super::model::{Form, PASSES, PATHS, QUANTA, is_below};
use super::super::timeline::assert_replays;
use super::World;
use crate::ledger::HeldOrder;
use crate::units::Bytes;

impl World {
    /// Who was granted what, in both worlds: first come, first served, but for the eight passes.
    pub(super) fn check_queue(&self) {
        let waiting: Vec<usize> = self.model.queue.iter().map(|waiter| waiter.id).collect();
        assert_eq!(self.ledger.snapshot().waiting, waiting.len());
        assert!(self.model.queue.iter().all(|waiter| waiter.passed <= PASSES));
    }

    pub(super) fn check_accounts(&mut self) {
        let snapshot = self.ledger.snapshot();
        assert_adds_up(&snapshot);
        assert_eq!(snapshot.accounts.len(), 6);
        for index in 0..6 {
            let account = &self.accounts[index];
            let row = snapshot.accounts.iter().find(|row| *row.path == *PATHS[index]).unwrap();
            let (used, charged) = (self.model.used(index), row.charged.get());
            assert_eq!(row.used.get(), used, "{}", PATHS[index]);
            assert_eq!((account.used(), account.charged()), (row.used, row.charged));
            assert_eq!(account.available().map(Bytes::get), self.model.available(index));
            let has_credit = (0..6).any(|other| QUANTA[other].is_some() && is_below(other, index));
            assert!(has_credit || charged == used);
            assert!(used <= charged && charged <= self.model.limits[index].unwrap_or(u64::MAX).max(used));
            let tally = self.model.tallies[index];
            assert_eq!((row.made, row.released), (tally.made, tally.released), "{}", PATHS[index]);
            assert_eq!((row.refusals, row.total.get()), (tally.refusals, tally.total), "{}", PATHS[index]);
            let height = if QUANTA[index].is_some() { used } else { charged };
            if height > self.peaks[index] {
                self.peaks[index] = height;
                self.compositions[index] = self.composition(index);
            }
            assert_eq!((row.peak.get(), account.peak().get()), (self.peaks[index], self.peaks[index]));
            assert_eq!(row.peak_at.is_none(), QUANTA[index].is_some());
            self.check_holders(index);
        }
    }

    pub(super) fn check_scopes(&mut self) {
        for scope in &mut self.scopes {
            let charged = self.accounts[scope.account].charged().get();
            scope.highest = scope.highest.max(charged);
            let (stats, now) = (scope.real.stats(), self.model.tally_below(scope.account));
            assert_eq!((stats.start.get(), stats.end.get()), (scope.start, charged));
            assert_eq!(stats.highest.get(), scope.highest, "{}", PATHS[scope.account]);
            assert_eq!(stats.reservations, now.made - scope.before.made);
            assert_eq!(stats.releases, now.released - scope.before.released);
            assert_eq!(stats.refusals, now.refusals - scope.before.refusals);
            assert_eq!(stats.total.get(), now.total - scope.before.total);
        }
    }

    /// What is held below an account by account and label, quanta included.
    fn composition(&self, index: usize) -> BTreeMap<(String, String), u64> {
        let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
        let mut add = |account: usize, label: &str, size: u64| {
            *sums.entry((PATHS[account].to_owned(), label.to_owned())).or_default() += size;
        };
        for booking in self.model.below(index).filter(|booking| booking.form != Form::Drawn) {
            add(booking.account, &booking.label, booking.bytes);
        }
        for leaf in (0..6).filter(|&leaf| QUANTA[leaf].is_some() && is_below(leaf, index)) {
            let placed =
                self.model.bookings.values().filter(|one| one.account == leaf && one.form != Form::Drawn);
            let placed: u64 = placed.map(|booking| booking.bytes).sum();
            add(leaf, "credit", self.accounts[leaf].charged().get() - placed);
        }
        sums.retain(|_, size| *size > 0);
        sums
    }

    fn check_holders(&self, index: usize) {
        let mut expected: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
        for booking in self.model.below(index) {
            let is_drawn = booking.form == Form::Drawn;
            let label = if is_drawn { "credit" } else { &booking.label };
            let key = (PATHS[booking.account].to_owned(), label.to_owned());
            let (size, count) = expected.entry(key).or_default();
            (*size, *count) = (*size + booking.bytes, *count + u64::from(!is_drawn));
        }
        expected.retain(|_, &mut (size, count)| size > 0 || count > 0);
        let holders = self.accounts[index].holders(usize::MAX);
        assert!(holders.windows(2).all(|pair| pair[0].bytes >= pair[1].bytes));
        let found =
            holders.into_iter().map(|one| ((one.account, one.label), (one.bytes.get(), one.reservations)));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
        let mut sizes: Vec<u64> =
            self.model.below(index).filter(|one| one.form == Form::Placed).map(|one| one.bytes).collect();
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        let held = self.accounts[index].held(usize::MAX, HeldOrder::Largest);
        assert_eq!(held.iter().map(|held| held.bytes.get()).collect::<Vec<_>>(), sizes);
    }

    pub(super) fn check_history(&self) {
        let timeline = self.ledger.timeline();
        let charged = |path: &str| self.ledger.account(path, None).unwrap().charged().get();
        let highest = assert_replays(&timeline, charged);
        for index in 0..6 {
            let account = &self.accounts[index];
            if QUANTA[index].is_some() {
                assert_eq!(account.peak_holders(usize::MAX), None);
                continue;
            }
            assert!(highest[PATHS[index]] <= self.peaks[index]);
            assert!(timeline.dropped > 0 || highest[PATHS[index]] == self.peaks[index]);
            let holders = account.peak_holders(usize::MAX).unwrap();
            let found = holders.into_iter().map(|one| ((one.account, one.label), one.bytes.get()));
            assert_eq!(found.collect::<BTreeMap<_, _>>(), self.compositions[index], "{}", PATHS[index]);
        }
    }
}
