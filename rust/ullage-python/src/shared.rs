//! `SharedLedger`, `SharedAccount`, `SharedReservation` and the rows of a snapshot.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyAny, PyList};
use ullage_core::ledger::shared as core;
use ullage_core::{Bytes, Error};

use crate::error::{Outcome, holder_list, wait_timeout};
use crate::ledger::Ledger;
use crate::units::ByteCount;

/// Waits with the interpreter released, if this thread holds it.
fn detached(wait: &mut (dyn FnMut() + Send)) {
    let is_done = Python::try_attach(|py| py.detach(&mut *wait)).is_some();
    if !is_done {
        wait(); // the interpreter is going away
    }
}

/// Seconds of an argument; more than a `Duration` holds is for ever.
fn seconds(name: &'static str, value: f64) -> Outcome<Duration> {
    if value.is_nan() || value < 0.0 {
        let reason = format!("{value} is no number of seconds");
        return Err(Error::Argument { name, reason }.into());
    }
    Ok(Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX))
}

/// A tree of accounts that processes share.
#[pyclass(frozen, weakref, module = "ullage")]
pub(crate) struct SharedLedger(core::SharedLedger);

impl SharedLedger {
    pub(crate) fn open<'py>(
        py: Python<'py>,
        name: &str,
        limit: Option<ByteCount>,
    ) -> Outcome<Bound<'py, Self>> {
        let limit = limit.map(|limit| limit.0);
        let opened = crate::detach::detached(py, || core::SharedLedger::open_with(name, limit, detached))?;
        let ledger = Bound::new(py, Self(opened))?;
        py.import(c"ullage._shared")?.call_method1(c"close_at_exit", (&ledger,))?;
        Ok(ledger)
    }
}

#[pymethods]
impl SharedLedger {
    #[staticmethod]
    fn unlink(name: &str) -> Outcome<bool> {
        Ok(core::SharedLedger::unlink(name)?)
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    #[getter]
    fn root(&self) -> SharedAccount {
        SharedAccount(self.0.root().clone())
    }

    #[pyo3(signature = (path, limit = None))]
    fn account(&self, path: &str, limit: Option<ByteCount>) -> Outcome<SharedAccount> {
        Ok(SharedAccount(self.0.account(path, limit.map(|limit| limit.0))?))
    }

    fn snapshot(&self, py: Python<'_>) -> Outcome<Vec<SharedAccountSnapshot>> {
        let snapshot = crate::detach::detached(py, || self.0.snapshot())?;
        Ok(snapshot.accounts.into_iter().map(SharedAccountSnapshot).collect())
    }

    fn processes(&self, py: Python<'_>) -> Outcome<Vec<SharedProcess>> {
        Ok(crate::detach::detached(py, || self.0.processes())?.into_iter().map(SharedProcess).collect())
    }

    #[getter]
    fn used(&self) -> Outcome<u64> {
        Ok(self.0.root().used()?.get())
    }

    #[getter]
    fn peak(&self) -> Outcome<u64> {
        Ok(self.0.root().peak()?.get())
    }

    #[getter]
    fn limit(&self) -> Outcome<Option<u64>> {
        Ok(self.0.root().limit()?.map(Bytes::get))
    }

    #[getter]
    fn available(&self) -> Outcome<Option<u64>> {
        Ok(self.0.root().available()?.map(Bytes::get))
    }

    fn close(&self) -> Outcome<bool> {
        Ok(self.0.close()?)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyAny>) -> Outcome<()> {
        self.0.close()?;
        Ok(())
    }

    /// Another process opens the same file.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        let open = py.get_type::<Ledger>().getattr(c"shared")?;
        Ok((open, (self.0.path().to_string_lossy().into_owned(),)))
    }

    fn __repr__(&self) -> String {
        format!("SharedLedger({}: {})", self.0.path().display(), described(self.0.root()))
    }
}

fn described(account: &core::SharedAccount) -> String {
    match (account.used(), account.peak(), account.limit()) {
        (Ok(used), Ok(peak), Ok(Some(limit))) => format!("{used} used, peak {peak}, limit {limit}"),
        (Ok(used), Ok(peak), Ok(None)) => format!("{used} used, peak {peak}, no limit"),
        (Err(Error::SharedClosed { .. }), ..) => "closed".to_owned(),
        _ => "out of reach".to_owned(),
    }
}

/// One account of a shared ledger.
#[pyclass(frozen, eq, module = "ullage")]
#[derive(PartialEq)]
pub(crate) struct SharedAccount(core::SharedAccount);

#[pymethods]
impl SharedAccount {
    #[getter]
    fn path(&self) -> &str {
        self.0.path()
    }

    #[getter]
    fn used(&self) -> Outcome<u64> {
        Ok(self.0.used()?.get())
    }

    #[getter]
    fn peak(&self) -> Outcome<u64> {
        Ok(self.0.peak()?.get())
    }

    #[getter]
    fn limit(&self) -> Outcome<Option<u64>> {
        Ok(self.0.limit()?.map(Bytes::get))
    }

    #[pyo3(signature = (limit))]
    fn set_limit(&self, limit: Option<ByteCount>) -> Outcome<()> {
        Ok(self.0.set_limit(limit.map(|limit| limit.0))?)
    }

    #[getter]
    fn available(&self) -> Outcome<Option<u64>> {
        Ok(self.0.available()?.map(Bytes::get))
    }

    #[pyo3(signature = (most = 5))]
    fn holders<'py>(&self, py: Python<'py>, most: usize) -> Outcome<Bound<'py, PyList>> {
        let holders = crate::detach::detached(py, || self.0.holders(most))?;
        Ok(holder_list(py, &holders)?)
    }

    #[pyo3(signature = (bytes, label = "", *, wait = None))]
    fn reserve(
        &self,
        py: Python<'_>,
        bytes: ByteCount,
        label: &str,
        wait: Option<f64>,
    ) -> Outcome<SharedReservation> {
        let Some(wait) = wait else { return Ok(SharedReservation(self.0.reserve(bytes.0, label)?)) };
        let patience = seconds("wait", wait)?;
        let begun = Instant::now();
        let waiter = self.0.wait(bytes.0, label)?;
        loop {
            if let Some(reservation) = crate::detach::detached(py, || waiter.poll())? {
                return Ok(SharedReservation(reservation));
            }
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return last_ask(py, &waiter, begun.elapsed().as_secs_f64());
            }
            py.check_signals()?;
            py.detach(|| std::thread::sleep(waiter.pause().min(left)));
        }
    }

    #[pyo3(signature = (bytes, label = "", *, timeout = None))]
    fn reserve_async<'py>(
        &self,
        py: Python<'py>,
        bytes: ByteCount,
        label: &str,
        timeout: Option<f64>,
    ) -> Outcome<Bound<'py, PyAny>> {
        let timeout = timeout.map(|timeout| seconds("timeout", timeout)).transpose()?;
        let waiter = SharedWaiter(self.0.wait(bytes.0, label)?);
        let timeout = timeout.map(|timeout| timeout.as_secs_f64());
        Ok(py.import(c"ullage._shared")?.call_method1(c"granted", (waiter, timeout))?)
    }

    fn __repr__(&self) -> String {
        format!("SharedAccount({:?}: {})", self.0.path(), described(&self.0))
    }
}

/// Asks for the last time; a refusal says how long was waited.
fn last_ask(py: Python<'_>, waiter: &core::SharedWaiter, waited_s: f64) -> Outcome<SharedReservation> {
    match crate::detach::detached(py, || waiter.give_up()) {
        Ok(reservation) => Ok(SharedReservation(reservation)),
        Err(Error::BudgetExceeded(refusal)) => Err(wait_timeout(py, &refusal, waited_s)),
        Err(other) => Err(other.into()),
    }
}

/// A request that waits until it fits.
#[pyclass(frozen, module = "ullage._core")]
pub(crate) struct SharedWaiter(core::SharedWaiter);

#[pymethods]
impl SharedWaiter {
    fn poll(&self) -> Outcome<Option<SharedReservation>> {
        Ok(self.0.poll()?.map(SharedReservation))
    }

    fn pause_s(&self) -> f64 {
        self.0.pause().as_secs_f64()
    }

    fn give_up(&self, py: Python<'_>, waited_s: f64) -> Outcome<SharedReservation> {
        last_ask(py, &self.0, waited_s)
    }

    fn leave(&self) {
        self.0.leave();
    }
}

/// Bytes booked on an account of a shared ledger, until released or collected, or until the process ends.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct SharedReservation(core::SharedReservation);

#[pymethods]
impl SharedReservation {
    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes().get()
    }

    #[getter]
    fn label(&self) -> &str {
        self.0.label()
    }

    #[getter]
    fn account(&self) -> &str {
        self.0.account()
    }

    #[getter]
    fn live(&self) -> bool {
        self.0.is_live()
    }

    fn resize(&self, bytes: ByteCount) -> Outcome<()> {
        Ok(self.0.resize(bytes.0)?)
    }

    fn release(&self) -> Outcome<bool> {
        Ok(self.0.release()?)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyAny>) -> Outcome<()> {
        self.0.release()?;
        Ok(())
    }

    fn __repr__(&self) -> String {
        let state = if self.0.is_live() { "" } else { ", not held" };
        let (account, label) = (self.0.account(), self.0.label());
        format!("SharedReservation({} on {account:?}, label={label:?}{state})", self.0.bytes())
    }
}

/// A living process that has the ledger open.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct SharedProcess(core::SharedProcess);

#[pymethods]
impl SharedProcess {
    #[getter]
    fn pid(&self) -> u32 {
        self.0.pid
    }

    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes.get()
    }

    #[getter]
    fn reservations(&self) -> u64 {
        self.0.reservations
    }

    fn __repr__(&self) -> String {
        format!("SharedProcess(pid {}: {} in {})", self.0.pid, self.0.bytes, self.0.reservations)
    }
}

/// One account at the instant of a snapshot.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct SharedAccountSnapshot(core::SharedAccountSnapshot);

#[pymethods]
impl SharedAccountSnapshot {
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

    #[getter]
    fn processes(&self) -> BTreeMap<u32, u64> {
        self.0.processes.iter().map(|&(pid, bytes)| (pid, bytes.get())).collect()
    }

    fn __repr__(&self) -> String {
        format!("SharedAccountSnapshot({:?}: {} used, peak {})", self.0.path, self.0.used, self.0.peak)
    }
}
