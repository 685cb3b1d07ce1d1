//! What the pool looks like from outside: its models, and what a request would meet.

use super::brain::Pool;
use super::decision::Decision;
use super::event::{Denial, ModelId, WaitFor};
use crate::units::{Bytes, Time};

/// One model at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelStatus {
    /// Registered name.
    pub name: String,
    /// `cold`, `loading`, `ready`, `draining`, `unloading` or `stuck`.
    pub state: &'static str,
    /// Whether it stays once loaded.
    pub is_pinned: bool,
    /// Live leases.
    pub leases: u64,
    /// Requests that wait for it.
    pub waiting: u64,
    /// The most likely size, as registered.
    pub estimated: Bytes,
    /// Bytes held in the ledger now, workspaces included.
    pub booked: Bytes,
    /// The largest size measured so far.
    pub measured: Option<Bytes>,
    /// Loads so far.
    pub loads: u64,
    /// Times it was sent away.
    pub evictions: u64,
    /// When it was last granted or released.
    pub last_used: Time,
}

/// What a request for a model would meet now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolPlan {
    /// The model and its workspace.
    pub needed: Bytes,
    /// Free on the pool's account; `None` without a limit.
    pub available: Option<Bytes>,
    /// Requests ahead of it.
    pub ahead: u64,
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
    /// Granted after a wait, for which some models go.
    Wait {
        /// What it waits for first.
        behind: WaitFor,
        /// Idle models that would go at once.
        evict: Vec<ModelId>,
        /// Models in use that would go after their last lease.
        drain: Vec<ModelId>,
    },
    /// Refused.
    Refuse(Denial),
}

impl Pool {
    /// Every model in order of registration.
    #[must_use]
    pub fn status(&self) -> Vec<ModelStatus> {
        let mut waiting = vec![0_u64; self.entries().len()];
        for model in self.awaited() {
            waiting[model.index()] = waiting[model.index()].saturating_add(1);
        }
        let rows = self.entries().iter().zip(waiting).map(|(entry, waiting)| ModelStatus {
            name: entry.registration.name.clone(),
            state: entry.state_name(),
            is_pinned: entry.registration.is_pinned,
            leases: entry.leases,
            waiting,
            estimated: entry.registration.estimated,
            booked: entry.state.booked().saturating_add(entry.leased),
            measured: entry.measured,
            loads: entry.loads,
            evictions: entry.evictions,
            last_used: entry.last_used,
        });
        rows.collect()
    }

    /// What a request for `model` would meet now; nothing changes.
    #[must_use]
    pub fn plan(&self, model: ModelId) -> PoolPlan {
        let mut room = self.room();
        let mut ahead = 0_u64;
        for waiting in self.awaited() {
            let _ = self.decide(waiting, &mut room);
            ahead = ahead.saturating_add(1);
        }
        let step = match self.decide(model, &mut room) {
            Decision::Grant => Step::Grant,
            Decision::Load => Step::Load,
            Decision::Wait { behind, unload, drain } => Step::Wait { behind, evict: unload, drain },
            Decision::Refuse(denial) => Step::Refuse(denial),
        };
        PoolPlan { needed: self.entry(model).needed(), available: self.account().available(), ahead, step }
    }

    /// The registered name of `model`.
    #[must_use]
    pub fn name(&self, model: ModelId) -> &str {
        &self.entry(model).registration.name
    }
}
