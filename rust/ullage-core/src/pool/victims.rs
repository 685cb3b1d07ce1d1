//! Whom to send away.

use super::brain::Pool;
use super::demand::{Demand, DomainId};
use super::instance::{InstanceId, State};
use super::policy::{Candidate, Weighed, select};
use super::room::Room;
use super::tier::Tiered;
use crate::units::Bytes;

/// Which instances may have to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those that nobody uses.
    Idle,
    /// Those in use too, once their leases end.
    Leased,
    /// Those that nobody uses, however short they have been there.
    Pressed,
}

/// Who goes, and what that costs by the policy's reckoning.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    pub(super) ids: Vec<InstanceId>,
    pub(super) cost: f64,
}

/// Who goes before whom, whatever they are worth: others before the asking model's own instances elsewhere, idle ones
/// before leased ones, those that drain already before others, second instances before only ones, those that nobody waits
/// for before others.
pub(super) type Class = (bool, bool, u64, bool, bool);

impl Pool {
    /// The instances to send away for what is `missing` in each domain, and for `seats`; by class, and among one class the
    /// policy's victims, for all domains together. `None` where even all of them would not be enough: that room has to
    /// come from elsewhere.
    pub(super) fn victims(
        &self,
        missing: &[(DomainId, u128)],
        seats: usize,
        reach: Reach,
        to: Option<InstanceId>,
        room: &Room,
    ) -> Option<Chosen> {
        if missing.is_empty() && seats == 0 {
            return Some(Chosen::default());
        }
        let classes = self.classes(reach, to, room);
        let mut chosen = Chosen::default();
        let mut groups = 0;
        if missing.is_empty() {
            groups = self.choose(&mut chosen, None, seats, &classes)?;
        }
        if let &[(domain, bytes)] = missing {
            groups = self.choose(&mut chosen, Some((domain, bytes)), seats, &classes)?;
        } else if missing.len() > 1 {
            groups = self.together(&mut chosen, missing, &classes)?;
            if chosen.ids.len() < seats {
                groups = groups.max(self.choose(&mut chosen, None, seats, &classes)?);
            }
        }
        // A victim of a later class, or for another domain, may have made those before it needless.
        if groups > 1 || missing.len() > 1 {
            self.spare(missing, seats, &mut chosen.ids);
        }
        Some(chosen)
    }

    /// Those that may go for the sake of `to`, by class.
    pub(super) fn classes(
        &self,
        reach: Reach,
        to: Option<InstanceId>,
        room: &Room,
    ) -> Vec<(Class, InstanceId)> {
        let mut classes: Vec<(Class, InstanceId)> = Vec::with_capacity(self.lists.evictable.len());
        let mut is_in_order = true;
        let is_queueless = self.queue.is_empty();
        let own = to.map(|id| self.instance(id).model);
        for &id in &self.lists.evictable {
            let instance = self.instance(id);
            let is_own = own == Some(instance.model) && to != Some(id);
            let may_go = (instance.leases == 0 || reach == Reach::Leased)
                && (is_own || !room.is_wanted(instance.model))
                && !room.is_expected(id)
                && (reach == Reach::Pressed || self.is_settled(id));
            if may_go {
                let is_only = self.entry_of(id).registration.instances < 2 || !self.has_sibling(id);
                let class = (
                    is_own,
                    instance.leases > 0,
                    instance.draining.unwrap_or(u64::MAX),
                    is_only,
                    !is_queueless && self.is_awaited(id),
                );
                // Most are of one class, and come by rising number.
                is_in_order = is_in_order && classes.last().is_none_or(|(last, _)| *last <= class);
                classes.push((class, id));
            }
        }
        if !is_in_order {
            classes.sort_unstable();
        }
        classes
    }

    /// Whether it has been there for as long as it must.
    fn is_settled(&self, id: InstanceId) -> bool {
        let least = self.options.min_residency;
        let instance = self.instance(id);
        least.is_zero() || !instance.is_ready() || self.now.since(instance.since) >= least
    }

    fn has_sibling(&self, id: InstanceId) -> bool {
        let mut others = self.entry_of(id).instances().filter(|&other| other != id);
        others.any(|other| self.instance(other).is_open())
    }

    /// Adds those that go for `missing` bytes, what is chosen already counted; gives how many classes that took.
    fn choose(
        &self,
        chosen: &mut Chosen,
        missing: Option<(DomainId, u128)>,
        seats: usize,
        classes: &[(Class, InstanceId)],
    ) -> Option<u32> {
        let bytes_of = |id: InstanceId| match missing {
            Some((domain, _)) => self.instance(id).bytes_in(domain),
            None => self.goes_with(id).total(),
        };
        let needed = missing.map_or(0, |(_, bytes)| bytes);
        let is_apart = self.accounts.len() > 1 && missing.is_some();
        let mut freed: u128 = chosen.ids.iter().map(|&id| u128::from(bytes_of(id).get())).sum();
        let mut weighed: Vec<Weighed> = Vec::new();
        let mut groups = 0_u32;
        for group in classes.chunk_by(|(a, _), (b, _)| a == b) {
            if freed >= needed && chosen.ids.len() >= seats {
                break;
            }
            groups = groups.saturating_add(1);
            let before = chosen.ids.len();
            let may_go = |id: &InstanceId| {
                let is_chosen = before > 0 && chosen.ids.contains(id);
                let is_elsewhere = is_apart && bytes_of(*id).is_zero();
                !is_chosen && !is_elsewhere
            };
            let mut group: Vec<InstanceId> = group.iter().map(|&(_, id)| id).collect();
            if is_apart || before > 0 {
                group.retain(may_go);
            }
            let candidates = group.iter().map(|&id| self.candidate(id, bytes_of(id)));
            let (still, many) = (needed.saturating_sub(freed), seats.saturating_sub(before));
            if self.lists.compressed == 0 {
                select(self.policy.as_ref(), still, many, candidates, self.now, &mut weighed);
            } else {
                let saved = group.iter().map(|&id| (self.candidate(id, bytes_of(id)), self.saved(id)));
                let tiered = Tiered::of(self.policy.as_ref(), saved, self.now);
                select(&tiered, still, many, candidates, self.now, &mut weighed);
            }
            for victim in &weighed {
                let id = group[victim.place];
                let bytes = bytes_of(id);
                freed = freed.saturating_add(bytes.get().into());
                chosen.cost += victim.worth * super::policy::count(bytes);
                chosen.ids.push(id);
            }
        }
        (freed >= needed && chosen.ids.len() >= seats).then_some(groups)
    }

    pub(super) fn candidate(&self, id: InstanceId, bytes: Bytes) -> Candidate {
        let model = self.instance(id).model;
        Candidate { model, bytes, turn: self.entry(model).turn }
    }

    /// What of a load its compressed form saves, if it is in that form.
    pub(super) fn saved(&self, id: InstanceId) -> Option<f64> {
        let instance = self.instance(id);
        matches!(instance.state, State::Compressed { .. }).then(|| self.saved_share(instance.model))
    }

    /// The instance among `ids` that the policy gives the least worth.
    pub(super) fn least_worth(&self, ids: impl Iterator<Item = InstanceId>) -> Option<InstanceId> {
        let order = |(id, worth): (InstanceId, f64)| ((worth, self.entry_of(id).turn), id);
        self.worths(ids)
            .into_iter()
            .map(order)
            .min_by(|(a, _), (b, _)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
            .map(|(_, id)| id)
    }

    /// Everything that an instance holds and that goes with it, workspaces included.
    pub(super) fn goes_with(&self, id: InstanceId) -> Demand {
        let instance = self.instance(id);
        instance.booked().plus(&instance.leased)
    }

    /// Lets those stay whom the others make needless.
    fn spare(&self, missing: &[(DomainId, u128)], seats: usize, ids: &mut Vec<InstanceId>) {
        let mut excess = self.excess(missing, ids);
        for index in (0..ids.len()).rev() {
            let instance = self.instance(ids[index]);
            if ids.len() > seats && excess.spares(|domain| instance.bytes_in(domain)) {
                excess.spend(|domain| instance.bytes_in(domain));
                ids.remove(index);
            }
        }
    }

    /// Those of `ids`, who are to go for what is `missing`, that may shrink instead: there is room for their compressed
    /// forms now, and what they free is enough all the same.
    pub(super) fn demotions(
        &self,
        ids: &[InstanceId],
        missing: &[(DomainId, u128)],
        room: &mut Room,
    ) -> Vec<InstanceId> {
        let mut shrinking = Vec::new();
        if ids.iter().all(|&id| self.form(id).is_none()) {
            return shrinking;
        }
        let mut excess = self.excess(missing, ids);
        for &id in ids {
            let Some(form) = self.form(id) else { continue };
            if excess.spares(|domain| form.bytes_in(domain)) && room.take(form) {
                excess.spend(|domain| form.bytes_in(domain));
                shrinking.push(id);
            }
        }
        shrinking
    }

    /// Those of `ids` whose forms are given room now; the others go.
    pub(super) fn shrinking(&self, mut ids: Vec<InstanceId>, room: &mut Room) -> Vec<InstanceId> {
        ids.retain(|&id| self.form(id).is_some_and(|form| room.take(form)));
        ids
    }

    /// What `ids` free beyond what is `missing`.
    fn excess(&self, missing: &[(DomainId, u128)], ids: &[InstanceId]) -> Excess {
        let freed = |domain| ids.iter().map(|&id| u128::from(self.instance(id).bytes_in(domain).get())).sum();
        Excess(
            missing
                .iter()
                .map(|&(domain, bytes)| (domain, u128::saturating_sub(freed(domain), bytes)))
                .collect(),
        )
    }
}

/// Bytes by domain that come free beyond what is missing there.
struct Excess(Vec<(DomainId, u128)>);

impl Excess {
    /// Whether it can do without so many `bytes` of each domain.
    fn spares(&self, bytes: impl Fn(DomainId) -> Bytes) -> bool {
        self.0.iter().all(|&(domain, left)| u128::from(bytes(domain).get()) <= left)
    }

    fn spend(&mut self, bytes: impl Fn(DomainId) -> Bytes) {
        for (domain, left) in &mut self.0 {
            *left = left.saturating_sub(bytes(*domain).get().into());
        }
    }
}
