//! `Brain`: the scheduler's state machine.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::IntoPyObjectExt;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyDict, PyList};
use ullage_core::pool as core;
use ullage_core::pool::{Action, Demand, Event, Level, ModelId, PlaceId, RequestId};
use ullage_core::units::duration_from_secs;
use ullage_core::{Error, Time};

use super::domains::{Domains, Vector};
use super::policy::{OwnPolicy, Rule};
use super::{action, table};
use crate::error::Outcome;
use crate::ledger::Account;
use crate::units::{ByteCount, WholeNumber};

/// The scheduler: events in, actions out, no I/O, no clock.
#[pyclass(frozen, module = "ullage._core")]
pub(crate) struct Brain {
    pool: Mutex<core::Pool>,
    domains: Domains,
    /// The policy, if it is one in Python.
    rule: Option<Arc<Rule>>,
}

/// A model at a place, as events name it.
struct Where {
    model: ModelId,
    place: PlaceId,
}

impl Brain {
    /// Works on the pool. Who waits for it lets the interpreter go: a policy in Python may need it to come to an end.
    ///
    /// # Errors
    /// [`Error::Protocol`] where that policy itself is the caller.
    fn with<T>(&self, work: impl FnOnce(&mut core::Pool) -> T) -> Outcome<T> {
        if let Some(rule) = &self.rule {
            rule.check()?;
        }
        Python::attach(|py| {
            Ok(work(&mut self.pool.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)))
        })
    }

    fn tell<'py>(&self, py: Python<'py>, now: f64, event: Event) -> Outcome<Bound<'py, PyList>> {
        let now = Time::from_secs_f64(now)?;
        // The names are looked up under the same lock, so that the list speaks of one instant.
        self.with(|pool| {
            let actions = pool.handle(now, event)?;
            Ok(action::rows(py, pool, &self.domains, &actions)?)
        })?
    }

    fn model(&self, name: &str) -> Outcome<ModelId> {
        Ok(self.with(|pool| pool.model(name))??)
    }

    fn at(&self, model: &str, place: u16) -> Outcome<Where> {
        Ok(Where { model: self.model(model)?, place: PlaceId::new(place) })
    }

    fn places(&self, places: Vec<(Vector, Vector)>) -> Outcome<Vec<core::Place>> {
        let place = |(weights, workspace): (Vector, Vector)| {
            Ok(core::Place::new(self.domains.demand(weights)?, self.domains.demand(workspace)?))
        };
        places.into_iter().map(place).collect()
    }
}

fn level(word: &str) -> Outcome<Level> {
    let known = [Level::None, Level::Soft, Level::Hard].into_iter().find(|level| level.name() == word);
    known.ok_or_else(|| {
        let reason = format!("{word:?} is none of none, soft, hard");
        Error::Argument { name: "level", reason }.into()
    })
}

#[pymethods]
impl Brain {
    #[new]
    #[pyo3(signature = (
        domains, policy, *, group_wait = 1.0, age_step = 10.0, min_residency = 0.0, release_deadline = 30.0,
        on_fault = None,
    ))]
    fn new(
        domains: &Bound<'_, PyDict>,
        policy: &Bound<'_, PyAny>,
        group_wait: f64,
        age_step: f64,
        min_residency: f64,
        release_deadline: f64,
        on_fault: Option<Py<PyAny>>,
    ) -> Outcome<Self> {
        let (policy, rule) = if let Ok(name) = policy.extract::<&str>() {
            (core::policy::by_name(name)?, None)
        } else {
            let (policy, rule) = OwnPolicy::of_pool(policy, on_fault)?;
            (policy, Some(rule))
        };
        let (mut names, mut accounts) = (Vec::new(), Vec::new());
        for (name, account) in domains {
            names.push(name.extract::<String>()?);
            accounts.push(account.cast::<Account>().map_err(PyErr::from)?.get().core.clone());
        }
        let options = core::Options {
            group_wait: duration_from_secs(group_wait, "group_wait")?,
            age_step: duration_from_secs(age_step, "age_step")?,
            min_residency: duration_from_secs(min_residency, "min_residency")?,
            release_deadline: duration_from_secs(release_deadline, "release_deadline")?,
            ..core::Options::default()
        };
        let pool = core::Pool::of_domains(accounts, policy)?.with_options(options);
        Ok(Self { pool: Mutex::new(pool), domains: Domains::new(names), rule })
    }

    #[pyo3(signature = (
        name, *, estimated, places, instances, pinned, max_concurrency, load_time, retries, compressed,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are the keywords of one Python function")]
    fn register(
        &self,
        name: &str,
        estimated: ByteCount,
        places: Vec<(Vector, Vector)>,
        instances: WholeNumber,
        pinned: bool,
        max_concurrency: Option<WholeNumber>,
        load_time: Option<f64>,
        retries: WholeNumber,
        compressed: Option<(Vector, f64)>,
    ) -> Outcome<()> {
        let form = |(bytes, seconds): (Vector, f64)| {
            let promote_time = duration_from_secs(seconds, "promote_time")?;
            Outcome::Ok(core::Compressed { bytes: self.domains.demand(bytes)?, promote_time })
        };
        let registration = core::Registration {
            name: name.to_owned(),
            estimated: estimated.0,
            places: self.places(places)?,
            instances: usize::try_from(instances.count("instances")?).unwrap_or(usize::MAX),
            is_pinned: pinned,
            max_concurrency: max_concurrency.map(|most| most.count("max_concurrency")).transpose()?,
            load_time: load_time.map(|seconds| duration_from_secs(seconds, "load_time")).transpose()?,
            retries: u32::try_from(retries.count("retries")?).unwrap_or(u32::MAX),
            compressed: compressed.map(form).transpose()?,
        };
        self.with(|pool| pool.register(registration))??;
        Ok(())
    }

    /// The number of the place if the model is there for the request at once, else the actions.
    #[pyo3(signature = (now, request, model, deadline, priority = 0, workspace = None))]
    #[expect(clippy::too_many_arguments, reason = "they are the arguments of one Python function")]
    fn request<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        request: u64,
        model: &str,
        deadline: Option<f64>,
        priority: i32,
        workspace: Option<ByteCount>,
    ) -> Outcome<Bound<'py, PyAny>> {
        let deadline = deadline.map(Time::from_secs_f64).transpose()?;
        let now = Time::from_secs_f64(now)?;
        let request = RequestId(request);
        self.with(|pool| {
            let model = pool.model(model)?;
            let workspace = workspace.map(|bytes| bytes.0);
            let event = Event::Request { request, model, deadline, priority, workspace };
            let actions = pool.handle(now, event)?;
            if let [Action::Grant { request: granted, place, .. }] = actions[..]
                && granted == request
            {
                return Ok(place.index().into_bound_py_any(py)?);
            }
            Ok(action::rows(py, pool, &self.domains, &actions)?.into_any())
        })?
    }

    fn cancel<'py>(&self, py: Python<'py>, now: f64, request: u64) -> Outcome<Bound<'py, PyList>> {
        self.tell(py, now, Event::Cancel { request: RequestId(request) })
    }

    fn released<'py>(&self, py: Python<'py>, now: f64, request: u64) -> Outcome<Bound<'py, PyList>> {
        self.tell(py, now, Event::Released { request: RequestId(request) })
    }

    fn loaded<'py>(&self, py: Python<'py>, now: f64, model: &str, place: u16) -> Outcome<Bound<'py, PyList>> {
        let Where { model, place } = self.at(model, place)?;
        self.tell(py, now, Event::Loaded { model, place })
    }

    #[pyo3(signature = (now, model, place, out_of_memory, may_retry))]
    fn load_failed<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        model: &str,
        place: u16,
        out_of_memory: Option<Vector>,
        may_retry: bool,
    ) -> Outcome<Bound<'py, PyList>> {
        let Where { model, place } = self.at(model, place)?;
        let out_of_memory = out_of_memory.map(|seen| self.domains.demand(seen)).transpose()?;
        self.tell(py, now, Event::LoadFailed { model, place, out_of_memory, may_retry })
    }

    fn unloaded<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        model: &str,
        place: u16,
        left: Vector,
    ) -> Outcome<Bound<'py, PyList>> {
        let Where { model, place } = self.at(model, place)?;
        let left = self.domains.demand(left)?;
        self.tell(py, now, Event::Unloaded { model, place, left })
    }

    fn unload_failed<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        model: &str,
        place: u16,
    ) -> Outcome<Bound<'py, PyList>> {
        let Where { model, place } = self.at(model, place)?;
        self.tell(py, now, Event::UnloadFailed { model, place })
    }

    fn returned<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        model: &str,
        place: u16,
        bytes: Vector,
    ) -> Outcome<Bound<'py, PyList>> {
        let Where { model, place } = self.at(model, place)?;
        let bytes = self.domains.demand(bytes)?;
        self.tell(py, now, Event::Returned { model, place, bytes })
    }

    fn lost<'py>(&self, py: Python<'py>, now: f64, model: &str, place: u16) -> Outcome<Bound<'py, PyList>> {
        let Where { model, place } = self.at(model, place)?;
        self.tell(py, now, Event::Lost { model, place })
    }

    fn measured<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        model: &str,
        place: u16,
        bytes: Vector,
    ) -> Outcome<Bound<'py, PyList>> {
        let Where { model, place } = self.at(model, place)?;
        let bytes: Demand = self.domains.demand(bytes)?;
        self.tell(py, now, Event::Measured { model, place, bytes })
    }

    fn compressed<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        model: &str,
        place: u16,
        bytes: Vector,
    ) -> Outcome<Bound<'py, PyList>> {
        let Where { model, place } = self.at(model, place)?;
        let bytes = self.domains.demand(bytes)?;
        self.tell(py, now, Event::Compressed { model, place, bytes })
    }

    fn compress_failed<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        model: &str,
        place: u16,
    ) -> Outcome<Bound<'py, PyList>> {
        let Where { model, place } = self.at(model, place)?;
        self.tell(py, now, Event::CompressFailed { model, place })
    }

    fn promoted<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        model: &str,
        place: u16,
    ) -> Outcome<Bound<'py, PyList>> {
        let Where { model, place } = self.at(model, place)?;
        self.tell(py, now, Event::Promoted { model, place })
    }

    fn pin<'py>(&self, py: Python<'py>, now: f64, model: &str) -> Outcome<Bound<'py, PyList>> {
        let model = self.model(model)?;
        self.tell(py, now, Event::Pin { model })
    }

    fn unpin<'py>(&self, py: Python<'py>, now: f64, model: &str) -> Outcome<Bound<'py, PyList>> {
        let model = self.model(model)?;
        self.tell(py, now, Event::Unpin { model })
    }

    fn pressure<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        domain: &str,
        level: &str,
        shed: ByteCount,
    ) -> Outcome<Bound<'py, PyList>> {
        let event =
            Event::Pressure { domain: self.domains.id(domain)?, level: self::level(level)?, shed: shed.0 };
        self.tell(py, now, event)
    }

    fn add_domain(&self, name: &str, account: &Bound<'_, Account>) -> Outcome<()> {
        let account = account.get().core.clone();
        // The pool's lock first: whoever reads names under it would otherwise wait for this, and this for them.
        Ok(self.with(|pool| self.domains.add(name, || pool.add_domain(account)))??)
    }

    /// The number of the new place.
    fn add_place(&self, model: &str, weights: Vector, workspace: Vector) -> Outcome<usize> {
        let model = self.model(model)?;
        let place = core::Place::new(self.domains.demand(weights)?, self.domains.demand(workspace)?);
        Ok(self.with(|pool| pool.add_place(model, place))??.index())
    }

    fn set_instances(&self, model: &str, instances: WholeNumber) -> Outcome<()> {
        let model = self.model(model)?;
        let instances = usize::try_from(instances.count("instances")?).unwrap_or(usize::MAX);
        Ok(self.with(|pool| pool.set_instances(model, instances))??)
    }

    fn retire<'py>(&self, py: Python<'py>, now: f64, domain: &str) -> Outcome<Bound<'py, PyList>> {
        let domain = self.domains.id(domain)?;
        self.tell(py, now, Event::Retire { domain })
    }

    fn tick<'py>(&self, py: Python<'py>, now: f64) -> Outcome<Bound<'py, PyList>> {
        self.tell(py, now, Event::Tick)
    }

    fn close<'py>(&self, py: Python<'py>, now: f64) -> Outcome<Bound<'py, PyList>> {
        self.tell(py, now, Event::Close)
    }

    #[getter]
    fn next_deadline(&self) -> Outcome<Option<f64>> {
        Ok(self.with(|pool| pool.next_deadline())?.map(Time::as_secs_f64))
    }

    /// After how many idle seconds the policy sends a model away; `None` if it does not.
    #[getter]
    fn idle_for(&self) -> Outcome<Option<f64>> {
        Ok(self.with(|pool| pool.idle_for())?.map(|idle| idle.as_secs_f64()))
    }

    /// Whether the policy is one in Python.
    #[getter]
    fn has_own_policy(&self) -> bool {
        self.rule.is_some()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.rule.as_ref().map_or(Ok(()), |rule| rule.traverse(&visit))
    }

    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = self.with(|pool| pool.status())?;
        let rows: PyResult<Vec<_>> =
            rows.iter().map(|status| table::status(py, &self.domains, status)).collect();
        PyList::new(py, rows?)
    }

    #[pyo3(signature = (model, workspace = None))]
    fn plan<'py>(
        &self,
        py: Python<'py>,
        model: &str,
        workspace: Option<ByteCount>,
    ) -> Outcome<Bound<'py, PyDict>> {
        self.with(|pool| {
            let id = pool.model(model)?;
            let plan = pool.plan_with(id, workspace.map(|bytes| bytes.0));
            Ok(table::plan(py, pool, &self.domains, model, &plan)?)
        })?
    }

    /// Bytes booked for loads under way, by domain.
    fn coming<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let rows = self.with(|pool| pool.status())?;
        let sum = rows.iter().fold(Demand::ZERO, |sum, row| sum.plus(&table::coming(row)));
        self.domains.dict(py, &sum)
    }
}
