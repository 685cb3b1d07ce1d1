//! What goes though no request needs its memory: at the end, where a policy has such a habit, and under pressure.

use super::brain::Pool;
use super::demand::DomainId;
use super::event::{Action, Level};
use super::instance::{InstanceId, State};
use super::policy::count;
use super::room::Room;
use super::victims::Reach;
use crate::units::{Bytes, Time};

impl Pool {
    pub(super) fn unload_idle(&mut self, actions: &mut Vec<Action>) {
        let all = self.lists.evictable.iter().chain(&self.lists.fixed);
        let mut idle: Vec<InstanceId> = all.copied().filter(|&id| self.instance(id).is_unused()).collect();
        idle.sort_unstable();
        for id in idle {
            self.start_unload(id, actions);
        }
    }

    /// Whether it is there for nobody, and may go.
    fn is_idle(&self, id: InstanceId) -> bool {
        self.instance(id).is_unused() && !self.is_awaited(id)
    }

    /// Notes that a model may have become idle.
    pub(super) fn note_idle(&mut self) {
        if let Some(idle_for) = self.habits.idle_for {
            let due = self.now.saturating_add(idle_for);
            self.idle_due = Some(self.idle_due.map_or(due, |before| before.min(due)));
        }
    }

    /// When the next idle model has been idle for as long as it may.
    pub(super) fn next_idle(&self) -> Option<Time> {
        let idle_for = self.habits.idle_for?;
        let idle = self.lists.evictable.iter().filter(|&&id| self.is_idle(id));
        idle.map(|&id| self.entry_of(id).last_used.saturating_add(idle_for)).min()
    }

    /// Sends away what has been idle for as long as it may, if the policy says how long that is.
    pub(super) fn expire_idle(&mut self, actions: &mut Vec<Action>) {
        let Some(idle_for) = self.habits.idle_for else { return };
        if self.idle_due.is_none_or(|due| due > self.now) {
            return;
        }
        let is_late =
            |id: &InstanceId| self.is_idle(*id) && self.now.since(self.entry_of(*id).last_used) >= idle_for;
        let late: Vec<InstanceId> = self.lists.evictable.iter().copied().filter(is_late).collect();
        for id in late {
            self.start_unload(id, actions);
            self.is_dirty = true;
        }
        let left = self.lists.evictable.iter().filter(|&&id| self.instance(id).is_unused());
        self.idle_due = left.map(|&id| self.entry_of(id).last_used.saturating_add(idle_for)).min();
    }

    /// Sends idle models away until no more is booked than the policy fills, if it has such a habit.
    pub(super) fn trim(&mut self, actions: &mut Vec<Action>) {
        if self.habits.fill >= 1.0 {
            return;
        }
        for (number, domain) in (0..).map(DomainId::new).take(self.accounts.len()).enumerate() {
            let Some(limit) = self.accounts[number].tightest_limit() else { continue };
            let most = self.habits.fill * count(limit);
            while count(self.staying(domain)) > most {
                let holds = |id: &InstanceId| !self.instance(*id).booked_in(domain).is_zero();
                let idle = self.lists.evictable.iter().copied().filter(|&id| self.is_idle(id)).filter(holds);
                let Some(id) = self.least_worth(idle) else { break };
                self.start_unload(id, actions);
            }
        }
    }

    /// Bytes booked, those on their way out not counted.
    fn staying(&self, domain: DomainId) -> Bytes {
        let is_leaving = |state: &State| matches!(state, State::Unloading { .. } | State::Lost { .. });
        let staying = self.instances.iter().filter(|instance| !is_leaving(&instance.state));
        staying.fold(Bytes::ZERO, |sum, instance| sum.saturating_add(instance.booked_in(domain)))
    }

    /// Gives up to `shed` bytes of what nobody uses, what is on its way out counted: first workspaces kept for leases to
    /// come, then idle models that can shrink, then idle models; of these the least worth first, and no more than needed.
    pub(super) fn press(&mut self, domain: DomainId, level: Level, shed: Bytes, actions: &mut Vec<Action>) {
        self.pressure[domain.index()] = level;
        if level == Level::None {
            return;
        }
        let leaving = self.lists.leaving.iter().map(|&id| self.instance(id).booked_in(domain));
        let mut left = shed.saturating_sub(leaving.fold(Bytes::ZERO, Bytes::saturating_add));
        self.shed_spares(domain, &mut left);
        self.shed_by_shrinking(domain, &mut left, actions);
        self.shed_models(domain, left, actions);
    }

    fn shed_spares(&mut self, domain: DomainId, left: &mut Bytes) {
        let all = self.lists.evictable.iter().chain(&self.lists.fixed).copied();
        let mut ready: Vec<InstanceId> = all.filter(|&id| self.instance(id).is_ready()).collect();
        // Second workspaces of those in use, then those of whoever was not used for longest.
        ready.sort_by_key(|&id| (self.instance(id).leases == 0, self.entry_of(id).turn));
        for id in ready {
            if left.is_zero() {
                return;
            }
            if let State::Ready { spare, .. } = &mut self.instances[id.0].state
                && let Some(bytes) = spare.as_ref().map(|spare| spare.bytes_in(domain))
                && !bytes.is_zero()
            {
                *spare = None;
                *left = left.saturating_sub(bytes);
            }
        }
    }

    /// The idle models whose compressed form is smaller in `domain`, the least worth first.
    fn shed_by_shrinking(&mut self, domain: DomainId, left: &mut Bytes, actions: &mut Vec<Action>) {
        let mut passed: Vec<InstanceId> = Vec::new();
        while !left.is_zero() {
            let can_shrink = |id: &InstanceId| {
                let form = self.form(*id).filter(|_| self.is_idle(*id) && !passed.contains(id));
                form.is_some_and(|form| form.bytes_in(domain) < self.instance(*id).booked_in(domain))
            };
            let Some(id) = self.least_worth(self.lists.evictable.iter().copied().filter(can_shrink)) else {
                return;
            };
            passed.push(id);
            let form = self.form(id).map_or(Bytes::ZERO, |form| form.bytes_in(domain));
            let freed = self.instance(id).booked_in(domain).saturating_sub(form);
            self.start_demotion(id, actions);
            *left = left.saturating_sub(freed);
        }
    }

    fn shed_models(&mut self, domain: DomainId, left: Bytes, actions: &mut Vec<Action>) {
        if left.is_zero() {
            return;
        }
        let mut room = Room::default();
        self.survey(&mut room);
        let missing = [(domain, u128::from(left.get()))];
        let chosen = self.victims(&missing, 0, Reach::Pressed, None, &room).map(|chosen| chosen.ids);
        // Where even all would not be enough, all go.
        let ids = chosen.unwrap_or_else(|| {
            let all = self.lists.evictable.iter().copied();
            all.filter(|&id| self.is_idle(id) && !self.instance(id).booked_in(domain).is_zero()).collect()
        });
        for id in ids {
            self.start_unload(id, actions);
        }
    }
}
