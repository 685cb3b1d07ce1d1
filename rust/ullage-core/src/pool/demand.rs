//! Bytes by memory domain: what a model, a workspace or a form of a model takes, and where.

use crate::units::Bytes;

/// A memory domain of a pool: the host, one accelerator, a memory that both share. Numbered in the order in which the
/// pool was given its accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainId(u16);

impl DomainId {
    /// The first domain; the only one of most pools.
    pub const FIRST: Self = Self(0);

    /// The domain number `index`, counted from zero.
    #[must_use]
    pub const fn new(index: u16) -> Self {
        Self(index)
    }

    /// The domain's number, counted from zero.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Bytes by memory domain. A demand on one domain allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand(Parts);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Parts {
    /// More than no bytes.
    One([(DomainId, Bytes); 1]),
    /// None, or two and more: by rising domain, each of more than no bytes.
    Many(Vec<(DomainId, Bytes)>),
}

impl Demand {
    /// Nothing, nowhere.
    pub const ZERO: Self = Self(Parts::Many(Vec::new()));

    /// `bytes` of one domain.
    #[must_use]
    pub const fn on(domain: DomainId, bytes: Bytes) -> Self {
        if bytes.is_zero() { Self::ZERO } else { Self(Parts::One([(domain, bytes)])) }
    }

    /// The sum of `parts`, which may name a domain more than once; saturating.
    #[must_use]
    pub fn of(parts: impl IntoIterator<Item = (DomainId, Bytes)>) -> Self {
        let mut sums: Vec<(DomainId, Bytes)> = Vec::new();
        for (domain, bytes) in parts {
            match sums.binary_search_by_key(&domain, |part| part.0) {
                Ok(place) => sums[place].1 = sums[place].1.saturating_add(bytes),
                Err(place) => sums.insert(place, (domain, bytes)),
            }
        }
        sums.retain(|(_, bytes)| !bytes.is_zero());
        match sums[..] {
            [part] => Self(Parts::One([part])),
            _ => Self(Parts::Many(sums)),
        }
    }

    /// Each domain with its bytes, by rising domain; none of them zero.
    #[must_use]
    pub fn parts(&self) -> &[(DomainId, Bytes)] {
        match &self.0 {
            Parts::One(part) => part,
            Parts::Many(parts) => parts,
        }
    }

    /// Bytes of `domain`.
    #[must_use]
    pub fn bytes_in(&self, domain: DomainId) -> Bytes {
        self.parts().iter().find(|part| part.0 == domain).map_or(Bytes::ZERO, |part| part.1)
    }

    /// Bytes of all domains together, saturating.
    #[must_use]
    pub fn total(&self) -> Bytes {
        self.parts().iter().fold(Bytes::ZERO, |sum, part| sum.saturating_add(part.1))
    }

    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.parts().is_empty()
    }

    /// Whether no domain has less of it than of `other`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.parts().iter().all(|&(domain, bytes)| self.bytes_in(domain) >= bytes)
    }

    /// Both together, saturating.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.combined(other, Bytes::saturating_add)
    }

    /// What of it `other` does not cover.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.combined(other, Bytes::saturating_sub)
    }

    /// The larger of both in each domain.
    #[must_use]
    pub fn max(&self, other: &Self) -> Self {
        self.combined(other, Bytes::max)
    }

    /// The smaller of both in each domain.
    #[must_use]
    pub fn min(&self, other: &Self) -> Self {
        self.combined(other, Bytes::min)
    }

    /// `total` bytes, spread over the domains as these are: rounded up in each but the last, which takes the rest.
    /// Nothing stays nothing.
    #[must_use]
    pub fn spread(&self, total: Bytes) -> Self {
        let whole = self.total();
        let mut left = total;
        let last = self.parts().len().saturating_sub(1);
        Self::of(self.parts().iter().enumerate().map(|(at, &(domain, bytes))| {
            let share = total.scaled(bytes.get(), whole.get(), "a share").unwrap_or(left);
            let share = if at == last { left } else { share.min(left) };
            left = left.saturating_sub(share);
            (domain, share)
        }))
    }

    /// `numerator / denominator` of each part, rounded up, saturating.
    #[must_use]
    pub fn scaled(&self, numerator: u64, denominator: u64) -> Self {
        let scale = |bytes: Bytes| bytes.scaled(numerator, denominator, "a demand").unwrap_or(Bytes::MAX);
        Self::of(self.parts().iter().map(|&(domain, bytes)| (domain, scale(bytes))))
    }

    /// The domain with the most of it.
    #[must_use]
    pub fn largest(&self) -> Option<DomainId> {
        self.parts().iter().rev().max_by_key(|part| part.1).map(|part| part.0)
    }

    fn combined(&self, other: &Self, combine: impl Fn(Bytes, Bytes) -> Bytes) -> Self {
        match (self.parts(), other.parts()) {
            ([], []) => Self::ZERO,
            (&[(domain, bytes)], []) => Self::on(domain, combine(bytes, Bytes::ZERO)),
            ([], &[(domain, bytes)]) => Self::on(domain, combine(Bytes::ZERO, bytes)),
            (&[(a, ours)], &[(b, theirs)]) if a == b => Self::on(a, combine(ours, theirs)),
            (ours, theirs) => {
                let only_theirs = theirs.iter().filter(|(domain, _)| self.bytes_in(*domain).is_zero());
                let domains = ours.iter().chain(only_theirs).map(|part| part.0);
                Self::of(
                    domains.map(|domain| (domain, combine(self.bytes_in(domain), other.bytes_in(domain)))),
                )
            }
        }
    }
}

impl Default for Demand {
    fn default() -> Self {
        Self::ZERO
    }
}

impl From<Bytes> for Demand {
    /// Of the first domain.
    fn from(bytes: Bytes) -> Self {
        Self::on(DomainId::FIRST, bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn demand() -> impl Strategy<Value = Demand> {
        prop::collection::vec((0..4_u16, 0..9_u64), 0..6).prop_map(|parts| {
            Demand::of(parts.into_iter().map(|(domain, bytes)| (DomainId::new(domain), Bytes::new(bytes))))
        })
    }

    proptest! {
        #[test]
        fn each_domain_is_reckoned_by_itself(a in demand(), b in demand()) {
            for domain in (0..5).map(DomainId::new) {
                let (x, y) = (a.bytes_in(domain), b.bytes_in(domain));
                prop_assert_eq!(a.plus(&b).bytes_in(domain), x.saturating_add(y));
                prop_assert_eq!(a.minus(&b).bytes_in(domain), x.saturating_sub(y));
                prop_assert_eq!(a.max(&b).bytes_in(domain), x.max(y));
                prop_assert_eq!(a.min(&b).bytes_in(domain), x.min(y));
            }
            prop_assert_eq!(a.covers(&b), b.minus(&a).is_zero());
            prop_assert_eq!(a.plus(&b), b.plus(&a), "one form for one meaning");
            prop_assert!(a.parts().iter().all(|part| !part.1.is_zero()));
            prop_assert!(a.parts().is_sorted_by(|x, y| x.0 < y.0));
        }

        #[test]
        fn what_is_spread_is_all_there(a in demand(), total in 0..1_000_u64) {
            let expected = if a.is_zero() { 0 } else { total };
            prop_assert_eq!(a.spread(Bytes::new(total)).total().get(), expected);
            prop_assert!(a.spread(Bytes::new(total)).parts().iter().all(|part| !a.bytes_in(part.0).is_zero()));
        }
    }
}
