//! Those who wait: how they come, are looked at, and go.

use std::time::Duration;

use super::alarm::Alarm;
use super::booking::Booking;
use super::brain::{Lease, Pool};
use super::decision::{Decision, Way};
use super::denial::Denial;
use super::event::{Action, ModelId, RequestId, WaitFor};
use super::instance::{InstanceId, State};
use super::queue::Waiting;
use super::schedule::Ask;
use crate::ledger::Account;
use crate::units::Bytes;

impl Pool {
    /// Puts a request into the queue; a `Queue` action tells so unless the walk that follows settles it. A hit that needs
    /// no memory is granted without a walk, however many wait for other models.
    pub(super) fn enqueue(&mut self, waiting: Waiting, actions: &mut Vec<Action>) {
        let (request, model) = (waiting.request, waiting.model);
        if self.is_closed {
            actions.push(Action::Refuse { request, denial: Denial::Closed });
            return;
        }
        if !self.queue.is_awaited(model)
            && let Some(id) = self.free_instance(model, waiting.workspace)
            && let Some(workspace) = self.workspace(id, waiting.workspace)
        {
            self.grant(&waiting, id, workspace, actions);
            return;
        }
        let behind = self.behind(model);
        let is_first = self.queue.push(waiting);
        actions.push(Action::Queue { request, behind });
        self.fresh = Some(request);
        // Who is not the first waits for whatever the first waits for.
        self.is_dirty |= is_first;
    }

    /// The open instance with the least leases among those that can serve one more with what they hold.
    fn free_instance(&self, model: ModelId, workspace: Option<Bytes>) -> Option<InstanceId> {
        let entry = self.entry(model);
        let is_free = |id: &InstanceId| {
            let instance = self.instance(*id);
            instance.is_open()
                && entry.has_place(instance)
                && instance.gap(&entry.workspace(instance.place, workspace)).is_zero()
        };
        entry.instances().filter(is_free).min_by_key(|id| self.instance(*id).leases)
    }

    /// What a request for `model` waits for that is not the first of its queue.
    fn behind(&self, model: ModelId) -> WaitFor {
        let entry = self.entry(model);
        let mut is_full = false;
        for id in self.standing(entry) {
            match &self.instance(id).state {
                State::Loading { .. } | State::Promoting { .. } => return WaitFor::Load,
                State::Ready { .. } => is_full |= !entry.has_place(self.instance(id)),
                _ => {}
            }
        }
        if is_full {
            WaitFor::Concurrency
        } else if entry.failure.is_some_and(|failure| failure.until > self.now) {
            WaitFor::Backoff
        } else {
            WaitFor::Memory
        }
    }

    /// Refuses those whose time is up.
    pub(super) fn expire(&mut self, actions: &mut Vec<Action>) {
        while let Some(waiting) = self.queue.pop_late(self.now) {
            let waited = self.now.since(waiting.since);
            let retry_after = Duration::try_from_secs_f64(self.load_left_s(waiting.model)).ok();
            let denial = Denial::Timeout { waited, retry_after };
            actions.push(Action::Refuse { request: waiting.request, denial });
            self.leave_queue(waiting.model);
        }
    }

    /// Ends a request, whether it waits or was granted.
    pub(super) fn cancel(&mut self, request: RequestId) {
        match self.queue.remove(request) {
            Some(waiting) => self.leave_queue(waiting.model),
            None => self.end_lease(request),
        }
    }

    /// Somebody went who waited for `model`.
    pub(super) fn leave_queue(&mut self, model: ModelId) {
        self.is_dirty = true;
        if !self.queue.is_awaited(model) {
            self.end_turn(model);
        }
    }

    pub(super) fn end_turn(&mut self, model: ModelId) {
        if let Some(since) = self.entries[model.0].turn_since.take() {
            self.alarms.clear(since.saturating_add(self.options.group_wait), Alarm::Turn(model));
        }
    }

    /// Settles every waiting request that can be settled, by rank.
    pub(super) fn walk(&mut self, actions: &mut Vec<Action>) {
        self.is_dirty = false;
        let before = (actions.len(), self.queue.len());
        let mut draining = Vec::new();
        if !self.queue.is_empty() {
            let mut room = std::mem::take(&mut self.room);
            self.survey(&mut room);
            let mut at = None;
            while let Some(head) = self.queue.next_head(at) {
                at = Some(head);
                let Some(&waiting) = self.queue.head(head.1) else { continue };
                let decision = self.decide(Ask::of(&waiting), &mut room);
                if let Decision::Wait { way, .. } = &decision {
                    draining.extend(way.drain.iter().map(|&id| (id, way.is_closed)));
                }
                self.carry_out(&waiting, decision, actions);
            }
            self.room = room;
        }
        let is_settled = (actions.len(), self.queue.len()) == before && self.is_draining(&draining);
        self.keep_draining(&draining);
        // Who acted has changed what it looked at: the next walk may find more to do. And where there are several domains,
        // the place that costs least may be another after every use.
        self.found.clear();
        if is_settled && self.accounts.len() == 1 {
            self.found.extend(self.accounts.iter().map(Account::available));
        }
    }

    /// Whether those who drain are the same as before, and take new leases as before.
    fn is_draining(&self, chosen: &[(InstanceId, bool)]) -> bool {
        let before = self.draining.iter().map(|&id| (id, self.instances[id.0].is_closed));
        before.eq(chosen.iter().copied())
    }

    /// Whether the end of a lease of `model` may be what somebody waits for: one who waits for that model, one for whom it
    /// can now go, or one who needs bytes that came free.
    fn is_of_use(&self, model: ModelId, is_idle: bool) -> bool {
        let is_unchanged = || {
            let free = self.accounts.iter().map(Account::available);
            self.found.len() == self.accounts.len() && free.eq(self.found.iter().copied())
        };
        !self.queue.is_empty() && (is_idle || self.queue.is_awaited(model) || !is_unchanged())
    }

    fn keep_draining(&mut self, chosen: &[(InstanceId, bool)]) {
        for id in std::mem::take(&mut self.draining) {
            if !chosen.iter().any(|(other, _)| *other == id) {
                self.instances[id.0].draining = None;
                self.instances[id.0].is_closed = false;
            }
        }
        for &(id, is_closed) in chosen {
            self.drains = self.drains.saturating_add(1);
            self.instances[id.0].draining.get_or_insert(self.drains);
            self.instances[id.0].is_closed = is_closed;
            self.draining.push(id);
        }
    }

    /// Acts on a decision.
    fn carry_out(&mut self, waiting: &Waiting, decision: Decision, actions: &mut Vec<Action>) {
        match decision {
            Decision::Grant(id) => {
                // Somebody else may have taken the room since it was counted.
                let Some(workspace) = self.workspace(id, waiting.workspace) else { return };
                self.unqueue(waiting, actions);
                self.grant(waiting, id, workspace, actions);
            }
            Decision::Load(id) => {
                let is_loading = self.start_load(id, waiting.workspace, actions);
                self.note_wait(
                    waiting.request,
                    if is_loading { WaitFor::Load } else { WaitFor::Memory },
                    actions,
                );
            }
            Decision::Wait { behind, way } => {
                self.make_way(waiting.model, &way, actions);
                self.note_wait(waiting.request, behind, actions);
            }
            Decision::Refuse(denial) => {
                self.unqueue(waiting, actions);
                actions.push(Action::Refuse { request: waiting.request, denial });
            }
        }
    }

    fn make_way(&mut self, model: ModelId, way: &Way, actions: &mut Vec<Action>) {
        for &id in &way.unload {
            self.start_unload(id, actions);
        }
        for &id in &way.demote {
            self.start_demotion(id, actions);
        }
        if !way.drain.is_empty() && self.entry(model).turn_since.is_none() {
            self.entries[model.0].turn_since = Some(self.now);
            let over = self.now.saturating_add(self.options.group_wait);
            if over > self.now {
                self.alarms.set(over, Alarm::Turn(model));
            }
        }
    }

    /// Takes a settled request out of the queue, and back the news that it waits.
    fn unqueue(&mut self, waiting: &Waiting, actions: &mut Vec<Action>) {
        self.queue.remove(waiting.request);
        if !self.queue.is_awaited(waiting.model) {
            self.end_turn(waiting.model);
        }
        if self.fresh == Some(waiting.request) {
            self.fresh = None;
            actions.retain(|action| !matches!(action, Action::Queue { .. }));
        }
    }

    /// Completes the news that `request` waits with what it waits for.
    fn note_wait(&self, request: RequestId, reason: WaitFor, actions: &mut [Action]) {
        if self.fresh == Some(request) {
            let news = actions.iter_mut().find_map(|action| match action {
                Action::Queue { behind, .. } => Some(behind),
                _ => None,
            });
            if let Some(behind) = news {
                *behind = reason;
            }
        }
    }

    /// The workspace for one more lease of `id`: the spare one, grown if that is too small, or a new one.
    fn workspace(&mut self, id: InstanceId, asked: Option<Bytes>) -> Option<Booking> {
        let instance = &self.instances[id.0];
        let entry = &self.entries[instance.model.0];
        let needed = entry.workspace(instance.place, asked);
        let label = || format!("{} workspace", entry.registration.name);
        if let State::Ready { spare, .. } = &mut self.instances[id.0].state
            && let Some(mut found) = spare.take()
        {
            if found.covers(&needed) || found.grow(&self.accounts, &needed, &label()) {
                return Some(found);
            }
            *spare = Some(found);
            return None;
        }
        if needed.is_zero() {
            Some(Booking::default())
        } else {
            Booking::take(&self.accounts, &needed, &label())
        }
    }

    fn grant(&mut self, waiting: &Waiting, id: InstanceId, workspace: Booking, actions: &mut Vec<Action>) {
        let &Waiting { request, model, .. } = waiting;
        let instance = &mut self.instances[id.0];
        instance.leases = instance.leases.saturating_add(1);
        instance.leased = instance.leased.plus(&workspace.demand());
        let (incarnation, place) = (instance.incarnation, instance.place);
        self.use_now(model);
        self.leases.insert(request, Lease { model, instance: id, incarnation, since: self.now, workspace });
        actions.push(Action::Grant { request, model, place });
    }

    /// Serves the first who waits for the model of `id` with what it holds: what was loaded for somebody is not sent away
    /// unused.
    pub(super) fn serve_first(&mut self, id: InstanceId, actions: &mut Vec<Action>) {
        let model = self.instance(id).model;
        let Some(&first) = self.queue.head(model) else { return };
        let place = self.instance(id).place;
        let is_enough = self.instance(id).gap(&self.entry(model).workspace(place, first.workspace)).is_zero();
        if is_enough && let Some(workspace) = self.workspace(id, first.workspace) {
            self.unqueue(&first, actions);
            self.grant(&first, id, workspace, actions);
        }
    }

    /// The workspace of a lease that ends stays with its model as the spare one, unless that has one already.
    pub(super) fn end_lease(&mut self, request: RequestId) {
        let Some(lease) = self.leases.remove(&request) else { return };
        let model = lease.model;
        let is_idle = self.take_back(lease);
        self.policy.on_release(model, self.now);
        self.use_now(model);
        self.note_idle();
        self.is_dirty |= self.is_of_use(model, is_idle);
    }

    /// Takes back what a lease held; true if nobody uses its instance any more.
    fn take_back(&mut self, lease: Lease) -> bool {
        let Lease { model, instance: id, incarnation, since, mut workspace } = lease;
        let entry = &mut self.entries[model.0];
        entry.learn_hold(self.now.since(since).as_secs_f64());
        let instance = &mut self.instances[id.0];
        let mut is_idle = false;
        if instance.incarnation == incarnation {
            instance.leases = instance.leases.saturating_sub(1);
            is_idle = instance.leases == 0;
            instance.leased = instance.leased.minus(&workspace.demand());
            if instance.is_retired {
                self.leavers.push(id);
            }
            if let State::Ready { spare: spare @ None, .. } = &mut instance.state {
                let usual = &entry.registration.places[instance.place.index()].workspace;
                if workspace.covers(usual) {
                    workspace.shrink(usual);
                }
                *spare = Some(workspace);
            }
        } else {
            entry.orphans = entry.orphans.saturating_sub(1);
            entry.orphaned = entry.orphaned.minus(&workspace.demand());
        }
        is_idle
    }

    /// That a walk would do nothing now: the slow way to know that none is needed.
    #[cfg(test)]
    pub(super) fn assert_of_no_use(&self) {
        let mut room = super::room::Room::default();
        self.survey(&mut room);
        let (mut at, mut all) = (None, Vec::new());
        while let Some(head) = self.queue.next_head(at) {
            at = Some(head);
            let Some(waiting) = self.queue.head(head.1) else { continue };
            all.push(self.decide(Ask::of(waiting), &mut room));
        }
        let waits = |way: &Way| way.unload.is_empty() && way.demote.is_empty();
        all.retain(|decision| !matches!(decision, Decision::Wait { way, .. } if waits(way)));
        assert_eq!(all, [], "what a walk would do that none was made for");
    }
}
