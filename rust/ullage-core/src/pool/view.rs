//! What the pool looks like from outside: its models, instance by instance.

use super::brain::Pool;
use super::demand::Demand;
use super::event::{Level, ModelId};
use super::instance::{Instance, InstanceId};
use super::registration::PlaceId;
use crate::units::{Bytes, Time};

/// One model at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelStatus {
    /// Registered name.
    pub name: String,
    /// The state of the instance that can serve soonest: `ready`, `draining`, `loading`, `promoting`, `compressing`,
    /// `compressed`, `unloading`, `lost`, `stuck`, `cold`; or `failed`, when it is cold and its last load failed.
    pub state: &'static str,
    /// Whether it stays once loaded.
    pub is_pinned: bool,
    /// Live leases.
    pub leases: u64,
    /// Requests that wait for it.
    pub waiting: u64,
    /// The most likely size, as registered.
    pub estimated: Bytes,
    /// Bytes held in the ledger now, in all domains, workspaces and residue included.
    pub booked: Bytes,
    /// The largest size measured so far, in all domains.
    pub measured: Option<Bytes>,
    /// What unloads left behind and did not give back.
    pub residue: Bytes,
    /// Loads so far.
    pub loads: u64,
    /// Promotions so far.
    pub promotions: u64,
    /// Times it was sent away.
    pub evictions: u64,
    /// Loads that failed in a row.
    pub failures: u32,
    /// When a failed load is tried again.
    pub retry_at: Option<Time>,
    /// When it was last granted or released.
    pub last_used: Time,
    /// Each of its places.
    pub instances: Vec<InstanceStatus>,
}

/// One model at one of its places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceStatus {
    /// Where.
    pub place: PlaceId,
    /// As [`ModelStatus::state`], but for `failed`.
    pub state: &'static str,
    /// Live leases.
    pub leases: u64,
    /// Bytes held in the ledger now, workspaces included, residue not.
    pub booked: Demand,
    /// The largest size measured so far.
    pub measured: Option<Demand>,
    /// What unloads left behind and did not give back.
    pub residue: Demand,
    /// Whether an unload has not been reported in time.
    pub is_overdue: bool,
    /// Whether it needs a memory domain that is retired.
    pub is_retired: bool,
}

/// Who can serve soonest comes first.
fn order(state: &str) -> usize {
    let states = [
        "ready",
        "draining",
        "loading",
        "promoting",
        "compressing",
        "compressed",
        "unloading",
        "lost",
        "stuck",
    ];
    states.iter().position(|name| *name == state).unwrap_or(states.len())
}

impl Pool {
    /// Every model in order of registration.
    #[must_use]
    pub fn status(&self) -> Vec<ModelStatus> {
        (0..self.entries.len()).map(|number| self.status_of(ModelId(number))).collect()
    }

    /// One model.
    ///
    /// # Panics
    /// If the model is another pool's.
    #[must_use]
    pub fn status_of(&self, model: ModelId) -> ModelStatus {
        let entry = self.entry(model);
        let own = || entry.instances().map(|id| self.instance(id));
        let instances: Vec<InstanceStatus> = entry.instances().map(|id| self.instance_status(id)).collect();
        let total = |sum: Bytes, demand: &Demand| sum.saturating_add(demand.total());
        let residue = instances.iter().map(|row| &row.residue).fold(Bytes::ZERO, total);
        let booked = instances.iter().map(|row| &row.booked).fold(residue, total);
        let measured = own().filter_map(|instance| instance.measured.as_ref()).map(Demand::total).max();
        let state = instances.iter().map(|row| row.state).min_by_key(|state| order(state)).unwrap_or("cold");
        let is_failed = state == "cold" && entry.failure.is_some();
        ModelStatus {
            name: entry.registration.name.clone(),
            state: if is_failed { "failed" } else { state },
            is_pinned: entry.is_pinned,
            leases: own().fold(entry.orphans, |sum, instance| sum.saturating_add(instance.leases)),
            waiting: self.queue.len_of(model) as u64,
            estimated: entry.registration.estimated,
            booked: booked.saturating_add(entry.orphaned.total()),
            measured,
            residue,
            loads: entry.loads,
            promotions: entry.promotions,
            evictions: entry.evictions,
            failures: entry.failure.map_or(0, |failure| failure.attempts),
            retry_at: entry.failure.map(|failure| failure.until),
            last_used: entry.last_used,
            instances,
        }
    }

    fn instance_status(&self, id: InstanceId) -> InstanceStatus {
        let instance: &Instance = self.instance(id);
        InstanceStatus {
            place: instance.place,
            state: instance.state_name(),
            leases: instance.leases,
            booked: self.goes_with(id),
            measured: instance.measured.clone(),
            residue: instance.residue.demand(),
            is_overdue: instance.is_overdue,
            is_retired: instance.is_retired,
        }
    }

    /// How short of memory each domain is said to be.
    #[must_use]
    pub fn pressure(&self) -> &[Level] {
        &self.pressure
    }

    /// Whether nobody waits or holds a lease.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.queue.is_empty() && self.leases.is_empty()
    }

    /// How many requests wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The registered name of `model`.
    ///
    /// # Panics
    /// If the model is another pool's.
    #[must_use]
    pub fn name(&self, model: ModelId) -> &str {
        &self.entry(model).registration.name
    }
}
