//! What a request would meet, and how long that would take.

use std::time::Duration;

use super::brain::Pool;
use super::decision::{Decision, Way};
use super::demand::Demand;
use super::denial::Denial;
use super::event::{ModelId, WaitFor};
use super::instance::{InstanceId, State};
use super::registration::PlaceId;
use super::room::Room;
use super::schedule::Ask;
use crate::units::Bytes;

/// What a request for a model would meet now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolPlan {
    /// Where it would be served; the first place where it would be refused.
    pub place: PlaceId,
    /// The model and its workspace there, by domain.
    pub demand: Demand,
    /// The same in all domains together.
    pub needed: Bytes,
    /// Free in the domain of it that has the least; `None` without a limit.
    pub available: Option<Bytes>,
    /// Requests ahead of it.
    pub ahead: u64,
    /// How long until it would be served, from the loads, unloads and leases seen so far; `None` if it never would.
    pub eta: Option<Duration>,
    /// What would happen.
    pub step: Step,
}

/// What would happen to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Granted at once.
    Grant,
    /// Loaded into free memory, then granted.
    Load,
    /// Brought back from its compressed form, then granted.
    Promote,
    /// Granted after a wait, for which some models go.
    Wait {
        /// What it waits for first.
        behind: WaitFor,
        /// The models waited for: its own, those that make way or are leaving, or those asked for before it.
        whom: Vec<ModelId>,
        /// Idle models that would go at once.
        evict: Vec<ModelId>,
        /// Idle models that would shrink to their compressed form.
        demote: Vec<ModelId>,
        /// Models in use that would go after their last lease.
        drain: Vec<ModelId>,
    },
    /// Refused.
    Refuse(Denial),
}

impl Pool {
    /// What a request for `model` with its registered workspace would meet now; nothing changes.
    ///
    /// # Panics
    /// If the model is another pool's.
    #[must_use]
    pub fn plan(&self, model: ModelId) -> PoolPlan {
        self.plan_with(model, None)
    }

    /// What a request for `model` with so much workspace would meet now; nothing changes.
    ///
    /// # Panics
    /// If the model is another pool's.
    #[must_use]
    pub fn plan_with(&self, model: ModelId, workspace: Option<Bytes>) -> PoolPlan {
        let mut room = Room::default();
        self.survey(&mut room);
        let (mut ahead_s, mut ahead) = (0.0, Vec::new());
        let mut at = None;
        while let Some(head) = self.queue.next_head(at) {
            at = Some(head);
            let Some(waiting) = self.queue.head(head.1) else { continue };
            if let Decision::Wait { behind: WaitFor::Memory, way } = self.decide(Ask::of(waiting), &mut room)
                && head.1 != model
            {
                ahead_s += self.way_s(&way) + self.load_left_s(head.1);
                ahead.push(head.1);
            }
        }
        let decision = if self.is_closed {
            Decision::Refuse(Denial::Closed)
        } else if self.queue.is_awaited(model) && self.moving(model).is_none() {
            self.behind_own(Ask { model, workspace }, &mut room)
        } else {
            self.decide(Ask { model, workspace }, &mut room)
        };
        self.told(Ask { model, workspace }, decision, ahead_s, ahead)
    }

    /// A request behind others for the same model waits for what they wait for, unless there is enough for both.
    fn behind_own(&self, ask: Ask, room: &mut Room) -> Decision {
        match self.decide(ask, room) {
            Decision::Load(_) => Decision::wait(WaitFor::Memory),
            other => other,
        }
    }

    fn told(&self, ask: Ask, decision: Decision, ahead_s: f64, ahead: Vec<ModelId>) -> PoolPlan {
        let entry = self.entry(ask.model);
        let mut at = entry.own[0];
        let models = |ids: &[InstanceId]| ids.iter().map(|&id| self.instance(id).model).collect::<Vec<_>>();
        let (step, eta_s) = match decision {
            Decision::Grant(id) => {
                at = id;
                (Step::Grant, Some(0.0))
            }
            Decision::Load(id) => {
                at = id;
                match self.instance(id).state {
                    State::Compressed { .. } => (Step::Promote, Some(entry.promote_s)),
                    _ => (Step::Load, Some(entry.load_s)),
                }
            }
            Decision::Wait { behind, way } => {
                at = way.to.unwrap_or(at);
                let left_s = self.load_left_s(ask.model);
                let eta_s = match behind {
                    WaitFor::Load => left_s,
                    WaitFor::Concurrency => entry.hold_s,
                    WaitFor::Backoff => self.backoff_s(ask.model) + left_s,
                    WaitFor::Memory => ahead_s + self.way_s(&way) + left_s,
                };
                let whom = self.whom(ask.model, behind, &way, ahead);
                let (evict, demote, drain) = (models(&way.unload), models(&way.demote), models(&way.drain));
                (Step::Wait { behind, whom, evict, demote, drain }, Some(eta_s))
            }
            Decision::Refuse(denial) => (Step::Refuse(denial), None),
        };
        let demand = entry.needed(self.instance(at), ask.workspace);
        let free = demand.parts().iter().filter_map(|(domain, _)| self.accounts[domain.index()].available());
        PoolPlan {
            place: self.instance(at).place,
            needed: demand.total(),
            available: free.min(),
            demand,
            ahead: self.queue.len() as u64,
            eta: eta_s.and_then(|eta_s| Duration::try_from_secs_f64(eta_s).ok()),
            step,
        }
    }

    fn whom(&self, model: ModelId, behind: WaitFor, way: &Way, ahead: Vec<ModelId>) -> Vec<ModelId> {
        if behind != WaitFor::Memory {
            return vec![model];
        }
        let going = way.unload.iter().chain(&way.demote).chain(&way.drain);
        let leaving = going.chain(&self.lists.leaving).map(|&id| self.instance(id).model);
        let mut whom: Vec<ModelId> = leaving.chain(ahead).collect();
        whom.sort_unstable();
        whom.dedup();
        whom
    }

    /// How long until those have made way who are to, and those who are leaving already: all at once.
    fn way_s(&self, way: &Way) -> f64 {
        let leases = way.drain.iter().map(|&id| self.entry_of(id).hold_s + self.entry_of(id).unload_s);
        let others = way.unload.iter().chain(&way.demote).chain(&self.lists.leaving);
        leases.chain(others.map(|&id| self.entry_of(id).unload_s)).fold(0.0, f64::max)
    }

    fn backoff_s(&self, model: ModelId) -> f64 {
        let until = self.entry(model).failure.map(|failure| failure.until);
        until.map_or(0.0, |until| until.since(self.now).as_secs_f64())
    }

    /// How long until `model` is there, were its memory free.
    pub(super) fn load_left_s(&self, model: ModelId) -> f64 {
        let entry = self.entry(model);
        let left = self.standing(entry).filter_map(|id| {
            let instance = self.instance(id);
            let passed_s = self.now.since(instance.since).as_secs_f64();
            match instance.state {
                State::Ready { .. } => Some(0.0),
                State::Loading { .. } => Some((entry.load_s - passed_s).max(0.0)),
                State::Promoting { .. } => Some((entry.promote_s - passed_s).max(0.0)),
                State::Compressed { .. } => Some(entry.promote_s),
                _ => None,
            }
        });
        left.min_by(f64::total_cmp).unwrap_or(entry.load_s)
    }
}
