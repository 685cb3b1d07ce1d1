//! Which events can have happened.

use super::brain::Pool;
use super::demand::DomainId;
use super::event::{Event, ModelId};
use super::instance::{Instance, State};
use super::registration::PlaceId;
use crate::error::{Error, Result};

impl Pool {
    /// Refuses events that contradict the state.
    pub(super) fn check(&self, event: &Event) -> Result<()> {
        match event {
            Event::Request { request, model, .. } => {
                self.check_model("request", *model)?;
                if self.leases.contains_key(request) || self.queue.contains(*request) {
                    return refuse("request", format!("request {}", request.0), "the number is in use");
                }
                Ok(())
            }
            Event::Released { request } if !self.leases.contains_key(request) => {
                refuse("released", format!("request {}", request.0), "no such lease")
            }
            Event::Loaded { model, place } => {
                self.check_state("loaded", *model, *place, "loading", |state| {
                    matches!(state, State::Loading { .. })
                })
            }
            Event::LoadFailed { model, place, .. } => {
                self.check_state("load_failed", *model, *place, "loading", |state| {
                    matches!(state, State::Loading { .. } | State::Promoting { .. })
                })
            }
            Event::Unloaded { model, place, .. } => {
                self.check_state("unloaded", *model, *place, "unloading", |state| {
                    matches!(state, State::Unloading { .. } | State::Lost { .. })
                })
            }
            Event::UnloadFailed { model, place } => {
                self.check_state("unload_failed", *model, *place, "unloading", |state| {
                    matches!(state, State::Unloading { .. } | State::Lost { .. })
                })
            }
            Event::Lost { model, place } => self.check_state("lost", *model, *place, "resident", |state| {
                use State::{Compressed, Compressing, Promoting, Ready};
                matches!(state, Ready { .. } | Compressing { .. } | Compressed { .. } | Promoting { .. })
            }),
            Event::Compressed { model, place, .. } => self.check_compressing("compressed", *model, *place),
            Event::CompressFailed { model, place } => {
                self.check_compressing("compress_failed", *model, *place)
            }
            Event::Promoted { model, place } => {
                self.check_state("promoted", *model, *place, "promoting", |state| {
                    matches!(state, State::Promoting { .. })
                })
            }
            Event::Measured { model, place, .. } => self.check_place("measured", *model, *place).map(drop),
            Event::Returned { model, place, .. } => self.check_place("returned", *model, *place).map(drop),
            Event::Pin { model } => {
                self.check_model("pin", *model)?;
                self.check_pins(self.entry(*model))
            }
            Event::Unpin { model } => self.check_model("unpin", *model),
            Event::Pressure { domain, .. } => self.check_domain("pressure", *domain),
            Event::Retire { domain } => self.check_domain("retire", *domain),
            Event::Released { .. } | Event::Cancel { .. } | Event::Tick | Event::Close => Ok(()),
        }
    }

    fn check_domain(&self, event: &'static str, domain: DomainId) -> Result<()> {
        if domain.index() < self.accounts.len() {
            return Ok(());
        }
        refuse(event, format!("domain {}", domain.index()), "no such domain")
    }

    fn check_model(&self, event: &'static str, model: ModelId) -> Result<()> {
        match self.entries.get(model.0) {
            Some(_) => Ok(()),
            None => refuse(event, format!("model {}", model.0), "no such model"),
        }
    }

    fn check_place(&self, event: &'static str, model: ModelId, place: PlaceId) -> Result<&Instance> {
        self.check_model(event, model)?;
        let entry = self.entry(model);
        match entry.instance(place) {
            Some(id) => Ok(self.instance(id)),
            None => {
                refuse(event, entry.registration.name.clone(), &format!("it has no place {}", place.index()))
            }
        }
    }

    fn check_state(
        &self,
        event: &'static str,
        model: ModelId,
        place: PlaceId,
        expected: &str,
        is_expected: impl Fn(&State) -> bool,
    ) -> Result<()> {
        let instance = self.check_place(event, model, place)?;
        if is_expected(&instance.state) {
            return Ok(());
        }
        let reason = format!("the model is {}, not {expected}", instance.state.name());
        refuse(event, self.entry(model).registration.name.clone(), &reason)
    }

    fn check_compressing(&self, event: &'static str, model: ModelId, place: PlaceId) -> Result<()> {
        self.check_state(event, model, place, "compressing", |state| {
            matches!(state, State::Compressing { .. })
        })
    }
}

fn refuse<T>(event: &'static str, subject: String, reason: &str) -> Result<T> {
    Err(Error::Protocol { event, subject, reason: reason.to_owned() })
}
