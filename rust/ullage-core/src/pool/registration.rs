//! What a pool is told beforehand: its models, and how it is to behave.

use std::time::Duration;

use super::demand::Demand;
use crate::error::{Error, Result};
use crate::units::Bytes;

/// One of the places of a model, numbered in the order of its registration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlaceId(u16);

impl PlaceId {
    /// The first place; the only one of most models.
    pub const FIRST: Self = Self(0);

    /// The place number `index`, counted from zero.
    #[must_use]
    pub const fn new(index: u16) -> Self {
        Self(index)
    }

    /// The place's number, counted from zero.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One way to hold a model: on one domain, or sharded over several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// What to book before a load: the most it can be.
    pub weights: Demand,
    /// What each lease books on top (activations, key-value cache).
    pub workspace: Demand,
}

impl Place {
    /// A place; plain [`Bytes`] are of the first domain.
    #[must_use]
    pub fn new(weights: impl Into<Demand>, workspace: impl Into<Demand>) -> Self {
        Self { weights: weights.into(), workspace: workspace.into() }
    }

    /// What a lease with `total` bytes of workspace books here: spread as the registered workspace is; where none is
    /// registered, on the domain with the most of the weights.
    #[must_use]
    pub fn workspace_of(&self, total: Bytes) -> Demand {
        if self.workspace.is_zero() {
            return self.weights.largest().map_or(Demand::ZERO, |domain| Demand::on(domain, total));
        }
        self.workspace.spread(total)
    }
}

/// A smaller form in which a model can wait in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// The most it takes, and where.
    pub bytes: Demand,
    /// How long it is likely to take to make the model usable again, until that was seen.
    pub promote_time: Duration,
}

/// What is told of a model when it joins a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// A name not in use.
    pub name: String,
    /// The most likely size, for display.
    pub estimated: Bytes,
    /// The ways to hold it, the preferred one first. A model may be held at several places at once.
    pub places: Vec<Place>,
    /// At how many places at once, at the most.
    pub instances: usize,
    /// Whether it stays in memory once loaded.
    pub is_pinned: bool,
    /// The most leases of an instance at once; `None` for as many as memory allows.
    pub max_concurrency: Option<u64>,
    /// How long a load is likely to take, until one was seen; `None` for half a second and a second for each GB.
    pub load_time: Option<Duration>,
    /// How often a failed load is tried again for those who wait.
    pub retries: u32,
    /// The form to which it may be demoted instead of being unloaded.
    pub compressed: Option<Compressed>,
}

impl Registration {
    /// A failed load is tried again so often, unless told otherwise.
    pub const RETRIES: u32 = 2;

    /// A model with one place; one instance, not pinned, no bound but memory, [`Registration::RETRIES`].
    #[must_use]
    pub fn new(name: impl Into<String>, place: Place) -> Self {
        Self {
            name: name.into(),
            estimated: place.weights.total(),
            places: vec![place],
            instances: 1,
            is_pinned: false,
            max_concurrency: None,
            load_time: None,
            retries: Self::RETRIES,
            compressed: None,
        }
    }

    /// Whether it can be held at `instances` places at once.
    pub(super) fn check_instances(&self, instances: usize) -> Result<()> {
        let most = self.places.len();
        if (1..=most).contains(&instances) {
            return Ok(());
        }
        let reason = format!("{instances} of them; give at least 1 and at most {most}, a place each");
        Err(Error::Argument { name: "instances", reason })
    }
}

/// How a pool behaves, whatever its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// For so long a model that a waiting request needs gone goes on serving those who find it there: A B A A C is
    /// served as A A A B C. Counted from when the request had its turn.
    pub group_wait: Duration,
    /// Waiting so long counts as much as one step of priority.
    pub age_step: Duration,
    /// A loaded model is not sent away earlier.
    pub min_residency: Duration,
    /// Memory that an unload has not given back by then is called overdue, and nobody counts on it any more.
    pub release_deadline: Duration,
    /// The pause after a first failed load; it doubles with each further one.
    pub backoff: Duration,
    /// The longest such pause.
    pub backoff_most: Duration,
    /// When to ask again who is refused for pressure.
    pub pressure_retry: Duration,
}

impl Default for Options {
    /// 1 s of grouping, 10 s a step, no minimum residency, 30 s to release, 0.1 s to 30 s of backoff, 1 s of pressure.
    fn default() -> Self {
        Self {
            group_wait: Duration::from_secs(1),
            age_step: Duration::from_secs(10),
            min_residency: Duration::ZERO,
            release_deadline: Duration::from_secs(30),
            backoff: Duration::from_millis(100),
            backoff_most: Duration::from_secs(30),
            pressure_retry: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::DomainId;

    #[test]
    fn a_workspace_asked_for_goes_where_the_registered_one_is() {
        let on = |domain, bytes| (DomainId::new(domain), Bytes::new(bytes));
        let sharded = Place::new(Demand::of([on(0, 8), on(1, 9)]), Demand::of([on(0, 1), on(1, 3)]));
        assert_eq!(sharded.workspace_of(Bytes::new(8)), Demand::of([on(0, 2), on(1, 6)]));
        let bare = Place::new(Demand::of([on(0, 8), on(1, 9)]), Demand::ZERO);
        assert_eq!(bare.workspace_of(Bytes::new(8)), Demand::of([on(1, 8)]));
    }
}
