//! Memory domains and places that come and go while the pool runs: machines that join, and machines that leave.

use super::brain::Pool;
use super::demand::{Demand, DomainId};
use super::entry::Entry;
use super::event::{Action, Level, ModelId};
use super::instance::{Instance, InstanceId, State};
use super::registration::{Place, PlaceId};
use crate::error::{Error, Result};
use crate::ledger::Account;

impl Pool {
    /// Adds a memory domain that books on `account`. Models stand there once they have a place there.
    ///
    /// # Errors
    /// [`Error::Argument`] for an account that is a domain already, retired ones counted, and for the 65,536th.
    pub fn add_domain(&mut self, account: Account) -> Result<DomainId> {
        let wrong = |reason: String| Error::Argument { name: "domain", reason };
        if self.accounts.contains(&account) {
            return Err(wrong(format!("{} is one already", account.path())));
        }
        let number = u16::try_from(self.accounts.len()).ok().filter(|&number| number < u16::MAX);
        let number = number.ok_or_else(|| wrong("a pool has at most 65535".to_owned()))?;
        self.accounts.push(account);
        self.pressure.push(Level::None);
        self.retired.push(false);
        Ok(DomainId::new(number))
    }

    /// Adds a way to hold `model`, the least preferred one. Those who wait are looked at with the next event.
    ///
    /// # Errors
    /// [`Error::Argument`] for a domain that the pool does not have or that is retired, and for the 65,536th place.
    ///
    /// # Panics
    /// If the model is another pool's.
    pub fn add_place(&mut self, model: ModelId, place: Place) -> Result<PlaceId> {
        self.check_domains([&place.weights, &place.workspace].into_iter())?;
        let entry = &mut self.entries[model.0];
        let number = u16::try_from(entry.own.len()).ok().filter(|&number| number < u16::MAX);
        let Some(id) = number.map(PlaceId::new) else {
            return Err(Error::Argument { name: "place", reason: "a model has at most 65535".to_owned() });
        };
        entry.own.push(InstanceId(self.instances.len()));
        entry.registration.places.push(place);
        self.instances.push(Instance::new(model, id));
        self.is_dirty = true;
        Ok(id)
    }

    /// Lets `model` be held at up to `instances` of its places at once from now on. What is held beyond that goes when it
    /// is evicted.
    ///
    /// # Errors
    /// [`Error::Argument`] for none, or more than it has places.
    ///
    /// # Panics
    /// If the model is another pool's.
    pub fn set_instances(&mut self, model: ModelId, instances: usize) -> Result<()> {
        self.entries[model.0].registration.check_instances(instances)?;
        self.entries[model.0].registration.instances = instances;
        self.is_dirty = true;
        Ok(())
    }

    /// Whether everything in `demands` is of domains that the pool has.
    pub(super) fn check_domains<'a>(&self, demands: impl Iterator<Item = &'a Demand>) -> Result<()> {
        let wrong = |reason: String| Err(Error::Argument { name: "places", reason });
        for &(domain, _) in demands.flat_map(Demand::parts) {
            let given = domain.index();
            match self.retired.get(given) {
                None => {
                    let there = self.accounts.len();
                    return wrong(format!("domain {given} of a pool that has {there}, counted from 0"));
                }
                Some(true) => return wrong(format!("domain {given} is retired")),
                Some(false) => {}
            }
        }
        Ok(())
    }

    /// Nothing comes there any more, and what is there goes.
    pub(super) fn retire(&mut self, domain: DomainId) {
        self.retired[domain.index()] = true;
        for number in 0..self.instances.len() {
            let (id, instance) = (InstanceId(number), &self.instances[number]);
            let place = self.entries[instance.model.0].place(instance.place);
            let needs = |demand: &Demand| demand.parts().iter().any(|&(other, _)| other == domain);
            self.instances[number].is_retired |= needs(&place.weights) || needs(&place.workspace);
            self.note_leaver(id);
        }
    }

    /// The instances of a model that are not retired.
    pub(super) fn standing(&self, entry: &Entry) -> impl Iterator<Item = InstanceId> {
        entry.instances().filter(|&id| !self.instance(id).is_retired)
    }

    /// Whether any of `demand` is on a retired domain.
    pub(super) fn is_on_retired(&self, demand: &Demand) -> bool {
        demand.parts().iter().any(|&(domain, _)| self.retired[domain.index()])
    }

    /// Notes that an instance may be free to leave. A compressed form may stand elsewhere than its model.
    pub(super) fn note_leaver(&mut self, id: InstanceId) {
        let instance = &self.instances[id.0];
        let leaves = match &instance.state {
            State::Ready { .. } => instance.is_retired,
            State::Compressed { compressed } => {
                instance.is_retired || self.is_on_retired(&compressed.demand())
            }
            _ => false,
        };
        if leaves {
            self.leavers.push(id);
        }
    }

    /// Unloads those that may leave and that nobody uses.
    pub(super) fn send_leavers_away(&mut self, actions: &mut Vec<Action>) {
        for id in std::mem::take(&mut self.leavers) {
            if self.instance(id).is_unused() {
                self.start_unload(id, actions);
                self.is_dirty = true;
            }
        }
    }
}
