//! The one map from core errors to the Python exceptions of `ullage.errors`.
//!
//! The classes live in Python, where two bases, attributes and pickling are natural; each takes its numbers as
//! keyword arguments and makes its message itself from the text it is handed.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyType};
use ullage_core::units::UnitError;
use ullage_core::{Error, Holder, Refusal};

/// A failure on the way to Python: of the core, or raised by Python itself.
#[derive(Debug)]
pub(crate) enum Failure {
    Core(Error),
    Python(PyErr),
}

/// What a binding function returns.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

impl From<UnitError> for Failure {
    fn from(error: UnitError) -> Self {
        Self::Core(error.into())
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        Python::attach(|py| failure.into_pyerr(py))
    }
}

impl Failure {
    pub(crate) fn into_pyerr(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Core(error) => exception(py, &error).unwrap_or_else(|raised| raised),
            Self::Python(error) => error,
        }
    }
}

/// Name of the class in `ullage.errors` that stands for `error`.
fn class_name(error: &Error) -> &'static str {
    match error {
        Error::Quantity { .. } => "QuantityError",
        Error::Argument { .. } => "ArgumentError",
        Error::Overflow { .. } => "ByteOverflowError",
        Error::BudgetExceeded(_) => "BudgetExceeded",
        Error::AccountPath { .. } => "AccountPathError",
        Error::Released { .. } => "ReleasedError",
        Error::Inherited { .. } => "InheritedError",
        Error::SharedFile { .. } => "SharedLedgerError",
        Error::SharedBusy { .. } => "SharedBusyError",
        Error::SharedClosed { .. } => "SharedClosedError",
        Error::Handle { .. } => "HandleError",
        Error::ModelFile { .. } => "ModelFileError",
        Error::Damaged { .. } => "DamagedDataError",
        Error::Io { source, .. } => match source.kind() {
            std::io::ErrorKind::NotFound => "ModelNotFoundError",
            _ => "UnreadableError",
        },
        Error::Problem { .. } => "ProblemError",
        Error::Violation { .. } => "ViolationError",
        Error::UnknownModel { .. } => "UnknownModelError",
        Error::Protocol { .. } => "ProtocolError",
    }
}

fn exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let fields = PyDict::new(py);
    match error {
        Error::Quantity { input, reason } => {
            fields.set_item("input", input)?;
            fields.set_item("reason", reason)?;
        }
        Error::Argument { name, reason } => {
            fields.set_item("name", name)?;
            fields.set_item("reason", reason)?;
        }
        Error::Overflow { what } => fields.set_item("what", what)?,
        Error::BudgetExceeded(refusal) => refusal_fields(&fields, refusal)?,
        Error::AccountPath { path, reason } => {
            fields.set_item("path", path)?;
            fields.set_item("reason", reason)?;
        }
        Error::Released { account, label } => {
            fields.set_item("account", account)?;
            fields.set_item("label", label)?;
        }
        Error::Inherited { account, label, pid } => {
            fields.set_item("account", account)?;
            fields.set_item("label", label)?;
            fields.set_item("pid", pid)?;
        }
        Error::SharedFile { path, offset, reason } => {
            fields.set_item("path", path.as_os_str())?;
            fields.set_item("offset", offset)?;
            fields.set_item("reason", reason)?;
        }
        Error::SharedBusy { path, pid, waited_s } => {
            fields.set_item("path", path.as_os_str())?;
            fields.set_item("pid", pid)?;
            fields.set_item("waited_s", waited_s)?;
        }
        Error::SharedClosed { path } => fields.set_item("path", path.as_os_str())?,
        Error::Handle { index, fault } => {
            fields.set_item("index", index)?;
            fields.set_item("reason", fault.to_string())?;
        }
        Error::ModelFile { path, offset, field, reason } => {
            fields.set_item("path", path.as_os_str())?;
            fields.set_item("offset", offset)?;
            fields.set_item("field", field)?;
            fields.set_item("reason", reason)?;
        }
        Error::Damaged { piece, reason } => {
            fields.set_item("piece", piece)?;
            fields.set_item("reason", reason)?;
        }
        Error::Io { path, source } => {
            fields.set_item("path", path.as_os_str())?; // opens again, even if it is not UTF-8
            fields.set_item("errno", source.raw_os_error())?;
        }
        Error::Problem { field, reason } => {
            fields.set_item("field", field)?;
            fields.set_item("reason", reason)?;
        }
        Error::Violation { fact } => fields.set_item("fact", fact)?,
        Error::UnknownModel { name } => fields.set_item("name", name)?,
        Error::Protocol { event, subject, reason } => {
            fields.set_item("event", event)?;
            fields.set_item("subject", subject)?;
            fields.set_item("reason", reason)?;
        }
    }
    let class = class(py, class_name(error))?;
    let value = class.call((error.to_string(),), Some(&fields))?;
    Ok(PyErr::from_value(value))
}

fn refusal_fields(fields: &Bound<'_, PyDict>, refusal: &Refusal) -> PyResult<()> {
    let Refusal { account, requested, available, limit, holders } = refusal;
    fields.set_item("account", account)?;
    fields.set_item("requested", requested.get())?;
    fields.set_item("available", available.get())?;
    fields.set_item("limit", limit.get())?;
    fields.set_item("holders", holder_list(fields.py(), holders)?)
}

/// Holders as a list of `ullage.errors.Holder`.
pub(crate) fn holder_list<'py>(py: Python<'py>, holders: &[Holder]) -> PyResult<Bound<'py, PyList>> {
    let class = class(py, "Holder")?;
    let rows = holders.iter().map(|holder| {
        let Holder { account, label, bytes, reservations, age } = holder;
        class.call1((account, label, bytes.get(), reservations, age.as_secs_f64()))
    });
    PyList::new(py, rows.collect::<PyResult<Vec<_>>>()?)
}

/// A request that waited for memory in vain, as an exception.
pub(crate) fn wait_timeout(py: Python<'_>, refusal: &Refusal, waited_s: f64) -> Failure {
    let raise = || -> PyResult<PyErr> {
        let fields = PyDict::new(py);
        refusal_fields(&fields, refusal)?;
        fields.set_item("waited_s", waited_s)?;
        let message = format!("{refusal}; waited {waited_s:.1} s");
        Ok(PyErr::from_value(class(py, "WaitTimeoutError")?.call((message,), Some(&fields))?))
    };
    Failure::Python(raise().unwrap_or_else(|raised| raised))
}

/// A class of `ullage.errors`.
pub(crate) fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyType>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || Ok::<_, PyErr>(py.import(c"ullage.errors")?.unbind()))?;
    let class = module.bind(py).getattr(name)?.cast_into::<PyType>();
    class.map_err(|_| PyException::new_err(format!("ullage.errors.{name} is not a class")))
}
