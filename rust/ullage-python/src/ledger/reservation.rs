//! `Reservation`, and what is said of one that was lost.

use std::sync::Arc;

use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyList};
use ullage_core::ledger as core;

use super::account::{Account, uninterrupted};
use super::origin;
use crate::error::{Outcome, class};
use crate::units::ByteCount;

/// Bytes booked on an account, until released or collected.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Reservation(core::Reservation);

impl Reservation {
    /// The Python side of a new reservation; with `frames`, it is asked where it was made.
    #[inline]
    pub(super) fn made(py: Python<'_>, reservation: core::Reservation, frames: Option<usize>) -> Self {
        if let Some(frames) = frames
            && let Some(origin) = origin::here(py, frames)
        {
            reservation.set_origin(origin);
        }
        Self(reservation)
    }
}

#[pymethods]
impl Reservation {
    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes().get()
    }

    #[getter]
    fn label(&self) -> String {
        self.0.label().to_string()
    }

    #[getter]
    fn account(&self) -> String {
        self.0.account().to_string()
    }

    #[getter]
    fn live(&self) -> bool {
        self.0.is_live()
    }

    #[getter]
    fn origin(&self) -> Option<Vec<(String, u32, String)>> {
        self.0.origin().map(|origin| origin::rows(&origin))
    }

    fn resize(&self, bytes: ByteCount) -> Outcome<()> {
        uninterrupted(self.0.resize(bytes.0))
    }

    fn split(&self, bytes: ByteCount) -> Outcome<Self> {
        Ok(Self(self.0.split(bytes.0)?))
    }

    fn merge(&self, other: &Self) -> Outcome<()> {
        Ok(self.0.merge(&other.0)?)
    }

    fn transfer(&self, account: &Account) -> Outcome<()> {
        uninterrupted(self.0.transfer(&account.core))
    }

    fn release(&self) -> bool {
        self.0.release()
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

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(held) = self.0.abandon() {
            // None while the interpreter shuts down: nobody is left to be warned.
            Python::try_attach(|py| warn_of(py, &held));
        }
    }
}

/// Warns of a reservation that was collected while live.
fn warn_of(py: Python<'_>, held: &core::Held) {
    // A reservation dies in the middle of anything, an exception on its way up included, which must not be lost.
    let pending = PyErr::take(py);
    let text = format!("{} collected without release()", described(held));
    if let Err(raised) = warn(py, &text) {
        raised.write_unraisable(py, None);
    }
    if let Some(pending) = pending {
        pending.restore(py);
    }
}

fn warn(py: Python<'_>, text: &str) -> PyResult<()> {
    let text = std::ffi::CString::new(text.replace('\0', " "))?;
    PyErr::warn(py, &py.get_type::<PyResourceWarning>(), &text, 1)
}

/// Warns of everything that a closed ledger still holds.
pub(super) fn warn_of_leaks(py: Python<'_>, held: &[core::Held]) -> PyResult<()> {
    const NAMED: usize = 5;
    if held.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = held.iter().take(NAMED).map(described).collect();
    let more = held.len().saturating_sub(NAMED);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    warn(py, &format!("ledger closed with {} live reservations: {}{more}", held.len(), list.join("; ")))
}

fn described(held: &core::Held) -> String {
    let label = if held.label.is_empty() { String::new() } else { format!(" for {:?}", &*held.label) };
    let place = held.origin.as_ref().map_or_else(
        || "at a place not sampled (Ledger(origins=\"all\") keeps all)".to_owned(),
        |origin| origin::described(origin),
    );
    format!(
        "{} reserved on account {:?}{label} {:.1} s ago {place}",
        held.bytes,
        &*held.account,
        held.age.as_secs_f64()
    )
}

/// Live reservations as a list of `ullage.errors.Held`.
pub(super) fn held_list<'py>(py: Python<'py>, held: &[core::Held]) -> PyResult<Bound<'py, PyList>> {
    let class = class(py, "Held")?;
    let row = |held: &core::Held| {
        let core::Held { account, label, bytes, age, origin } = held;
        let text = |text: &Arc<str>| text.to_string();
        let origin = origin.as_ref().map(|origin| origin::rows(origin));
        class.call1((text(account), text(label), bytes.get(), age.as_secs_f64(), origin))
    };
    PyList::new(py, held.iter().map(row).collect::<PyResult<Vec<_>>>()?)
}
