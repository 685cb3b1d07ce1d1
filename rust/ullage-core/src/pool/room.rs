//! The bytes that one walk through the queue can give out, and what the requests walked past have claimed.

use super::demand::{Demand, DomainId};
use super::event::ModelId;
use super::instance::InstanceId;
use crate::units::Bytes;

/// So many requests at a time choose models in use that are to make way for them; those behind wait for these. It
/// bounds the work of a walk, and how many models take no new leases.
const MOST_DRAINERS: u32 = 16;

/// One domain, as a walk through the queue sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Space {
    /// Free in the ledger now.
    pub(super) free: u128,
    /// Held by what is being unloaded, or will be when its leases end.
    pub(super) incoming: u128,
    /// Needed by older requests that wait.
    pub(super) claimed: u128,
    /// The tightest limit on its account.
    pub(super) limit: Option<Bytes>,
    /// Held by what may not go.
    pub(super) fixed: Bytes,
    /// An older request misses more than can be had: there is nothing for those behind it.
    is_short: bool,
}

/// Bytes free, coming free and claimed, as a walk through the queue sees them. Scratch space, kept from walk to walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) spaces: Vec<Space>,
    /// The number of the walk; what carries an older one is not set.
    walk: u64,
    /// Models that a request waits for which was walked past.
    wanted: Vec<u64>,
    /// Instances that make way.
    expected: Vec<u64>,
    /// Instances among them that take no new lease.
    closed: Vec<u64>,
    /// How many more instances may be resident; those on their way out do not count.
    seats: usize,
    drainers: u32,
}

impl Room {
    /// Begins a walk.
    pub(super) fn begin(&mut self, domains: usize, models: usize, instances: usize, seats: usize) {
        self.walk = self.walk.saturating_add(1);
        self.spaces.clear();
        self.spaces.resize_with(domains, Space::default);
        self.wanted.resize(models, 0);
        self.expected.resize(instances, 0);
        self.closed.resize(instances, 0);
        self.seats = seats;
        self.drainers = 0;
    }

    /// Takes `demand` if it is free now and no older request will miss it.
    pub(super) fn take(&mut self, demand: &Demand) -> bool {
        let fits = demand.parts().iter().all(|&(domain, bytes)| {
            let space = &self.spaces[domain.index()];
            let bytes = u128::from(bytes.get());
            let unclaimed = space.free.saturating_add(space.incoming).saturating_sub(space.claimed);
            bytes <= space.free && bytes <= unclaimed
        });
        if fits {
            for &(domain, bytes) in demand.parts() {
                let space = &mut self.spaces[domain.index()];
                space.free = space.free.saturating_sub(bytes.get().into());
            }
        }
        fits
    }

    /// Whether `demand` more would be free than is taken and claimed.
    pub(super) fn has(&self, demand: &Demand) -> bool {
        demand.parts().iter().all(|&(domain, bytes)| self.missing_in(domain, bytes) == 0)
    }

    /// Sets `demand` aside for a request that waits.
    pub(super) fn claim(&mut self, demand: &Demand) {
        for &(domain, bytes) in demand.parts() {
            let space = &mut self.spaces[domain.index()];
            space.claimed = space.claimed.saturating_add(bytes.get().into());
        }
    }

    /// How much of `bytes` and all that is claimed in `domain` has no source yet.
    pub(super) fn missing_in(&self, domain: DomainId, bytes: Bytes) -> u128 {
        let space = &self.spaces[domain.index()];
        let wanted = space.claimed.saturating_add(bytes.get().into());
        wanted.saturating_sub(space.free.saturating_add(space.incoming))
    }

    /// The same for each domain of `demand` in which something is missing.
    pub(super) fn missing_for(&self, demand: &Demand) -> Vec<(DomainId, u128)> {
        let missing = demand.parts().iter().map(|&(domain, bytes)| (domain, self.missing_in(domain, bytes)));
        missing.filter(|&(_, missing)| missing > 0).collect()
    }

    /// Notes that an older request misses more in these domains than can be had.
    pub(super) fn fall_short(&mut self, missing: &[(DomainId, u128)]) {
        for &(domain, _) in missing {
            self.spaces[domain.index()].is_short = true;
        }
    }

    /// Whether nothing can be had for `demand`, which asks for something where older requests go short.
    pub(super) fn is_short_for(&self, demand: &Demand) -> bool {
        demand.parts().iter().any(|&(domain, _)| self.spaces[domain.index()].is_short)
    }

    /// Whether older requests go short anywhere.
    pub(super) fn is_short(&self) -> bool {
        self.spaces.iter().any(|space| space.is_short)
    }

    /// Claims `demand` for a request that has to wait though nobody makes way for it: it misses something, and asks for
    /// something where older requests go short. False if that is not so, or nothing is missing.
    pub(super) fn queue_behind(&mut self, demand: &Demand) -> bool {
        let has_to_wait = self.is_short_for(demand) && !self.has(demand);
        if has_to_wait {
            for &(domain, bytes) in demand.parts() {
                self.spaces[domain.index()].is_short |= self.missing_in(domain, bytes) > 0;
            }
            self.claim(demand);
            self.take_seat();
        }
        has_to_wait
    }

    /// Notes that a request lets models in use make way; the last that may do so leaves none for others.
    pub(super) fn count_drainer(&mut self) {
        self.drainers = self.drainers.saturating_add(1);
        if self.drainers >= MOST_DRAINERS {
            self.spaces.iter_mut().for_each(|space| space.is_short = true);
        }
    }

    /// How many more instances may be resident.
    pub(super) const fn seats(&self) -> usize {
        self.seats
    }

    /// Takes the seat of one more instance.
    pub(super) fn take_seat(&mut self) {
        self.seats = self.seats.saturating_sub(1);
    }

    /// Counts on `bytes` of an instance that makes way, and on its seat.
    pub(super) fn expect(&mut self, instance: InstanceId, bytes: &Demand, is_closed: bool) {
        self.expected[instance.0] = self.walk;
        if is_closed {
            self.closed[instance.0] = self.walk;
        }
        self.seats = self.seats.saturating_add(1);
        self.count_on(bytes);
    }

    /// Counts on `bytes` that come free by themselves, or have been told to.
    pub(super) fn count_on(&mut self, bytes: &Demand) {
        for &(domain, bytes) in bytes.parts() {
            let space = &mut self.spaces[domain.index()];
            space.incoming = space.incoming.saturating_add(bytes.get().into());
        }
    }

    /// Whether `instance` makes way for somebody.
    pub(super) fn is_expected(&self, instance: InstanceId) -> bool {
        self.expected[instance.0] == self.walk
    }

    /// Whether it takes no new lease because of that.
    pub(super) fn is_closed(&self, instance: InstanceId) -> bool {
        self.closed[instance.0] == self.walk
    }

    /// Notes that a request waits for `model`.
    pub(super) fn want(&mut self, model: ModelId) {
        self.wanted[model.0] = self.walk;
    }

    pub(super) fn is_wanted(&self, model: ModelId) -> bool {
        self.wanted[model.0] == self.walk
    }
}
