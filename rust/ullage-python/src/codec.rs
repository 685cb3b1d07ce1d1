//! Sizes of compressed models.

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use ullage_core::codec::core_ml::{self, LayerRow, Network, Norms};
use ullage_core::codec::{Compressed, Container, Plan, Row, Scheme, compress};
use ullage_core::{Bytes, Error};

use crate::error::Outcome;
use crate::model::Model;
use crate::units::{ByteCount, WholeNumber};

/// A scheme's text in its plainest form.
#[pyfunction]
pub(crate) fn scheme_text(text: &str) -> Outcome<String> {
    Ok(text.parse::<Scheme>()?.to_string())
}

/// A model with its weights compressed: sizes, tensor by tensor.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Compression {
    found: Compressed,
    plan: Plan,
    container: Container,
    own: Own,
}

/// The part of schemes that are somebody's own: what the whole is called, and the tensors in them by their places.
#[derive(Default)]
struct Own {
    scheme: Option<String>,
    tensors: HashMap<usize, String>,
}

fn plan(
    scheme: &str,
    overrides: &[(String, String)],
    threshold: Option<WholeNumber>,
    norms_kept: bool,
) -> Outcome<Plan> {
    let mut plan = Plan::new(scheme.parse()?);
    for (pattern, scheme) in overrides {
        plan.overrides.push((pattern.clone(), scheme.parse()?));
    }
    if let Some(threshold) = threshold {
        plan.threshold = threshold.count("threshold")?;
    }
    plan.norms = if norms_kept { Norms::Kept } else { Norms::Folded };
    Ok(plan)
}

/// Size `model` with its weights compressed.
#[pyfunction]
#[pyo3(signature = (model, scheme, container, overrides, *, threshold = None, norms_kept = false))]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts owned lists")]
pub(crate) fn compress_model(
    py: Python<'_>,
    model: &Model,
    scheme: &str,
    container: &str,
    overrides: Vec<(String, String)>,
    threshold: Option<WholeNumber>,
    norms_kept: bool,
) -> Outcome<Compression> {
    let plan = plan(scheme, &overrides, threshold, norms_kept)?;
    let container = container.parse()?;
    let found = py.detach(|| compress(&model.0, &plan, container))?;
    Ok(Compression { found, plan, container, own: Own::default() })
}

/// Size a network, given as name, kind and shape of each layer and whether a batch norm follows, in a Core ML package.
#[pyfunction]
#[pyo3(signature = (layers, scheme, container, overrides, *, threshold = None, norms_kept = false))]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts owned lists")]
pub(crate) fn compress_layers(
    py: Python<'_>,
    layers: Vec<(String, String, Vec<u64>, Option<bool>)>,
    scheme: &str,
    container: &str,
    overrides: Vec<(String, String)>,
    threshold: Option<WholeNumber>,
    norms_kept: bool,
) -> Outcome<Compression> {
    let plan = plan(scheme, &overrides, threshold, norms_kept)?;
    let container: Container = container.parse()?;
    let Container::CoreMl(target) = container else {
        let reason = "layers alone are laid out in coreml:ios16 or coreml:ios18".to_owned();
        return Err(Error::Argument { name: "container", reason }.into());
    };
    let row = |(name, kind, shape, is_normed)| LayerRow { name, kind, shape, is_normed };
    let rows: Vec<LayerRow> = layers.into_iter().map(row).collect();
    let found = py.detach(|| core_ml::compress(&Network::from_rows(&rows)?, &plan, target))?;
    Ok(Compression { found, plan, container, own: Own::default() })
}

impl Compression {
    /// The sizes themselves.
    pub(crate) const fn found(&self) -> &Compressed {
        &self.found
    }
}

#[pymethods]
impl Compression {
    /// Bytes of all tensors, or of `weight.bin`.
    #[getter]
    fn bytes(&self) -> u64 {
        self.found.compressed.get()
    }

    /// The same without compression.
    #[getter]
    fn dense_bytes(&self) -> u64 {
        self.found.dense.get()
    }

    /// `dense_bytes / bytes`; `None` where nothing is left.
    #[getter]
    #[expect(clippy::cast_precision_loss, reason = "a ratio is read to a few digits")]
    fn ratio(&self) -> Option<f64> {
        let (dense, compressed) = (self.dense_bytes(), self.bytes());
        (compressed > 0).then_some(dense as f64 / compressed as f64)
    }

    #[getter]
    fn scheme(&self) -> String {
        self.own.scheme.clone().unwrap_or_else(|| self.plan.scheme.to_string())
    }

    /// The same, called `scheme`, with some tensors, named by their places, in schemes of somebody's own and of so many
    /// bytes.
    fn with_own(&self, scheme: String, tensors: HashMap<usize, (String, ByteCount)>) -> Outcome<Self> {
        let mut found = self.found.clone();
        for (&place, (_, bytes)) in &tensors {
            let Some(row) = found.rows.get_mut(place) else {
                let reason = format!("there is none at {place}");
                return Err(Error::Argument { name: "tensors", reason }.into());
            };
            (row.scheme, row.bytes) = (None, bytes.0);
        }
        found.compressed = Bytes::sum(found.rows.iter().map(|row| row.bytes), "the compressed weights")?;
        let tensors = tensors.into_iter().map(|(place, (name, _))| (place, name)).collect();
        let own = Own { scheme: Some(scheme), tensors };
        Ok(Self { found, plan: self.plan.clone(), container: self.container, own })
    }

    #[getter]
    fn container(&self) -> String {
        self.container.to_string()
    }

    #[getter]
    fn per_tensor<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let fields = |(place, row)| fields_of(py, row, self.own.tensors.get(&place));
        let rows: Vec<Bound<'py, PyDict>> =
            self.found.rows.iter().enumerate().map(fields).collect::<PyResult<_>>()?;
        PyList::new(py, rows)
    }

    /// Bytes of the whole package, of whose program `program_bytes` is the size without compression.
    #[pyo3(signature = (program_bytes = None))]
    fn package_bytes(&self, program_bytes: Option<ByteCount>) -> Outcome<u64> {
        let Some(program) = self.found.program else {
            let reason = format!("there is no package around {}", self.container);
            return Err(Error::Argument { name: "container", reason }.into());
        };
        Ok(program.package(self.found.compressed, program_bytes.map(|count| count.0))?.get())
    }

    /// The sizes as plain values, ready for JSON.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        fields.set_item("scheme", self.scheme())?;
        fields.set_item("container", self.container())?;
        fields.set_item("dense_bytes", self.dense_bytes())?;
        fields.set_item("compressed_bytes", self.bytes())?;
        fields.set_item("ratio", self.ratio())?;
        fields.set_item("per_tensor", self.per_tensor(py)?)?;
        Ok(fields)
    }

    fn __len__(&self) -> usize {
        self.found.rows.len()
    }

    fn __repr__(&self) -> String {
        let Self { found, container, .. } = self;
        let size = |bytes: Bytes| bytes.get();
        format!(
            "<Compression {} in {container}: {} of {} bytes>",
            self.scheme(),
            size(found.compressed),
            size(found.dense)
        )
    }
}

fn fields_of<'py>(py: Python<'py>, row: &Row, own: Option<&String>) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("name", &row.name)?;
    fields.set_item("shape", &row.shape)?;
    let scheme = own.cloned().or_else(|| row.scheme.map(|scheme| scheme.to_string()));
    fields.set_item("scheme", scheme)?;
    fields.set_item("dense_bytes", row.dense.get())?;
    fields.set_item("bytes", row.bytes.get())?;
    Ok(fields)
}
