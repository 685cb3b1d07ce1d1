//! `Ledger` and what belongs to it.

mod account;
mod batch;
mod origin;
mod reservation;
mod scope;
mod snapshot;
mod waiting;

pub(crate) use account::{Account, PressureGuard};
pub(crate) use batch::ReservationBatch;
pub(crate) use reservation::Reservation;
pub(crate) use scope::Scope;
pub(crate) use snapshot::AccountSnapshot;
pub(crate) use waiting::{Pending, duration as wait_duration};

use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict, PyList, PyType};
use ullage_core::ledger as core;
use ullage_core::{Bytes, Error};

use crate::buffer;
use crate::detach::detached;
use crate::error::{Outcome, holder_list};
use crate::shared::SharedLedger;
use crate::units::ByteCount;

/// A tree of accounts with limits. Every handle may be used from any thread.
#[pyclass(frozen, weakref, module = "ullage")]
pub(crate) struct Ledger {
    core: core::Ledger,
    /// Frames that an origin holds at most.
    frames: usize,
}

impl Ledger {
    fn handle(&self, account: core::Account) -> Account {
        Account { core: account, frames: self.frames }
    }

    fn root_account(&self) -> core::Account {
        self.core.root()
    }
}

fn unknown(name: &'static str, value: &str, known: &str) -> Error {
    Error::Argument { name, reason: format!("{value:?} is none of {known}") }
}

#[pymethods]
impl Ledger {
    #[new]
    #[pyo3(signature = (limit = None, *, timeline = 65536, origins = "sampled", frames = 1))]
    fn new(limit: Option<ByteCount>, timeline: usize, origins: &str, frames: usize) -> Outcome<Self> {
        let origins = match origins {
            "off" => core::OriginPolicy::Off,
            "sampled" => core::OriginPolicy::Sampled,
            "all" => core::OriginPolicy::All,
            other => return Err(unknown("origins", other, "\"off\", \"sampled\", \"all\"").into()),
        };
        if timeline > 1 << 32 {
            let reason = format!("{timeline} events are more than any machine remembers");
            return Err(Error::Argument { name: "timeline", reason }.into());
        }
        let limit = limit.map(|limit| limit.0);
        let core = core::Ledger::with_options(core::LedgerOptions { limit, timeline, origins });
        Ok(Self { core, frames: frames.max(1) })
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
        self.handle(self.core.root())
    }

    #[pyo3(signature = (path, limit = None, *, kind = "exact", quantum = None))]
    fn account(
        &self,
        path: &str,
        limit: Option<ByteCount>,
        kind: &str,
        quantum: Option<ByteCount>,
    ) -> Outcome<Account> {
        let (limit, quantum) = (limit.map(|limit| limit.0), quantum.map(|quantum| quantum.0));
        let account = match (kind, quantum) {
            ("exact", None) => self.core.account(path, limit)?,
            ("exact", Some(_)) => {
                let reason = "only a credit account buys in quanta; pass kind=\"credit\"".to_owned();
                return Err(Error::Argument { name: "quantum", reason }.into());
            }
            ("credit", quantum) => self.core.credit_account(path, limit, quantum)?,
            (other, _) => return Err(unknown("kind", other, "\"exact\", \"credit\"").into()),
        };
        Ok(self.handle(account))
    }

    #[pyo3(signature = (accounts, sizes, label = "", *, mode = "all"))]
    fn reserve_many(
        &self,
        py: Python<'_>,
        accounts: &Bound<'_, PyAny>,
        sizes: &Bound<'_, PyAny>,
        label: &str,
        mode: &str,
    ) -> Outcome<ReservationBatch> {
        batch::reserve_many(py, self, accounts, sizes, label, mode)
    }

    fn release_many(&self, py: Python<'_>, handles: &Bound<'_, PyAny>) -> Outcome<()> {
        let handles = batch::handles_of(handles)?;
        Ok(batch::in_bulk(py, handles.len(), || self.core.release_many(&handles))?)
    }

    fn snapshot(&self, py: Python<'_>) -> Vec<AccountSnapshot> {
        let snapshot = detached(py, || self.core.snapshot());
        snapshot::rows(snapshot, self.core.epoch())
    }

    fn timeline<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let timeline = detached(py, || self.core.timeline());
        let module = py.import("ullage.timeline")?;
        let fields = PyDict::new(py);
        let texts = |texts: &[std::sync::Arc<str>]| -> PyResult<Bound<'py, pyo3::types::PyTuple>> {
            pyo3::types::PyTuple::new(py, texts.iter().map(|text| &**text))
        };
        let dtype = module.getattr("EVENT")?;
        fields.set_item("accounts", texts(&timeline.accounts)?)?;
        fields.set_item("labels", texts(&timeline.labels)?)?;
        fields.set_item("events", buffer::array(py, timeline.events, &dtype)?)?;
        let numbers = |name| py.import("numpy")?.call_method1("dtype", (name,));
        fields.set_item("label_accounts", buffer::array(py, timeline.label_accounts, &numbers("<u4")?)?)?;
        fields.set_item("start", buffer::array(py, timeline.start, &numbers("<u8")?)?)?;
        fields.set_item("dropped", timeline.dropped)?;
        fields.set_item("epoch_unix_ns", timeline.epoch_unix_ns)?;
        fields.set_item("source", "ledger")?;
        module.getattr("Timeline")?.call((), Some(&fields))
    }

    fn scope(&self) -> Scope {
        Scope::new(&self.core.root())
    }

    #[pyo3(signature = (most = 5))]
    fn holders<'py>(&self, py: Python<'py>, most: u32) -> PyResult<Bound<'py, PyList>> {
        let holders = detached(py, || self.core.root().holders(most as usize));
        holder_list(py, &holders)
    }

    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.core.clear_callbacks();
        let held = detached(py, || self.core.root().held(usize::MAX, core::HeldOrder::Largest));
        reservation::warn_of_leaks(py, &held)?;
        reservation::held_list(py, &held)
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
    ) -> PyResult<()> {
        self.close(py).map(|_| ())
    }

    #[getter]
    fn used(&self) -> u64 {
        self.root_account().used().get()
    }

    #[getter]
    fn charged(&self) -> u64 {
        self.root_account().charged().get()
    }

    #[getter]
    fn peak(&self) -> u64 {
        self.root_account().peak().get()
    }

    #[getter]
    fn limit(&self) -> Option<u64> {
        self.root_account().limit().map(Bytes::get)
    }

    #[getter]
    fn available(&self) -> Option<u64> {
        self.root_account().available().map(Bytes::get)
    }

    fn __repr__(&self) -> String {
        format!("Ledger({})", account::described(&self.root_account()))
    }

    #[classmethod]
    #[pyo3(signature = (reserve = None, *, gpus = true))]
    fn of_machine<'py>(
        cls: &Bound<'py, PyType>,
        reserve: Option<Bound<'py, PyAny>>,
        gpus: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let module = cls.py().import("ullage.machine.domain")?;
        module.getattr("ledger_of_machine")?.call1((cls, reserve, gpus))
    }

    #[pyo3(signature = (measured = None))]
    fn reconcile<'py>(
        slf: &Bound<'py, Self>,
        measured: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("ullage.machine.reconcile")?.getattr("reconcile")?.call1((slf, measured))
    }
}
