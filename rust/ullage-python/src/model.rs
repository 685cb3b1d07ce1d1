//! `Model`, `Tensor` and `open_model`.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use ullage_core::Bytes;
use ullage_core::model as core;

use crate::error::Outcome;
use crate::units::ByteCount;

/// A model as its headers describe it.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Model(pub(crate) Arc<core::Model>);

#[pymethods]
impl Model {
    #[staticmethod]
    fn of_size(name: &str, size: ByteCount) -> Outcome<Self> {
        Ok(Self(Arc::new(core::Model::of_size(name, size.0)?)))
    }

    #[staticmethod]
    #[pyo3(signature = (name, lo, best, hi, *, measured = true))]
    fn published(name: &str, lo: ByteCount, best: ByteCount, hi: ByteCount, measured: bool) -> Outcome<Self> {
        Ok(Self(Arc::new(core::Model::published(name, lo.0, best.0, hi.0, measured)?)))
    }

    fn encoded(&self, py: Python<'_>, scheme: &str) -> Outcome<Self> {
        let scheme = scheme.parse()?;
        Ok(Self(Arc::new(py.detach(|| core::Model::clone(&self.0).encoded(scheme))?)))
    }

    fn sized(&self, py: Python<'_>, size: ByteCount) -> Outcome<Self> {
        Ok(Self(Arc::new(py.detach(|| core::Model::clone(&self.0).sized(size.0))?)))
    }

    fn fingerprint(&self, py: Python<'_>) -> String {
        py.detach(|| self.0.fingerprint())
    }

    #[staticmethod]
    fn from_config(py: Python<'_>, name: &str, json_text: &str) -> Outcome<Self> {
        Ok(Self(Arc::new(py.detach(|| core::Model::from_config(name, json_text))?)))
    }

    #[staticmethod]
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts owned texts")]
    fn from_components(py: Python<'_>, name: &str, components: Vec<(String, String)>) -> Outcome<Self> {
        let parts: Vec<(&str, &str)> =
            components.iter().map(|(part, json)| (part.as_str(), json.as_str())).collect();
        Ok(Self(Arc::new(py.detach(|| core::Model::from_components(name, &parts))?)))
    }

    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    #[getter]
    fn path(&self) -> Option<&PathBuf> {
        self.0.path.as_ref()
    }

    #[getter]
    fn architecture(&self) -> Option<&str> {
        self.0.architecture_name()
    }

    #[getter]
    pub(crate) fn format(&self) -> Option<&'static str> {
        self.0.format.map(core::Format::name)
    }

    #[getter]
    pub(crate) fn quantization(&self) -> Option<&str> {
        self.0.quantization.as_deref()
    }

    #[getter]
    fn notes(&self) -> Vec<String> {
        self.0.notes.clone()
    }

    #[getter]
    fn parameters(&self) -> Option<u64> {
        self.0.parameters()
    }

    #[getter]
    fn tensor_bytes(&self) -> u64 {
        self.0.tensor_bytes().get()
    }

    #[getter]
    fn expanded_bytes(&self) -> u64 {
        self.0.expanded_bytes().get()
    }

    #[getter]
    fn file_bytes(&self) -> u64 {
        self.0.file_bytes.get()
    }

    #[getter]
    fn tensors(&self) -> Vec<Tensor> {
        self.0.tensors.iter().cloned().map(Tensor).collect()
    }

    #[getter]
    pub(crate) fn parts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dict_of(py, py.detach(|| self.0.parts()))
    }

    #[getter]
    fn layers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dict_of(py, py.detach(|| self.0.layers()))
    }

    #[getter]
    pub(crate) fn dtypes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dict_of(py, self.0.dtypes().into_iter().map(|(dtype, bytes)| (dtype.to_string(), bytes)).collect())
    }

    fn __repr__(&self) -> String {
        let Self(model) = self;
        format!("Model({:?}: {} tensors, {})", model.name, model.tensors.len(), model.tensor_bytes())
    }
}

fn dict_of(py: Python<'_>, rows: Vec<(String, Bytes)>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    for (key, bytes) in rows {
        dict.set_item(key, bytes.get())?;
    }
    Ok(dict)
}

/// One tensor of a model.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Tensor(core::Tensor);

#[pymethods]
impl Tensor {
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    #[getter]
    fn dtype(&self) -> String {
        self.0.dtype.to_string()
    }

    #[getter]
    fn shape(&self) -> Vec<u64> {
        self.0.shape.clone()
    }

    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes.get()
    }

    #[getter]
    fn parameters(&self) -> u64 {
        self.0.parameters
    }

    #[getter]
    fn expanded(&self) -> u64 {
        self.0.expanded.unwrap_or(self.0.bytes).get()
    }

    #[getter]
    fn offset(&self) -> u64 {
        self.0.offset
    }

    fn __repr__(&self) -> String {
        format!("Tensor({:?}, {}, {:?})", self.0.name, self.0.dtype, self.0.shape)
    }
}

/// Read the headers of a model.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts owned paths")]
pub(crate) fn open_model(py: Python<'_>, path: PathBuf) -> Outcome<Model> {
    Ok(Model(Arc::new(py.detach(|| core::Model::open(&path))?)))
}
