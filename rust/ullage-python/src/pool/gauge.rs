//! `Gauge`: from readings of the machine to what the pool has to give back.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use ullage_core::Time;
use ullage_core::pool::pressure as core;

use crate::error::Outcome;
use crate::units::ByteCount;

/// Watches one memory domain.
#[pyclass(frozen, module = "ullage._core")]
pub(crate) struct Gauge {
    core: Mutex<core::Gauge>,
}

#[pymethods]
impl Gauge {
    #[new]
    #[pyo3(signature = (soft = 0.90, hard = 0.95))]
    fn new(soft: f64, hard: f64) -> Outcome<Self> {
        let marks = core::Watermarks::default().at(soft, hard)?;
        Ok(Self { core: Mutex::new(core::Gauge::new(marks)) })
    }

    #[pyo3(signature = (now, *, limit, used, stalled = None, offered = None, coming = None))]
    fn read(
        &self,
        now: f64,
        limit: ByteCount,
        used: ByteCount,
        stalled: Option<f64>,
        offered: Option<ByteCount>,
        coming: Option<ByteCount>,
    ) -> Outcome<(&'static str, u64, u64)> {
        let reading = core::Reading {
            limit: limit.0,
            used: used.0,
            stalled,
            offered: offered.map(|bytes| bytes.0),
            coming: coming.map_or(ullage_core::Bytes::ZERO, |bytes| bytes.0),
        };
        let now = Time::from_secs_f64(now)?;
        let found = self.core.lock().unwrap_or_else(PoisonError::into_inner).read(now, reading);
        Ok((found.level.name(), found.shed.get(), found.taken.get()))
    }
}
