//! The decisions: what one request may do now, and whom it would send away.

use super::brain::Pool;
use super::decision::Decision;
use super::entry::{Entry, State};
use super::event::{Denial, ModelId, WaitFor};
use super::policy::{Candidate, select};
use super::room::Room;
use crate::units::Bytes;

/// Which models may have to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Those that nobody uses.
    Idle,
    /// Those in use too, once their leases end.
    Leased,
}

impl Pool {
    /// Room for a walk through the queue from its head.
    pub(super) fn room(&self) -> Room {
        let free = self.account().available().unwrap_or(Bytes::MAX);
        let leaving = self.entries().iter().filter(|entry| matches!(entry.state, State::Unloading { .. }));
        let held = self.entries().iter().filter(|entry| entry.holds_place()).count();
        let places = self.habits().most_models.map_or(usize::MAX, |most| most.saturating_sub(held));
        Room::new(free, leaving.map(|entry| entry.state.booked()), self.entries().len(), places)
    }

    /// Decides on a request for `model`, older requests having taken and claimed their part of `room`.
    pub(super) fn decide(&self, model: ModelId, room: &mut Room) -> Decision {
        let entry = self.entry(model);
        let is_first = room.want(model);
        match &entry.state {
            State::Stuck { .. } => Decision::Refuse(Denial::Stuck),
            State::Loading { .. } => Decision::wait(WaitFor::Load),
            State::Ready { .. } if !room.is_draining(model) => self.decide_hit(model, room),
            State::Cold => self.decide_miss(model, is_first, room),
            State::Ready { .. } | State::Unloading { .. } if is_first => {
                // It leaves for an older request's sake and will have to be loaded again.
                self.make_room(entry.needed(), room)
            }
            // An older request for the same model has claimed what it needs.
            State::Ready { .. } | State::Unloading { .. } => Decision::wait(WaitFor::Memory),
        }
    }

    /// A hit takes the spare workspace or free memory; for more leases at once it may send idle models away, but not
    /// others' leases: its own model's leases end too, and leave it their workspace.
    fn decide_hit(&self, model: ModelId, room: &mut Room) -> Decision {
        let entry = self.entry(model);
        if !entry.has_place() {
            return Decision::wait(WaitFor::Concurrency);
        }
        let workspace = entry.registration.workspace;
        if entry.has_spare() || workspace.is_zero() || room.take(workspace) {
            return Decision::Grant;
        }
        match self.victims(room.missing_for(workspace), 0, Reach::Idle, room) {
            Some(victims) => self.send_away(victims, workspace, room),
            None => Decision::wait(WaitFor::Memory),
        }
    }

    fn decide_miss(&self, model: ModelId, is_first: bool, room: &mut Room) -> Decision {
        let needed = self.entry(model).needed();
        if let Some(denial) = self.denial(model, needed) {
            return Decision::Refuse(denial);
        }
        if !is_first {
            return Decision::wait(WaitFor::Memory);
        }
        if room.places() > 0 && room.has(self.asks(needed, room)) && room.take(needed) {
            room.take_place();
            Decision::Load
        } else {
            self.make_room(needed, room)
        }
    }

    /// Why `model` can never hold `requested` bytes beside what may not go; `None` if it can.
    fn denial(&self, model: ModelId, requested: Bytes) -> Option<Denial> {
        let limit = self.account().tightest_limit()?;
        if requested > limit {
            return Some(Denial::TooLarge { requested, limit });
        }
        let fixed = || self.ids().filter(|&other| other != model && self.entry(other).is_fixed());
        let held =
            fixed().fold(Bytes::ZERO, |sum, other| sum.saturating_add(self.entry(other).state.booked()));
        let available = limit.saturating_sub(held);
        (requested > available).then(|| Denial::Pinned {
            requested,
            available,
            limit,
            blocked_by: fixed().collect(),
        })
    }

    /// Picks the models that have to go for `needed` bytes, those in use among them, and claims the bytes.
    fn make_room(&self, needed: Bytes, room: &mut Room) -> Decision {
        let missing = room.missing_for(self.asks(needed, room));
        let places = usize::from(room.places() == 0);
        let victims = self.victims(missing, places, Reach::Leased, room).unwrap_or_default();
        let decision = self.send_away(victims, needed, room);
        room.take_place();
        decision
    }

    /// What a load of `needed` bytes asks to be free: more than that, by some policies' habit, beside other models that
    /// can be sent away.
    fn asks(&self, needed: Bytes, room: &Room) -> Bytes {
        if !self.entries().iter().any(Entry::holds_place) {
            return needed;
        }
        let asked = self.habits().asks(needed, self.account().tightest_limit().unwrap_or(Bytes::MAX));
        let missing = room.missing_for(asked);
        let can_be_had =
            asked == needed || missing == 0 || self.victims(missing, 0, Reach::Leased, room).is_some();
        if can_be_had { asked } else { needed }
    }

    /// Claims `needed` bytes and counts on those of `victims`.
    fn send_away(&self, mut victims: Vec<ModelId>, needed: Bytes, room: &mut Room) -> Decision {
        room.claim(needed);
        victims.sort_unstable();
        let (drain, unload): (Vec<_>, Vec<_>) =
            victims.into_iter().partition(|&id| self.entry(id).leases > 0);
        for &victim in drain.iter().chain(&unload) {
            room.expect(victim, self.bytes_of(victim));
        }
        Decision::Wait { behind: WaitFor::Memory, unload, drain }
    }

    /// Everything a resident model holds, workspaces included.
    fn bytes_of(&self, model: ModelId) -> Bytes {
        let entry = self.entry(model);
        entry.state.booked().saturating_add(entry.leased)
    }

    /// The models to send away for `missing` bytes and `places`: idle ones before leased ones, those that drain already
    /// before others, those that nobody waits for before others; among such, the policy's victims. `None` where even all
    /// of them would not be enough: that room has to come from elsewhere.
    fn victims(&self, missing: u128, places: usize, reach: Reach, room: &Room) -> Option<Vec<ModelId>> {
        let mut classes: Vec<((bool, u64, bool), ModelId)> = Vec::new();
        for id in self.ids() {
            let entry = self.entry(id);
            let may_go = entry.is_ready()
                && (entry.leases == 0 || reach == Reach::Leased)
                && !entry.registration.is_pinned
                && !room.is_wanted(id)
                && !room.is_draining(id);
            if may_go {
                let class = (
                    entry.leases > 0,
                    entry.draining.unwrap_or(u64::MAX),
                    !self.is_queueless() && self.is_awaited(id),
                );
                classes.push((class, id));
            }
        }
        classes.sort_unstable();
        let mut chosen = Vec::new();
        let (mut freed, mut groups) = (0_u128, 0_u32);
        for group in classes.chunk_by(|(a, _), (b, _)| a == b) {
            if freed >= missing && chosen.len() >= places {
                break;
            }
            let group: Vec<ModelId> = group.iter().map(|&(_, id)| id).collect();
            groups = groups.saturating_add(1);
            let still = missing.saturating_sub(freed);
            for id in self.select(still, places.saturating_sub(chosen.len()), &group) {
                freed = freed.saturating_add(self.bytes_of(id).get().into());
                chosen.push(id);
            }
        }
        if freed < missing || chosen.len() < places {
            return None;
        }
        // A victim of a later class may have made those of earlier ones needless.
        if groups > 1 {
            self.spare(missing, places, &mut chosen);
        }
        Some(chosen)
    }

    /// The policy's victims among `group`.
    fn select(&self, missing: u128, places: usize, group: &[ModelId]) -> Vec<ModelId> {
        let mut weighed = Vec::new();
        let candidates = group.iter().map(|&model| self.candidate(model));
        select(self.policy(), missing, places, candidates, self.now(), &mut weighed);
        weighed.iter().map(|weighed| group[weighed.place]).collect()
    }

    /// The model among `models` that the policy gives the least worth.
    pub(super) fn least_worth(&self, models: impl Iterator<Item = ModelId>) -> Option<ModelId> {
        let worth = |id: ModelId| (self.policy().worth(&self.candidate(id), self.now()), self.entry(id).turn);
        models.min_by(|&a, &b| {
            let (a, b) = (worth(a), worth(b));
            a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
        })
    }

    fn candidate(&self, model: ModelId) -> Candidate {
        Candidate { model, bytes: self.bytes_of(model), turn: self.entry(model).turn }
    }

    fn spare(&self, missing: u128, places: usize, chosen: &mut Vec<ModelId>) {
        let size = |id: ModelId| u128::from(self.bytes_of(id).get());
        let mut freed: u128 = chosen.iter().map(|&id| size(id)).sum();
        for index in (0..chosen.len()).rev() {
            let without = freed.saturating_sub(size(chosen[index]));
            if without >= missing && chosen.len() > places {
                freed = without;
                chosen.remove(index);
            }
        }
    }
}
