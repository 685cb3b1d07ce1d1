//! Weights in a scheme: their pieces, and numbers back from them.

use std::sync::Arc;

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use ullage_core::Error;
use ullage_core::codec::{Choices, Coded, Distortion, Inputs, Scheme, View, Weight};
use ullage_core::model::Dtype;

use crate::buffer;
use crate::detach::detached;
use crate::error::Outcome;

/// The bytes of one piece: made here, or lent by Python, where `bytes` never change.
enum Held {
    Made(Vec<u8>),
    Lent(PyBackedBytes),
}

impl Held {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Made(bytes) => bytes,
            Self::Lent(bytes) => bytes,
        }
    }
}

/// One weight in a scheme.
struct Store {
    scheme: Scheme,
    shape: Vec<u64>,
    parts: Vec<Held>,
}

impl Store {
    fn with<T>(&self, act: impl FnOnce(&View<'_>) -> ullage_core::Result<T>) -> ullage_core::Result<T> {
        let parts: Vec<&[u8]> = self.parts.iter().map(Held::bytes).collect();
        act(&View::new(self.scheme, &self.shape, &parts)?)
    }

    fn decoded(&self) -> ullage_core::Result<Vec<f32>> {
        self.with(|view| {
            let length = usize::try_from(view.weight().elements());
            let length = length.map_err(|_| Error::Overflow { what: "the decoded weights" })?;
            let mut values = vec![0.0; length];
            view.decode_into(&mut values)?;
            Ok(values)
        })
    }
}

/// Bytes of a weight of `shape` in a scheme; `None` where the scheme leaves it as it is.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts owned lists")]
pub(crate) fn scheme_bytes(scheme: &str, shape: Vec<u64>) -> Outcome<Option<u64>> {
    let size = scheme.parse::<Scheme>()?.compressed_bytes(&shape, Dtype::F32)?;
    Ok(size.map(ullage_core::Bytes::get))
}

/// Stored pieces. `ullage.Encoded` is how they are used.
#[pyclass(frozen, module = "ullage._core")]
pub(crate) struct StoredWeight(Arc<Store>);

/// Encode contiguous 32-bit `values`, a weight of `shape`.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts owned lists")]
pub(crate) fn encode_weight(
    py: Python<'_>,
    values: PyBuffer<f32>,
    shape: Vec<u64>,
    scheme: &str,
    seed: u64,
    quantile: f64,
    inputs: Option<(PyBuffer<f32>, usize)>,
) -> Outcome<StoredWeight> {
    let scheme: Scheme = scheme.parse()?;
    let values = values.to_vec(py)?; // one copy: other threads may write to the array meanwhile
    let choices = Choices { seed, quantile };
    let rows = inputs.map(|(rows, width)| Ok::<_, PyErr>((rows.to_vec(py)?, width))).transpose()?;
    let coded = detached(py, || {
        let inputs = rows.map(|(rows, width)| Inputs::of(&rows, width)).transpose()?;
        Coded::encode_for(&values, &shape, scheme, choices, inputs.as_ref())
    })?;
    let parts = coded.into_data().into_iter().map(Held::Made).collect();
    Ok(StoredWeight(Arc::new(Store { scheme, shape, parts })))
}

/// Take `parts` by name for a weight of `shape`.
#[pyfunction]
pub(crate) fn stored_weight(
    mut parts: Vec<(String, PyBackedBytes)>,
    shape: Vec<u64>,
    scheme: &str,
) -> Outcome<StoredWeight> {
    let scheme: Scheme = scheme.parse()?;
    let pieces = scheme.stored(&Weight::new(&shape)?, Dtype::F32)?.unwrap_or_default();
    let names: Vec<&str> = pieces.iter().map(|piece| piece.part.name()).collect();
    let given: Vec<String> = parts.iter().map(|(name, _)| name.clone()).collect();
    let mut ordered = Vec::with_capacity(names.len());
    for name in &names {
        if let Some(place) = parts.iter().position(|(given, _)| given == name) {
            ordered.push(Held::Lent(parts.swap_remove(place).1));
        }
    }
    if !pieces.is_empty() && (ordered.len() != names.len() || given.len() != names.len()) {
        let reason = format!("there are {given:?}, and not {names:?}");
        return Err(Error::Damaged { piece: "pieces", reason }.into());
    }
    let store = Store { scheme, shape, parts: ordered };
    store.with(|_| Ok(()))?;
    Ok(StoredWeight(Arc::new(store)))
}

#[pymethods]
impl StoredWeight {
    #[getter]
    fn scheme(&self) -> String {
        self.0.scheme.to_string()
    }

    #[getter]
    fn shape(&self) -> Vec<u64> {
        self.0.shape.clone()
    }

    #[getter]
    fn bytes(&self) -> Outcome<u64> {
        Ok(self.0.with(|view| Ok(view.bytes()?.get()))?)
    }

    /// Names and read-only arrays of bytes, which are not copied.
    fn parts<'py>(
        &self,
        py: Python<'py>,
        dtype: &Bound<'py, PyAny>,
    ) -> Outcome<Vec<(String, Bound<'py, PyAny>)>> {
        let name = |view: &View<'_>| Ok(view.parts().iter().map(|(piece, _)| piece.part.name()).collect());
        let names: Vec<&str> = self.0.with(name)?;
        let array = |(place, name): (usize, &&str)| {
            let array = buffer::shared(py, &self.0, |store| store.parts[place].bytes(), dtype)?;
            Ok(((*name).to_owned(), array))
        };
        names.iter().enumerate().map(array).collect()
    }

    /// Write the weight to a contiguous 32-bit array.
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it converted")]
    fn fill(&self, py: Python<'_>, out: PyBuffer<f32>) -> Outcome<()> {
        let values = detached(py, || self.0.decoded())?;
        if out.item_count() != values.len() {
            let reason = format!("{} elements, not {}", out.item_count(), values.len());
            return Err(Error::Argument { name: "out", reason }.into());
        }
        Ok(out.copy_from_slice(py, &values)?)
    }

    /// The largest and the root of the mean squared error, and decibels of signal over it.
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it converted")]
    fn distortion(&self, py: Python<'_>, original: PyBuffer<f32>) -> Outcome<(f64, f64, f64)> {
        let original = original.to_vec(py)?;
        let Distortion { max, rms, snr_db } = detached(py, || Distortion::of(&original, &self.0.decoded()?))?;
        Ok((max, rms, snr_db))
    }
}
