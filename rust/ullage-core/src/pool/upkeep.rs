//! What goes though no request needs its memory: at the end, and where a policy has such a habit.

use super::brain::Pool;
use super::entry::{Entry, State};
use super::event::{Action, ModelId};
use super::policy::count;
use crate::units::Bytes;

impl Pool {
    pub(super) fn unload_idle(&mut self, actions: &mut Vec<Action>) {
        let is_idle = |&id: &ModelId| self.entry(id).is_ready() && self.entry(id).leases == 0;
        let idle: Vec<ModelId> = self.ids().filter(is_idle).collect();
        for model in idle {
            self.start_unload(model, actions);
        }
    }

    /// Sends away what has been idle for as long as it may, if the policy says how long that is.
    pub(super) fn expire_idle(&mut self, actions: &mut Vec<Action>) {
        let Some(idle_for) = self.habits().idle_for else { return };
        let is_late = |entry: &Entry| entry.is_idle() && self.now().since(entry.last_used) >= idle_for;
        let late: Vec<ModelId> =
            self.ids().filter(|&id| is_late(self.entry(id)) && !self.is_awaited(id)).collect();
        for model in late {
            self.start_unload(model, actions);
        }
    }

    /// Sends idle models away until no more is booked than the policy fills, if it has such a habit.
    pub(super) fn trim(&mut self, actions: &mut Vec<Action>) {
        if self.habits().fill >= 1.0 {
            return;
        }
        let Some(limit) = self.account().tightest_limit() else { return };
        let most = self.habits().fill * count(limit);
        while count(self.staying()) > most {
            let idle = self.ids().filter(|&id| self.entry(id).is_idle() && !self.is_awaited(id));
            let Some(model) = self.least_worth(idle) else { return };
            self.start_unload(model, actions);
        }
    }

    /// Bytes booked, those on their way out not counted.
    fn staying(&self) -> Bytes {
        let staying = self.entries().iter().filter(|entry| !matches!(entry.state, State::Unloading { .. }));
        staying.fold(Bytes::ZERO, |sum, entry| sum.saturating_add(entry.state.booked()))
    }
}
