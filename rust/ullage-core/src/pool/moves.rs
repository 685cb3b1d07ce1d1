//! Models that come and go: what begins a move, and what is reported of it.

use std::time::Duration;

use super::alarm::Alarm;
use super::booking::Booking;
use super::brain::Pool;
use super::demand::Demand;
use super::denial::Denial;
use super::entry::Failure;
use super::event::{Action, ModelId};
use super::instance::{InstanceId, State};
use crate::units::Bytes;

impl Pool {
    /// Books for a load or a promotion and begins it; false where somebody else took the room since it was counted.
    pub(super) fn start_load(
        &mut self,
        id: InstanceId,
        asked: Option<Bytes>,
        actions: &mut Vec<Action>,
    ) -> bool {
        let instance = self.instance(id);
        let (model, place) = (instance.model, instance.place);
        let entry = self.entry(model);
        let name = &entry.registration.name;
        let weights = entry.weights_needed(instance);
        let Some(weights) = Booking::take(&self.accounts, &weights, &format!("{name} weights")) else {
            return false;
        };
        let workspace = entry.workspace(place, asked);
        let Some(workspace) = Booking::take(&self.accounts, &workspace, &format!("{name} workspace")) else {
            return false;
        };
        self.end_turn(model);
        if let State::Compressed { compressed } = self.turn_into(id, State::Cold) {
            self.turn_into(id, State::Promoting { compressed, weights, workspace });
            actions.push(Action::Promote { model, place });
        } else {
            self.turn_into(id, State::Loading { weights, workspace });
            actions.push(Action::Load { model, place });
        }
        true
    }

    pub(super) fn loaded(&mut self, id: InstanceId, actions: &mut Vec<Action>) {
        let took_s = self.now.since(self.instance(id).since).as_secs_f64();
        let State::Loading { weights, workspace } = self.turn_into(id, State::Cold) else { return };
        let model = self.instance(id).model;
        let entry = &mut self.entries[model.0];
        entry.loads = entry.loads.saturating_add(1);
        if entry.learn_load(took_s) {
            self.policy.on_cost(model, entry.load_s);
        }
        let is_only = !self.is_resident(model);
        self.turn_into(id, State::Ready { weights, spare: Some(workspace) });
        self.give_back(id);
        if is_only {
            self.policy.on_load(model, self.now);
        }
        self.come_up(id, actions);
    }

    pub(super) fn promoted(&mut self, id: InstanceId, actions: &mut Vec<Action>) {
        let took_s = self.now.since(self.instance(id).since).as_secs_f64();
        let State::Promoting { compressed, weights, workspace } = self.turn_into(id, State::Cold) else {
            return;
        };
        drop(compressed);
        let entry = &mut self.entries[self.instances[id.0].model.0];
        entry.promotions = entry.promotions.saturating_add(1);
        entry.learn_promotion(took_s);
        self.turn_into(id, State::Ready { weights, spare: Some(workspace) });
        self.come_up(id, actions);
    }

    fn come_up(&mut self, id: InstanceId, actions: &mut Vec<Action>) {
        let model = self.instance(id).model;
        self.instances[id.0].failures = 0;
        let entry = &mut self.entries[model.0];
        entry.last_used = self.now;
        if let Some(failure) = entry.failure.take() {
            self.alarms.clear(failure.until, Alarm::Retry(model));
        }
        self.end_turn(model);
        self.note_idle();
        if !self.options.min_residency.is_zero() {
            let until = self.now.saturating_add(self.options.min_residency);
            self.alarms.set(until, Alarm::Resident(id));
        }
        self.serve_first(id, actions);
        // Whoever asked for more than is usual may have gone.
        let instance = &mut self.instances[id.0];
        if let State::Ready { spare: Some(spare), .. } = &mut instance.state {
            let usual = &self.entries[model.0].registration.places[instance.place.index()].workspace;
            if spare.covers(usual) {
                spare.shrink(usual);
            }
        }
    }

    /// The others go on; who waits for this one waits for the next attempt, if there is one.
    pub(super) fn load_failed(
        &mut self,
        id: InstanceId,
        out_of_memory: Option<&Demand>,
        may_retry: bool,
        actions: &mut Vec<Action>,
    ) {
        let (model, place) = (self.instance(id).model, self.instance(id).place);
        let booked = match self.turn_into(id, State::Cold) {
            State::Promoting { compressed, weights, workspace: _ } => {
                // A form that cannot be brought back is of no use.
                self.turn_into(id, State::Unloading { held: compressed });
                self.go(id);
                actions.push(Action::Drop { model, place });
                weights.demand()
            }
            State::Loading { weights, .. } => weights.demand(),
            _ => Demand::ZERO,
        };
        let instance = &mut self.instances[id.0];
        instance.failures = instance.failures.saturating_add(1);
        if let Some(seen) = out_of_memory {
            instance.raised = instance.raised.max(&booked.scaled(5, 4)).max(seen);
        }
        self.back_off(model, may_retry, actions);
    }

    fn back_off(&mut self, model: ModelId, may_retry: bool, actions: &mut Vec<Action>) {
        let entry = &mut self.entries[model.0];
        let before = entry.failure.take();
        if let Some(failure) = before {
            self.alarms.clear(failure.until, Alarm::Retry(model));
        }
        let attempts = before.map_or(0, |failure| failure.attempts).saturating_add(1);
        let pause = pause(attempts, self.options.backoff, self.options.backoff_most);
        let is_final = !may_retry || attempts > entry.registration.retries;
        let until = self.now.saturating_add(pause);
        entry.failure = Some(Failure { attempts, until, is_final });
        if !is_final {
            self.alarms.set(until, Alarm::Retry(model));
            return;
        }
        for waiting in self.queue.remove_all_of(model) {
            let denial = Denial::LoadFailed { attempts, retry_after: pause };
            actions.push(Action::Refuse { request: waiting.request, denial });
        }
        self.end_turn(model);
    }

    pub(super) fn start_unload(&mut self, id: InstanceId, actions: &mut Vec<Action>) {
        let (model, place) = (self.instance(id).model, self.instance(id).place);
        match self.turn_into(id, State::Cold) {
            State::Ready { weights, spare: _ } => {
                self.turn_into(id, State::Unloading { held: weights });
                actions.push(Action::Unload { model, place });
            }
            State::Compressed { compressed } => {
                self.turn_into(id, State::Unloading { held: compressed });
                actions.push(Action::Drop { model, place });
            }
            // Nobody asks for this.
            other => {
                self.turn_into(id, other);
                return;
            }
        }
        let entry = &mut self.entries[model.0];
        entry.evictions = entry.evictions.saturating_add(1);
        self.go(id);
        if !self.is_resident(model) {
            self.policy.on_evict(model, self.now);
        }
    }

    /// What is on its way out from now on will be missed if it is not reported.
    fn go(&mut self, id: InstanceId) {
        self.instances[id.0].incarnation = self.instances[id.0].incarnation.saturating_add(1);
        let deadline = self.now.saturating_add(self.options.release_deadline);
        self.alarms.set(deadline, Alarm::Overdue(id));
    }

    /// An unload is reported: it is not missed any more.
    pub(super) fn hear_of(&mut self, id: InstanceId) {
        let deadline = self.instance(id).since.saturating_add(self.options.release_deadline);
        self.alarms.clear(deadline, Alarm::Overdue(id));
    }

    pub(super) fn unloaded(&mut self, id: InstanceId, left: &Demand) {
        let since = self.instance(id).since;
        let before = self.turn_into(id, State::Cold);
        if matches!(before, State::Unloading { .. }) {
            let took_s = self.now.since(since).as_secs_f64();
            self.entries[self.instances[id.0].model.0].learn_unload(took_s);
        }
        if !left.is_zero() {
            let mut held = before.into_booking();
            held.shrink(left);
            self.instances[id.0].residue.absorb(held);
            self.note_residue(id);
        }
    }

    pub(super) fn unload_failed(&mut self, id: InstanceId) {
        let held = self.turn_into(id, State::Cold).into_booking();
        self.turn_into(id, State::Stuck { held });
    }

    pub(super) fn overdue(&mut self, id: InstanceId, actions: &mut Vec<Action>) {
        let instance = &mut self.instances[id.0];
        if matches!(instance.state, State::Unloading { .. } | State::Lost { .. }) && !instance.is_overdue {
            instance.is_overdue = true;
            let (model, place, bytes) = (instance.model, instance.place, instance.booked());
            self.restand(id);
            actions.push(Action::Overdue { model, place, bytes });
        }
    }

    /// Of what is held without use, first what has no end in sight, then what earlier unloads left behind.
    pub(super) fn returned(&mut self, id: InstanceId, bytes: &Demand) {
        let mut rest = bytes.clone();
        let instance = &mut self.instances[id.0];
        let mut is_free = false;
        if let State::Stuck { held } | State::Unloading { held } | State::Lost { held } = &mut instance.state
        {
            let before = held.demand();
            held.shrink(&before.minus(&rest));
            rest = rest.minus(&before);
            is_free = matches!(instance.state, State::Stuck { .. }) && instance.booked().is_zero();
        }
        let left = instance.residue.demand().minus(&rest);
        instance.residue.shrink(&left);
        self.note_residue(id);
        if is_free {
            self.turn_into(id, State::Cold);
        }
    }

    /// The instance is gone by itself. Its leases are nobody's concern any more but those who hold them.
    pub(super) fn lost(&mut self, id: InstanceId) {
        let model = self.instance(id).model;
        let held = self.turn_into(id, State::Cold).into_booking();
        self.turn_into(id, State::Lost { held });
        let instance = &mut self.instances[id.0];
        let leased = std::mem::take(&mut instance.leased);
        let entry = &mut self.entries[model.0];
        entry.orphans = entry.orphans.saturating_add(std::mem::take(&mut instance.leases));
        entry.orphaned = entry.orphaned.plus(&leased);
        self.go(id);
        if !self.is_resident(model) {
            self.policy.on_evict(model, self.now);
        }
    }

    /// A model larger than booked is booked as it is, if there is room; the next load books it so from the start. One that
    /// is smaller, by enough loads, gives back the rest.
    pub(super) fn measured(&mut self, id: InstanceId, bytes: Demand) {
        let instance = &mut self.instances[id.0];
        let label = || format!("{} weights", self.entries[instance.model.0].registration.name);
        if let State::Loading { weights, .. }
        | State::Ready { weights, .. }
        | State::Promoting { weights, .. } = &mut instance.state
            && !weights.covers(&bytes)
        {
            // Without room the shortfall shows in the status; there is nothing to refuse, the bytes are in use.
            weights.grow_where_it_fits(&self.accounts, &bytes, &label());
        }
        if matches!(instance.state, State::Loading { .. } | State::Ready { .. } | State::Promoting { .. }) {
            instance.sizes.see(instance.incarnation, &bytes);
        } else {
            // What comes or goes is not all there.
            instance.sizes.raise(&bytes);
        }
        instance.measured = Some(match &instance.measured {
            Some(before) => before.max(&bytes),
            None => bytes,
        });
        self.give_back(id);
    }

    /// A model that is there gives back what was booked beyond what loads of it were seen to take.
    fn give_back(&mut self, id: InstanceId) {
        let instance = &mut self.instances[id.0];
        let needed = self.entries[instance.model.0].weights_needed(instance);
        if let State::Ready { weights, .. } = &mut instance.state {
            weights.shrink(&needed);
        }
    }

    /// Whether the model is in memory somewhere, in whatever form.
    pub(super) fn is_resident(&self, model: ModelId) -> bool {
        use State::{Compressed, Compressing, Promoting, Ready};
        self.entry(model).instances().any(|id| {
            let state = &self.instance(id).state;
            matches!(state, Ready { .. } | Compressing { .. } | Compressed { .. } | Promoting { .. })
        })
    }
}

/// The pause after so many failures in a row.
fn pause(attempts: u32, first: Duration, most: Duration) -> Duration {
    let doublings = attempts.saturating_sub(1).min(31);
    first.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(most)
}
