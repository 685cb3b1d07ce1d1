//! `Trace` and its replays. `ullage.replaying` makes results of what they give.

use std::sync::Arc;
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use ullage_core::pool::policy::Policy;
use ullage_core::replay::{self as core, Conditions, Log, Outcome as Came};
use ullage_core::units::duration_from_secs;
use ullage_core::{Bytes, Error, Time};

use crate::detach::detached;
use crate::error::Outcome;
use crate::pool::{OwnPolicy, Rule};
use crate::units::{ByteCount, WholeNumber};

/// Models, and who asked for which when.
#[pyclass(frozen, module = "ullage._core")]
pub(crate) struct Trace {
    core: core::Trace,
}

#[pymethods]
impl Trace {
    #[new]
    #[pyo3(signature = (names, sizes, loads_s, times_s, models, durations_s))]
    fn new(
        names: Vec<String>,
        sizes: Vec<ByteCount>,
        loads_s: Vec<f64>,
        times_s: Vec<f64>,
        models: Vec<usize>,
        durations_s: Vec<f64>,
    ) -> Outcome<Self> {
        let lengths = [
            ("bytes", sizes.len(), names.len(), "models"),
            ("load_s", loads_s.len(), names.len(), "models"),
            ("model", models.len(), times_s.len(), "times"),
            ("duration_s", durations_s.len(), times_s.len(), "times"),
        ];
        for (column, given, expected, of) in lengths {
            if given != expected {
                let reason = format!("{given} entries for {expected} {of}");
                return Err(Error::Problem { field: column.to_owned(), reason }.into());
            }
        }
        let models_of = names.into_iter().zip(sizes).zip(loads_s).map(|((name, bytes), load_s)| {
            core::TracedModel { name, bytes: bytes.0, load_s, is_pinned: false }
        });
        let mut requests = Vec::with_capacity(times_s.len());
        for (index, ((time_s, model), duration_s)) in
            times_s.into_iter().zip(models).zip(durations_s).enumerate()
        {
            let span = |field: &str, seconds: f64| {
                duration_from_secs(seconds, "seconds").map_err(|_| Error::Problem {
                    field: format!("requests[{index}].{field}"),
                    reason: format!("{seconds} is not a finite, non-negative number of seconds"),
                })
            };
            let at = Time::ZERO.saturating_add(span("time_s", time_s)?);
            requests.push(core::Request { at, model, duration: span("duration_s", duration_s)? });
        }
        Ok(Self { core: core::Trace::new(models_of.collect(), requests)? })
    }

    /// From the text of two CSV files: `model,bytes,load_s` and `time_s,model[,duration_s]`.
    #[staticmethod]
    fn parse(py: Python<'_>, models: &[u8], requests: &[u8]) -> Outcome<Self> {
        Ok(Self { core: detached(py, || core::Trace::parse(models, requests))? })
    }

    /// The same trace with these models pinned.
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 hands a list of texts over by value")]
    fn pinned(&self, names: Vec<String>) -> Outcome<Self> {
        let mut core = self.core.clone();
        core.pin(&names)?;
        Ok(Self { core })
    }

    #[getter]
    fn models(&self) -> Vec<&str> {
        self.core.models().iter().map(|model| model.name.as_str()).collect()
    }

    fn __len__(&self) -> usize {
        self.core.requests().len()
    }

    /// Replays one request after another; gives what came of it, and the log if it is asked for.
    #[pyo3(signature = (capacity, policy, log))]
    fn serial<'py>(
        &self,
        py: Python<'py>,
        capacity: ByteCount,
        policy: &Bound<'_, PyAny>,
        log: bool,
    ) -> Outcome<(Bound<'py, PyDict>, Option<Bound<'py, PyBytes>>)> {
        let Chosen { policy, rule } = self.policy(policy)?;
        let mut events = log.then(Log::default);
        let (came, wall_s) = run(py, rule.as_deref(), || {
            let begun = Instant::now();
            let came = core::serial(&self.core, capacity.0, policy, events.as_mut());
            (came, begun.elapsed().as_secs_f64())
        })?;
        Ok((self.outcome_dict(py, &came, wall_s)?, log_bytes(py, events.as_ref())))
    }

    /// Replays with the durations of the requests, through the pool.
    #[pyo3(signature = (
        capacity, policy, log, *, shared_bandwidth, unload_lag_s, estimate_error, timeout_s, max_concurrency, workspace
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are the keywords of one Python function")]
    fn live<'py>(
        &self,
        py: Python<'py>,
        capacity: ByteCount,
        policy: &Bound<'_, PyAny>,
        log: bool,
        shared_bandwidth: bool,
        unload_lag_s: f64,
        estimate_error: f64,
        timeout_s: Option<f64>,
        max_concurrency: Option<WholeNumber>,
        workspace: ByteCount,
    ) -> Outcome<(Bound<'py, PyDict>, Option<Bound<'py, PyBytes>>)> {
        let Chosen { policy, rule } = self.policy(policy)?;
        let conditions = Conditions {
            is_bandwidth_shared: shared_bandwidth,
            unload_lag: duration_from_secs(unload_lag_s, "unload_lag")?,
            estimate_error,
            patience: timeout_s.map(|seconds| duration_from_secs(seconds, "timeout")).transpose()?,
            max_concurrency: max_concurrency.map(|most| most.count("max_concurrency")).transpose()?,
            workspace: workspace.0,
        };
        let mut events = log.then(Log::default);
        let (came, wall_s) = run(py, rule.as_deref(), || {
            let begun = Instant::now();
            let came = core::live(&self.core, capacity.0, policy, &conditions, events.as_mut());
            (came, begun.elapsed().as_secs_f64())
        })?;
        Ok((self.outcome_dict(py, &came?, wall_s)?, log_bytes(py, events.as_ref())))
    }

    /// Seconds of loading that no policy can do without in `capacity`, one request after another.
    fn lower_bound(&self, py: Python<'_>, capacity: ByteCount) -> Outcome<f64> {
        let policy = core::policy("clairvoyant", &self.core)?;
        Ok(detached(py, || {
            let reached = core::serial(&self.core, capacity.0, policy, None);
            core::lower_bound(&self.core, capacity.0, &reached)
        }))
    }
}

/// A policy, and the rule behind it if it is one in Python.
struct Chosen {
    policy: Box<dyn Policy>,
    rule: Option<Arc<Rule>>,
}

/// Replays with the interpreter released, unless a rule in Python needs it at every step.
fn run<T: Send>(py: Python<'_>, rule: Option<&Rule>, act: impl FnOnce() -> T + Send) -> Outcome<T> {
    let Some(rule) = rule else { return Ok(detached(py, act)) };
    let came = act();
    match rule.take_fault() {
        Some(error) => Err(error.into()),
        None => Ok(came),
    }
}

impl Trace {
    /// A name, or an object that is a rule.
    fn policy(&self, given: &Bound<'_, PyAny>) -> Outcome<Chosen> {
        if let Ok(name) = given.extract::<&str>() {
            return Ok(Chosen { policy: core::policy(name, &self.core)?, rule: None });
        }
        let (policy, rule) = OwnPolicy::of_replay(given)?;
        Ok(Chosen { policy, rule: Some(rule) })
    }

    fn outcome_dict<'py>(&self, py: Python<'py>, came: &Came, wall_s: f64) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("requests", came.requests)?;
        dict.set_item("cold_starts", came.cold_starts)?;
        dict.set_item("load_seconds", came.load_s)?;
        dict.set_item("evictions", came.evictions)?;
        dict.set_item("evicted_bytes", came.evicted)?;
        dict.set_item("loaded_bytes", came.loaded)?;
        dict.set_item("overcommits", came.overcommits)?;
        dict.set_item("refused", came.refused)?;
        dict.set_item("peak_bytes", Bytes::get(came.peak))?;
        dict.set_item("delays", delays_dict(py, &came.delays)?)?;
        dict.set_item("wall_s", wall_s)?;
        let rows: PyResult<Vec<_>> = self
            .core
            .models()
            .iter()
            .zip(&came.models)
            .map(|(model, row)| {
                let dict = PyDict::new(py);
                dict.set_item("model", &model.name)?;
                dict.set_item("bytes", model.bytes.get())?;
                dict.set_item("requests", row.requests)?;
                dict.set_item("cold_starts", row.cold_starts)?;
                dict.set_item("refused", row.refused)?;
                dict.set_item("delays", delays_dict(py, &row.delays)?)?;
                Ok(dict)
            })
            .collect();
        dict.set_item("models", PyList::new(py, rows?)?)?;
        Ok(dict)
    }
}

fn delays_dict<'py>(py: Python<'py>, delays: &core::Delays) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("p50_s", delays.p50_s)?;
    dict.set_item("p99_s", delays.p99_s)?;
    dict.set_item("max_s", delays.max_s)?;
    Ok(dict)
}

fn log_bytes<'py>(py: Python<'py>, log: Option<&Log>) -> Option<Bound<'py, PyBytes>> {
    log.map(|log| PyBytes::new(py, log.to_csv().as_bytes()))
}

/// The names of the policies that a pool may have.
#[pyfunction]
pub(crate) fn policy_names() -> Vec<&'static str> {
    ullage_core::pool::policy::NAMES.to_vec()
}
