//! The decisions: what one request may do now.

use super::brain::Pool;
use super::decision::{Decision, Way};
use super::demand::{Demand, DomainId};
use super::denial::Denial;
use super::event::{Level, ModelId, WaitFor};
use super::instance::{InstanceId, State};
use super::queue::Waiting;
use super::room::Room;
use super::victims::{Chosen, Reach};
use crate::units::Bytes;

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) model: ModelId,
    /// Bytes of workspace, if other than registered.
    pub(super) workspace: Option<Bytes>,
}

impl Ask {
    pub(super) const fn of(waiting: &Waiting) -> Self {
        Self { model: waiting.model, workspace: waiting.workspace }
    }
}

impl Pool {
    /// Room for a walk through the queue from its head.
    pub(super) fn survey(&self, room: &mut Room) {
        let seats = self.habits.most_models.map_or(usize::MAX, |most| most.saturating_sub(self.lists.seated));
        room.begin(self.accounts.len(), self.entries.len(), self.instances.len(), seats);
        for (space, account) in room.spaces.iter_mut().zip(&self.accounts) {
            space.free = account.available().unwrap_or(Bytes::MAX).get().into();
            space.limit = account.tightest_limit();
        }
        for &id in &self.lists.leaving {
            room.count_on(&self.instance(id).booked());
        }
        if self.lists.compressing > 0 {
            self.expect_shrunk(room);
        }
        let fixed = self.lists.fixed.iter().map(|&id| self.keeps(id));
        let residue = self.lists.residual.iter().map(|&id| self.instance(id).residue.demand());
        for demand in fixed.chain(residue) {
            for &(domain, bytes) in demand.parts() {
                let space = &mut room.spaces[domain.index()];
                space.fixed = space.fixed.saturating_add(bytes);
            }
        }
    }

    /// Counts on what comes free once those that shrink have their other form.
    fn expect_shrunk(&self, room: &mut Room) {
        for instance in &self.instances {
            if let State::Compressing { weights, .. } = &instance.state {
                room.count_on(&weights.demand());
            }
        }
    }

    /// Decides on a request, older requests having taken and claimed their part of `room`.
    pub(super) fn decide(&self, ask: Ask, room: &mut Room) -> Decision {
        room.want(ask.model);
        #[cfg(test)]
        let mut before = room.clone();
        if let Some(decision) = self.decide_behind(ask, room) {
            #[cfg(test)]
            assert_eq!(
                (&decision, &*room),
                (&self.decide_miss(ask, &mut before), &before),
                "what all would say"
            );
            return decision;
        }
        self.decide_hit(ask, room).unwrap_or_else(|| self.decide_miss(ask, room))
    }

    /// What most of many who wait meet, told without a look at all that might be otherwise: a model that is nowhere, with
    /// one place to be, and older requests that miss more than can be had. [`Self::decide_miss`] would say the same.
    fn decide_behind(&self, ask: Ask, room: &mut Room) -> Option<Decision> {
        let entry = self.entry(ask.model);
        let &[id] = &entry.own[..] else { return None };
        let instance = self.instance(id);
        let is_plain =
            matches!(instance.state, State::Cold) && !instance.is_retired && entry.failure.is_none();
        let is_calm = self.forms == 0 && self.pressure.iter().all(|level| *level < Level::Hard);
        if !is_plain || !is_calm || !room.is_short() {
            return None;
        }
        let needed = entry.needed(instance, ask.workspace);
        if self.shortage_of(id, &needed, room).is_some() || !room.queue_behind(&needed) {
            return None;
        }
        let way = Way { to: Some(id), is_closed: self.is_turn_over(ask.model), ..Way::default() };
        Some(Decision::Wait { behind: WaitFor::Memory, way })
    }

    /// A hit takes the spare workspace or free memory; for more leases at once it may load another instance where memory
    /// is free, or send idle models away, but not others' leases: its own model's leases end too, and leave it their
    /// workspace. `None` where no instance could ever serve it.
    fn decide_hit(&self, ask: Ask, room: &mut Room) -> Option<Decision> {
        let entry = self.entry(ask.model);
        let is_open = |id: &InstanceId| self.instance(*id).is_ready() && !room.is_closed(*id);
        let mut open: Vec<InstanceId> = self.standing(entry).filter(is_open).collect();
        if open.is_empty() {
            return None;
        }
        open.sort_by_key(|id| self.instance(*id).leases);
        let mut gaps = Vec::new();
        for &id in &open {
            let instance = self.instance(id);
            if !entry.has_place(instance) {
                continue;
            }
            let gap = instance.gap(&entry.workspace(instance.place, ask.workspace));
            if gap.is_zero() || room.take(&gap) {
                return Some(Decision::Grant(id));
            }
            gaps.push((id, gap));
        }
        if !open.iter().any(|&id| self.shortage(id, ask, room).is_none()) {
            return None;
        }
        if let Some(id) = self.scale_out(ask, room) {
            return Some(Decision::Load(id));
        }
        let Some((id, gap)) = gaps.into_iter().find(|(id, _)| self.shortage(*id, ask, room).is_none()) else {
            return Some(Decision::wait(WaitFor::Concurrency));
        };
        let missing = room.missing_for(&gap);
        let victims = self.victims(&missing, 0, Reach::Idle, Some(id), room);
        Some(match victims {
            Some(chosen) => self.send_away((ask.model, id), chosen, &missing, &gap, room),
            None => Decision::wait(WaitFor::Memory),
        })
    }

    /// One more instance for those who would wait for one that is in use, where its memory is free.
    fn scale_out(&self, ask: Ask, room: &mut Room) -> Option<InstanceId> {
        let entry = self.entry(ask.model);
        if entry.registration.instances < 2 || room.seats() == 0 || entry.failure.is_some() {
            return None;
        }
        let held = entry.instances().filter(|&id| self.instance(id).is_usable()).count();
        if held >= entry.registration.instances || self.moving(ask.model).is_some() {
            return None;
        }
        let mut cold = self.standing(entry).filter(|&id| matches!(self.instance(id).state, State::Cold));
        let id = cold.find(|&id| {
            let may = !self.is_pressed(id, ask) && self.shortage(id, ask, room).is_none();
            may && room.take(&entry.needed(self.instance(id), ask.workspace))
        })?;
        room.take_seat();
        Some(id)
    }

    /// What its instances are doing that it has to wait for.
    pub(super) fn moving(&self, model: ModelId) -> Option<WaitFor> {
        self.standing(self.entry(model)).find_map(|id| match self.instance(id).state {
            State::Loading { .. } | State::Promoting { .. } => Some(WaitFor::Load),
            State::Compressing { .. } => Some(WaitFor::Memory),
            _ => None,
        })
    }

    fn decide_miss(&self, ask: Ask, room: &mut Room) -> Decision {
        let entry = self.entry(ask.model);
        if let Some(behind) = self.moving(ask.model) {
            return Decision::wait(behind);
        }
        let mut places: Vec<InstanceId> = self.standing(entry).collect();
        if places.is_empty() {
            return Decision::Refuse(Denial::NoPlace);
        }
        places.retain(|&id| !matches!(self.instance(id).state, State::Stuck { .. }));
        if places.is_empty() {
            return Decision::Refuse(Denial::Stuck);
        }
        if !places.iter().any(|&id| self.shortage(id, ask, room).is_none()) {
            return Decision::Refuse(self.refusal(&places, ask, room));
        }
        if let Some(failure) = entry.failure.filter(|failure| failure.until > self.now) {
            let retry_after = failure.until.since(self.now);
            let denial = Denial::LoadFailed { attempts: failure.attempts, retry_after };
            return if failure.is_final {
                Decision::Refuse(denial)
            } else {
                Decision::wait(WaitFor::Backoff)
            };
        }
        places.retain(|&id| self.shortage(id, ask, room).is_none());
        places.retain(|&id| !self.is_pressed(id, ask));
        if places.is_empty() {
            return Decision::Refuse(Denial::Pressure { retry_after: self.options.pressure_retry });
        }
        self.come(ask, places, room)
    }

    /// Loads at the first of `places` where there is room, else makes room at one of them.
    fn come(&self, ask: Ask, mut places: Vec<InstanceId>, room: &mut Room) -> Decision {
        let entry = self.entry(ask.model);
        let is_compressed = |id: InstanceId| matches!(self.instance(id).state, State::Compressed { .. });
        if places.len() > 1 {
            places.sort_by_key(|&id| (!is_compressed(id), self.instance(id).failures));
        }
        // Of its own instances elsewhere one has to go first if there may be no more.
        let is_staying = |id: &InstanceId| self.instance(*id).is_usable() && !room.is_expected(*id);
        let staying: Vec<InstanceId> = entry.instances().filter(is_staying).collect();
        let most = entry.registration.instances;
        if staying.iter().filter(|&&id| !is_compressed(id)).count() >= most {
            return self.send_own_away(ask, &staying, room);
        }
        let is_usable = |id: &InstanceId| self.instance(*id).is_usable() && !is_compressed(*id);
        let may_come = entry.instances().filter(is_usable).count() < most;
        for &id in &places {
            let instance = self.instance(id);
            let needed = entry.needed(instance, ask.workspace);
            match instance.state {
                State::Compressed { .. } if !self.fits_beside_form(id, &needed, room) => {
                    let missing = room.missing_for(&needed);
                    let own = Chosen { ids: vec![id], cost: 0.0 };
                    return self.send_away((ask.model, id), own, &missing, &needed, room);
                }
                State::Compressed { .. } if may_come && room.take(&needed) => return Decision::Load(id),
                State::Cold
                    if may_come
                        && room.seats() > 0
                        && room.has(&self.asks(&needed, room))
                        && room.take(&needed) =>
                {
                    room.take_seat();
                    return Decision::Load(id);
                }
                _ => {}
            }
        }
        self.make_room(ask, &places, room)
    }

    /// Picks the instances that have to go for the request, those in use among them, at the place where that costs
    /// least, and claims the bytes there.
    fn make_room(&self, ask: Ask, places: &[InstanceId], room: &mut Room) -> Decision {
        let entry = self.entry(ask.model);
        let mut best: Option<(InstanceId, Demand, Vec<_>, Chosen)> = None;
        for &id in places {
            let instance = self.instance(id);
            let needed = entry.needed(instance, ask.workspace);
            let missing = room.missing_for(&self.asks(&needed, room));
            let seats = usize::from(!matches!(instance.state, State::Compressed { .. }) && room.seats() == 0);
            let is_hopeless = !missing.is_empty() && room.is_short_for(&needed);
            let victims =
                if is_hopeless { None } else { self.victims(&missing, seats, Reach::Leased, Some(id), room) };
            if let Some(chosen) = victims
                && best.as_ref().is_none_or(|best| chosen.cost < best.3.cost)
            {
                best = Some((id, needed, missing, chosen));
            }
        }
        let (id, needed, missing, chosen) = best.unwrap_or_else(|| {
            let needed = entry.needed(self.instance(places[0]), ask.workspace);
            let missing = room.missing_for(&needed);
            room.fall_short(&missing);
            (places[0], needed, missing, Chosen::default())
        });
        let is_seated = self.instance(id).holds_seat();
        let decision = self.send_away((ask.model, id), chosen, &missing, &needed, room);
        if !is_seated || room.is_expected(id) {
            room.take_seat();
        }
        decision
    }

    /// One of its own instances makes way for the request, which needs more than that place has.
    fn send_own_away(&self, ask: Ask, staying: &[InstanceId], room: &mut Room) -> Decision {
        if self.entry(ask.model).is_pinned {
            return Decision::Refuse(self.refusal(staying, ask, room));
        }
        let ready = staying.iter().filter(|id| self.instance(**id).is_ready());
        let Some(&id) = ready.min_by_key(|id| self.instance(**id).leases) else {
            return Decision::wait(WaitFor::Memory);
        };
        let own = Chosen { ids: vec![id], cost: 0.0 };
        self.send_away((ask.model, id), own, &[], &Demand::ZERO, room)
    }

    /// Whether the model fits beside its own compressed form, by the limits.
    fn fits_beside_form(&self, id: InstanceId, needed: &Demand, room: &Room) -> bool {
        let both = needed.plus(&self.instance(id).booked());
        both.parts().iter().all(|&(domain, bytes)| {
            let space = &room.spaces[domain.index()];
            let own =
                if self.entry_of(id).is_pinned { self.instance(id).booked_in(domain) } else { Bytes::ZERO };
            let fixed = space.fixed.saturating_sub(own);
            space.limit.is_none_or(|limit| bytes <= limit.saturating_sub(fixed))
        })
    }

    /// What a load of `needed` bytes asks to be free: more than that, by some policies' habit, beside other models that
    /// can be sent away.
    fn asks(&self, needed: &Demand, room: &Room) -> Demand {
        let is_alone = self.lists.seated == 0 && self.lists.fixed.is_empty();
        if is_alone || (self.habits.share_of_free >= 1.0 && self.habits.margin.is_zero()) {
            return needed.clone();
        }
        let asked = Demand::of(needed.parts().iter().map(|&(domain, bytes)| {
            let limit = room.spaces[domain.index()].limit.unwrap_or(Bytes::MAX);
            (domain, self.habits.asks(bytes, limit))
        }));
        let missing = room.missing_for(&asked);
        let can_be_had = missing.is_empty() || self.victims(&missing, 0, Reach::Leased, None, room).is_some();
        if can_be_had { asked } else { needed.clone() }
    }

    /// Claims `needed` bytes and counts on those of `chosen`.
    fn send_away(
        &self,
        (model, to): (ModelId, InstanceId),
        chosen: Chosen,
        missing: &[(DomainId, u128)],
        needed: &Demand,
        room: &mut Room,
    ) -> Decision {
        let mut ids = chosen.ids;
        let trade = self.trade(&ids, to, missing, needed, room);
        if let Some(trade) = &trade {
            ids = [&trade.go[..], &trade.shrink[..]].concat();
        }
        room.claim(needed);
        ids.sort_unstable();
        let is_closed = self.is_turn_over(model);
        let may_serve = |id: InstanceId| !is_closed && self.instance(id).is_ready() && self.is_awaited(id);
        let own = |id: InstanceId| self.instance(id).model == model;
        let mut way = Way { to: Some(to), is_closed, ..Way::default() };
        for &id in &ids {
            let is_kept = self.instance(id).leases > 0 || (may_serve(id) && !own(id));
            if is_kept {
                way.drain.push(id);
            } else {
                way.unload.push(id);
            }
            room.expect(id, &self.goes_with(id), is_closed);
        }
        way.demote = match trade {
            Some(trade) => self.shrinking(trade.shrink, room),
            None => self.demotions(&ids, missing, room),
        };
        way.demote.retain(|id| !own(*id) && !way.drain.contains(id));
        way.unload.retain(|id| !way.demote.contains(id));
        if !way.drain.is_empty() {
            room.count_drainer();
        }
        Decision::Wait { behind: WaitFor::Memory, way }
    }

    /// Whether the first request for `model` has waited long enough for others' models in use.
    fn is_turn_over(&self, model: ModelId) -> bool {
        let wait = self.options.group_wait;
        wait.is_zero() || self.entry(model).turn_since.is_some_and(|since| self.now.since(since) >= wait)
    }

    /// Whether a domain that the request would need at `id` refuses loads.
    fn is_pressed(&self, id: InstanceId, ask: Ask) -> bool {
        if self.pressure.iter().all(|level| *level < Level::Hard) {
            return false;
        }
        let needed = self.entry(ask.model).needed(self.instance(id), ask.workspace);
        needed.parts().iter().any(|&(domain, _)| self.pressure[domain.index()] == Level::Hard)
    }
}
