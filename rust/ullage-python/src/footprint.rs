//! `Footprint`, `Interval`, `Verdict`, `Remedy` and the functions that make them.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use ullage_core::Bytes;
use ullage_core::footprint as core;
use ullage_core::model::Model as CoreModel;

use crate::error::Outcome;
use crate::model::Model;
use crate::units::{ByteCount, WholeNumber};

/// A number of bytes between `lo` and `hi`, most likely `best`.
#[pyclass(frozen, eq, module = "ullage")]
#[derive(PartialEq)]
pub(crate) struct Interval(core::Interval);

#[pymethods]
impl Interval {
    #[getter]
    fn lo(&self) -> u64 {
        self.0.lo.get()
    }

    #[getter]
    fn best(&self) -> u64 {
        self.0.best.get()
    }

    #[getter]
    fn hi(&self) -> u64 {
        self.0.hi.get()
    }

    #[getter]
    fn origin(&self) -> &'static str {
        self.0.origin.name()
    }

    #[getter]
    fn formula(&self) -> &str {
        &self.0.formula
    }

    fn __int__(&self) -> u64 {
        self.0.best.get()
    }

    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("lo", self.lo())?;
        dict.set_item("best", self.best())?;
        dict.set_item("hi", self.hi())?;
        dict.set_item("origin", self.origin())?;
        dict.set_item("formula", self.formula())?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        let core::Interval { lo, best, hi, origin, .. } = &self.0;
        if lo == hi {
            return format!("Interval({best}, {origin})");
        }
        format!("Interval({best}, {lo} ... {hi}, {origin})")
    }
}

/// What a model needs, by component.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Footprint {
    model: Arc<CoreModel>,
    workload: core::Workload,
    policy: &'static core::Policy,
    parts: core::Footprint,
    measured: Option<Measured>,
}

/// What a footprint was narrowed to.
#[derive(Clone)]
struct Measured {
    bounds: [Bytes; 3],
    extent: core::Extent,
    how: String,
}

impl Measured {
    fn narrow(&self, parts: core::Footprint) -> ullage_core::Result<core::Footprint> {
        let [lo, best, hi] = self.bounds;
        parts.measured(lo, best, hi, self.extent, &self.how)
    }
}

#[pymethods]
impl Footprint {
    #[pyo3(signature = (lo, best, hi, *, how, loaded_only = false))]
    fn measured(
        &self,
        py: Python<'_>,
        lo: ByteCount,
        best: ByteCount,
        hi: ByteCount,
        how: &str,
        loaded_only: bool,
    ) -> Outcome<Self> {
        let Self { model, workload, policy, .. } = self;
        let extent = if loaded_only { core::Extent::Load } else { core::Extent::Run };
        let measured = Measured { bounds: [lo.0, best.0, hi.0], extent, how: how.to_owned() };
        let parts =
            py.detach(|| core::estimate(model, workload, policy).and_then(|parts| measured.narrow(parts)))?;
        let (model, measured) = (Arc::clone(model), Some(measured));
        Ok(Self { model, workload: *workload, policy, parts, measured })
    }

    #[getter]
    fn model(&self) -> Model {
        Model(Arc::clone(&self.model))
    }

    #[getter]
    fn context(&self) -> u64 {
        self.workload.context
    }

    #[getter]
    fn batch(&self) -> u64 {
        self.workload.batch
    }

    #[getter]
    fn kv_dtype(&self) -> &'static str {
        self.workload.kv_dtype.name()
    }

    #[getter]
    fn micro_batch(&self) -> u64 {
        self.workload.micro_batch
    }

    #[getter]
    fn flash_attention(&self) -> bool {
        self.workload.flash_attention
    }

    #[getter]
    fn runtime(&self) -> String {
        format!("{}@{}", self.policy.runtime, self.policy.version)
    }

    #[getter]
    fn weights(&self) -> Interval {
        Interval(self.parts.weights.clone())
    }

    #[getter]
    fn kv_cache(&self) -> Interval {
        Interval(self.parts.kv_cache.clone())
    }

    #[getter]
    fn state(&self) -> Interval {
        Interval(self.parts.state.clone())
    }

    #[getter]
    fn activations(&self) -> Interval {
        Interval(self.parts.activations.clone())
    }

    #[getter]
    fn overhead(&self) -> Interval {
        Interval(self.parts.overhead.clone())
    }

    #[getter]
    fn total(&self) -> Interval {
        Interval(self.parts.total.clone())
    }

    #[getter]
    fn parts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, interval) in self.parts.parts() {
            dict.set_item(name, Py::new(py, Interval(interval.clone()))?)?;
        }
        Ok(dict)
    }

    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("model", &self.model.name)?;
        dict.set_item("architecture", self.model.architecture_name())?;
        dict.set_item("parameters", self.model.parameters())?;
        dict.set_item("tensor_bytes", self.model.tensor_bytes().get())?;
        dict.set_item("file_bytes", self.model.file_bytes.get())?;
        dict.set_item("tensors", self.model.tensors.len())?;
        dict.set_item("dtypes", self.model().dtypes(py)?)?;
        dict.set_item("weights_by_part", self.model().parts(py)?)?;
        dict.set_item("context", self.workload.context)?;
        dict.set_item("batch", self.workload.batch)?;
        dict.set_item("kv_dtype", self.workload.kv_dtype.name())?;
        dict.set_item("micro_batch", self.workload.micro_batch)?;
        dict.set_item("flash_attention", self.workload.flash_attention)?;
        dict.set_item("runtime", self.runtime())?;
        dict.set_item("format", self.model().format())?;
        dict.set_item("quantization", &self.model.quantization)?;
        dict.set_item("notes", &self.model.notes)?;
        let parts = PyDict::new(py);
        for (name, interval) in self.parts.parts() {
            parts.set_item(name, Interval(interval.clone()).as_dict(py)?)?;
        }
        dict.set_item("parts", parts)?;
        dict.set_item("total", self.total().as_dict(py)?)?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        let core::Interval { lo, best, hi, .. } = &self.parts.total;
        format!("Footprint({:?}: {best}, {lo} ... {hi})", self.model.name)
    }
}

impl Footprint {
    /// The verdict for `device`, where `policy` holds; what was measured holds there too.
    fn on(&self, policy: &core::Policy, device: &core::Device) -> ullage_core::Result<core::Verdict> {
        let Self { model, workload, .. } = self;
        let Some(measured) = &self.measured else { return core::fit(model, workload, policy, device) };
        let total = measured.narrow(core::estimate(model, workload, policy)?)?.total;
        core::fit_measured(model, workload, policy, device, &total)
    }
}

/// Estimate what a model needs.
#[pyfunction]
#[pyo3(
    signature = (
        model, *, context = None, batch = WholeNumber::ONE, kv_dtype = "f16", micro_batch = None,
        flash_attention = true, runtime = None,
    ),
    text_signature = "(model, *, context=None, batch=1, kv_dtype='f16', micro_batch=None, flash_attention=True, runtime=None)"
)]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub(crate) fn estimate(
    py: Python<'_>,
    model: &Model,
    context: Option<WholeNumber>,
    batch: WholeNumber,
    kv_dtype: &str,
    micro_batch: Option<WholeNumber>,
    flash_attention: bool,
    runtime: Option<&str>,
) -> Outcome<Footprint> {
    let model = Arc::clone(&model.0);
    let workload = workload(&model, context, batch, kv_dtype, micro_batch, flash_attention)?;
    let policy = policy_for(py, &model, runtime)?;
    let parts = py.detach(|| core::estimate(&model, &workload, policy))?;
    Ok(Footprint { model, workload, policy, parts, measured: None })
}

/// The policy of the runtime called `name`, by default the one that such files are usually run with. A name that is not
/// known here may be one of a plug-in, which is looked for then, and not before.
pub(crate) fn policy_for(
    py: Python<'_>,
    model: &CoreModel,
    name: Option<&str>,
) -> Outcome<&'static core::Policy> {
    let Some(name) = name else { return Ok(core::Policy::usual(model)?) };
    match core::Policy::of(name) {
        Ok(policy) => Ok(policy),
        Err(unknown) => {
            let find = py.import("ullage.plugins.runtime")?.getattr("find")?;
            if find.call1((name,))?.is_truthy()? { Ok(core::Policy::of(name)?) } else { Err(unknown.into()) }
        }
    }
}

/// Make a runtime policy, given as JSON, known by its name; gives the name with its version.
#[pyfunction]
pub(crate) fn add_runtime(text: &str) -> Outcome<String> {
    let added = core::Policy::from_json(text)?.add()?;
    Ok(format!("{}@{}", added.runtime, added.version))
}

/// What a model is asked to do, from the arguments of Python.
pub(crate) fn workload(
    model: &ullage_core::Model,
    context: Option<WholeNumber>,
    batch: WholeNumber,
    kv_dtype: &str,
    micro_batch: Option<WholeNumber>,
    flash_attention: bool,
) -> Outcome<core::Workload> {
    let context = context.map(|context| context.count("context")).transpose()?;
    let batch = batch.count("batch")?;
    let workload =
        core::Workload::new(model, context, batch, kv_dtype.parse()?)?.with_flash_attention(flash_attention);
    Ok(match micro_batch {
        Some(micro_batch) => workload.with_micro_batch(micro_batch.count("micro_batch")?)?,
        None => workload,
    })
}

/// Every runtime policy, those that were added last, as data.
#[pyfunction]
pub(crate) fn runtime_policies(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let rows = core::Policy::all().iter().chain(core::Policy::own()).map(|policy| {
        let dict = PyDict::new(py);
        dict.set_item("runtime", &policy.runtime)?;
        dict.set_item("version", &policy.version)?;
        dict.set_item("aliases", &policy.aliases)?;
        dict.set_item("source", &policy.source)?;
        dict.set_item("date", &policy.date)?;
        dict.set_item("residency", policy.residency.name())?;
        Ok(dict)
    });
    rows.collect()
}

/// Bytes that a device lets a process use, as `(lo, best, hi)`.
type Limits = (ByteCount, ByteCount, ByteCount);

fn availability(limits: Limits) -> Outcome<core::Availability> {
    let (lo, best, hi) = limits;
    Ok(core::Availability::new(lo.0, best.0, hi.0)?)
}

fn triple(available: core::Availability) -> (u64, u64, u64) {
    (available.lo.get(), available.best.get(), available.hi.get())
}

/// Whether a footprint fits a device.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Verdict {
    device: core::Device,
    verdict: core::Verdict,
}

#[pymethods]
impl Verdict {
    #[getter]
    fn device(&self) -> &str {
        &self.device.name
    }

    #[getter]
    fn verdict(&self) -> &'static str {
        self.verdict.answer.name()
    }

    #[getter]
    fn fits(&self) -> bool {
        self.verdict.answer == core::Answer::Yes
    }

    #[getter]
    fn required(&self) -> Interval {
        Interval(self.verdict.required.clone())
    }

    #[getter]
    fn available(&self) -> u64 {
        self.verdict.available.best.get()
    }

    #[getter]
    fn available_range(&self) -> (u64, u64, u64) {
        triple(self.verdict.available)
    }

    #[getter]
    fn short_by(&self) -> u64 {
        self.verdict.short_by.get()
    }

    #[getter]
    fn margin(&self) -> u64 {
        self.verdict.margin.get()
    }

    #[getter]
    fn remedies(&self) -> Vec<Remedy> {
        self.verdict.remedies.iter().cloned().map(Remedy).collect()
    }

    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("device", &self.device.name)?;
        dict.set_item("memory", self.device.memory.get())?;
        dict.set_item("verdict", self.verdict())?;
        dict.set_item("required", self.required().as_dict(py)?)?;
        dict.set_item("available", self.available())?;
        dict.set_item("available_range", self.available_range())?;
        dict.set_item("short_by", self.short_by())?;
        dict.set_item("margin", self.margin())?;
        let remedies: PyResult<Vec<_>> = self.remedies().iter().map(|remedy| remedy.as_dict(py)).collect();
        dict.set_item("remedies", remedies?)?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        let core::Verdict { answer, required, available, .. } = &self.verdict;
        format!("Verdict({}: {} needed, {} available)", answer.name(), required.best, available.best)
    }
}

/// Changes that make a model fit, or nearly.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Remedy(core::Remedy);

#[pymethods]
impl Remedy {
    #[getter]
    fn changes(&self) -> Vec<String> {
        self.0.changes.iter().map(|(change, _)| change.to_string()).collect()
    }

    #[getter]
    fn steps(&self) -> Vec<(String, u64)> {
        self.0.changes.iter().map(|(change, saves)| (change.to_string(), saves.get())).collect()
    }

    #[getter]
    fn verdict(&self) -> &'static str {
        self.0.answer.name()
    }

    #[getter]
    fn required(&self) -> Interval {
        Interval(self.0.required.clone())
    }

    #[getter]
    fn available(&self) -> u64 {
        self.0.available.best.get()
    }

    #[getter]
    fn saves(&self) -> u64 {
        self.0.saves.get()
    }

    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("changes", self.changes())?;
        let steps = self.steps().into_iter().map(|(change, saves)| {
            let step = PyDict::new(py);
            step.set_item("change", change)?;
            step.set_item("saves", saves)?;
            Ok(step)
        });
        dict.set_item("steps", steps.collect::<PyResult<Vec<_>>>()?)?;
        dict.set_item("required", self.required().as_dict(py)?)?;
        dict.set_item("available", self.available())?;
        dict.set_item("verdict", self.verdict())?;
        dict.set_item("saves", self.saves())?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        format!("Remedy({}: {})", self.0.answer.name(), self.changes().join(" + "))
    }
}

/// Judge whether a footprint fits a device.
#[pyfunction]
#[pyo3(
    signature = (footprint, *, name, memory, available, entitled = None, wired = None, is_ios = false, is_discrete = false)
)]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub(crate) fn judge(
    py: Python<'_>,
    footprint: &Footprint,
    name: &str,
    memory: ByteCount,
    available: Limits,
    entitled: Option<Limits>,
    wired: Option<Limits>,
    is_ios: bool,
    is_discrete: bool,
) -> Outcome<Verdict> {
    let entitled = entitled.map(|limits| (core::Raise::Entitlement, limits));
    let raised = entitled.or_else(|| wired.map(|limits| (core::Raise::WiredLimit, limits)));
    let device = core::Device {
        name: name.to_owned(),
        memory: memory.0,
        available: availability(available)?,
        raised: raised
            .map(|(raise, limits)| availability(limits).map(|limits| (raise, limits)))
            .transpose()?,
        is_discrete,
    };
    let policy = footprint.policy.on(is_ios)?;
    let verdict = py.detach(|| footprint.on(policy, &device))?;
    Ok(Verdict { device, verdict })
}
