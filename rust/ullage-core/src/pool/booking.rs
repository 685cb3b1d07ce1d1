//! Bytes booked in the ledger for one purpose, in one domain or several.

use super::demand::{Demand, DomainId};
use crate::ledger::{Account, Reservation};
use crate::units::Bytes;

/// Reservations of one purpose, at most one a domain. Dropping it gives them back. Its sizes are known without a look
/// into the ledger.
#[derive(Debug, Default)]
pub(super) struct Booking {
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    domain: DomainId,
    bytes: Bytes,
    reservation: Reservation,
}

impl Booking {
    /// Books all of `demand`, or nothing.
    pub(super) fn take(accounts: &[Account], demand: &Demand, label: &str) -> Option<Self> {
        let mut booking = Self::default();
        booking.grow(accounts, demand, label).then_some(booking)
    }

    pub(super) fn bytes_in(&self, domain: DomainId) -> Bytes {
        self.held.iter().find(|held| held.domain == domain).map_or(Bytes::ZERO, |held| held.bytes)
    }

    pub(super) fn demand(&self) -> Demand {
        match &self.held[..] {
            [] => Demand::ZERO,
            [held] => Demand::on(held.domain, held.bytes),
            many => Demand::of(many.iter().map(|held| (held.domain, held.bytes))),
        }
    }

    pub(super) fn covers(&self, demand: &Demand) -> bool {
        demand.parts().iter().all(|&(domain, bytes)| self.bytes_in(domain) >= bytes)
    }

    /// Books up to `demand` where less is held; false where something did not fit, and then nothing changed.
    pub(super) fn grow(&mut self, accounts: &[Account], demand: &Demand, label: &str) -> bool {
        let before = self.demand();
        for &(domain, bytes) in demand.parts() {
            if !self.grow_in(accounts, domain, bytes, label) {
                self.shrink(&before);
                return false;
            }
        }
        true
    }

    /// Books up to `demand` domain by domain, as far as it fits.
    pub(super) fn grow_where_it_fits(&mut self, accounts: &[Account], demand: &Demand, label: &str) {
        for &(domain, bytes) in demand.parts() {
            let _ = self.grow_in(accounts, domain, bytes, label);
        }
    }

    fn grow_in(&mut self, accounts: &[Account], domain: DomainId, bytes: Bytes, label: &str) -> bool {
        if let Some(held) = self.held.iter_mut().find(|held| held.domain == domain) {
            if held.bytes >= bytes {
                return true;
            }
            let fits = held.reservation.resize(bytes).is_ok();
            if fits {
                held.bytes = bytes;
            }
            return fits;
        }
        let Some(Ok(reservation)) = accounts.get(domain.index()).map(|account| account.reserve(bytes, label))
        else {
            return false;
        };
        self.held.push(Held { domain, bytes, reservation });
        true
    }

    /// Gives back what is more than `demand`.
    pub(super) fn shrink(&mut self, demand: &Demand) {
        self.held.retain_mut(|held| {
            let most = demand.bytes_in(held.domain);
            // A smaller size always fits.
            if most < held.bytes && !most.is_zero() && held.reservation.resize(most).is_ok() {
                held.bytes = most;
            }
            !most.is_zero()
        });
    }

    /// Takes over what `other` holds.
    pub(super) fn absorb(&mut self, other: Self) {
        for taken in other.held {
            let same = self.held.iter_mut().find(|held| held.domain == taken.domain);
            let Some(held) = same else {
                self.held.push(taken);
                continue;
            };
            if held.reservation.merge(&taken.reservation).is_ok() {
                held.bytes = held.bytes.saturating_add(taken.bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    fn demand(first: u64, second: u64) -> Demand {
        Demand::of([(DomainId::new(0), Bytes::new(first)), (DomainId::new(1), Bytes::new(second))])
    }

    #[test]
    fn all_is_booked_or_nothing() {
        let ledgers = [Ledger::new(Some(Bytes::new(10))), Ledger::new(Some(Bytes::new(4)))];
        let accounts: Vec<Account> = ledgers.iter().map(Ledger::root).collect();
        let used = || [0, 1].map(|at: usize| accounts[at].used().get());
        assert!(Booking::take(&accounts, &demand(3, 5), "too much").is_none());
        assert_eq!(used(), [0, 0]);
        let mut booking = Booking::take(&accounts, &demand(3, 2), "fits").unwrap();
        assert!(!booking.grow(&accounts, &demand(9, 5), "grows"));
        assert_eq!((used(), booking.demand()), ([3, 2], demand(3, 2)));
        booking.grow_where_it_fits(&accounts, &demand(9, 5), "grows");
        assert_eq!((used(), booking.demand()), ([9, 2], demand(9, 2)));
        booking.absorb(Booking::take(&accounts, &demand(1, 1), "more").unwrap());
        assert_eq!((used(), booking.demand()), ([10, 3], demand(10, 3)));
        booking.shrink(&demand(0, 1));
        assert_eq!((used(), booking.demand()), ([0, 1], demand(0, 1)));
        assert!(booking.covers(&demand(0, 1)) && !booking.covers(&demand(1, 0)));
        assert!(Booking::take(&accounts, &Demand::on(DomainId::new(7), Bytes::new(1)), "nowhere").is_none());
        drop(booking);
        assert_eq!(used(), [0, 0]);
    }
}
