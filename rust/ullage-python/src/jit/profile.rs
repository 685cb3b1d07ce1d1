//! A device as the simulator sees it.

use pyo3::prelude::*;
use ullage_core::jit;

use crate::error::Outcome;

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
