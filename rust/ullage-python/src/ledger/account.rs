//! `Account` and the callbacks registered on it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyList};
use ullage_core::ledger as core;
use ullage_core::{Bytes, Error, Refusal};

use super::batch::{self, ReservationBatch};
use super::reservation::{Reservation, held_list};
use super::scope::Scope;
use super::waiting::{self, Pending};
use crate::detach::detached;
use crate::error::{Failure, Outcome, holder_list};
use crate::numpy_memory::NumpyTracking;
use crate::units::ByteCount;

/// Interrupts that no request has taken yet, of all threads: while there is none, no thread looks for its own.
static INTERRUPTS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// An interrupt that came while a callback ran, for the request that called it.
    static INTERRUPT: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

pub(super) fn described(account: &core::Account) -> String {
    let limit = account.limit().map_or_else(|| "no limit".to_owned(), |limit| format!("limit {limit}"));
    format!("{} used, peak {}, {limit}", account.used(), account.peak())
}

/// One account of a ledger.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Account {
    pub(crate) core: core::Account,
    pub(super) frames: usize,
}

/// Whether a callback was interrupted in any thread of late.
#[inline]
fn is_interrupted() -> bool {
    INTERRUPTS.load(Ordering::Relaxed) > 0 // this thread sees what it wrote itself
}

/// What a request comes to, unless a callback was interrupted on the way.
pub(super) fn uninterrupted<T>(outcome: Result<T, impl Into<Error>>) -> Outcome<T> {
    if is_interrupted()
        && let Some(interrupt) = INTERRUPT.take()
    {
        INTERRUPTS.fetch_sub(1, Ordering::Relaxed);
        return Err(interrupt.into()); // what was granted is dropped, and so given back
    }
    Ok(outcome.map_err(Into::into)?)
}

fn call(callback: &Py<PyAny>, refusal: &Refusal) {
    Python::attach(|py| {
        let shortfall = refusal.requested.saturating_sub(refusal.available).get();
        if let Err(raised) = callback.call1(py, (shortfall,)) {
            if raised.is_instance_of::<PyException>(py) {
                raised.write_unraisable(py, Some(callback.bind(py)));
            } else if INTERRUPT.replace(Some(raised)).is_none() {
                INTERRUPTS.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
}

impl Account {
    /// Goes on where a request was refused, or may have been interrupted.
    #[cold]
    fn reserve_slowly(
        &self,
        py: Python<'_>,
        outcome: Result<core::Reservation, Box<Refusal>>,
        bytes: Bytes,
        label: &str,
        wait: Option<Duration>,
    ) -> Outcome<Reservation> {
        match (uninterrupted(outcome), wait) {
            (Err(Failure::Core(Error::BudgetExceeded(_))), Some(wait)) => {
                waiting::reserve(py, self, bytes, label, wait)
            }
            (outcome, _) => {
                let reservation = outcome?;
                let frames = reservation.wants_origin().then_some(self.frames);
                Ok(Reservation::made(py, reservation, frames))
            }
        }
    }
}

#[pymethods]
impl Account {
    #[getter]
    fn path(&self) -> String {
        self.core.path().to_string()
    }

    #[getter]
    fn id(&self) -> u32 {
        self.core.id()
    }

    #[getter]
    fn kind(&self) -> &'static str {
        super::snapshot::kind_name(self.core.kind())
    }

    #[getter]
    fn used(&self) -> u64 {
        self.core.used().get()
    }

    #[getter]
    fn charged(&self) -> u64 {
        self.core.charged().get()
    }

    #[getter]
    fn peak(&self) -> u64 {
        self.core.peak().get()
    }

    #[getter]
    fn limit(&self) -> Option<u64> {
        self.core.limit().map(Bytes::get)
    }

    #[pyo3(signature = (limit))]
    fn set_limit(&self, py: Python<'_>, limit: Option<ByteCount>) {
        detached(py, || self.core.set_limit(limit.map(|limit| limit.0)));
    }

    #[getter]
    fn available(&self) -> Option<u64> {
        self.core.available().map(Bytes::get)
    }

    #[pyo3(signature = (most = 5))]
    fn holders<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyList>> {
        let holders = detached(py, || self.core.holders(most));
        holder_list(py, &holders)
    }

    #[pyo3(signature = (most = 5))]
    fn peak_holders<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Option<Bound<'py, PyList>>> {
        let holders = detached(py, || self.core.peak_holders(most));
        holders.map(|holders| holder_list(py, &holders)).transpose()
    }

    #[pyo3(signature = (most = 100, *, order = "largest"))]
    fn reservations<'py>(&self, py: Python<'py>, most: usize, order: &str) -> Outcome<Bound<'py, PyList>> {
        let order = match order {
            "largest" => core::HeldOrder::Largest,
            "oldest" => core::HeldOrder::Oldest,
            other => return Err(super::unknown("order", other, "\"largest\", \"oldest\"").into()),
        };
        let held = detached(py, || self.core.held(most, order));
        Ok(held_list(py, &held)?)
    }

    #[pyo3(signature = (bytes, label = "", *, wait = None))]
    fn reserve(
        &self,
        py: Python<'_>,
        bytes: ByteCount,
        label: &str,
        wait: Option<f64>,
    ) -> PyResult<Reservation> {
        let wait = wait.map(|wait| waiting::duration(wait, "wait")).transpose()?;
        match self.core.reserve(bytes.0, label) {
            Ok(reservation) if !is_interrupted() => {
                let frames = reservation.wants_origin().then_some(self.frames);
                Ok(Reservation::made(py, reservation, frames))
            }
            outcome => Ok(self.reserve_slowly(py, outcome, bytes.0, label, wait)?),
        }
    }

    #[pyo3(signature = (bytes, label = "", *, timeout = None))]
    fn reserve_async<'py>(
        slf: Bound<'py, Self>,
        bytes: ByteCount,
        label: &str,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let coroutine = slf.py().import("ullage._waiting")?.getattr("reserve_async")?;
        coroutine.call1((slf, bytes.0.get(), label, timeout))
    }

    #[pyo3(signature = (bytes, label = ""))]
    fn queue(&self, bytes: ByteCount, label: &str) -> Outcome<Pending> {
        let pending = self.core.queue(bytes.0, label).map_err(Error::from)?;
        Ok(Pending::new(pending, bytes.0))
    }

    #[pyo3(signature = (sizes, label = ""))]
    fn reserve_many(
        &self,
        py: Python<'_>,
        sizes: &Bound<'_, PyAny>,
        label: &str,
    ) -> Outcome<ReservationBatch> {
        let sizes = batch::sizes_of(sizes)?;
        let outcome = batch::in_bulk(py, sizes.len(), || self.core.reserve_many(&sizes, label));
        Ok(ReservationBatch::new(uninterrupted(outcome)?, None))
    }

    fn on_pressure(&self, callback: Py<PyAny>) -> PressureGuard {
        let guard = self.core.on_pressure(move |refusal| call(&callback, refusal));
        PressureGuard(std::sync::Mutex::new(Some(guard)))
    }

    fn scope(&self) -> Scope {
        Scope::new(&self.core)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().core == self.core)
    }

    fn __hash__(&self) -> u64 {
        (self.core.ledger_id() << 32) | u64::from(self.core.id())
    }

    fn __repr__(&self) -> String {
        format!("Account({:?}: {})", self.core.path(), described(&self.core))
    }

    #[pyo3(signature = (label = "numpy"))]
    fn track_numpy(&self, label: &str) -> NumpyTracking {
        NumpyTracking::new(&self.core, label)
    }
}

/// A registered callback; it stays until `remove`, or the end of a `with` block.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct PressureGuard(std::sync::Mutex<Option<core::PressureGuard>>);

#[pymethods]
impl PressureGuard {
    fn remove(&self) {
        let guard = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        drop(guard);
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (_kind = None, _value = None, _traceback = None))]
    fn __exit__(
        &self,
        _kind: Option<&Bound<'_, PyAny>>,
        _value: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) {
        self.remove();
    }
}

impl Drop for PressureGuard {
    fn drop(&mut self) {
        // Who ignores the guard wants the callback to stay.
        let guard = self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(guard) = guard {
            guard.keep();
        }
    }
}
