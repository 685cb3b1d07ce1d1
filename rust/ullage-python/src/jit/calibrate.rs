//! Calibration of this machine, and its predictions held against execution.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use ullage_core::Error;
use ullage_core::codec::Scheme;
use ullage_core::jit::{self, Request, Step};
use ullage_core::units::duration_from_secs;

use super::Profile;
use crate::error::{Failure, Outcome};
use crate::signals::SignalWatch;
use crate::units::ByteCount;

/// Tells a Python callable of steps, and looks for signals.
struct Teller {
    watch: SignalWatch,
    listener: Option<Py<PyAny>>,
    raised: RefCell<Option<PyErr>>,
}

impl Teller {
    fn new(listener: Option<Py<PyAny>>) -> Self {
        Self { watch: SignalWatch::new(Instant::now()), listener, raised: RefCell::new(None) }
    }

    fn tell(&self, step: Step) -> bool {
        if self.watch.interrupted() {
            return false;
        }
        let Some(listener) = &self.listener else { return true };
        let called = Python::attach(|py| listener.call1(py, (step.done, step.what)).map(drop));
        called.map_err(|error| self.raised.replace(Some(error))).is_ok()
    }

    /// The answer, or what a signal handler or the listener raised.
    fn answer<T>(self, outcome: Result<T, Error>) -> Outcome<T> {
        match self.raised.into_inner().or_else(|| self.watch.into_raised()) {
            Some(raised) => Err(raised.into()),
            None => outcome.map_err(Failure::from),
        }
    }
}

fn request(
    schemes: &[String],
    threads: Vec<u32>,
    cores: u32,
    time: Duration,
    memory: ByteCount,
    name: &str,
    storage: bool,
) -> Outcome<Request> {
    let schemes: Vec<Scheme> = schemes.iter().map(|scheme| scheme.parse()).collect::<Result<_, Error>>()?;
    Ok(Request { schemes, threads, cores, time, memory: memory.0, storage, name: name.to_owned() })
}

/// Measure this processor.
#[pyfunction]
#[pyo3(signature = (schemes, threads, *, cores, seconds, memory, name, storage = true, progress = None))]
#[expect(clippy::needless_pass_by_value, clippy::too_many_arguments, reason = "PyO3 extracts owned lists")]
pub(crate) fn calibrate_machine(
    py: Python<'_>,
    schemes: Vec<String>,
    threads: Vec<u32>,
    cores: u32,
    seconds: f64,
    memory: ByteCount,
    name: &str,
    storage: bool,
    progress: Option<Py<PyAny>>,
) -> Outcome<Profile> {
    let time = duration_from_secs(seconds, "seconds")?;
    let request = request(&schemes, threads, cores, time, memory, name, storage)?;
    py.detach(move || {
        let teller = Teller::new(progress);
        let found = jit::calibrate(&request, &|step| teller.tell(step));
        teller.answer(found).map(Profile)
    })
}

/// Simulate and execute a grid of models, schemes, policies and threads, with a profile or in alternation with a
/// calibration.
#[pyfunction]
#[pyo3(signature = (profile, schemes, threads, *, cores, seconds, memory, name, progress = None))]
#[expect(clippy::needless_pass_by_value, clippy::too_many_arguments, reason = "PyO3 extracts owned lists")]
pub(crate) fn verify_machine<'py>(
    py: Python<'py>,
    profile: Option<&Profile>,
    schemes: Vec<String>,
    threads: Vec<u32>,
    cores: u32,
    seconds: f64,
    memory: ByteCount,
    name: &str,
    progress: Option<Py<PyAny>>,
) -> Outcome<Bound<'py, PyDict>> {
    let time = duration_from_secs(seconds, "seconds")?;
    let request = request(&schemes, threads, cores, time, memory, name, true)?;
    let profile = profile.map(|profile| &profile.0);
    let found = py.detach(move || {
        let teller = Teller::new(progress);
        let found = jit::verify(profile, &request, &|step| teller.tell(step));
        teller.answer(found)
    })?;
    Ok(verdict(py, found)?)
}

fn verdict<'py>(py: Python<'py>, found: jit::Verdict) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("profile", Profile(found.profile))?;
    fields.set_item("rounds", found.rounds)?;
    let cases: Vec<Bound<'py, PyDict>> =
        found.cases.iter().map(|case| of_case(py, case)).collect::<PyResult<_>>()?;
    fields.set_item("cases", cases)?;
    let summary = PyDict::new(py);
    let jit::Summary { latency_mape, latency_p95, latency_worst, peak_mape, peak_worst, pairs, pairs_right } =
        found.summary;
    let errors = [
        ("latency_mape", latency_mape),
        ("latency_p95", latency_p95),
        ("latency_worst", latency_worst),
        ("peak_mape", peak_mape),
        ("peak_worst", peak_worst),
    ];
    for (name, value) in errors {
        summary.set_item(name, value)?;
    }
    summary.set_item("pairs", pairs)?;
    summary.set_item("pairs_right", pairs_right)?;
    fields.set_item("summary", summary)?;
    Ok(fields)
}

fn of_case<'py>(py: Python<'py>, case: &jit::Case) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("model", case.model)?;
    fields.set_item("layers", case.layers)?;
    fields.set_item("scheme", case.scheme.to_string())?;
    fields.set_item("policy", case.policy.to_string())?;
    fields.set_item("threads", case.threads)?;
    fields.set_item("predicted_s", case.predicted_s)?;
    fields.set_item("measured_s", case.measured_s)?;
    fields.set_item("error", case.error())?;
    fields.set_item("predicted_peak", case.predicted_peak.get())?;
    fields.set_item("measured_peak", case.measured_peak.get())?;
    fields.set_item("booked_peak", case.booked_peak.get())?;
    fields.set_item("peak_error", case.peak_error())?;
    Ok(fields)
}
