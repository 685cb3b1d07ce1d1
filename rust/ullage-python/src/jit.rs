//! Just-in-time decompression: profiles, simulations, executions, calibration and its verdict.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use ullage_core::codec::Scheme;
use ullage_core::jit::{self, Conduct, Event, Layer, Options, Policy, Request, Step};
use ullage_core::units::duration_from_secs;
use ullage_core::{Bytes, Error};

use crate::codec::Compression;
use crate::error::{Failure, Outcome};
use crate::signals::SignalWatch;
use crate::units::{ByteCount, WholeNumber};

/// Name, shape, scheme and, where they are known, bytes as stored, operations for a token and bytes of activations.
type LayerRow = (String, Vec<u64>, String, Option<u64>, Option<u64>, Option<u64>);

/// Name, shape, scheme and bytes as stored.
type StoredRow = (String, Vec<u64>, String, u64);

fn layer(row: LayerRow) -> Outcome<Layer> {
    let (name, shape, scheme, stored, flops, activations) = row;
    let mut layer = Layer::new(&name, &shape, scheme.parse()?)?;
    if let Some(stored) = stored {
        layer.compressed = Bytes::new(stored);
    }
    if let Some(flops) = flops {
        layer.flops_per_token = flops;
    }
    if let Some(activations) = activations {
        layer.activations = Bytes::new(activations);
    }
    Ok(layer)
}

fn plan(layers: Vec<LayerRow>, policies: &[String]) -> Outcome<(Vec<Layer>, Vec<Policy>)> {
    let layers: Vec<Layer> = layers.into_iter().map(layer).collect::<Outcome<_>>()?;
    let mut read: Vec<Policy> = policies.iter().map(|policy| policy.parse()).collect::<Result<_, Error>>()?;
    if let ([policy], true) = (read.as_slice(), layers.len() != 1) {
        read = vec![*policy; layers.len()];
    }
    Ok((layers, read))
}

fn small(number: WholeNumber, name: &'static str) -> Outcome<u32> {
    let count = number.count(name)?;
    let reason = || format!("{count} is not between 1 and 1024");
    let fits = u32::try_from(count).ok().filter(|count| (1..=1024).contains(count));
    fits.ok_or_else(|| Error::Argument { name, reason: reason() }.into())
}

/// A device as the simulator sees it: rates with units and origins, and timings where it was calibrated.
#[pyclass(frozen, eq, module = "ullage")]
#[derive(PartialEq)]
pub(crate) struct Profile(pub(crate) jit::Profile);

#[pymethods]
impl Profile {
    /// Read a profile from JSON.
    #[staticmethod]
    fn from_json(text: &str) -> Outcome<Self> {
        Ok(Self(jit::Profile::from_json(text)?))
    }

    fn to_json(&self) -> String {
        self.0.to_json()
    }

    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    #[getter]
    fn note(&self) -> &str {
        &self.0.note
    }

    #[getter]
    fn threads(&self) -> u32 {
        self.0.threads()
    }

    #[getter]
    fn is_calibrated(&self) -> bool {
        !self.0.timings.is_empty()
    }

    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("json")?.call_method1("loads", (self.0.to_json(),))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((slf.get_type().getattr("from_json")?, (slf.get().0.to_json(),)))
    }

    fn __repr__(&self) -> String {
        format!(
            "<Profile {:?}: {} figures, {} timings>",
            self.0.name,
            self.0.figures().len(),
            self.0.timings.len()
        )
    }
}

/// What a pass through layers under policies comes to, simulated or executed.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Simulation {
    latency_s: f64,
    load_s: f64,
    first_output_s: f64,
    bytes_moved: Bytes,
    peak: Bytes,
    process_peak: Option<Bytes>,
    resident: Bytes,
    scratch: Bytes,
    rows: Vec<LayerFields>,
    events: Vec<Event>,
    levels: Vec<(f64, u64)>,
    basis: Option<&'static str>,
    passes: Option<u32>,
}

struct LayerFields {
    name: String,
    policy: String,
    seconds: f64,
    bound: Option<&'static str>,
    basis: Option<&'static str>,
    ready_s: Option<f64>,
    quartiles: Option<(f64, f64, f64)>,
}

impl From<jit::Simulation> for Simulation {
    fn from(found: jit::Simulation) -> Self {
        let basis = found.basis().name();
        let row = |layer: jit::LayerTime| LayerFields {
            name: layer.name,
            policy: layer.policy.to_string(),
            seconds: layer.seconds,
            bound: Some(layer.bound.name()),
            basis: Some(layer.basis.name()),
            ready_s: None,
            quartiles: None,
        };
        Self {
            latency_s: found.latency_s,
            load_s: found.load_s,
            first_output_s: found.first_output_s,
            bytes_moved: found.bytes_moved,
            peak: found.peak,
            process_peak: None,
            resident: found.resident,
            scratch: found.scratch,
            rows: found.layers.into_iter().map(row).collect(),
            events: found.timeline,
            levels: found.memory.iter().map(|level| (level.at_s, level.bytes.get())).collect(),
            basis: Some(basis),
            passes: None,
        }
    }
}

impl From<jit::Execution> for Simulation {
    fn from(found: jit::Execution) -> Self {
        let row = |layer: jit::Executed| LayerFields {
            name: layer.name,
            policy: layer.policy.to_string(),
            seconds: layer.seconds,
            bound: None,
            basis: None,
            ready_s: Some(layer.ready_s),
            quartiles: Some((layer.spread.q1, layer.spread.median, layer.spread.q3)),
        };
        Self {
            latency_s: found.latency_s,
            load_s: found.load_s,
            first_output_s: found.first_output_s,
            bytes_moved: found.bytes_moved,
            peak: found.peak,
            process_peak: found.process_peak,
            resident: found.resident,
            scratch: found.scratch,
            rows: found.layers.into_iter().map(row).collect(),
            events: found.timeline,
            levels: Vec::new(),
            basis: None,
            passes: Some(found.passes),
        }
    }
}

#[pymethods]
impl Simulation {
    /// Seconds of a pass once everything is loaded.
    #[getter]
    fn latency_s(&self) -> f64 {
        self.latency_s
    }

    /// Seconds before the first pass can begin.
    #[getter]
    fn load_s(&self) -> f64 {
        self.load_s
    }

    /// Seconds until the first pass is over.
    #[getter]
    fn first_output_s(&self) -> f64 {
        self.first_output_s
    }

    /// Bytes over the memory bus in a pass.
    #[getter]
    fn bytes_moved(&self) -> u64 {
        self.bytes_moved.get()
    }

    /// The most bytes at any time.
    #[getter]
    fn peak_bytes(&self) -> u64 {
        self.peak.get()
    }

    /// By how much the process grew, where it was executed and the system says so.
    #[getter]
    fn process_peak_bytes(&self) -> Option<u64> {
        self.process_peak.map(Bytes::get)
    }

    /// Bytes that stay between passes, scratch left out.
    #[getter]
    fn resident_bytes(&self) -> u64 {
        self.resident.get()
    }

    /// Bytes of scratch memory.
    #[getter]
    fn scratch_bytes(&self) -> u64 {
        self.scratch.get()
    }

    /// The weakest of what its layers' seconds rest on: timed, near, composed or partial; `None` where executed.
    #[getter]
    fn basis(&self) -> Option<&'static str> {
        self.basis
    }

    /// Passes that were timed; `None` where simulated.
    #[getter]
    fn passes(&self) -> Option<u32> {
        self.passes
    }

    #[getter]
    fn layers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows: Vec<Bound<'py, PyDict>> =
            self.rows.iter().map(|row| row.as_dict(py)).collect::<PyResult<_>>()?;
        PyList::new(py, rows)
    }

    /// Which layer kept what busy: a structured NumPy array of `start_s`, `end_s`, `resource` and `layer`.
    #[getter]
    fn timeline<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut bytes = Vec::with_capacity(self.events.len().saturating_mul(24));
        for event in &self.events {
            let resource = jit::Resource::ALL.iter().position(|&kind| kind == event.resource).unwrap_or(0);
            bytes.extend(event.start_s.to_le_bytes());
            bytes.extend(event.end_s.to_le_bytes());
            bytes.extend(u32::try_from(resource).unwrap_or(0).to_le_bytes());
            bytes.extend(event.layer.to_le_bytes());
        }
        let fields = [("start_s", "<f8"), ("end_s", "<f8"), ("resource", "<u4"), ("layer", "<u4")];
        py.import("numpy")?.call_method1("frombuffer", (PyBytes::new(py, &bytes), fields.to_vec()))
    }

    /// What the numbers under `resource` of the timeline stand for.
    #[classattr]
    #[pyo3(name = "RESOURCES")]
    fn resources() -> (&'static str, &'static str, &'static str) {
        let [storage, decompressor, compute] = jit::Resource::ALL;
        (storage.name(), decompressor.name(), compute.name())
    }

    /// Seconds of a pass and bytes in use from then on; nothing where executed.
    #[getter]
    fn memory(&self) -> Vec<(f64, u64)> {
        self.levels.clone()
    }

    /// The figures as plain values, ready for JSON.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        fields.set_item("latency_s", self.latency_s)?;
        fields.set_item("load_s", self.load_s)?;
        fields.set_item("first_output_s", self.first_output_s)?;
        fields.set_item("peak_bytes", self.peak_bytes())?;
        fields.set_item("process_peak_bytes", self.process_peak_bytes())?;
        fields.set_item("resident_bytes", self.resident_bytes())?;
        fields.set_item("scratch_bytes", self.scratch_bytes())?;
        fields.set_item("bytes_moved", self.bytes_moved())?;
        fields.set_item("basis", self.basis)?;
        fields.set_item("passes", self.passes)?;
        fields.set_item("layers", self.layers(py)?)?;
        Ok(fields)
    }

    fn __len__(&self) -> usize {
        self.rows.len()
    }

    fn __repr__(&self) -> String {
        let what = if self.passes.is_some() { "executed" } else { "simulated" };
        format!(
            "<Simulation {what}: {} layers in {:.6} s, peak {} bytes>",
            self.rows.len(),
            self.latency_s,
            self.peak_bytes()
        )
    }
}

impl LayerFields {
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        fields.set_item("name", &self.name)?;
        fields.set_item("policy", &self.policy)?;
        fields.set_item("bound", self.bound)?;
        fields.set_item("basis", self.basis)?;
        fields.set_item("seconds", self.seconds)?;
        if let Some(ready_s) = self.ready_s {
            fields.set_item("ready_s", ready_s)?;
        }
        if let Some(quartiles) = self.quartiles {
            fields.set_item("quartiles_s", quartiles)?;
        }
        Ok(fields)
    }
}

/// Layers of a compressed model, as rows for `simulate_layers`.
#[pyfunction]
pub(crate) fn layers_of(compression: &Compression) -> Outcome<Vec<StoredRow>> {
    let layers = Layer::of_compressed(compression.found())?;
    let row = |layer: Layer| (layer.name, layer.shape, layer.scheme.to_string(), layer.compressed.get());
    Ok(layers.into_iter().map(row).collect())
}

/// Simulate a pass of layers under policies, one for all or one for each.
#[pyfunction]
#[pyo3(signature = (layers, policies, profile, *, threads = None, batch = None, memory_limit = None, from_storage = false))]
#[expect(clippy::needless_pass_by_value, clippy::too_many_arguments, reason = "PyO3 extracts owned lists")]
pub(crate) fn simulate_layers(
    py: Python<'_>,
    layers: Vec<LayerRow>,
    policies: Vec<String>,
    profile: &Profile,
    threads: Option<WholeNumber>,
    batch: Option<WholeNumber>,
    memory_limit: Option<ByteCount>,
    from_storage: bool,
) -> Outcome<Simulation> {
    let (layers, policies) = plan(layers, &policies)?;
    let options = Options {
        threads: threads.map(|count| small(count, "threads")).transpose()?,
        batch: batch.map_or(Ok(1), |count| small(count, "batch").map(u64::from))?,
        memory_limit: memory_limit.map(|limit| limit.0),
        from_storage,
    };
    let profile = &profile.0;
    Ok(py.detach(|| jit::simulate(&layers, &policies, profile, &options))?.into())
}

/// Execute a pass of layers under policies on this processor, with weights made up.
#[pyfunction]
#[pyo3(signature = (layers, policies, *, threads, batch = None, seconds = 0.5, passes = None))]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts owned lists")]
pub(crate) fn execute_layers(
    py: Python<'_>,
    layers: Vec<LayerRow>,
    policies: Vec<String>,
    threads: WholeNumber,
    batch: Option<WholeNumber>,
    seconds: f64,
    passes: Option<WholeNumber>,
) -> Outcome<Simulation> {
    let (layers, policies) = plan(layers, &policies)?;
    let caches = jit::caches();
    let last = caches.iter().max_by_key(|cache| cache.level).map_or(32 << 20, |cache| cache.bytes);
    let conduct = Conduct {
        threads: small(threads, "threads")?,
        batch: batch.map_or(Ok(1), |count| small(count, "batch").map(|count| count as usize))?,
        passes: passes.map_or(Ok(5), |count| small(count, "passes"))?,
        time: duration_from_secs(seconds, "seconds")?,
        last_cache: last,
    };
    Ok(py.detach(|| jit::execute(&layers, &policies, None, &conduct))?.into())
}

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

/// Simulate and execute a grid of models, schemes, policies and threads.
#[pyfunction]
#[pyo3(signature = (profile, schemes, threads, *, cores, memory, progress = None))]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts owned lists")]
pub(crate) fn verify_machine<'py>(
    py: Python<'py>,
    profile: &Profile,
    schemes: Vec<String>,
    threads: Vec<u32>,
    cores: u32,
    memory: ByteCount,
    progress: Option<Py<PyAny>>,
) -> Outcome<Bound<'py, PyDict>> {
    let request = request(&schemes, threads, cores, Duration::ZERO, memory, "", false)?;
    let profile = &profile.0;
    let found = py.detach(move || {
        let teller = Teller::new(progress);
        let found = jit::verify(profile, &request, &|step| teller.tell(step));
        teller.answer(found)
    })?;
    Ok(verdict(py, &found)?)
}

fn verdict<'py>(py: Python<'py>, found: &jit::Verdict) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
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
