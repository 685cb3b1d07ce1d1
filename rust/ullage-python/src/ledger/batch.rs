//! `ReservationBatch`, and arrays of sizes, accounts and handles.

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyBytes, PyString};
use ullage_core::Error;
use ullage_core::ledger as core;

use super::account::{Account, uninterrupted};
use super::{Ledger, unknown};
use crate::buffer::{self, Row};
use crate::detach::detached;
use crate::error::{Failure, Outcome};
use crate::integers::{Unfit, integers};
use crate::units::ByteCount;

/// Reservations that were made together.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct ReservationBatch {
    core: core::Batch,
    mask: Option<Vec<bool>>,
}

impl ReservationBatch {
    pub(super) fn new(core: core::Batch, mask: Option<Vec<bool>>) -> Self {
        Self { core, mask }
    }
}

#[pymethods]
impl ReservationBatch {
    #[getter]
    fn handles<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static HANDLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let dtype = HANDLE.import(py, "ullage._handles", "HANDLE")?;
        buffer::array(py, self.core.handles().to_vec(), dtype)
    }

    #[getter]
    fn mask<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mask = self.mask.clone().unwrap_or_else(|| vec![true; self.core.handles().len()]);
        let dtype = py.import("numpy")?.call_method1("dtype", ("?",))?;
        buffer::array(py, mask, &dtype)
    }

    #[getter]
    fn bytes(&self, py: Python<'_>) -> u64 {
        in_bulk(py, self.__len__(), || self.core.bytes().get())
    }

    #[getter]
    fn live(&self, py: Python<'_>) -> usize {
        in_bulk(py, self.__len__(), || self.core.live())
    }

    fn release(&self, py: Python<'_>) -> usize {
        in_bulk(py, self.__len__(), || self.core.release())
    }

    fn __len__(&self) -> usize {
        self.core.handles().len()
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (_kind = None, _value = None, _traceback = None))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: Option<&Bound<'_, PyAny>>,
        _value: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) {
        self.release(py);
    }

    fn __repr__(&self) -> String {
        format!(
            "ReservationBatch({} of {} live, {})",
            self.core.live(),
            self.core.handles().len(),
            self.core.bytes()
        )
    }
}

/// Reservations for which others get the interpreter meanwhile: handing it over costs about as much.
const BULK: usize = 1024;

/// Runs `act` on `count` reservations, detached if these are many.
pub(super) fn in_bulk<T: Send>(py: Python<'_>, count: usize, act: impl FnOnce() -> T + Send) -> T {
    if count < BULK { act() } else { detached(py, act) }
}

fn wrong(name: &'static str, reason: String) -> Failure {
    Error::Argument { name, reason }.into()
}

/// Sizes from an array of integers or any sequence of byte counts.
pub(super) fn sizes_of(values: &Bound<'_, PyAny>) -> Outcome<Vec<u64>> {
    if let Some(sizes) = numbers(values, "sizes")? {
        return Ok(sizes);
    }
    if values.is_instance_of::<PyString>() || values.is_instance_of::<PyBytes>() {
        return Err(wrong("sizes", "a text, expected an array or a sequence of byte counts".to_owned()));
    }
    let each = values.try_iter().map_err(|_| wrong("sizes", "neither an array nor a sequence".to_owned()))?;
    let sizes = each.enumerate().map(|(index, size)| {
        let size: ByteCount = size?.extract().map_err(|raised: PyErr| {
            wrong("sizes", format!("sizes[{index}]: {}", raised.value(values.py())))
        })?;
        Ok(size.0.get())
    });
    sizes.collect()
}

/// The numbers of a one-dimensional array of integers; `None` for any other value.
fn numbers(values: &Bound<'_, PyAny>, name: &'static str) -> Outcome<Option<Vec<u64>>> {
    integers(values, |unfit| match unfit {
        Unfit::Dimensions(count) => wrong(name, format!("an array of {count} dimensions, expected 1")),
        Unfit::Value(index, value) => {
            wrong(name, format!("{name}[{index}] is {value}: it cannot be negative"))
        }
    })
}

/// Handles from an array of `ullage.HANDLE`.
pub(super) fn handles_of(values: &Bound<'_, PyAny>) -> Outcome<Vec<core::Handle>> {
    let py = values.py();
    if let Ok(rows) = PyBuffer::<Row>::get(values) {
        return Ok(rows.to_vec(py)?.into_iter().map(|row| row.0).collect());
    }
    let columns = py.import("ullage._handles")?.call_method1("handle_columns", (values,))?;
    let (ledgers, slots, generations): (Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>) =
        columns.extract()?;
    let column = |values: &Bound<'_, PyAny>| -> Outcome<Vec<u64>> {
        numbers(values, "handles")?.ok_or_else(|| wrong("handles", "not an array of handles".to_owned()))
    };
    let (ledgers, slots, generations) = (column(&ledgers)?, column(&slots)?, column(&generations)?);
    let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let rows = ledgers.into_iter().zip(slots).zip(generations);
    Ok(rows
        .map(|((ledger, slot), generation)| core::Handle {
            ledger,
            slot: small(slot),
            generation: small(generation),
        })
        .collect())
}

/// Which account each size is for: one for all, or one each, as accounts, paths or `Account.id`s.
fn nodes_of(ledger: &Ledger, accounts: &Bound<'_, PyAny>, count: usize) -> Outcome<Vec<u32>> {
    if let Some(ids) = numbers(accounts, "accounts")? {
        let id =
            |id: u64| u32::try_from(id).map_err(|_| wrong("accounts", format!("{id} is no account's id")));
        return ids.into_iter().map(id).collect();
    }
    if accounts.is_instance_of::<PyString>() || accounts.is_instance_of::<Account>() {
        return Ok(vec![node_of(ledger, accounts)?; count]);
    }
    accounts.try_iter()?.map(|account| node_of(ledger, &account?)).collect()
}

fn node_of(ledger: &Ledger, account: &Bound<'_, PyAny>) -> Outcome<u32> {
    if let Ok(path) = account.extract::<&str>() {
        return Ok(ledger.core.account(path, None)?.id());
    }
    let Ok(account) = account.cast::<Account>() else {
        return Err(wrong("accounts", "expected accounts, their paths, or an array of their ids".to_owned()));
    };
    let account = &account.get().core;
    if account.ledger_id() != ledger.core.id() {
        return Err(wrong("accounts", format!("account {:?} belongs to another ledger", account.path())));
    }
    Ok(account.id())
}

pub(super) fn reserve_many(
    py: Python<'_>,
    ledger: &Ledger,
    accounts: &Bound<'_, PyAny>,
    sizes: &Bound<'_, PyAny>,
    label: &str,
    mode: &str,
) -> Outcome<ReservationBatch> {
    let sizes = sizes_of(sizes)?;
    let nodes = nodes_of(ledger, accounts, sizes.len())?;
    match mode {
        "all" => {
            let reserved = in_bulk(py, sizes.len(), || ledger.core.reserve_many(&nodes, &sizes, label));
            Ok(ReservationBatch::new(uninterrupted(reserved)?, None))
        }
        "mask" => {
            let (batch, mask) =
                in_bulk(py, sizes.len(), || ledger.core.reserve_what_fits(&nodes, &sizes, label))?;
            Ok(ReservationBatch::new(batch, Some(mask)))
        }
        other => Err(unknown("mode", other, "\"all\", \"mask\"").into()),
    }
}
