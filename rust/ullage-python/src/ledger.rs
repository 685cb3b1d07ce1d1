//! `Ledger`, `Account`, `Reservation` and the rows of a snapshot.

use pyo3::prelude::*;
use pyo3::types::{PyAny, PyList};
use ullage_core::Bytes;
use ullage_core::ledger as core;

use crate::error::{Outcome, holder_list};
use crate::shared::SharedLedger;
use crate::units::ByteCount;

/// A tree of accounts with limits. Every handle may be used from any thread.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Ledger(core::Ledger);

#[pymethods]
impl Ledger {
    #[new]
    #[pyo3(signature = (limit = None))]
    fn new(limit: Option<ByteCount>) -> Self {
        Self(core::Ledger::new(limit.map(|limit| limit.0)))
    }

    #[staticmethod]
    #[pyo3(signature = (name, limit = None))]
    fn shared<'py>(
        py: Python<'py>,
        name: &str,
        limit: Option<ByteCount>,
    ) -> Outcome<Bound<'py, SharedLedger>> {
        SharedLedger::open(py, name, limit)
    }

    #[getter]
    fn root(&self) -> Account {
        Account(self.0.root())
    }

    #[pyo3(signature = (path, limit = None))]
    fn account(&self, path: &str, limit: Option<ByteCount>) -> Outcome<Account> {
        Ok(Account(self.0.account(path, limit.map(|limit| limit.0))?))
    }

    fn snapshot(&self, py: Python<'_>) -> Vec<AccountSnapshot> {
        let snapshot = py.detach(|| self.0.snapshot());
        snapshot.accounts.into_iter().map(AccountSnapshot).collect()
    }

    #[getter]
    fn used(&self) -> u64 {
        self.0.root().used().get()
    }

    #[getter]
    fn peak(&self) -> u64 {
        self.0.root().peak().get()
    }

    #[getter]
    fn limit(&self) -> Option<u64> {
        self.0.root().limit().map(Bytes::get)
    }

    #[getter]
    fn available(&self) -> Option<u64> {
        self.0.root().available().map(Bytes::get)
    }

    fn __repr__(&self) -> String {
        format!("Ledger({})", described(&self.0.root()))
    }
}

fn described(account: &core::Account) -> String {
    let limit = account.limit().map_or_else(|| "no limit".to_owned(), |limit| format!("limit {limit}"));
    format!("{} used, peak {}, {limit}", account.used(), account.peak())
}

/// One account of a ledger.
#[pyclass(frozen, eq, module = "ullage")]
#[derive(PartialEq)]
pub(crate) struct Account(pub(crate) core::Account);

#[pymethods]
impl Account {
    #[getter]
    fn path(&self) -> String {
        self.0.path()
    }

    #[getter]
    fn used(&self) -> u64 {
        self.0.used().get()
    }

    #[getter]
    fn peak(&self) -> u64 {
        self.0.peak().get()
    }

    #[getter]
    fn limit(&self) -> Option<u64> {
        self.0.limit().map(Bytes::get)
    }

    #[pyo3(signature = (limit))]
    fn set_limit(&self, limit: Option<ByteCount>) {
        self.0.set_limit(limit.map(|limit| limit.0));
    }

    #[getter]
    fn available(&self) -> Option<u64> {
        self.0.available().map(Bytes::get)
    }

    #[pyo3(signature = (most = 5))]
    fn holders<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyList>> {
        let holders = py.detach(|| self.0.holders(most));
        holder_list(py, &holders)
    }

    #[pyo3(signature = (bytes, label = ""))]
    fn reserve(&self, bytes: ByteCount, label: &str) -> Outcome<Reservation> {
        Ok(Reservation(self.0.reserve(bytes.0, label).map_err(ullage_core::Error::from)?))
    }

    fn __repr__(&self) -> String {
        format!("Account({:?}: {})", self.0.path(), described(&self.0))
    }
}

/// Bytes booked on an account, until released or collected.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Reservation(core::Reservation);

#[pymethods]
impl Reservation {
    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes().get()
    }

    #[getter]
    fn label(&self) -> &str {
        self.0.label()
    }

    #[getter]
    fn account(&self) -> String {
        self.0.account()
    }

    #[getter]
    fn live(&self) -> bool {
        self.0.is_live()
    }

    fn resize(&self, bytes: ByteCount) -> Outcome<()> {
        Ok(self.0.resize(bytes.0)?)
    }

    fn release(&self) -> bool {
        self.0.release()
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyAny>) {
        self.0.release();
    }

    fn __repr__(&self) -> String {
        let state = if self.0.is_live() { "" } else { ", released" };
        format!(
            "Reservation({} on {:?}, label={:?}{state})",
            self.0.bytes(),
            self.0.account(),
            self.0.label()
        )
    }
}

/// One account at the instant of a snapshot.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct AccountSnapshot(core::AccountSnapshot);

#[pymethods]
impl AccountSnapshot {
    #[getter]
    fn path(&self) -> &str {
        &self.0.path
    }

    #[getter]
    fn parent(&self) -> Option<&str> {
        self.0.parent.as_deref()
    }

    #[getter]
    fn limit(&self) -> Option<u64> {
        self.0.limit.map(Bytes::get)
    }

    #[getter]
    fn used(&self) -> u64 {
        self.0.used.get()
    }

    #[getter]
    fn own(&self) -> u64 {
        self.0.own.get()
    }

    #[getter]
    fn peak(&self) -> u64 {
        self.0.peak.get()
    }

    #[getter]
    fn reservations(&self) -> u64 {
        self.0.reservations
    }

    #[getter]
    fn refusals(&self) -> u64 {
        self.0.refusals
    }

    #[getter]
    fn over_by(&self) -> u64 {
        self.0.over_by().get()
    }

    fn __repr__(&self) -> String {
        format!("AccountSnapshot({:?}: {} used, peak {})", self.0.path, self.0.used, self.0.peak)
    }
}
