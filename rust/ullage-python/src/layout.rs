//! Layouts of arenas as frozen objects.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use ullage_core::Bytes;
use ullage_core::arena::{self, Infeasibility, Problem, Strategy};

use crate::buffer;

/// Where every buffer lies, and what is proven about it.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Layout {
    problem: Problem,
    answer: arena::Layout,
    strategy: Strategy,
    seconds: f64,
}

impl Layout {
    pub(crate) fn new(problem: Problem, answer: arena::Layout, strategy: Strategy, seconds: f64) -> Self {
        Self { problem, answer, strategy, seconds }
    }

    pub(crate) fn validate(&self) -> ullage_core::Result<()> {
        arena::validate(&self.problem, &self.answer)
    }

    /// Offsets by id, or by position as a text where buffers have no ids.
    fn by_text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let offsets = PyDict::new(py);
        for (index, offset) in self.answer.offsets.iter().enumerate() {
            offsets.set_item(self.problem.id(index).unwrap_or_default(), offset.get())?;
        }
        Ok(offsets)
    }
}

fn reason_fields<'py>(
    py: Python<'py>,
    problem: &Problem,
    reason: Infeasibility,
) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("kind", reason.name())?;
    fields.set_item("text", reason.to_string())?;
    match reason {
        Infeasibility::LoadTooHigh { at, load, capacity } => {
            fields.set_item("at", at)?;
            fields.set_item("load", load.get())?;
            fields.set_item("capacity", capacity.get())?;
            let alive = problem.alive_at(at).into_iter();
            fields
                .set_item("buffers", alive.map(|i| problem.id(i).unwrap_or_default()).collect::<Vec<_>>())?;
        }
        Infeasibility::FixedTooHigh { end, capacity } => {
            fields.set_item("end", end.get())?;
            fields.set_item("capacity", capacity.get())?;
        }
        Infeasibility::Exhausted { capacity } => fields.set_item("capacity", capacity.get())?,
    }
    Ok(fields)
}

#[pymethods]
impl Layout {
    /// "optimal", "feasible", "infeasible" or "timeout".
    #[getter]
    fn status(&self) -> &'static str {
        self.answer.status.name()
    }

    /// The strategy asked for.
    #[getter]
    fn strategy(&self) -> &'static str {
        self.strategy.name()
    }

    /// The ids as given, or the positions.
    #[getter]
    fn ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        match self.problem.ids() {
            Some(ids) => PyList::new(py, ids.iter().map(|id| PyString::new(py, id))),
            None => PyList::new(py, 0..self.problem.buffers().len()),
        }
    }

    /// The offset of each buffer in bytes: a read-only `int64` array of shape `(n,)`.
    #[getter]
    fn offsets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // A problem stays below 2^63 bytes. Signed, because NumPy makes floats of signed and unsigned together.
        let signed = |offset: &Bytes| i64::try_from(offset.get()).unwrap_or(i64::MAX);
        let offsets: Vec<i64> = py.detach(|| self.answer.offsets.iter().map(signed).collect());
        buffer::array(py, offsets, PyString::new(py, "int64").as_any())
    }

    /// Where the highest buffer ends, in bytes.
    #[getter]
    fn height(&self) -> u64 {
        self.answer.height.get()
    }

    /// No layout is lower.
    #[getter]
    fn lower_bound(&self) -> u64 {
        self.answer.lower_bound.get()
    }

    /// `height - lower_bound`.
    #[getter]
    fn gap(&self) -> u64 {
        self.answer.gap().get()
    }

    /// How high the layout may reach; `None` for as high as needed.
    #[getter]
    fn capacity(&self) -> Option<u64> {
        self.problem.capacity().map(Bytes::get)
    }

    /// Why no layout is within the capacity, present exactly when `status` is "infeasible". As data in `as_dict()`.
    #[getter]
    fn reason(&self) -> Option<String> {
        self.answer.reason.map(|reason| reason.to_string())
    }

    /// Seconds that the solve took.
    #[getter]
    fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Changes that the search tried, 0 without a search.
    #[getter]
    fn steps(&self) -> u64 {
        self.answer.steps
    }

    /// The layout as plain values, ready for JSON.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        fields.set_item("status", self.status())?;
        fields.set_item("height", self.height())?;
        fields.set_item("lower_bound", self.lower_bound())?;
        fields.set_item("gap", self.gap())?;
        fields.set_item("capacity", self.capacity())?;
        fields.set_item("seconds", self.seconds)?;
        fields.set_item("strategy", self.strategy())?;
        fields.set_item("steps", self.steps())?;
        fields.set_item(
            "reason",
            self.answer.reason.map(|reason| reason_fields(py, &self.problem, reason)).transpose()?,
        )?;
        fields.set_item("offsets", self.by_text(py)?)?;
        Ok(fields)
    }

    fn __len__(&self) -> usize {
        self.answer.offsets.len()
    }

    fn __repr__(&self) -> String {
        let arena::Layout { status, height, lower_bound, offsets, .. } = &self.answer;
        let more = self.reason().unwrap_or_else(|| format!("at least {}", lower_bound.get()));
        format!("<Layout {status}: {} buffers in {} bytes; {more}>", offsets.len(), height.get())
    }
}
