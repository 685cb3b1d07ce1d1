//! What a pass comes to, simulated or executed.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use ullage_core::Bytes;
use ullage_core::jit::{self, Event};

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
    policy: jit::Policy,
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
            policy: layer.policy,
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
            policy: layer.policy,
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
        fields.set_item("policy", self.policy.to_string())?;
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
