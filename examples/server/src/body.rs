//! The pool's body: one task that owns the state machine, tells it what happens, and carries out what it answers.
//!
//! ```text
//!  handlers ──Ask, Cancel──────► ┌───────────┐ ──Load───► a blocking task ──Loaded────┐
//!  loads and unloads ──Event───► │ this task │ ──Unload─► a blocking task ──Unloaded──┤
//!  the clock ──Tick────────────► └───────────┘ ──Grant, Refuse──► the handler         │
//!                                      ▲──────────────────────────────────────────────┘
//! ```
//!
//! The pool itself does no I/O and reads no clock, so nothing here needs a lock: events come one after another.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use ullage_core::pool::policy::by_name;
use ullage_core::pool::{
    Action, Demand, Denial, Event, ModelId, ModelStatus, Place, Pool, Registration, RequestId,
};
use ullage_core::{Bytes, Ledger, Result, Time};

/// A model: its name, what it takes, and how long it takes to come beside filling its memory.
pub type Spec = (String, Bytes, Duration);
/// What stands for the weights of a model: memory that is really taken.
pub type Weights = Arc<Vec<u8>>;
type Answer = std::result::Result<Weights, Denial>;

enum Message {
    Ask(RequestId, ModelId, Duration, oneshot::Sender<Answer>),
    Happened(Event, Weights),
    Status(oneshot::Sender<(Vec<ModelStatus>, Bytes)>),
}

/// How handlers speak with the task.
#[derive(Clone)]
pub struct Handle {
    tell: mpsc::UnboundedSender<Message>,
    models: Arc<HashMap<String, ModelId>>,
    requests: Arc<AtomicU64>,
}

/// A request until its answer, and then its lease. Whenever it is dropped, also because the client went away, the pool
/// hears of it: `Cancel` gives a place in the queue up, and releases what was granted meanwhile.
pub struct Lease {
    request: RequestId,
    handle: Handle,
    /// The model's memory, which stays while this lives.
    pub weights: Weights,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.weights = Weights::default(); // before the pool may count on it
        self.handle.happened(Event::Cancel { request: self.request });
    }
}

impl Handle {
    /// Starts the task with `models`, which share `limit`, under the policy of that name.
    ///
    /// # Errors
    /// For an unknown policy, or two models of one name.
    pub fn start(limit: Bytes, policy: &str, models: &[Spec]) -> Result<Self> {
        let mut pool = Pool::new(Ledger::new(Some(limit)).root(), by_name(policy)?);
        let mut names = HashMap::new();
        for (name, bytes, load) in models {
            let place = Place::new(*bytes, Bytes::ZERO);
            let registration = Registration { load_time: Some(*load), ..Registration::new(name, place) };
            names.insert(name.clone(), pool.register(registration)?);
        }
        let (tell, mail) = mpsc::unbounded_channel();
        let (weights, waiting) = (HashMap::new(), HashMap::new());
        let specs = models.to_vec();
        let body = Body { pool, specs, began: Instant::now(), tell: tell.clone(), weights, waiting };
        tokio::spawn(body.run(mail));
        Ok(Self { tell, models: Arc::new(names), requests: Arc::default() })
    }

    /// The model called `name`.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<ModelId> {
        self.models.get(name).copied()
    }

    /// Leases a model.
    ///
    /// # Errors
    /// What the pool refuses it for.
    pub async fn lease(&self, model: ModelId, patience: Duration) -> std::result::Result<Lease, Denial> {
        let request = RequestId(self.requests.fetch_add(1, Ordering::Relaxed));
        let (reply, answer) = oneshot::channel();
        let _ = self.tell.send(Message::Ask(request, model, patience, reply));
        // Made before the wait, so that a handler that is dropped while it waits gives its place up.
        let mut lease = Lease { request, handle: self.clone(), weights: Weights::default() };
        lease.weights = answer.await.unwrap_or(Err(Denial::Closed))?;
        Ok(lease)
    }

    /// Every model, and the bytes that are booked in all.
    pub async fn status(&self) -> (Vec<ModelStatus>, Bytes) {
        let (reply, answer) = oneshot::channel();
        let _ = self.tell.send(Message::Status(reply));
        answer.await.unwrap_or_default()
    }

    /// Tells the pool of an event.
    pub fn happened(&self, event: Event) {
        let _ = self.tell.send(Message::Happened(event, Weights::default()));
    }
}

struct Body {
    pool: Pool,
    specs: Vec<Spec>,
    began: Instant,
    tell: mpsc::UnboundedSender<Message>,
    weights: HashMap<ModelId, Weights>,
    waiting: HashMap<RequestId, oneshot::Sender<Answer>>,
}

impl Body {
    async fn run(mut self, mut mail: mpsc::UnboundedReceiver<Message>) {
        loop {
            let due = self.pool.next_deadline().map(|at| self.began + Duration::from_nanos(at.as_nanos()));
            let due = due.unwrap_or_else(|| Instant::now() + Duration::from_hours(1));
            tokio::select! {
                Some(message) = mail.recv() => self.take(message),
                () = tokio::time::sleep_until(due.into()) => self.handle(Event::Tick),
            }
        }
    }

    fn now(&self) -> Time {
        Time::ZERO.saturating_add(self.began.elapsed())
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Ask(request, model, patience, reply) => {
                self.waiting.insert(request, reply);
                let deadline = Some(self.now().saturating_add(patience));
                self.handle(Event::Request { request, model, deadline, priority: 0, workspace: None });
            }
            Message::Happened(event, weights) => {
                if let Event::Loaded { model, .. } = event {
                    self.weights.insert(model, weights);
                }
                self.handle(event);
            }
            Message::Status(reply) => {
                let booked = self.pool.domains()[0].used();
                let _ = reply.send((self.pool.status(), booked));
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match self.pool.handle(self.now(), event) {
            Ok(actions) => actions.into_iter().for_each(|action| self.carry_out(action)),
            // An event that cannot have happened: this file is wrong, and the pool is as it was.
            Err(error) => eprintln!("{error}"),
        }
    }

    fn carry_out(&mut self, action: Action) {
        let tell = self.tell.clone();
        match action {
            Action::Load { model, place } => {
                let (_, bytes, load) = self.specs[model.index()];
                tokio::task::spawn_blocking(move || {
                    std::thread::sleep(load);
                    // Not zeros, which the system would not give until they are touched.
                    let weights = vec![1_u8; usize::try_from(bytes.get()).unwrap_or(usize::MAX)];
                    tell.send(Message::Happened(Event::Loaded { model, place }, Arc::new(weights)))
                });
            }
            Action::Unload { model, place } => {
                let weights = self.weights.remove(&model);
                tokio::task::spawn_blocking(move || {
                    drop(weights); // nobody else has it: there is no lease
                    let gone = Event::Unloaded { model, place, left: Demand::ZERO };
                    tell.send(Message::Happened(gone, Weights::default()))
                });
            }
            Action::Grant { request, model, .. } => self.answer(request, Ok(self.weights[&model].clone())),
            Action::Refuse { request, denial } => self.answer(request, Err(denial)),
            Action::Overdue { model, .. } => eprintln!("{} is still not gone", self.pool.name(model)),
            // Who waits, waits; and no model has a compressed form here.
            Action::Queue { .. } | Action::Compress { .. } | Action::Promote { .. } | Action::Drop { .. } => {
            }
        }
    }

    /// Whoever has gone by now cancels by dropping its lease.
    fn answer(&mut self, request: RequestId, answer: Answer) {
        self.waiting.remove(&request).map(|reply| reply.send(answer));
    }
}
