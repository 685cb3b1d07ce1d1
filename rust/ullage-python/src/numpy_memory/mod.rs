//! `NumpyTracking`: NumPy arrays that an account owns.

mod books;
mod handler;

use std::sync::Arc;

use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use ullage_core::ledger::Account;
use ullage_core::{Error, Refusal};

use self::books::Books;
use crate::error::{Failure, Outcome};

/// Charges the arrays that NumPy makes inside its block to an account, until they die.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct NumpyTracking(Arc<Books>);

impl NumpyTracking {
    pub(crate) fn new(account: &Account, label: &str) -> Self {
        Self(Arc::new(Books::new(account, label)))
    }
}

#[pymethods]
impl NumpyTracking {
    #[getter]
    fn account(&self) -> String {
        self.0.account()
    }

    #[getter]
    fn label(&self) -> &str {
        self.0.label()
    }

    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes().get()
    }

    #[getter]
    fn blocks(&self) -> u64 {
        self.0.blocks()
    }

    #[getter]
    fn damaged(&self) -> u64 {
        self.0.damaged()
    }

    #[getter]
    fn refusals(&self) -> u64 {
        self.0.refusals()
    }

    #[getter]
    fn last_refusal<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.0.last_refusal().map(|refusal| exception(py, refusal))
    }

    fn __enter__<'py>(slf: Bound<'py, Self>, py: Python<'py>) -> Outcome<Bound<'py, Self>> {
        handler::enter(py, &slf.get().0)?;
        Ok(slf)
    }

    #[pyo3(signature = (_kind = None, error = None, _traceback = None, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: Option<&Bound<'_, PyAny>>,
        error: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> Outcome<()> {
        let refusals = handler::leave(py, &self.0)?;
        if let Some(error) = error
            && is_from_numpy(error)?
            && let Some(refusal) = self.0.cause(refusals)
        {
            error.setattr(c"__cause__", exception(py, refusal))?;
        }
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!(
            "NumpyTracking({} in {} blocks on {:?}, label={:?})",
            self.0.bytes(),
            self.0.blocks(),
            self.0.account(),
            self.0.label()
        )
    }
}

fn exception(py: Python<'_>, refusal: Refusal) -> Bound<'_, PyAny> {
    Failure::Core(Error::BudgetExceeded(Box::new(refusal)))
        .into_pyerr(py)
        .into_value(py)
        .into_bound(py)
        .into_any()
}

/// Whether `error` is NumPy's word for memory that it did not get, with no cause given yet.
fn is_from_numpy(error: &Bound<'_, PyAny>) -> PyResult<bool> {
    if !error.is_instance_of::<PyMemoryError>() || !error.getattr(c"__cause__")?.is_none() {
        return Ok(false);
    }
    let kind = error.get_type();
    Ok(kind.is(error.py().get_type::<PyMemoryError>()) || kind.module()?.to_string().starts_with("numpy."))
}
