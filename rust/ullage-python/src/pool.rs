//! `Brain`: the scheduler's state machine. `ullage.pool` gives it a body.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use ullage_core::pool as core;
use ullage_core::pool::{Action, Demand, Denial, Event, ModelId, PlaceId, RequestId};
use ullage_core::units::duration_from_secs;
use ullage_core::{Bytes, Time};

use crate::error::Outcome;
use crate::ledger::Account;
use crate::units::{ByteCount, WholeNumber};

/// The scheduler of one memory domain: events in, actions out, no I/O, no clock.
#[pyclass(frozen, module = "ullage._core")]
pub(crate) struct Brain {
    pool: Mutex<core::Pool>,
}

impl Brain {
    fn with<T>(&self, work: impl FnOnce(&mut core::Pool) -> T) -> T {
        work(&mut self.pool.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn model(&self, name: &str) -> Outcome<ModelId> {
        Ok(self.with(|pool| pool.model(name))?)
    }

    fn tell<'py>(&self, py: Python<'py>, now: f64, event: Event) -> Outcome<Bound<'py, PyList>> {
        let now = Time::from_secs_f64(now)?;
        // The names are looked up under the same lock, so that the list speaks of one instant.
        let actions = self.with(|pool| {
            let actions = pool.handle(now, event)?;
            let name = |model: ModelId| pool.name(model).to_owned();
            Ok::<_, ullage_core::Error>(
                actions.into_iter().map(|action| Named::of(action, name)).collect::<Vec<_>>(),
            )
        })?;
        let rows: PyResult<Vec<_>> = actions.into_iter().map(|action| action.into_tuple(py)).collect();
        Ok(PyList::new(py, rows?)?)
    }
}

#[pymethods]
impl Brain {
    #[new]
    #[pyo3(signature = (account, policy))]
    fn new(account: &Account, policy: &str) -> Outcome<Self> {
        let policy = core::policy::by_name(policy)?;
        Ok(Self { pool: Mutex::new(core::Pool::new(account.core.clone(), policy)) })
    }

    #[pyo3(signature = (name, *, estimated, booked, workspace, pinned, max_concurrency, load_time = None))]
    #[expect(clippy::too_many_arguments, reason = "they are the keywords of one Python function")]
    fn register(
        &self,
        name: &str,
        estimated: ByteCount,
        booked: ByteCount,
        workspace: ByteCount,
        pinned: bool,
        max_concurrency: Option<WholeNumber>,
        load_time: Option<f64>,
    ) -> Outcome<()> {
        let max_concurrency = max_concurrency.map(|most| most.count("max_concurrency")).transpose()?;
        let load_time = load_time.map(|seconds| duration_from_secs(seconds, "load_time")).transpose()?;
        let registration = core::Registration {
            load_time,
            estimated: estimated.0,
            is_pinned: pinned,
            max_concurrency,
            // The body says at once what failed; who asks again tries again.
            retries: 0,
            ..core::Registration::new(name, core::Place::new(booked.0, workspace.0))
        };
        self.with(|pool| pool.register(registration))?;
        Ok(())
    }

    #[pyo3(signature = (now, request, model, deadline))]
    fn request<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        request: u64,
        model: &str,
        deadline: Option<f64>,
    ) -> Outcome<Bound<'py, PyList>> {
        let deadline = deadline.map(Time::from_secs_f64).transpose()?;
        let (request, model) = (RequestId(request), self.model(model)?);
        let event = Event::Request { request, model, deadline, priority: 0, workspace: None };
        self.tell(py, now, event)
    }

    fn cancel<'py>(&self, py: Python<'py>, now: f64, request: u64) -> Outcome<Bound<'py, PyList>> {
        self.tell(py, now, Event::Cancel { request: RequestId(request) })
    }

    fn released<'py>(&self, py: Python<'py>, now: f64, request: u64) -> Outcome<Bound<'py, PyList>> {
        self.tell(py, now, Event::Released { request: RequestId(request) })
    }

    fn loaded<'py>(&self, py: Python<'py>, now: f64, model: &str) -> Outcome<Bound<'py, PyList>> {
        self.tell(py, now, Event::Loaded { model: self.model(model)?, place: PlaceId::FIRST })
    }

    fn load_failed<'py>(&self, py: Python<'py>, now: f64, model: &str) -> Outcome<Bound<'py, PyList>> {
        let (model, place) = (self.model(model)?, PlaceId::FIRST);
        self.tell(py, now, Event::LoadFailed { model, place, out_of_memory: None, may_retry: true })
    }

    fn unloaded<'py>(&self, py: Python<'py>, now: f64, model: &str) -> Outcome<Bound<'py, PyList>> {
        let (model, place) = (self.model(model)?, PlaceId::FIRST);
        self.tell(py, now, Event::Unloaded { model, place, left: Demand::ZERO })
    }

    fn unload_failed<'py>(&self, py: Python<'py>, now: f64, model: &str) -> Outcome<Bound<'py, PyList>> {
        self.tell(py, now, Event::UnloadFailed { model: self.model(model)?, place: PlaceId::FIRST })
    }

    fn measured<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        model: &str,
        bytes: ByteCount,
    ) -> Outcome<Bound<'py, PyList>> {
        let (model, place) = (self.model(model)?, PlaceId::FIRST);
        self.tell(py, now, Event::Measured { model, place, bytes: bytes.0.into() })
    }

    fn tick<'py>(&self, py: Python<'py>, now: f64) -> Outcome<Bound<'py, PyList>> {
        self.tell(py, now, Event::Tick)
    }

    fn close<'py>(&self, py: Python<'py>, now: f64) -> Outcome<Bound<'py, PyList>> {
        self.tell(py, now, Event::Close)
    }

    #[getter]
    fn next_deadline(&self) -> Option<f64> {
        self.with(|pool| pool.next_deadline()).map(Time::as_secs_f64)
    }

    /// After how many idle seconds the policy sends a model away; `None` if it does not.
    #[getter]
    fn idle_for(&self) -> Option<f64> {
        self.with(|pool| pool.idle_for()).map(|idle| idle.as_secs_f64())
    }

    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows: PyResult<Vec<_>> =
            self.with(|pool| pool.status()).iter().map(|status| status_dict(py, status)).collect();
        PyList::new(py, rows?)
    }

    fn plan<'py>(&self, py: Python<'py>, model: &str) -> Outcome<Bound<'py, PyDict>> {
        let id = self.model(model)?;
        let (plan, names) = self.with(|pool| {
            let names: Vec<String> = pool.status().into_iter().map(|status| status.name).collect();
            (pool.plan(id), names)
        });
        Ok(plan_dict(py, model, &plan, &names)?)
    }
}

fn status_dict<'py>(py: Python<'py>, status: &core::ModelStatus) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", &status.name)?;
    dict.set_item("state", status.state)?;
    dict.set_item("pinned", status.is_pinned)?;
    dict.set_item("leases", status.leases)?;
    dict.set_item("waiting", status.waiting)?;
    dict.set_item("estimated", status.estimated.get())?;
    dict.set_item("booked", status.booked.get())?;
    dict.set_item("measured", status.measured.map(Bytes::get))?;
    dict.set_item("loads", status.loads)?;
    dict.set_item("evictions", status.evictions)?;
    dict.set_item("last_used_s", status.last_used.as_secs_f64())?;
    Ok(dict)
}

fn plan_dict<'py>(
    py: Python<'py>,
    model: &str,
    plan: &core::PoolPlan,
    names: &[String],
) -> PyResult<Bound<'py, PyDict>> {
    let name = |model: ModelId| names[model.index()].clone();
    let listed = |models: &[ModelId]| models.iter().copied().map(name).collect::<Vec<_>>();
    let dict = PyDict::new(py);
    dict.set_item("model", model)?;
    dict.set_item("needed", plan.needed.get())?;
    dict.set_item("available", plan.available.map(Bytes::get))?;
    dict.set_item("ahead", plan.ahead)?;
    match &plan.step {
        core::Step::Grant => dict.set_item("decision", "grant")?,
        core::Step::Load => dict.set_item("decision", "load")?,
        core::Step::Promote => dict.set_item("decision", "promote")?,
        core::Step::Wait { behind, evict, drain, .. } => {
            dict.set_item("decision", "wait")?;
            dict.set_item("behind", behind.name())?;
            dict.set_item("evict", listed(evict))?;
            dict.set_item("drain", listed(drain))?;
        }
        core::Step::Refuse(denial) => {
            dict.set_item("decision", "refuse")?;
            dict.update(denial_dict(py, denial, &blockers(denial, name))?.as_mapping())?;
        }
    }
    Ok(dict)
}

/// An action with the names of its models.
enum Named {
    /// A load, an unload, or any other move of one model.
    Move(&'static str, String),
    Grant(RequestId, String),
    Queue(RequestId, core::WaitFor),
    Refuse(RequestId, Denial, Vec<String>),
}

impl Named {
    fn of(action: Action, name: impl Fn(ModelId) -> String) -> Self {
        match action {
            Action::Load { model, .. } => Self::Move("load", name(model)),
            Action::Unload { model, .. } => Self::Move("unload", name(model)),
            Action::Compress { model, .. } => Self::Move("compress", name(model)),
            Action::Promote { model, .. } => Self::Move("promote", name(model)),
            Action::Drop { model, .. } => Self::Move("drop", name(model)),
            Action::Overdue { model, .. } => Self::Move("overdue", name(model)),
            Action::Grant { request, model, .. } => Self::Grant(request, name(model)),
            Action::Queue { request, behind } => Self::Queue(request, behind),
            Action::Refuse { request, denial } => {
                let blockers = match &denial {
                    Denial::Pinned { blocked_by, .. } => {
                        blocked_by.iter().map(|&model| name(model)).collect()
                    }
                    _ => Vec::new(),
                };
                Self::Refuse(request, denial, blockers)
            }
        }
    }

    fn into_tuple(self, py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        match self {
            Self::Move(what, model) => (what, model).into_pyobject(py),
            Self::Grant(request, model) => ("grant", request.0, model).into_pyobject(py),
            Self::Queue(request, behind) => ("queue", request.0, behind.name()).into_pyobject(py),
            Self::Refuse(request, denial, blockers) => {
                let denial = denial_dict(py, &denial, &blockers)?;
                ("refuse", request.0, denial).into_pyobject(py)
            }
        }
    }
}

/// The names of the models that a refusal puts the blame on.
fn blockers(denial: &Denial, name: impl Fn(ModelId) -> String) -> Vec<String> {
    match denial {
        Denial::Pinned { blocked_by, .. } => blocked_by.iter().copied().map(name).collect(),
        _ => Vec::new(),
    }
}

fn denial_dict<'py>(py: Python<'py>, denial: &Denial, blockers: &[String]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("reason", denial.name())?;
    match denial {
        Denial::TooLarge { requested, limit, .. } => {
            dict.set_item("requested", requested.get())?;
            dict.set_item("available", limit.get())?;
            dict.set_item("limit", limit.get())?;
        }
        Denial::Pinned { requested, available, limit, .. } => {
            dict.set_item("requested", requested.get())?;
            dict.set_item("available", available.get())?;
            dict.set_item("limit", limit.get())?;
            dict.set_item("blocked_by", blockers)?;
        }
        Denial::Timeout { waited, .. } => dict.set_item("waited_s", waited.as_secs_f64())?,
        Denial::LoadFailed { .. } | Denial::Stuck | Denial::Pressure { .. } | Denial::Closed => {}
    }
    Ok(dict)
}
