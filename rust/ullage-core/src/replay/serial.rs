//! One request after another: the policy alone, without queue and ledger.

use std::cmp::Reverse;

use super::log::{Log, Move};
use super::outcome::{ModelOutcome, Outcome};
use super::trace::Trace;
use crate::pool::ModelId;
use crate::pool::policy::{Candidate, Facts, Habits, Policy, Weighed, select};
use crate::units::{Bytes, Time};

/// Replays `trace` in `capacity`: a request occupies its model for an instant, a load takes no time, memory given back
/// is there at once, and every miss loads. Where the policy says that it has failed, the replay ends there.
#[must_use]
pub fn serial(trace: &Trace, capacity: Bytes, policy: Box<dyn Policy>, mut log: Option<&mut Log>) -> Outcome {
    let mut cache = Cache::new(trace, capacity, policy);
    for (number, request) in trace.requests().iter().enumerate() {
        let what = if cache.request(request.model, request.at, &mut log) {
            Move::Grant(number)
        } else {
            Move::Refuse(number)
        };
        Log::note(&mut log, request.at, what);
        if cache.policy.has_failed() {
            break;
        }
    }
    cache.outcome.requests = u64::try_from(trace.requests().len()).unwrap_or(u64::MAX);
    cache.outcome
}

struct Cache<'a> {
    trace: &'a Trace,
    policy: Box<dyn Policy>,
    habits: Habits,
    capacity: u64,
    used: u64,
    /// Bytes of resident pinned models.
    pinned: u64,
    /// The resident models that are not pinned.
    residents: Vec<usize>,
    /// How many are resident, pinned ones among them.
    count: usize,
    is_resident: Vec<bool>,
    turns: Vec<u64>,
    turn: u64,
    last_used: Vec<Time>,
    /// Scratch space.
    victims: Vec<Weighed>,
    outcome: Outcome,
}

impl<'a> Cache<'a> {
    fn new(trace: &'a Trace, capacity: Bytes, mut policy: Box<dyn Policy>) -> Self {
        let models = trace.models();
        for model in models {
            policy.on_register(&Facts { name: &model.name, bytes: model.bytes, load_s: model.load_s });
        }
        let outcome = Outcome { models: vec![ModelOutcome::default(); models.len()], ..Outcome::default() };
        Self {
            trace,
            habits: policy.habits(),
            policy,
            capacity: capacity.get(),
            used: 0,
            pinned: 0,
            residents: Vec::new(),
            count: 0,
            is_resident: vec![false; models.len()],
            turns: vec![0; models.len()],
            turn: 0,
            last_used: vec![Time::ZERO; models.len()],
            victims: Vec::new(),
            outcome,
        }
    }

    /// False if the model can never be resident.
    fn request(&mut self, model: usize, now: Time, log: &mut Option<&mut Log>) -> bool {
        self.expire(now, log);
        self.policy.on_request(ModelId(model), now);
        self.use_now(model, now);
        let row = &mut self.outcome.models[model];
        row.requests = row.requests.saturating_add(1);
        let is_there = self.is_resident[model] || self.load(model, now, log);
        if is_there {
            self.policy.on_release(ModelId(model), now);
            self.trim(now, log);
        }
        is_there
    }

    fn use_now(&mut self, model: usize, now: Time) {
        self.turn = self.turn.saturating_add(1);
        self.turns[model] = self.turn;
        self.last_used[model] = now;
    }

    fn load(&mut self, model: usize, now: Time, log: &mut Option<&mut Log>) -> bool {
        let traced = &self.trace.models()[model];
        let bytes = traced.bytes.get();
        let row = &mut self.outcome.models[model];
        if bytes > self.capacity.saturating_sub(self.pinned) {
            row.refused = row.refused.saturating_add(1);
            self.outcome.refused = self.outcome.refused.saturating_add(1);
            return false;
        }
        row.cold_starts = row.cold_starts.saturating_add(1);
        self.make_room(traced.bytes, now, log);
        self.outcome.cold_starts = self.outcome.cold_starts.saturating_add(1);
        self.outcome.load_s += traced.load_s;
        self.outcome.loaded = self.outcome.loaded.saturating_add(bytes.into());
        self.used = self.used.saturating_add(bytes);
        self.outcome.peak = self.outcome.peak.max(Bytes::new(self.used));
        self.outcome.overcommits =
            self.outcome.overcommits.saturating_add((self.used > self.capacity).into());
        self.is_resident[model] = true;
        self.count = self.count.saturating_add(1);
        if traced.is_pinned {
            self.pinned = self.pinned.saturating_add(bytes);
        } else {
            // In the order of numbers, as the pool looks at them.
            let place = self.residents.partition_point(|&other| other < model);
            self.residents.insert(place, model);
        }
        Log::note(log, now, Move::Load(model));
        self.policy.on_load(ModelId(model), now);
        true
    }

    fn make_room(&mut self, needed: Bytes, now: Time, log: &mut Option<&mut Log>) {
        let asked =
            if self.count == 0 { needed } else { self.habits.asks(needed, Bytes::new(self.capacity)) };
        let missing_for = |bytes: Bytes| {
            u128::from(self.used).saturating_add(bytes.get().into()).saturating_sub(self.capacity.into())
        };
        let evictable = u128::from(self.used.saturating_sub(self.pinned));
        let missing = Some(missing_for(asked)).filter(|&missing| missing <= evictable);
        let missing = missing.unwrap_or_else(|| missing_for(needed));
        let places = usize::from(self.habits.most_models.is_some_and(|most| self.count >= most));
        if missing == 0 && places == 0 {
            return;
        }
        let (models, turns) = (self.trace.models(), &self.turns);
        let candidates = self.residents.iter().map(|&model| Candidate {
            model: ModelId(model),
            bytes: models[model].bytes,
            turn: turns[model],
        });
        let mut victims = std::mem::take(&mut self.victims);
        select(self.policy.as_ref(), missing, places, candidates, now, &mut victims);
        // From the last to the first, so that the places before it stand.
        victims.sort_unstable_by_key(|victim| Reverse(victim.place));
        for victim in &victims {
            self.evict(victim.place, now, log);
        }
        self.victims = victims;
    }

    fn evict(&mut self, place: usize, now: Time, log: &mut Option<&mut Log>) {
        let model = self.residents.remove(place);
        let bytes = self.trace.models()[model].bytes.get();
        self.is_resident[model] = false;
        self.count = self.count.saturating_sub(1);
        self.used = self.used.saturating_sub(bytes);
        self.outcome.evictions = self.outcome.evictions.saturating_add(1);
        self.outcome.evicted = self.outcome.evicted.saturating_add(bytes.into());
        Log::note(log, now, Move::Evict(model));
        self.policy.on_evict(ModelId(model), now);
    }

    /// Sends away what has been idle for as long as it may.
    fn expire(&mut self, now: Time, log: &mut Option<&mut Log>) {
        let Some(idle_for) = self.habits.idle_for else { return };
        for place in (0..self.residents.len()).rev() {
            if now.since(self.last_used[self.residents[place]]) >= idle_for {
                self.evict(place, now, log);
            }
        }
    }

    /// Sends models away until no more is used than the policy fills.
    #[allow(clippy::cast_precision_loss, reason = "a share is not a count")]
    fn trim(&mut self, now: Time, log: &mut Option<&mut Log>) {
        if self.habits.fill >= 1.0 {
            return;
        }
        while self.used as f64 > self.habits.fill * self.capacity as f64 {
            let Some(place) = self.least_worth(now) else { return };
            self.evict(place, now, log);
        }
    }

    /// The place of the resident that is worth least.
    fn least_worth(&self, now: Time) -> Option<usize> {
        let worth = |place: usize| {
            let model = self.residents[place];
            let bytes = self.trace.models()[model].bytes;
            let candidate = Candidate { model: ModelId(model), bytes, turn: self.turns[model] };
            (self.policy.worth(&candidate, now), self.turns[model])
        };
        (0..self.residents.len()).min_by(|&a, &b| {
            let (a, b) = (worth(a), worth(b));
            a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
        })
    }
}
