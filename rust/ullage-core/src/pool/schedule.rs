//! The decisions: what one request may do now, and whom it would send away.

use super::brain::Pool;
use super::decision::Decision;
use super::entry::State;
use super::event::{Denial, ModelId, WaitFor};
use super::policy::Candidate;
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
        match self.victims(room.missing_for(workspace), Reach::Idle, room) {
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

    /// Picks the models that have to go for `needed` bytes, those in use among them, and claims the bytes.
    fn make_room(&self, needed: Bytes, room: &mut Room) -> Decision {
        let victims = self.victims(room.missing_for(needed), Reach::Leased, room).unwrap_or_default();
        self.send_away(victims, needed, room)
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

    /// The models to send away for `missing` bytes: the least worth first, idle ones before leased ones, no more than
    /// needed. `None` where even all of them would not be enough: that room has to come from elsewhere.
    fn victims(&self, missing: u128, reach: Reach, room: &Room) -> Option<Vec<ModelId>> {
        let mut candidates: Vec<ModelId> = self
            .ids()
            .filter(|&id| {
                let entry = self.entry(id);
                entry.is_ready()
                    && (entry.leases == 0 || reach == Reach::Leased)
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
            return None;
        }
        // A large victim chosen late may have made smaller, earlier ones needless; the most worth is spared first.
        for index in (0..chosen.len()).rev() {
            let without = freed.saturating_sub(size(chosen[index]));
            if without >= missing {
                freed = without;
                chosen.remove(index);
            }
        }
        Some(chosen)
    }
}
