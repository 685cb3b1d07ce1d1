//! `AccountSnapshot`.

use std::time::Duration;

use pyo3::prelude::*;
use ullage_core::Bytes;
use ullage_core::ledger as core;

/// One account at the instant of a snapshot.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct AccountSnapshot {
    core: core::AccountSnapshot,
    /// Wall-clock time of the ledger's beginning.
    epoch: Duration,
}

pub(super) fn rows(snapshot: core::Snapshot, epoch: Duration) -> Vec<AccountSnapshot> {
    snapshot.accounts.into_iter().map(|core| AccountSnapshot { core, epoch }).collect()
}

pub(super) fn kind_name(kind: core::Kind) -> &'static str {
    match kind {
        core::Kind::Exact => "exact",
        core::Kind::Credit => "credit",
    }
}

#[pymethods]
impl AccountSnapshot {
    #[getter]
    fn path(&self) -> &str {
        &self.core.path
    }

    #[getter]
    fn parent(&self) -> Option<&str> {
        self.core.parent.as_deref()
    }

    #[getter]
    fn kind(&self) -> &'static str {
        kind_name(self.core.kind)
    }

    #[getter]
    fn limit(&self) -> Option<u64> {
        self.core.limit.map(Bytes::get)
    }

    #[getter]
    fn used(&self) -> u64 {
        self.core.used.get()
    }

    #[getter]
    fn charged(&self) -> u64 {
        self.core.charged.get()
    }

    #[getter]
    fn own(&self) -> u64 {
        self.core.own.get()
    }

    #[getter]
    fn peak(&self) -> u64 {
        self.core.peak.get()
    }

    #[getter]
    fn peak_at(&self) -> Option<f64> {
        self.core.peak_at.map(|at| self.epoch.saturating_add(at).as_secs_f64())
    }

    #[getter]
    fn reservations(&self) -> u64 {
        self.core.reservations
    }

    #[getter]
    fn made(&self) -> u64 {
        self.core.made
    }

    #[getter]
    fn released(&self) -> u64 {
        self.core.released
    }

    #[getter]
    fn refusals(&self) -> u64 {
        self.core.refusals
    }

    #[getter]
    fn leaked(&self) -> u64 {
        self.core.leaked
    }

    #[getter]
    fn total(&self) -> u64 {
        self.core.total.get()
    }

    #[getter]
    fn over_by(&self) -> u64 {
        self.core.over_by().get()
    }

    fn __repr__(&self) -> String {
        format!("AccountSnapshot({:?}: {} used, peak {})", self.core.path, self.core.used, self.core.peak)
    }
}
