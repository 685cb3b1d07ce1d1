//! What loads of a model really took, and what to book for the next.
//!
//! A registered size is a guess. One that was too low is raised at once, to what was seen. One that was too high comes
//! down once [`ENOUGH`] loads were measured, domain by domain, and never below the most that was ever seen:
//!
//! ```text
//!   booked = most + most / (8 n) + (most - least) / n      where that is less than registered, after n loads
//! ```
//!
//! The margin is that of [learned workspaces](super::estimate), which shrinks as loads are seen; the last part stands for
//! loads that differ: if they lie anywhere between two bounds with equal chance, the most of `n` falls short of the upper
//! one by about the n-th part of the distance.
//!
//! **Deliberately not here:** a guess for domains in which nothing was measured. They are booked as registered: nobody
//! looked is not the same as nothing was there.

use super::demand::Demand;

/// Measured loads after which less than registered may be booked.
pub(super) const ENOUGH: u64 = 3;

/// The share of the most seen that is booked on top after one load; an `n`-th of it after `n`.
const MARGIN: u64 = 8;

/// What the loads of one instance took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Loads that were measured.
    seen: u64,
    /// The least that any of them took, but for the latest.
    least: Option<Demand>,
    /// Which load is the latest, and the most it took so far.
    latest: Option<(u64, Demand)>,
    /// The most that any took.
    most: Demand,
}

impl Sizes {
    /// Takes in that the model was seen to use `bytes`, whatever it was doing.
    pub(super) fn raise(&mut self, bytes: &Demand) {
        self.most = self.most.max(bytes);
    }

    /// Takes in that load number `load` was seen to use `bytes`, perhaps not for the first time.
    pub(super) fn see(&mut self, load: u64, bytes: &Demand) {
        self.raise(bytes);
        match &mut self.latest {
            Some((number, peak)) if *number == load => *peak = peak.max(bytes),
            latest => {
                if let Some((_, peak)) = latest.replace((load, bytes.clone())) {
                    self.least =
                        Some(self.least.take().map_or_else(|| peak.clone(), |least| least.min(&peak)));
                }
                self.seen = self.seen.saturating_add(1);
            }
        }
    }

    /// What to book where `registered` is said to be needed.
    pub(super) fn needed(&self, registered: &Demand) -> Demand {
        if self.seen < ENOUGH {
            return registered.max(&self.most);
        }
        let least = match (&self.least, &self.latest) {
            (Some(least), Some((_, latest))) => least.min(latest),
            _ => self.most.clone(),
        };
        let margin = self.most.scaled(1, MARGIN.saturating_mul(self.seen));
        let spread = self.most.minus(&least).scaled(1, self.seen);
        let enough = self.most.plus(&margin).plus(&spread);
        Demand::of(registered.max(&self.most).parts().iter().map(|&(domain, bytes)| {
            let most = self.most.bytes_in(domain);
            (domain, if most.is_zero() { bytes } else { enough.bytes_in(domain).min(bytes).max(most) })
        }))
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]
mod tests {
    use proptest::prelude::*;

    use super::super::demand::DomainId;
    use super::*;
    use crate::units::Bytes;

    fn one(bytes: u64) -> Demand {
        Bytes::new(bytes).into()
    }

    #[test]
    fn too_much_comes_down_after_enough_loads_and_not_for_one_that_is_measured_often() {
        let mut sizes = Sizes::default();
        for load in [0, 0, 0, 0, 1, 1] {
            sizes.see(load, &one(240));
            assert_eq!(sizes.needed(&one(480)), one(480));
        }
        sizes.see(2, &one(240));
        assert_eq!(sizes.needed(&one(480)), one(250), "and a 24th");
        assert_eq!(sizes.needed(&one(245)), one(245), "never more than registered");
        for load in 3..20 {
            sizes.see(load, &one(240));
        }
        assert_eq!(sizes.needed(&one(480)), one(242));
        assert_eq!(sizes.needed(&one(100)), one(240), "nor less than seen");
    }

    #[test]
    fn loads_that_differ_are_left_more_room() {
        let mut sizes = Sizes::default();
        for (load, bytes) in [(0, 240), (1, 120), (2, 240)] {
            sizes.see(load, &one(bytes));
        }
        assert_eq!(sizes.needed(&one(480)), one(240 + 10 + 40));
    }

    #[test]
    fn where_nobody_looked_the_registered_size_stands() {
        let on = |domain, bytes| (DomainId::new(domain), Bytes::new(bytes));
        let mut sizes = Sizes::default();
        (0..3).for_each(|load| sizes.see(load, &Demand::of([on(1, 240)])));
        let registered = Demand::of([on(0, 480), on(1, 480)]);
        assert_eq!(sizes.needed(&registered), Demand::of([on(0, 480), on(1, 250)]));
    }

    proptest! {
        /// A registered size wrong by up to a half, either way: nothing is booked too low after the first load, and little
        /// too high after enough.
        #[test]
        fn a_wrong_size_breaches_once_at_most(real in 1_000_u64..1 << 40, percent in 50_u64..=150, loads in 1_u64..40) {
            let mut sizes = Sizes::default();
            let registered = one(real / 100 * percent);
            for load in 0..loads {
                if load > 0 {
                    prop_assert!(sizes.needed(&registered).covers(&one(real)));
                }
                sizes.see(load, &one(real));
            }
            if loads >= ENOUGH {
                let booked = sizes.needed(&registered).total().get();
                prop_assert!(booked <= real + real / 20, "{booked} for {real}");
            }
        }

        /// Whatever is measured, in whatever order: nothing is booked below what was ever seen, or above what was
        /// registered or seen.
        #[test]
        fn what_is_booked_lies_between(
            registered in any::<u64>(), rows in prop::collection::vec((0_u64..6, any::<u64>()), 1..60),
        ) {
            let mut sizes = Sizes::default();
            let mut most = 0;
            for (load, bytes) in rows {
                sizes.see(load, &one(bytes));
                most = most.max(bytes);
                let booked = sizes.needed(&one(registered)).total().get();
                prop_assert!(booked >= most && booked <= most.max(registered));
            }
        }
    }
}
