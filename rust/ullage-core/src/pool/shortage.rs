//! What can never be granted: how much is lacking, why, and what would fit instead.

use super::brain::Pool;
use super::demand::{Demand, DomainId};
use super::denial::{Denial, Nearest};
use super::event::ModelId;
use super::instance::{InstanceId, Standing, State};
use super::room::Room;
use super::schedule::Ask;
use crate::units::Bytes;

/// What an instance can never have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shortage {
    domain: DomainId,
    requested: Bytes,
    available: Bytes,
    limit: Bytes,
}

impl Shortage {
    const fn short_by(&self) -> Bytes {
        self.requested.saturating_sub(self.available)
    }
}

impl Pool {
    /// What `id` can never hold beside what may not go, in the domain that lacks the most; `None` if it can.
    pub(super) fn shortage(&self, id: InstanceId, ask: Ask, room: &Room) -> Option<Shortage> {
        let (entry, instance) = (self.entry(ask.model), self.instance(id));
        let needed = match &instance.state {
            // What it turned out to take is in use already, booked or not.
            State::Ready { weights, .. } => {
                weights.demand().plus(&entry.workspace(instance.place, ask.workspace))
            }
            _ => entry.needed(instance, ask.workspace),
        };
        self.shortage_of(id, &needed, room)
    }

    /// What of `needed` bytes `id` can never hold.
    pub(super) fn shortage_of(&self, id: InstanceId, needed: &Demand, room: &Room) -> Option<Shortage> {
        let shortages = needed.parts().iter().filter_map(|&(domain, requested)| {
            let limit = room.spaces[domain.index()].limit?;
            let available = self.available_to(id, domain, limit, room);
            (requested > available).then_some(Shortage { domain, requested, available, limit })
        });
        shortages.max_by_key(Shortage::short_by)
    }

    /// What `id` never gives up of its own accord: of the workspaces of a resident one, that of one lease, which it has in
    /// use or keeps.
    pub(super) fn keeps(&self, id: InstanceId) -> Demand {
        let instance = self.instance(id);
        match &instance.state {
            State::Ready { weights, spare } if spare.is_some() || instance.leases > 0 => {
                weights.demand().plus(&self.entry_of(id).place(instance.place).workspace)
            }
            _ => instance.booked(),
        }
    }

    /// What `limit` leaves to `id` beside the others that may not go.
    fn available_to(&self, id: InstanceId, domain: DomainId, limit: Bytes, room: &Room) -> Bytes {
        let instance = self.instance(id);
        let own = if instance.standing == Standing::Fixed && !instance.is_overdue {
            self.keeps(id).bytes_in(domain)
        } else {
            Bytes::ZERO
        };
        limit.saturating_sub(room.spaces[domain.index()].fixed.saturating_sub(own))
    }

    /// Why none of `places` will do, with the numbers of the nearest.
    pub(super) fn refusal(&self, places: &[InstanceId], ask: Ask, room: &Room) -> Denial {
        let short = places.iter().filter_map(|&id| Some((id, self.shortage(id, ask, room)?)));
        let Some((id, shortage)) = short.min_by_key(|(_, shortage)| shortage.short_by()) else {
            return Denial::Stuck;
        };
        let Shortage { domain, requested, available, limit } = shortage;
        let place = self.instance(id).place;
        let workspace = self.largest_workspace(id, ask.model, room);
        let nearest = Nearest { place, domain, short_by: shortage.short_by(), workspace };
        if requested > limit {
            return Denial::TooLarge { requested, limit, nearest };
        }
        let blocked_by = self.blockers(id, domain);
        Denial::Pinned { requested, available, limit, blocked_by, nearest }
    }

    /// The models that hold what may not go in `domain`, other than at `id` itself.
    fn blockers(&self, id: InstanceId, domain: DomainId) -> Vec<ModelId> {
        let holds = |bytes: Bytes| !bytes.is_zero();
        let fixed = self.lists.fixed.iter().filter(|&&other| {
            (other != id || self.instance(other).is_overdue) && holds(self.keeps(other).bytes_in(domain))
        });
        let residual =
            self.lists.residual.iter().filter(|&&other| holds(self.instance(other).residue.bytes_in(domain)));
        let mut models: Vec<ModelId> =
            fixed.chain(residual).map(|&other| self.instance(other).model).collect();
        models.sort_unstable();
        models.dedup();
        models
    }

    /// The largest workspace with which the model fits at `id`; `None` where not even the model alone does, or where no
    /// limit stands.
    fn largest_workspace(&self, id: InstanceId, model: ModelId, room: &Room) -> Option<Bytes> {
        let (entry, instance) = (self.entry(model), self.instance(id));
        let weights = entry.weights_needed(instance);
        let unit = entry.place(instance.place).workspace_of(Bytes::new(1 << 20));
        let whole = unit.total();
        let left = |domain: DomainId| {
            let limit = room.spaces[domain.index()].limit?;
            Some((weights.bytes_in(domain), self.available_to(id, domain, limit, room)))
        };
        let fits = |demand: &Demand| {
            demand
                .parts()
                .iter()
                .all(|&(domain, _)| left(domain).is_none_or(|(held, available)| held <= available))
        };
        if !fits(&weights) {
            return None;
        }
        let most = unit.parts().iter().filter_map(|&(domain, share)| {
            let (held, available) = left(domain)?;
            let free = u128::from(available.saturating_sub(held).get());
            let most = free.saturating_mul(whole.get().into()).checked_div(share.get().into())?;
            u64::try_from(most).ok()
        });
        // Shares are rounded up: so much less is sure to fit.
        let slack = u64::try_from(unit.parts().len().saturating_sub(1)).unwrap_or(0);
        most.min().map(|most| Bytes::new(most.saturating_sub(slack)))
    }
}
