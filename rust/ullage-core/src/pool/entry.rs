//! One model of the pool: what was registered, and its history.

use std::borrow::Cow;

use super::demand::Demand;
use super::instance::{Instance, InstanceId};
use super::registration::{Place, PlaceId, Registration};
use crate::units::{Bytes, Time};

/// How much one sight moves what is expected of the next.
const LEARN: f64 = 0.3;

/// Loads that failed in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) attempts: u32,
    /// When to try again.
    pub(super) until: Time,
    /// Nobody waits for that.
    pub(super) is_final: bool,
}

/// A model and its history.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) registration: Registration,
    /// Its instances, one for each place.
    pub(super) own: Vec<InstanceId>,
    pub(super) is_pinned: bool,
    pub(super) failure: Option<Failure>,
    /// Since when its first request has found whom to send away, but in use.
    pub(super) turn_since: Option<Time>,
    pub(super) last_used: Time,
    /// The number of its latest use among all uses in the pool.
    pub(super) turn: u64,
    /// What a load costs, in seconds: what was told, then what was seen.
    pub(super) load_s: f64,
    /// What a promotion costs, likewise.
    pub(super) promote_s: f64,
    /// How long a lease and an unload take, as far as was seen.
    pub(super) hold_s: f64,
    pub(super) unload_s: f64,
    pub(super) loads: u64,
    pub(super) promotions: u64,
    pub(super) evictions: u64,
    /// Leases of instances that are gone.
    pub(super) orphans: u64,
    pub(super) orphaned: Demand,
}

impl Entry {
    /// A model, cold; its instances are numbered from `first`.
    pub(super) fn new(registration: Registration, first: usize) -> Self {
        let own = (first..).take(registration.places.len()).map(InstanceId).collect();
        let load_s = match registration.load_time {
            Some(time) => time.as_secs_f64(),
            None => assumed_load_s(registration.estimated),
        };
        let promote_s = registration.compressed.as_ref().map_or(0.0, |form| form.promote_time.as_secs_f64());
        Self {
            is_pinned: registration.is_pinned,
            registration,
            own,
            failure: None,
            turn_since: None,
            last_used: Time::ZERO,
            turn: 0,
            load_s,
            promote_s,
            hold_s: 0.0,
            unload_s: 0.0,
            loads: 0,
            promotions: 0,
            evictions: 0,
            orphans: 0,
            orphaned: Demand::ZERO,
        }
    }

    pub(super) fn instances(&self) -> impl Iterator<Item = InstanceId> {
        self.own.iter().copied()
    }

    /// Its instance at `place`, if it has such a place.
    pub(super) fn instance(&self, place: PlaceId) -> Option<InstanceId> {
        self.own.get(place.index()).copied()
    }

    pub(super) fn place(&self, place: PlaceId) -> &Place {
        &self.registration.places[place.index()]
    }

    /// What a lease at `place` books: as registered, unless the request said otherwise.
    pub(super) fn workspace(&self, place: PlaceId, asked: Option<Bytes>) -> Cow<'_, Demand> {
        match asked {
            None => Cow::Borrowed(&self.place(place).workspace),
            Some(total) => Cow::Owned(self.place(place).workspace_of(total)),
        }
    }

    /// What to book for the next load of `instance`: the registered size, or what is known better since; what ran out if
    /// that was more.
    pub(super) fn weights_needed(&self, instance: &Instance) -> Demand {
        instance.sizes.needed(&self.place(instance.place).weights).max(&instance.raised)
    }

    /// What a first lease needs: the model and its workspace.
    pub(super) fn needed(&self, instance: &Instance, asked: Option<Bytes>) -> Demand {
        self.weights_needed(instance).plus(&self.workspace(instance.place, asked))
    }

    pub(super) fn has_place(&self, instance: &Instance) -> bool {
        self.registration.max_concurrency.is_none_or(|most| instance.leases < most)
    }

    /// Takes in how long a load took. A virtual clock may let loads take no time.
    pub(super) fn learn_load(&mut self, took_s: f64) -> bool {
        if took_s > 0.0 {
            // The first load seen replaces what was told; later ones move it.
            let is_first = self.loads == 1;
            self.load_s = if is_first { took_s } else { moved(self.load_s, took_s) };
        }
        took_s > 0.0
    }

    pub(super) fn learn_promotion(&mut self, took_s: f64) {
        self.promote_s = if self.promotions == 1 { took_s } else { moved(self.promote_s, took_s) };
    }

    pub(super) fn learn_hold(&mut self, took_s: f64) {
        self.hold_s = moved(self.hold_s, took_s);
    }

    pub(super) fn learn_unload(&mut self, took_s: f64) {
        self.unload_s = moved(self.unload_s, took_s);
    }
}

fn moved(before: f64, seen: f64) -> f64 {
    if before == 0.0 { seen } else { before + LEARN * (seen - before) }
}

/// A load of which nothing is known: reading at 1 GB/s, and what every load takes.
#[allow(clippy::cast_precision_loss, reason = "a guess, not a count")]
fn assumed_load_s(bytes: Bytes) -> f64 {
    0.5 + bytes.get() as f64 / 1e9
}
