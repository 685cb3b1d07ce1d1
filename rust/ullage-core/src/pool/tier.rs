//! The compressed tier: models that shrink instead of going, and come back for less than a load.

use super::alarm::Alarm;
use super::booking::Booking;
use super::brain::Pool;
use super::demand::Demand;
use super::event::{Action, ModelId};
use super::instance::{InstanceId, State};
use super::policy::{Candidate, Policy, Selection};
use crate::units::{Bytes, Time};

impl Pool {
    /// The compressed form that `id` could take now.
    pub(super) fn form(&self, id: InstanceId) -> Option<&Demand> {
        let instance = self.instance(id);
        let can_shrink = instance.is_ready() && instance.leases == 0 && !instance.is_incompressible;
        let form = self.entry_of(id).registration.compressed.as_ref().map(|form| &form.bytes);
        form.filter(|bytes| can_shrink && !self.is_on_retired(bytes))
    }

    /// Lets an idle model shrink; where the room for both forms is gone, it goes.
    pub(super) fn start_demotion(&mut self, id: InstanceId, actions: &mut Vec<Action>) {
        let entry = self.entry_of(id);
        let (model, place) = (self.instance(id).model, self.instance(id).place);
        let label = format!("{} compressed", entry.registration.name);
        let form = self.form(id).and_then(|form| Booking::take(&self.accounts, form, &label));
        let Some(compressed) = form else { return self.start_unload(id, actions) };
        match self.turn_into(id, State::Cold) {
            State::Ready { weights, spare: _ } => {
                self.turn_into(id, State::Compressing { weights, compressed });
                actions.push(Action::Compress { model, place });
            }
            // Nobody asks for this.
            other => drop(self.turn_into(id, other)),
        }
    }

    pub(super) fn compressed(&mut self, id: InstanceId, bytes: &Demand) {
        let State::Compressing { weights, mut compressed } = self.turn_into(id, State::Cold) else { return };
        // First what is given back: there is room for a form larger than told.
        drop(weights);
        let label = format!("{} compressed", self.entry_of(id).registration.name);
        compressed.grow_where_it_fits(&self.accounts, bytes, &label);
        compressed.shrink(bytes);
        self.turn_into(id, State::Compressed { compressed });
        self.note_idle();
    }

    /// It is as it was, and will be unloaded where it would have shrunk.
    pub(super) fn compress_failed(&mut self, id: InstanceId) {
        let State::Compressing { weights, compressed: _ } = self.turn_into(id, State::Cold) else { return };
        self.turn_into(id, State::Ready { weights, spare: None });
        self.instances[id.0].is_incompressible = true;
        if !self.options.min_residency.is_zero() {
            let until = self.now.saturating_add(self.options.min_residency);
            self.alarms.set(until, Alarm::Resident(id));
        }
    }

    /// What of a load the compressed form of `model` saves.
    pub(super) fn saved_share(&self, model: ModelId) -> f64 {
        let entry = self.entry(model);
        if entry.load_s <= 0.0 {
            0.0
        } else {
            ((entry.load_s - entry.promote_s) / entry.load_s).clamp(0.0, 1.0)
        }
    }
}

/// The worths that a policy gives, where compressed forms count for what they save of a load: *(load − promotion) × rate*.
/// A policy for one choice among the candidates weighed beforehand.
#[derive(Debug)]
pub(super) struct Tiered<'a> {
    name: &'a str,
    selection: Selection,
    /// By rising model and bytes.
    worths: Vec<(ModelId, Bytes, f64)>,
}

impl<'a> Tiered<'a> {
    /// `saved` tells what of a load the candidate's form saves, if it is a compressed one.
    pub(super) fn of(
        policy: &'a dyn Policy,
        candidates: impl Iterator<Item = (Candidate, Option<f64>)>,
        now: Time,
    ) -> Self {
        let weigh = |(candidate, saved): (Candidate, Option<f64>)| {
            let worth = policy.worth(&candidate, now);
            (candidate.model, candidate.bytes, saved.map_or(worth, |share| shared(worth, share)))
        };
        let mut worths: Vec<_> = candidates.map(weigh).collect();
        worths.sort_unstable_by_key(|row| (row.0, row.1));
        Self { name: policy.name(), selection: policy.selection(), worths }
    }
}

/// Some rules count downwards from zero.
pub(super) fn shared(worth: f64, share: f64) -> f64 {
    if worth < 0.0 { worth / share.max(f64::MIN_POSITIVE) } else { worth * share }
}

impl Policy for Tiered<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn worth(&self, candidate: &Candidate, _now: Time) -> f64 {
        let found =
            self.worths.binary_search_by_key(&(candidate.model, candidate.bytes), |row| (row.0, row.1));
        found.map_or(f64::INFINITY, |place| self.worths[place].2)
    }

    fn selection(&self) -> Selection {
        self.selection
    }
}
