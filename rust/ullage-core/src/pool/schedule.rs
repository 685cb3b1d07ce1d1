//! The decisions: what one request may do now, and whom it would send away.

use super::brain::Pool;
use super::entry::State;
use super::event::{Denial, ModelId, WaitFor};
use super::policy::Candidate;
use super::room::Room;
use crate::units::Bytes;

/// What a request may do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Use the model.
    Grant,
    /// Load the model: its memory is free.
    Load,
    /// Wait; for its sake `unload` goes now, and `drain` takes no new lease and goes as soon as it is idle.
    Wait { behind: WaitFor, unload: Vec<ModelId>, drain: Vec<ModelId> },
    /// Give up.
    Refuse(Denial),
}

impl Decision {
    const fn wait(behind: WaitFor) -> Self {
        Self::Wait { behind, unload: Vec::new(), drain: Vec::new() }
    }
}

impl Pool {
    /// Room for a walk through the queue from its head.
    pub(super) fn room(&self) -> Room {
        let free = self.account().available().unwrap_or(Bytes::MAX);
        let leaving = self.entries().iter().filter(|entry| matches!(entry.state, State::Unloading { .. }));
        Room::new(free, leaving.map(|entry| entry.state.booked()), self.entries().len())
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

    fn decide_hit(&self, model: ModelId, room: &mut Room) -> Decision {
        let entry = self.entry(model);
        if !entry.has_place() {
            return Decision::wait(WaitFor::Concurrency);
        }
        let workspace = entry.registration.workspace;
        if workspace.is_zero() || room.take(workspace) {
            return Decision::Grant;
        }
        // A model that grew may leave no room for a workspace, whatever else goes.
        if let Some(denial) = self.denial(model, entry.state.booked().saturating_add(workspace)) {
            return Decision::Refuse(denial);
        }
        self.make_room(workspace, room)
    }

    fn decide_miss(&self, model: ModelId, is_first: bool, room: &mut Room) -> Decision {
        let needed = self.entry(model).needed();
        if let Some(denial) = self.denial(model, needed) {
            return Decision::Refuse(denial);
        }
        if !is_first {
            return Decision::wait(WaitFor::Memory);
        }
        if room.take(needed) { Decision::Load } else { self.make_room(needed, room) }
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

    /// Claims `needed` bytes and picks the models that have to go for them.
    fn make_room(&self, needed: Bytes, room: &mut Room) -> Decision {
        let missing = room.claim(needed);
        let mut victims = self.victims(missing, room);
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

    /// The models to send away for `missing` bytes: the least worth first, idle ones before leased ones, no more than
    /// needed. None at all where even all of them would not be enough: that room has to come from elsewhere.
    fn victims(&self, missing: u128, room: &Room) -> Vec<ModelId> {
        if missing == 0 {
            return Vec::new();
        }
        let mut candidates: Vec<ModelId> = self
            .ids()
            .filter(|&id| {
                let entry = self.entry(id);
                entry.is_ready()
                    && !entry.registration.is_pinned
                    && !room.is_wanted(id)
                    && !room.is_draining(id)
            })
            .collect();
        candidates.sort_by_cached_key(|&id| {
            let entry = self.entry(id);
            let candidate = Candidate { bytes: self.bytes_of(id), last_used: entry.last_used };
            (
                entry.leases > 0,
                entry.draining.unwrap_or(u64::MAX),
                self.is_awaited(id),
                self.policy().worth(&candidate, self.now()),
            )
        });
        let size = |id: ModelId| u128::from(self.bytes_of(id).get());
        let mut freed: u128 = 0;
        let mut chosen = Vec::new();
        for id in candidates {
            if freed >= missing {
                break;
            }
            freed = freed.saturating_add(size(id));
            chosen.push(id);
        }
        if freed < missing {
            return Vec::new();
        }
        // A large victim chosen late may have made smaller, earlier ones needless; the most worth is spared first.
        for index in (0..chosen.len()).rev() {
            let without = freed.saturating_sub(size(chosen[index]));
            if without >= missing {
                freed = without;
                chosen.remove(index);
            }
        }
        chosen
    }
}
