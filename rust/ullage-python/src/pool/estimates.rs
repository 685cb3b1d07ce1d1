//! `Estimates`: learned sizes.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use ullage_core::pool::estimate as core;

use crate::error::Outcome;
use crate::units::{ByteCount, WholeNumber};

/// By how much real peaks pass what was predicted, for each model, context and batch.
#[pyclass(frozen, module = "ullage._core")]
pub(crate) struct Estimates {
    core: Mutex<core::Estimates>,
}

impl Estimates {
    fn with<T>(&self, work: impl FnOnce(&mut core::Estimates) -> T) -> T {
        work(&mut self.core.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn shape(context: WholeNumber, batch: WholeNumber) -> Outcome<core::Shape> {
    Ok(core::Shape { context: context.count("context")?, batch: batch.count("batch")? })
}

#[pymethods]
impl Estimates {
    #[new]
    #[pyo3(signature = (quantile = core::Estimates::QUANTILE))]
    fn new(quantile: f64) -> Outcome<Self> {
        Ok(Self { core: Mutex::new(core::Estimates::new(quantile)?) })
    }

    #[pyo3(signature = (model, *, predicted, booked, peak, context = WholeNumber::ZERO, batch = WholeNumber::ZERO))]
    fn observe(
        &self,
        model: &str,
        predicted: ByteCount,
        booked: ByteCount,
        peak: ByteCount,
        context: WholeNumber,
        batch: WholeNumber,
    ) -> Outcome<()> {
        let sample = core::Sample { predicted: predicted.0, booked: booked.0, peak: peak.0 };
        let shape = shape(context, batch)?;
        self.with(|known| known.observe(model, shape, sample));
        Ok(())
    }

    #[pyo3(signature = (model, predicted, *, context = WholeNumber::ZERO, batch = WholeNumber::ZERO))]
    fn book(
        &self,
        model: &str,
        predicted: ByteCount,
        context: WholeNumber,
        batch: WholeNumber,
    ) -> Outcome<u64> {
        let shape = shape(context, batch)?;
        Ok(self.with(|known| known.book(model, shape, predicted.0)).get())
    }

    #[pyo3(signature = (model, *, context = WholeNumber::ZERO, batch = WholeNumber::ZERO))]
    fn knows(&self, model: &str, context: WholeNumber, batch: WholeNumber) -> Outcome<bool> {
        let shape = shape(context, batch)?;
        Ok(self.with(|known| known.knows(model, shape)))
    }

    fn forget(&self, model: &str) {
        self.with(|known| known.forget(model));
    }

    #[getter]
    fn breaches(&self) -> u64 {
        self.with(|known| known.breaches())
    }

    fn learned<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let rows = self.with(|known| known.learned());
        let dict = |row: core::Learned| {
            let dict = PyDict::new(py);
            dict.set_item("model", row.model)?;
            dict.set_item("context", row.context)?;
            dict.set_item("batch", row.batch)?;
            dict.set_item("samples", row.samples)?;
            dict.set_item("excess", row.excess)?;
            dict.set_item("breaches", row.breaches)?;
            Ok(dict)
        };
        rows.into_iter().map(dict).collect()
    }
}
