//! Lower bounds of bin packing as a frozen object.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use ullage_core::pack::{self, Bounds, Problem};

use crate::error::Outcome;
use crate::pack::problem_of;
use crate::plan::proof_fields;

/// Bound from below the number of bins that any complete plan uses.
///
/// The arguments are those of `pack`. All bounds are computed: the total size, L2, dual feasible functions and L3.
#[pyfunction]
#[pyo3(signature = (items, bins, *, counts = None), text_signature = "(items, bins, *, counts=None)")]
pub(crate) fn lower_bound(
    py: Python<'_>,
    items: &Bound<'_, PyAny>,
    bins: &Bound<'_, PyAny>,
    counts: Option<&Bound<'_, PyAny>>,
) -> Outcome<LowerBound> {
    let problem = problem_of(items, counts, bins)?;
    Ok(py.detach(move || LowerBound { bounds: pack::bounds(&problem), problem }))
}

/// A number of bins that no complete plan goes below, and why.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct LowerBound {
    bounds: Bounds,
    problem: Problem,
}

#[pymethods]
impl LowerBound {
    /// The largest of `all`; 0 if there is no complete plan, see `reason`.
    #[getter]
    fn bins(&self) -> usize {
        self.bounds.bins
    }

    /// The name of the simplest bound that is as large: "area", "threshold" (L2), `dual_feasible_function` or "reduction"
    /// (L3).
    #[getter]
    fn name(&self) -> &'static str {
        self.bounds.proof.name()
    }

    /// Each bound by name.
    #[getter]
    fn all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        for (proof, bins) in &self.bounds.all {
            all.set_item(proof.name(), bins)?;
        }
        Ok(all)
    }

    /// Why there is no complete plan, where a bound shows it.
    #[getter]
    fn reason(&self) -> Option<String> {
        self.bounds.reason.map(|reason| reason.explain(&self.problem))
    }

    /// The bounds as plain values, each with its parameters, ready for JSON.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        fields.set_item("bins", self.bounds.bins)?;
        fields.set_item("name", self.name())?;
        fields.set_item("reason", self.reason())?;
        let all = self.bounds.all.iter().map(|(proof, bins)| {
            let bound = proof_fields(py, *proof)?;
            bound.set_item("bins", bins)?;
            Ok(bound)
        });
        fields.set_item("all", all.collect::<PyResult<Vec<_>>>()?)?;
        Ok(fields)
    }

    fn __index__(&self) -> usize {
        self.bounds.bins
    }

    fn __repr__(&self) -> String {
        match self.reason() {
            Some(reason) => format!("<LowerBound: no complete plan; {reason}>"),
            None => format!("<LowerBound: {} bins, by {}>", self.bounds.bins, self.name()),
        }
    }
}
