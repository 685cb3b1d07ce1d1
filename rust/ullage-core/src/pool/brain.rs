//! The state machine: events in, actions out.

use std::collections::{HashMap, VecDeque};

use super::decision::Decision;
use super::entry::{Entry, Registration, State};
use super::event::{Action, Denial, Event, ModelId, RequestId, WaitFor};
use super::policy::{Facts, Habits, Policy};
use crate::error::{Error, Refusal, Result};
use crate::ledger::{Account, Reservation};
use crate::units::{Bytes, Time};

/// A request that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    request: RequestId,
    model: ModelId,
    since: Time,
    deadline: Option<Time>,
}

/// A request that was granted.
#[derive(Debug)]
struct Lease {
    model: ModelId,
    /// Given back when the lease ends.
    workspace: Reservation,
}

/// The scheduler of one memory domain. See the [module](super) for what it promises.
#[derive(Debug)]
pub struct Pool {
    account: Account,
    policy: Box<dyn Policy>,
    entries: Vec<Entry>,
    by_name: HashMap<String, ModelId>,
    /// Oldest first.
    queue: VecDeque<Waiting>,
    leases: HashMap<RequestId, Lease>,
    /// The models that drain now.
    draining: Vec<ModelId>,
    /// Counts the models that were told to drain.
    drains: u64,
    /// Counts uses: requests, grants and releases.
    turns: u64,
    /// What the policy does beside choosing victims.
    habits: Habits,
    now: Time,
    is_closed: bool,
}

impl Pool {
    /// An empty pool that books on `account`.
    #[must_use]
    pub fn new(account: Account, policy: Box<dyn Policy>) -> Self {
        let habits = policy.habits();
        Self {
            account,
            policy,
            turns: 0,
            habits,
            entries: Vec::new(),
            by_name: HashMap::new(),
            queue: VecDeque::new(),
            leases: HashMap::new(),
            draining: Vec::new(),
            drains: 0,
            now: Time::ZERO,
            is_closed: false,
        }
    }

    /// Adds a model, cold.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name in use or no leases allowed; [`Error::BudgetExceeded`] for a pinned model that
    /// could never be in memory together with the other pinned ones.
    pub fn register(&mut self, registration: Registration) -> Result<ModelId> {
        let name = registration.name.clone();
        if self.by_name.contains_key(&name) {
            return Err(Error::Argument { name: "name", reason: format!("{name:?} is registered already") });
        }
        if registration.max_concurrency == Some(0) {
            let reason = "a model that serves nobody; give at least 1, or none for no bound".to_owned();
            return Err(Error::Argument { name: "max_concurrency", reason });
        }
        let entry = Entry::new(registration);
        if entry.registration.is_pinned {
            self.check_pins(&entry)?;
        }
        let id = ModelId(self.entries.len());
        self.policy.on_register(&Facts { name: &name, bytes: entry.needed(), load_s: entry.load_s });
        self.entries.push(entry);
        self.by_name.insert(name, id);
        Ok(id)
    }

    fn check_pins(&self, entry: &Entry) -> Result<()> {
        let Some(limit) = self.account.tightest_limit() else { return Ok(()) };
        let pinned = self.entries.iter().filter(|other| other.registration.is_pinned).map(Entry::needed);
        let held = Bytes::sum(pinned, "the pinned models")?;
        if entry.needed() <= limit.saturating_sub(held) {
            return Ok(());
        }
        Err(Error::BudgetExceeded(Box::new(Refusal {
            account: self.account.path().to_string(),
            requested: entry.needed(),
            available: limit.saturating_sub(held),
            limit,
            holders: self.account.holders(Refusal::HOLDERS),
        })))
    }

    /// The model called `name`.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn model(&self, name: &str) -> Result<ModelId> {
        self.by_name.get(name).copied().ok_or_else(|| Error::UnknownModel { name: name.to_owned() })
    }

    /// Takes in what happened at `now`; returns what to do, in order. A clock that runs backwards is taken to stand.
    ///
    /// # Errors
    /// [`Error::Protocol`] for an event that cannot have happened. The pool is then as it was.
    pub fn handle(&mut self, now: Time, event: Event) -> Result<Vec<Action>> {
        self.check(event)?;
        self.now = self.now.max(now);
        let mut actions = Vec::new();
        // Before deadlines are looked at: who gives up is not told that time is up.
        if let Event::Cancel { request } = event {
            self.queue.retain(|waiting| waiting.request != request);
            self.end_lease(request);
        }
        self.expire(&mut actions);
        self.expire_idle(&mut actions);
        match event {
            Event::Request { request, model, deadline } => {
                self.policy.on_request(model, self.now);
                self.use_now(model);
                self.enqueue(Waiting { request, model, since: self.now, deadline }, &mut actions);
            }
            Event::Released { request } => self.end_lease(request),
            Event::Loaded { model } => self.loaded(model, &mut actions),
            Event::LoadFailed { model } => {
                self.entries[model.0].state = State::Cold;
                self.refuse_all(|waiting| waiting.model == model, &Denial::LoadFailed, &mut actions);
            }
            Event::Unloaded { model } => self.entries[model.0].state = State::Cold,
            Event::UnloadFailed { model } => self.entries[model.0].state = self.stuck(model),
            Event::Measured { model, bytes } => self.measured(model, bytes),
            Event::Cancel { .. } | Event::Tick => {}
            Event::Close => {
                self.is_closed = true;
                self.refuse_all(|_| true, &Denial::Closed, &mut actions);
            }
        }
        self.walk_queue(&mut actions);
        self.trim(&mut actions);
        if self.is_closed {
            self.unload_idle(&mut actions);
        }
        Ok(actions)
    }

    /// When the next waiting request gives up, or the next idle model has been idle for as long as it may.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let waiting = self.queue.iter().filter_map(|waiting| waiting.deadline).min();
        let idle = self.habits.idle_for.and_then(|idle_for| {
            let idle = self.ids().filter(|&id| self.entry(id).is_idle() && !self.is_awaited(id));
            idle.map(|id| self.entry(id).last_used.saturating_add(idle_for)).min()
        });
        waiting.into_iter().chain(idle).min()
    }

    /// After how long an idle model goes though nobody needs its memory, if the policy says so.
    #[must_use]
    pub const fn idle_for(&self) -> Option<std::time::Duration> {
        self.habits.idle_for
    }

    /// Refuses events that contradict the state.
    fn check(&self, event: Event) -> Result<()> {
        let refuse = |event, subject: String, reason: &str| {
            Err(Error::Protocol { event, subject, reason: reason.to_owned() })
        };
        let model_event = |name, model: ModelId, expected: &str| {
            let Some(entry) = self.entries.get(model.0) else {
                return refuse(name, format!("model {}", model.0), "no such model");
            };
            let state = entry.state.name();
            if state == expected {
                return Ok(());
            }
            refuse(name, entry.registration.name.clone(), &format!("the model is {state}, not {expected}"))
        };
        match event {
            Event::Request { request, model, .. } => {
                if self.entries.get(model.0).is_none() {
                    return refuse("request", format!("model {}", model.0), "no such model");
                }
                if self.leases.contains_key(&request) || self.is_waiting(request) {
                    return refuse("request", format!("request {}", request.0), "the number is in use");
                }
                Ok(())
            }
            Event::Released { request } if !self.leases.contains_key(&request) => {
                refuse("released", format!("request {}", request.0), "no such lease")
            }
            Event::Loaded { model } => model_event("loaded", model, "loading"),
            Event::LoadFailed { model } => model_event("load_failed", model, "loading"),
            Event::Unloaded { model } => model_event("unloaded", model, "unloading"),
            Event::UnloadFailed { model } => model_event("unload_failed", model, "unloading"),
            Event::Measured { model, .. } if self.entries.get(model.0).is_none() => {
                refuse("measured", format!("model {}", model.0), "no such model")
            }
            Event::Released { .. }
            | Event::Measured { .. }
            | Event::Cancel { .. }
            | Event::Tick
            | Event::Close => Ok(()),
        }
    }

    fn is_waiting(&self, request: RequestId) -> bool {
        self.queue.iter().any(|waiting| waiting.request == request)
    }

    fn expire(&mut self, actions: &mut Vec<Action>) {
        let now = self.now;
        self.queue.retain(|waiting| {
            let is_late = waiting.deadline.is_some_and(|deadline| deadline <= now);
            if is_late {
                let denial = Denial::Timeout { waited: now.since(waiting.since) };
                actions.push(Action::Refuse { request: waiting.request, denial });
            }
            !is_late
        });
    }

    /// Puts a request at the end of the queue; a `Queue` action tells so unless the walk that follows settles it. A hit
    /// that nobody is ahead of and that needs no memory is granted without a walk.
    fn enqueue(&mut self, waiting: Waiting, actions: &mut Vec<Action>) {
        if self.is_closed {
            actions.push(Action::Refuse { request: waiting.request, denial: Denial::Closed });
            return;
        }
        if self.queue.is_empty()
            && self.entry(waiting.model).is_free()
            && let Some(workspace) = self.workspace(waiting.model)
        {
            self.grant(waiting, workspace, actions);
            return;
        }
        self.queue.push_back(waiting);
        actions.push(Action::Queue { request: waiting.request, behind: WaitFor::Memory });
    }

    fn refuse_all(
        &mut self,
        concerns: impl Fn(&Waiting) -> bool,
        denial: &Denial,
        actions: &mut Vec<Action>,
    ) {
        self.queue.retain(|waiting| {
            let is_refused = concerns(waiting);
            if is_refused {
                actions.push(Action::Refuse { request: waiting.request, denial: denial.clone() });
            }
            !is_refused
        });
    }

    /// The workspace of a lease that ends stays with its model as the spare one, unless that has one already.
    fn end_lease(&mut self, request: RequestId) {
        let Some(Lease { model, workspace }) = self.leases.remove(&request) else { return };
        let entry = &mut self.entries[model.0];
        entry.leases = entry.leases.saturating_sub(1);
        entry.leased = entry.leased.saturating_sub(workspace.bytes());
        if let State::Ready { spare: spare @ None, .. } = &mut entry.state {
            *spare = Some(workspace);
        }
        self.policy.on_release(model, self.now);
        self.use_now(model);
    }

    fn use_now(&mut self, model: ModelId) {
        self.turns = self.turns.saturating_add(1);
        let entry = &mut self.entries[model.0];
        entry.last_used = self.now;
        entry.turn = self.turns;
    }

    /// The first who waits for it is served at once: what was loaded for somebody is not sent away unused.
    fn loaded(&mut self, model: ModelId, actions: &mut Vec<Action>) {
        let entry = &mut self.entries[model.0];
        let State::Loading { weights, workspace } = std::mem::replace(&mut entry.state, State::Cold) else {
            return;
        };
        entry.state = State::Ready { weights, spare: Some(workspace) };
        entry.loads = entry.loads.saturating_add(1);
        entry.last_used = self.now;
        let took_s = self.now.since(entry.load_began).as_secs_f64();
        // The first load seen replaces what was told; later ones move it. A virtual clock may let loads take no time.
        if took_s > 0.0 {
            entry.load_s =
                if entry.loads == 1 { took_s } else { entry.load_s + 0.3 * (took_s - entry.load_s) };
            self.policy.on_cost(model, entry.load_s);
        }
        self.policy.on_load(model, self.now);
        if let Some(place) = self.queue.iter().position(|waiting| waiting.model == model)
            && let Some(first) = self.queue.remove(place)
            && let Some(workspace) = self.workspace(model)
        {
            self.grant(first, workspace, actions);
        }
    }

    /// The workspace for one more lease: the spare one, or a new one.
    fn workspace(&mut self, model: ModelId) -> Option<Reservation> {
        if let State::Ready { spare, .. } = &mut self.entries[model.0].state
            && let Some(spare) = spare.take()
        {
            return Some(spare);
        }
        self.book(model, self.entry(model).registration.workspace, "workspace")
    }

    fn grant(&mut self, waiting: Waiting, workspace: Reservation, actions: &mut Vec<Action>) {
        let Waiting { request, model, .. } = waiting;
        let entry = &mut self.entries[model.0];
        entry.leases = entry.leases.saturating_add(1);
        entry.leased = entry.leased.saturating_add(workspace.bytes());
        self.use_now(model);
        self.leases.insert(request, Lease { model, workspace });
        actions.push(Action::Grant { request, model });
    }

    fn stuck(&mut self, model: ModelId) -> State {
        match std::mem::replace(&mut self.entries[model.0].state, State::Cold) {
            State::Unloading { weights } => State::Stuck { weights },
            other => other,
        }
    }

    /// A model larger than booked is booked as it is, if there is room; the next load books it so from the start.
    fn measured(&mut self, model: ModelId, bytes: Bytes) {
        let entry = &mut self.entries[model.0];
        entry.measured = Some(entry.measured.map_or(bytes, |before| before.max(bytes)));
        if let State::Loading { weights, .. } | State::Ready { weights, .. } = &entry.state
            && bytes > weights.bytes()
        {
            // Without room the shortfall shows in the status; there is nothing to refuse, the bytes are in use.
            let _ = weights.resize(bytes);
        }
    }

    /// Settles every waiting request that can be settled, oldest first.
    fn walk_queue(&mut self, actions: &mut Vec<Action>) {
        if self.queue.is_empty() {
            self.keep_draining(Vec::new());
            return;
        }
        let mut room = self.room();
        let mut still_waiting = VecDeque::with_capacity(self.queue.len());
        let mut draining = Vec::new();
        // Each request leaves the queue while it is decided on, so that "awaited" means by a younger one.
        while let Some(waiting) = self.queue.pop_front() {
            let decision = self.decide(waiting.model, &mut room);
            if let Decision::Wait { drain, .. } = &decision {
                draining.extend_from_slice(drain);
            }
            if !self.carry_out(waiting, decision, actions) {
                still_waiting.push_back(waiting);
            }
        }
        self.queue = still_waiting;
        self.keep_draining(draining);
    }

    fn keep_draining(&mut self, chosen: Vec<ModelId>) {
        for model in std::mem::take(&mut self.draining) {
            if !chosen.contains(&model) {
                self.entries[model.0].draining = None;
            }
        }
        for &model in &chosen {
            self.drains = self.drains.saturating_add(1);
            self.entries[model.0].draining.get_or_insert(self.drains);
        }
        self.draining = chosen;
    }

    /// Acts on a decision; false if the request goes on waiting.
    fn carry_out(&mut self, waiting: Waiting, decision: Decision, actions: &mut Vec<Action>) -> bool {
        match decision {
            Decision::Grant => {
                let Some(workspace) = self.workspace(waiting.model) else { return false };
                unqueue(waiting.request, actions);
                self.grant(waiting, workspace, actions);
                true
            }
            Decision::Load => {
                let is_loading = self.start_load(waiting.model, actions);
                note_wait(waiting.request, if is_loading { WaitFor::Load } else { WaitFor::Memory }, actions);
                false
            }
            Decision::Wait { behind, unload, drain: _ } => {
                for model in unload {
                    self.start_unload(model, actions);
                }
                note_wait(waiting.request, behind, actions);
                false
            }
            Decision::Refuse(denial) => {
                unqueue(waiting.request, actions);
                actions.push(Action::Refuse { request: waiting.request, denial });
                true
            }
        }
    }

    /// Books for `model`; `None` where somebody else took the room since it was counted.
    fn book(&self, model: ModelId, bytes: Bytes, what: &str) -> Option<Reservation> {
        let label = format!("{} {what}", self.entry(model).registration.name);
        self.account.reserve(bytes, &label).ok()
    }

    /// False where somebody else took the room since it was counted.
    fn start_load(&mut self, model: ModelId, actions: &mut Vec<Action>) -> bool {
        let entry = self.entry(model);
        let weights = self.book(model, entry.weights_needed(), "weights");
        let workspace = self.book(model, entry.registration.workspace, "workspace");
        let (Some(weights), Some(workspace)) = (weights, workspace) else { return false };
        self.entries[model.0].load_began = self.now;
        self.entries[model.0].state = State::Loading { weights, workspace };
        actions.push(Action::Load { model });
        true
    }

    pub(super) fn start_unload(&mut self, model: ModelId, actions: &mut Vec<Action>) {
        let entry = &mut self.entries[model.0];
        let State::Ready { weights, spare: _ } = std::mem::replace(&mut entry.state, State::Cold) else {
            return;
        };
        entry.state = State::Unloading { weights };
        entry.evictions = entry.evictions.saturating_add(1);
        self.policy.on_evict(model, self.now);
        actions.push(Action::Unload { model });
    }

    pub(super) const fn habits(&self) -> &Habits {
        &self.habits
    }

    pub(super) const fn account(&self) -> &Account {
        &self.account
    }

    pub(super) fn policy(&self) -> &dyn Policy {
        self.policy.as_ref()
    }

    pub(super) const fn now(&self) -> Time {
        self.now
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn entry(&self, model: ModelId) -> &Entry {
        &self.entries[model.0]
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ModelId> + use<> {
        (0..self.entries.len()).map(ModelId)
    }

    /// Whether somebody in the queue waits for `model`.
    pub(super) fn is_awaited(&self, model: ModelId) -> bool {
        self.queue.iter().any(|waiting| waiting.model == model)
    }

    /// Whether nobody waits.
    pub(super) fn is_queueless(&self) -> bool {
        self.queue.is_empty()
    }

    /// The models waited for, oldest request first.
    pub(super) fn awaited(&self) -> impl Iterator<Item = ModelId> + '_ {
        self.queue.iter().map(|waiting| waiting.model)
    }
}

/// Takes back the news that `request` waits: it was settled in the same breath.
fn unqueue(request: RequestId, actions: &mut Vec<Action>) {
    actions.retain(|action| !matches!(action, Action::Queue { request: queued, .. } if *queued == request));
}

/// Completes the news that `request` waits with what it waits for.
fn note_wait(request: RequestId, reason: WaitFor, actions: &mut [Action]) {
    for action in actions {
        if let Action::Queue { request: queued, behind } = action
            && *queued == request
        {
            *behind = reason;
        }
    }
}
