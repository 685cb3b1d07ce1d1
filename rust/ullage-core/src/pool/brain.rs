//! The state machine: events in, actions out.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::alarm::{Alarm, Alarms};
use super::booking::Booking;
use super::demand::Demand;
use super::denial::Denial;
use super::entry::Entry;
use super::event::{Action, Event, Level, ModelId, RequestId};
use super::instance::{Instance, InstanceId};
use super::lists::Lists;
use super::policy::{Facts, Habits, Policy};
use super::queue::{NumberHasher, Queue};
use super::registration::{Options, PlaceId, Registration};
use super::room::Room;
use crate::error::{Error, Refusal, Result};
use crate::ledger::Account;
use crate::units::{Bytes, Time};

/// A request that was granted.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) model: ModelId,
    pub(super) instance: InstanceId,
    /// What the instance was then.
    pub(super) incarnation: u64,
    pub(super) since: Time,
    /// Given back when the lease ends.
    pub(super) workspace: Booking,
}

/// The scheduler of one or more memory domains. See the [module](super) for what it promises.
#[derive(Debug)]
pub struct Pool {
    pub(super) accounts: Vec<Account>,
    pub(super) policy: Box<dyn Policy>,
    pub(super) options: Options,
    /// What the policy does beside choosing victims.
    pub(super) habits: Habits,
    pub(super) entries: Vec<Entry>,
    pub(super) instances: Vec<Instance>,
    by_name: HashMap<String, ModelId>,
    pub(super) queue: Queue,
    pub(super) leases: HashMap<RequestId, Lease, BuildHasherDefault<NumberHasher>>,
    pub(super) lists: Lists,
    /// How many models have a compressed form.
    pub(super) forms: usize,
    /// The instances that drain now.
    pub(super) draining: Vec<InstanceId>,
    /// Counts the instances that were told to drain.
    pub(super) drains: u64,
    /// Counts uses: requests, grants and releases.
    pub(super) turns: u64,
    pub(super) alarms: Alarms,
    /// No idle model's time is up before.
    pub(super) idle_due: Option<Time>,
    /// How short each domain is.
    pub(super) pressure: Vec<Level>,
    /// Which domains are retired.
    pub(super) retired: Vec<bool>,
    /// Instances that may have become free to leave a retired domain.
    pub(super) leavers: Vec<InstanceId>,
    /// Scratch space of the walk through the queue.
    pub(super) room: Room,
    /// Bytes free on each account as the last walk found them, if it did nothing.
    pub(super) found: Vec<Option<Bytes>>,
    /// The request that came with this event, while its `Queue` action is the last but those that follow from it.
    pub(super) fresh: Option<RequestId>,
    pub(super) now: Time,
    /// Something changed that those who wait may be waiting for.
    pub(super) is_dirty: bool,
    pub(super) is_closed: bool,
}

impl Pool {
    /// An empty pool that books on `account`, its only domain.
    #[must_use]
    pub fn new(account: Account, policy: Box<dyn Policy>) -> Self {
        let habits = policy.habits();
        Self {
            accounts: vec![account],
            policy,
            options: Options::default(),
            habits,
            entries: Vec::new(),
            instances: Vec::new(),
            by_name: HashMap::new(),
            queue: Queue::default(),
            leases: HashMap::default(),
            lists: Lists::default(),
            forms: 0,
            draining: Vec::new(),
            drains: 0,
            turns: 0,
            alarms: Alarms::default(),
            idle_due: None,
            pressure: vec![Level::None],
            retired: vec![false],
            leavers: Vec::new(),
            room: Room::default(),
            found: Vec::new(),
            fresh: None,
            now: Time::ZERO,
            is_dirty: false,
            is_closed: false,
        }
    }

    /// An empty pool with a domain for each of `accounts`, in this order. No two of them may share a limit: what one
    /// domain books must not take from another.
    ///
    /// # Errors
    /// [`Error::Argument`] for no account at all, more than 2^16, or one given twice.
    pub fn of_domains(accounts: Vec<Account>, policy: Box<dyn Policy>) -> Result<Self> {
        let wrong = |reason: String| Error::Argument { name: "domains", reason };
        let Some(first) = accounts.first() else { return Err(wrong("a pool needs at least one".to_owned())) };
        if u16::try_from(accounts.len()).is_err() {
            return Err(wrong(format!("{} are more than 65535", accounts.len())));
        }
        let twice = accounts.iter().enumerate().find(|(at, account)| accounts[..*at].contains(account));
        if let Some((_, account)) = twice {
            return Err(wrong(format!("{} is given twice", account.path())));
        }
        let mut pool = Self::new(first.clone(), policy);
        pool.pressure = vec![Level::None; accounts.len()];
        pool.retired = vec![false; accounts.len()];
        pool.accounts = accounts;
        Ok(pool)
    }

    /// The same pool, behaving as `options` say.
    #[must_use]
    pub const fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// How it behaves.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// The rule that says which model goes first.
    #[must_use]
    pub fn policy(&self) -> &dyn Policy {
        self.policy.as_ref()
    }

    /// The account of each domain.
    #[must_use]
    pub fn domains(&self) -> &[Account] {
        &self.accounts
    }

    /// Adds a model, cold.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name in use, no place, a domain that the pool does not have, no instances or no leases
    /// allowed; [`Error::BudgetExceeded`] for a pinned model that could never be in memory together with the other
    /// pinned ones.
    pub fn register(&mut self, registration: Registration) -> Result<ModelId> {
        self.check_registration(&registration)?;
        let (name, is_pinned) = (registration.name.clone(), registration.is_pinned);
        let id = ModelId(self.entries.len());
        let first = self.instances.len();
        let entry = Entry::new(registration, first);
        let places = (0..).take(entry.registration.places.len());
        self.instances.extend(places.map(|place| Instance::new(id, PlaceId::new(place))));
        if is_pinned && let Err(error) = self.check_pins(&entry) {
            self.instances.truncate(first);
            return Err(error);
        }
        let bytes = entry.needed(&self.instances[first], None).total();
        self.policy.on_register(&Facts { name: &name, bytes, load_s: entry.load_s });
        self.forms = self.forms.saturating_add(entry.registration.compressed.is_some().into());
        self.entries.push(entry);
        self.by_name.insert(name, id);
        self.queue.add_model();
        Ok(id)
    }

    fn check_registration(&self, registration: &Registration) -> Result<()> {
        let wrong = |name: &'static str, reason: String| Err(Error::Argument { name, reason });
        let Registration { name, places, compressed, .. } = registration;
        if self.by_name.contains_key(name) {
            return wrong("name", format!("{name:?} is registered already"));
        }
        if registration.max_concurrency == Some(0) {
            let reason = "a model that serves nobody; give at least 1, or none for no bound";
            return wrong("max_concurrency", reason.to_owned());
        }
        if places.is_empty() || u16::try_from(places.len()).is_err() {
            return wrong("places", format!("{} of them; give at least 1 and at most 65535", places.len()));
        }
        registration.check_instances(registration.instances)?;
        let forms = places.iter().flat_map(|place| [&place.weights, &place.workspace]);
        self.check_domains(forms.chain(compressed.iter().map(|form| &form.bytes)))
    }

    /// Whether `new` fits beside all other pinned models, each at the first of its places that is not retired.
    pub(super) fn check_pins(&self, new: &Entry) -> Result<()> {
        let needed = |entry: &Entry| {
            let first = self.standing(entry).next();
            first.map_or(Demand::ZERO, |id| entry.needed(self.instance(id), None))
        };
        let asked = needed(new);
        for &(domain, requested) in asked.parts() {
            let account = &self.accounts[domain.index()];
            let Some(limit) = account.tightest_limit() else { continue };
            let pinned = self.entries.iter().filter(|other| other.is_pinned && other.own != new.own);
            let held = Bytes::sum(pinned.map(|other| needed(other).bytes_in(domain)), "the pinned models")?;
            let available = limit.saturating_sub(held);
            if requested > available {
                return Err(Error::BudgetExceeded(Box::new(Refusal {
                    account: account.path().to_string(),
                    requested,
                    available,
                    limit,
                    holders: account.holders(Refusal::HOLDERS),
                })));
            }
        }
        Ok(())
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
    /// [`Error::Protocol`] for an event that cannot have happened, [`Error::BudgetExceeded`] for a pin that could not be
    /// in memory with the others. The pool is then as it was.
    pub fn handle(&mut self, now: Time, event: Event) -> Result<Vec<Action>> {
        self.check(&event)?;
        self.now = self.now.max(now);
        let mut actions = Vec::new();
        #[cfg(test)]
        let is_end = matches!(event, Event::Released { .. } | Event::Cancel { .. });
        // Before deadlines are looked at: who gives up is not told that time is up.
        match event {
            Event::Cancel { request } => self.cancel(request),
            // Nor is overdue what is reported just now.
            Event::Unloaded { model, place, .. } | Event::UnloadFailed { model, place } => {
                self.hear_of(self.at(model, place));
            }
            _ => {}
        }
        self.ring(&mut actions);
        self.expire(&mut actions);
        self.expire_idle(&mut actions);
        self.take_in(event, &mut actions);
        self.send_leavers_away(&mut actions);
        #[cfg(test)]
        if is_end && !self.is_dirty {
            self.assert_of_no_use();
        }
        if self.is_dirty {
            self.walk(&mut actions);
        }
        self.fresh = None;
        self.trim(&mut actions);
        if self.is_closed {
            self.unload_idle(&mut actions);
        }
        Ok(actions)
    }

    fn take_in(&mut self, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Request { request, model, deadline, priority, workspace } => {
                self.policy.on_request(model, self.now);
                self.use_now(model);
                let (times, rank) = ((self.now, deadline), (priority, self.options.age_step));
                let waiting = self.queue.arrival((request, model), times, rank, workspace);
                self.enqueue(waiting, actions);
                return;
            }
            Event::Released { request } => return self.end_lease(request),
            Event::Cancel { .. } => return,
            Event::Loaded { model, place } => self.loaded(self.at(model, place), actions),
            Event::LoadFailed { model, place, out_of_memory, may_retry } => {
                self.load_failed(self.at(model, place), out_of_memory.as_ref(), may_retry, actions);
            }
            Event::Unloaded { model, place, left } => self.unloaded(self.at(model, place), &left),
            Event::UnloadFailed { model, place } => self.unload_failed(self.at(model, place)),
            Event::Returned { model, place, bytes } => self.returned(self.at(model, place), &bytes),
            Event::Lost { model, place } => self.lost(self.at(model, place)),
            Event::Measured { model, place, bytes } => self.measured(self.at(model, place), bytes),
            Event::Compressed { model, place, bytes } => self.compressed(self.at(model, place), &bytes),
            Event::CompressFailed { model, place } => self.compress_failed(self.at(model, place)),
            Event::Promoted { model, place } => self.promoted(self.at(model, place), actions),
            Event::Pin { model } => self.set_pinned(model, true),
            Event::Unpin { model } => self.set_pinned(model, false),
            Event::Pressure { domain, level, shed } => self.press(domain, level, shed, actions),
            Event::Retire { domain } => self.retire(domain),
            Event::Tick => {}
            Event::Close => {
                self.is_closed = true;
                for waiting in self.queue.remove_all() {
                    actions.push(Action::Refuse { request: waiting.request, denial: Denial::Closed });
                }
            }
        }
        self.is_dirty = true;
    }

    /// Looks at what has a time of its own.
    fn ring(&mut self, actions: &mut Vec<Action>) {
        while let Some(alarm) = self.alarms.pop_due(self.now) {
            self.is_dirty = true;
            if let Alarm::Overdue(instance) = alarm {
                self.overdue(instance, actions);
            }
        }
    }

    /// When something has to be looked at though nothing happens: a request that gives up, a model that has been idle
    /// for as long as it may, a load to be tried again.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let others = [self.queue.next_deadline(), self.alarms.next(), self.next_idle()];
        others.into_iter().flatten().min()
    }

    /// After how long an idle model goes though nobody needs its memory, if the policy says so.
    #[must_use]
    pub const fn idle_for(&self) -> Option<std::time::Duration> {
        self.habits.idle_for
    }

    fn set_pinned(&mut self, model: ModelId, is_pinned: bool) {
        self.entries[model.0].is_pinned = is_pinned;
        for at in 0..self.entries[model.0].own.len() {
            self.restand(self.entries[model.0].own[at]);
        }
    }

    pub(super) fn use_now(&mut self, model: ModelId) {
        self.turns = self.turns.saturating_add(1);
        let entry = &mut self.entries[model.0];
        entry.last_used = self.now;
        entry.turn = self.turns;
    }

    /// The instance of `model` at `place`, which [`Pool::check`] found to be there.
    fn at(&self, model: ModelId, place: PlaceId) -> InstanceId {
        self.entries[model.0].instance(place).unwrap_or(self.entries[model.0].own[0])
    }

    pub(super) fn entry(&self, model: ModelId) -> &Entry {
        &self.entries[model.0]
    }

    pub(super) fn instance(&self, id: InstanceId) -> &Instance {
        &self.instances[id.0]
    }

    /// The model of an instance.
    pub(super) fn entry_of(&self, id: InstanceId) -> &Entry {
        &self.entries[self.instances[id.0].model.0]
    }

    /// Whether somebody in the queue waits for the model of `id`.
    pub(super) fn is_awaited(&self, id: InstanceId) -> bool {
        self.queue.is_awaited(self.instance(id).model)
    }
}
