//! Which instances hold memory, and what may be expected of it: so that no event looks at all models.

use super::brain::Pool;
use super::instance::{InstanceId, Standing, State};

/// Instances by what may be expected of their bytes, each list by rising number.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) evictable: Vec<InstanceId>,
    pub(super) leaving: Vec<InstanceId>,
    pub(super) fixed: Vec<InstanceId>,
    /// Those that an earlier unload left something behind of.
    pub(super) residual: Vec<InstanceId>,
    /// How many count as resident: those that stay whatever happens do not.
    pub(super) seated: usize,
    /// How many are evictable in their compressed form.
    pub(super) compressed: usize,
    /// How many are on their way to that form.
    pub(super) compressing: usize,
}

impl Lists {
    fn of(&mut self, standing: Standing) -> Option<&mut Vec<InstanceId>> {
        match standing {
            Standing::Evictable => Some(&mut self.evictable),
            Standing::Leaving => Some(&mut self.leaving),
            Standing::Fixed => Some(&mut self.fixed),
            Standing::Absent | Standing::Coming => None,
        }
    }

    fn enter(list: &mut Vec<InstanceId>, id: InstanceId) {
        if let Err(place) = list.binary_search(&id) {
            list.insert(place, id);
        }
    }

    fn leave(list: &mut Vec<InstanceId>, id: InstanceId) {
        if let Ok(place) = list.binary_search(&id) {
            list.remove(place);
        }
    }
}

/// Counts one that counted before, or does from now on.
fn move_by(count: &mut usize, did: bool, does: bool) {
    *count = count.saturating_sub(did.into()).saturating_add(does.into());
}

impl Pool {
    /// Gives `id` another state, and returns the one that it had.
    pub(super) fn turn_into(&mut self, id: InstanceId, state: State) -> State {
        let instance = &mut self.instances[id.0];
        let (was, is) = (&instance.state, &state);
        let is_compressed = |state: &State| matches!(state, State::Compressed { .. });
        let is_compressing = |state: &State| matches!(state, State::Compressing { .. });
        move_by(&mut self.lists.compressed, is_compressed(was), is_compressed(is));
        move_by(&mut self.lists.compressing, is_compressing(was), is_compressing(is));
        let before = std::mem::replace(&mut instance.state, state);
        instance.since = self.now;
        instance.is_overdue = false;
        if !instance.is_ready() {
            instance.draining = None;
            instance.is_closed = false;
        }
        self.restand(id);
        self.note_leaver(id);
        before
    }

    /// Brings the lists up to what `id` is now.
    pub(super) fn restand(&mut self, id: InstanceId) {
        let instance = &self.instances[id.0];
        let stands = instance.stands(self.entries[instance.model.0].is_pinned);
        let before = std::mem::replace(&mut self.instances[id.0].standing, stands);
        if stands != before {
            let is_seated = |standing| matches!(standing, Standing::Evictable | Standing::Coming);
            move_by(&mut self.lists.seated, is_seated(before), is_seated(stands));
            if let Some(list) = self.lists.of(before) {
                Lists::leave(list, id);
            }
            if let Some(list) = self.lists.of(stands) {
                Lists::enter(list, id);
            }
        }
    }

    /// Notes whether something was left behind by `id`.
    pub(super) fn note_residue(&mut self, id: InstanceId) {
        if self.instances[id.0].residue.demand().is_zero() {
            Lists::leave(&mut self.lists.residual, id);
        } else {
            Lists::enter(&mut self.lists.residual, id);
        }
    }
}
