//! The pool of production on a virtual clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::log::{Log, Move};
use super::outcome::{Delays, ModelOutcome, Outcome};
use super::trace::Trace;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::pool::policy::Policy;
use crate::pool::{Action, Demand, Event, ModelId, Place, PlaceId, Pool, Registration, RequestId};
use crate::solving::Random;
use crate::units::{Bytes, Time};

/// What the replayed machine is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Whether loads under way share the bandwidth of one, or each has its own.
    pub is_bandwidth_shared: bool,
    /// How long after an unload its memory is seen to be free.
    pub unload_lag: Duration,
    /// Estimates are wrong by up to this share, more or less, a different one for each model; at least 0, below 1.
    pub estimate_error: f64,
    /// How long a request waits at the most.
    pub patience: Option<Duration>,
    /// The most leases of a model at once.
    pub max_concurrency: Option<u64>,
    /// Bytes that each lease takes beside the model.
    pub workspace: Bytes,
}

impl Default for Conditions {
    /// Loads do not disturb each other, memory is back at once, estimates are right and everybody waits.
    fn default() -> Self {
        Self {
            is_bandwidth_shared: false,
            unload_lag: Duration::ZERO,
            estimate_error: 0.0,
            patience: None,
            max_concurrency: None,
            workspace: Bytes::ZERO,
        }
    }
}

/// Replays `trace` through a pool under `capacity`, with the durations of its requests. Where the policy says that it
/// has failed, the replay ends there.
///
/// # Errors
/// [`Error::Argument`] for an estimate error outside `[0, 1)`; [`Error::BudgetExceeded`] for pins that do not fit.
pub fn live(
    trace: &Trace,
    capacity: Bytes,
    policy: Box<dyn Policy>,
    conditions: &Conditions,
    log: Option<&mut Log>,
) -> Result<Outcome> {
    if !(0.0..1.0).contains(&conditions.estimate_error) {
        let reason = format!("{} is not in [0, 1)", conditions.estimate_error);
        return Err(Error::Argument { name: "estimate_error", reason });
    }
    let mut machine = Machine::new(trace, capacity, policy, conditions, log)?;
    machine.run()?;
    Ok(machine.finish())
}

/// What happens at a time of its own; in one instant, memory comes back before it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Released(usize),
    Unloaded(usize),
}

/// A load under way.
struct Loading {
    model: usize,
    /// Seconds left, were it alone.
    left_s: f64,
}

struct Machine<'a> {
    trace: &'a Trace,
    conditions: &'a Conditions,
    pool: Pool,
    ledger: Ledger,
    capacity: Bytes,
    now: Time,
    due: BinaryHeap<Reverse<(Time, u64, Due)>>,
    /// Counts what is due, so that what was said first happens first.
    sequence: u64,
    loading: Vec<Loading>,
    /// When the next of them ends, if none begins or ends before.
    next_loaded: Option<Time>,
    /// When `left_s` was true.
    loads_at: Time,
    /// Bytes really in use.
    in_use: u128,
    waits: Vec<Vec<f64>>,
    log: Option<&'a mut Log>,
    outcome: Outcome,
}

impl<'a> Machine<'a> {
    fn new(
        trace: &'a Trace,
        capacity: Bytes,
        policy: Box<dyn Policy>,
        conditions: &'a Conditions,
        log: Option<&'a mut Log>,
    ) -> Result<Self> {
        let ledger = Ledger::new(Some(capacity));
        let mut pool = Pool::new(ledger.root(), policy);
        for (number, model) in trace.models().iter().enumerate() {
            let (estimated, booked) = estimates(model.bytes, number, conditions.estimate_error);
            pool.register(Registration {
                estimated,
                is_pinned: model.is_pinned,
                max_concurrency: conditions.max_concurrency,
                load_time: Some(Duration::try_from_secs_f64(model.load_s).unwrap_or(Duration::MAX)),
                ..Registration::new(model.name.as_str(), Place::new(booked, conditions.workspace))
            })?;
        }
        let count = trace.models().len();
        let outcome = Outcome { models: vec![ModelOutcome::default(); count], ..Outcome::default() };
        Ok(Self {
            trace,
            conditions,
            pool,
            ledger,
            capacity,
            now: Time::ZERO,
            due: BinaryHeap::new(),
            sequence: 0,
            loading: Vec::new(),
            next_loaded: None,
            loads_at: Time::ZERO,
            in_use: 0,
            waits: vec![Vec::new(); count],
            log,
            outcome,
        })
    }

    fn run(&mut self) -> Result<()> {
        for (number, request) in self.trace.requests().iter().enumerate() {
            self.run_until(Some(request.at))?;
            self.now = self.now.max(request.at);
            let row = &mut self.outcome.models[request.model];
            row.requests = row.requests.saturating_add(1);
            let deadline = self.conditions.patience.map(|patience| self.now.saturating_add(patience));
            let (request, model) = (RequestId(number as u64), ModelId(request.model));
            self.tell(Event::Request { request, model, deadline, priority: 0, workspace: None })?;
            if self.pool.policy().has_failed() {
                return Ok(());
            }
        }
        self.run_until(None)
    }

    /// Lets everything happen that is due by `until`.
    fn run_until(&mut self, until: Option<Time>) -> Result<()> {
        loop {
            let due = self.due.peek().map(|Reverse((at, ..))| *at);
            // Of one instant: what ends, then what was loaded, then whose patience ends.
            let tick = self.pool.next_deadline().map(|at| at.max(self.now));
            let first = [due, self.next_loaded, tick].into_iter().flatten().min();
            let Some(at) = first.filter(|&at| until.is_none_or(|until| at <= until)) else { return Ok(()) };
            self.now = self.now.max(at);
            if due == Some(at) {
                self.happen()?;
            } else if self.next_loaded == Some(at) {
                self.finish_load()?;
            } else {
                // After the last request nobody looks at what is merely idle.
                if until.is_none() && self.loading.is_empty() && due.is_none() && self.is_at_rest() {
                    return Ok(());
                }
                self.tell(Event::Tick)?;
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        self.pool.is_at_rest()
    }

    fn happen(&mut self) -> Result<()> {
        match self.due.pop() {
            Some(Reverse((_, _, Due::Released(number)))) => {
                self.use_less(self.conditions.workspace);
                self.tell(Event::Released { request: RequestId(number as u64) })
            }
            Some(Reverse((_, _, Due::Unloaded(model)))) => {
                self.use_less(self.trace.models()[model].bytes);
                let (model, place) = (ModelId(model), PlaceId::FIRST);
                self.tell(Event::Unloaded { model, place, left: Demand::ZERO })
            }
            None => Ok(()),
        }
    }

    fn finish_load(&mut self) -> Result<()> {
        self.advance_loads();
        let least = (0..self.loading.len()).min_by(|&a, &b| {
            let (a, b) = (&self.loading[a], &self.loading[b]);
            a.left_s.total_cmp(&b.left_s).then(a.model.cmp(&b.model))
        });
        let Some(place) = least else { return Ok(()) };
        let Loading { model, .. } = self.loading.remove(place);
        self.plan_loads();
        let id = ModelId(model);
        if self.conditions.estimate_error > 0.0 {
            let bytes = self.trace.models()[model].bytes.into();
            self.tell(Event::Measured { model: id, place: PlaceId::FIRST, bytes })?;
        }
        self.tell(Event::Loaded { model: id, place: PlaceId::FIRST })
    }

    /// Brings what is left of each load up to now.
    #[allow(clippy::cast_precision_loss, reason = "a handful of loads")]
    fn advance_loads(&mut self) {
        let passed = self.now.since(self.loads_at).as_secs_f64();
        let share = if self.conditions.is_bandwidth_shared { self.loading.len().max(1) as f64 } else { 1.0 };
        for load in &mut self.loading {
            load.left_s = (load.left_s - passed / share).max(0.0);
        }
        self.loads_at = self.now;
    }

    #[allow(clippy::cast_precision_loss, reason = "a handful of loads")]
    fn plan_loads(&mut self) {
        let least = self.loading.iter().map(|load| load.left_s).min_by(f64::total_cmp);
        let share = if self.conditions.is_bandwidth_shared { self.loading.len() as f64 } else { 1.0 };
        self.next_loaded = least.map(|left_s| {
            let left = Duration::try_from_secs_f64(left_s * share).unwrap_or(Duration::MAX);
            self.now.saturating_add(left)
        });
    }

    fn tell(&mut self, event: Event) -> Result<()> {
        for action in self.pool.handle(self.now, event)? {
            self.carry_out(&action);
        }
        let peak = self.ledger.root().used();
        self.outcome.peak = self.outcome.peak.max(peak);
        if self.in_use > u128::from(self.capacity.get()) || peak > self.capacity {
            self.outcome.overcommits = self.outcome.overcommits.saturating_add(1);
        }
        Ok(())
    }

    fn carry_out(&mut self, action: &Action) {
        match *action {
            Action::Load { model, .. } => self.start_load(model.index()),
            Action::Unload { model, .. } => {
                let bytes = self.trace.models()[model.index()].bytes;
                self.outcome.evictions = self.outcome.evictions.saturating_add(1);
                self.outcome.evicted = self.outcome.evicted.saturating_add(bytes.get().into());
                Log::note(&mut self.log, self.now, Move::Evict(model.index()));
                self.plan(self.now.saturating_add(self.conditions.unload_lag), Due::Unloaded(model.index()));
            }
            Action::Grant { request, model, .. } => {
                let number = place(request);
                let asked = &self.trace.requests()[number];
                self.waits[model.index()].push(self.now.since(asked.at).as_secs_f64());
                self.in_use = self.in_use.saturating_add(self.conditions.workspace.get().into());
                Log::note(&mut self.log, self.now, Move::Grant(number));
                self.plan(self.now.saturating_add(asked.duration), Due::Released(number));
            }
            Action::Refuse { request, .. } => {
                let number = place(request);
                let row = &mut self.outcome.models[self.trace.requests()[number].model];
                row.refused = row.refused.saturating_add(1);
                self.outcome.refused = self.outcome.refused.saturating_add(1);
                Log::note(&mut self.log, self.now, Move::Refuse(number));
            }
            // Nothing shrinks here, and lags are no faults.
            Action::Queue { .. }
            | Action::Overdue { .. }
            | Action::Compress { .. }
            | Action::Promote { .. }
            | Action::Drop { .. } => {}
        }
    }

    fn start_load(&mut self, model: usize) {
        let traced = &self.trace.models()[model];
        let row = &mut self.outcome.models[model];
        row.cold_starts = row.cold_starts.saturating_add(1);
        self.outcome.cold_starts = self.outcome.cold_starts.saturating_add(1);
        self.outcome.load_s += traced.load_s;
        self.outcome.loaded = self.outcome.loaded.saturating_add(traced.bytes.get().into());
        self.in_use = self.in_use.saturating_add(traced.bytes.get().into());
        Log::note(&mut self.log, self.now, Move::Load(model));
        self.advance_loads();
        self.loading.push(Loading { model, left_s: traced.load_s });
        self.plan_loads();
    }

    fn use_less(&mut self, bytes: Bytes) {
        self.in_use = self.in_use.saturating_sub(bytes.get().into());
    }

    fn plan(&mut self, at: Time, due: Due) {
        self.sequence = self.sequence.saturating_add(1);
        self.due.push(Reverse((at, self.sequence, due)));
    }

    fn finish(mut self) -> Outcome {
        self.outcome.requests = self.trace.requests().len() as u64;
        for (row, waits) in self.outcome.models.iter_mut().zip(&mut self.waits) {
            row.delays = Delays::of(waits);
        }
        self.outcome.delays = Delays::of(&mut self.waits.concat());
        self.outcome
    }
}

/// The place in the trace of the request that was given this number.
fn place(request: RequestId) -> usize {
    usize::try_from(request.0).unwrap_or(usize::MAX)
}

/// What somebody believes who may be wrong by a share of `error`: the likely size, and the most it can be. The draw is
/// from the model's number alone (the finaliser of `SplitMix64`), so that it is the same in every replay.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate, positive, and a float to an integer saturates"
)]
fn estimates(bytes: Bytes, number: usize, error: f64) -> (Bytes, Bytes) {
    if error <= 0.0 {
        return (bytes, bytes);
    }
    let draw = Random(number as u64).fraction();
    let estimate = bytes.get() as f64 * (1.0 + error * (2.0 * draw - 1.0));
    // Who knows that it may be wrong books what it is at the most.
    (Bytes::new(estimate as u64), Bytes::new((estimate / (1.0 - error)).ceil() as u64).max(bytes))
}
