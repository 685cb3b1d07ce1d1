//! What the scheduler wants done, as tuples.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use ullage_core::pool::{Action, Denial, ModelId, Pool};

use super::domains::Domains;

/// The actions, in order, with the names of their models.
pub(crate) fn rows<'py>(
    py: Python<'py>,
    pool: &Pool,
    domains: &Domains,
    actions: &[Action],
) -> PyResult<Bound<'py, PyList>> {
    let rows: PyResult<Vec<_>> = actions.iter().map(|action| row(py, pool, domains, action)).collect();
    PyList::new(py, rows?)
}

fn row<'py>(
    py: Python<'py>,
    pool: &Pool,
    domains: &Domains,
    action: &Action,
) -> PyResult<Bound<'py, PyTuple>> {
    let placed = |kind: &str, model: ModelId, place: usize| (kind, pool.name(model), place).into_pyobject(py);
    match action {
        Action::Load { model, place } => placed("load", *model, place.index()),
        Action::Unload { model, place } => placed("unload", *model, place.index()),
        Action::Compress { model, place } => placed("compress", *model, place.index()),
        Action::Promote { model, place } => placed("promote", *model, place.index()),
        Action::Drop { model, place } => placed("drop", *model, place.index()),
        Action::Grant { request, model, place } => {
            ("grant", request.0, pool.name(*model), place.index()).into_pyobject(py)
        }
        Action::Queue { request, behind } => ("queue", request.0, behind.name()).into_pyobject(py),
        Action::Refuse { request, denial: why } => {
            ("refuse", request.0, denial(py, pool, domains, why)?).into_pyobject(py)
        }
        Action::Overdue { model, place, bytes } => {
            ("overdue", pool.name(*model), place.index(), domains.dict(py, bytes)?).into_pyobject(py)
        }
    }
}

/// Why a request is refused, with the numbers.
pub(crate) fn denial<'py>(
    py: Python<'py>,
    pool: &Pool,
    domains: &Domains,
    denial: &Denial,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("reason", denial.name())?;
    match denial {
        Denial::TooLarge { requested, limit, .. } => {
            dict.set_item("requested", requested.get())?;
            dict.set_item("available", limit.get())?;
            dict.set_item("limit", limit.get())?;
        }
        Denial::Pinned { requested, available, limit, blocked_by, .. } => {
            dict.set_item("requested", requested.get())?;
            dict.set_item("available", available.get())?;
            dict.set_item("limit", limit.get())?;
            let names: Vec<&str> = blocked_by.iter().map(|&model| pool.name(model)).collect();
            dict.set_item("blocked_by", names)?;
        }
        Denial::Timeout { waited, .. } => dict.set_item("waited_s", waited.as_secs_f64())?,
        Denial::LoadFailed { attempts, .. } => dict.set_item("attempts", attempts)?,
        Denial::Stuck | Denial::NoPlace | Denial::Pressure { .. } | Denial::Closed => {}
    }
    if let Some(nearest) = denial.nearest() {
        let near = PyDict::new(py);
        near.set_item("place", nearest.place.index())?;
        near.set_item("domain", domains.name(nearest.domain))?;
        near.set_item("short_by", nearest.short_by.get())?;
        near.set_item("workspace", nearest.workspace.map(ullage_core::Bytes::get))?;
        dict.set_item("nearest", near)?;
    }
    dict.set_item("retry_after", denial.retry_after().map(|after| after.as_secs_f64()))?;
    Ok(dict)
}
