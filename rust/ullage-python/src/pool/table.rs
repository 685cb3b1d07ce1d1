//! What the pool looks like from outside, as dictionaries.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use ullage_core::pool::{Demand, InstanceStatus, ModelId, ModelStatus, Pool, PoolPlan, Step};
use ullage_core::{Bytes, Time};

use super::action;
use super::domains::Domains;

/// One model.
pub(crate) fn status<'py>(
    py: Python<'py>,
    domains: &Domains,
    status: &ModelStatus,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", &status.name)?;
    dict.set_item("state", status.state)?;
    dict.set_item("pinned", status.is_pinned)?;
    dict.set_item("leases", status.leases)?;
    dict.set_item("waiting", status.waiting)?;
    dict.set_item("estimated", status.estimated.get())?;
    dict.set_item("booked", status.booked.get())?;
    dict.set_item("measured", status.measured.map(Bytes::get))?;
    dict.set_item("residue", status.residue.get())?;
    dict.set_item("loads", status.loads)?;
    dict.set_item("promotions", status.promotions)?;
    dict.set_item("evictions", status.evictions)?;
    dict.set_item("failures", status.failures)?;
    dict.set_item("retry_at_s", status.retry_at.map(Time::as_secs_f64))?;
    dict.set_item("last_used_s", status.last_used.as_secs_f64())?;
    dict.set_item("domains", domains.dict(py, &held(status))?)?;
    let places: PyResult<Vec<_>> =
        status.instances.iter().map(|instance| place(py, domains, instance)).collect();
    dict.set_item("places", PyList::new(py, places?)?)?;
    Ok(dict)
}

/// What a model holds of each domain, residue included.
fn held(status: &ModelStatus) -> Demand {
    let all = status.instances.iter().flat_map(|instance| [&instance.booked, &instance.residue]);
    all.fold(Demand::ZERO, |sum, held| sum.plus(held))
}

/// What is booked for a load or promotion of the model that is under way.
pub(crate) fn coming(status: &ModelStatus) -> Demand {
    let moving = status.instances.iter().filter(|one| matches!(one.state, "loading" | "promoting"));
    moving.fold(Demand::ZERO, |sum, one| sum.plus(&one.booked))
}

fn place<'py>(py: Python<'py>, domains: &Domains, instance: &InstanceStatus) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("place", instance.place.index())?;
    dict.set_item("state", instance.state)?;
    dict.set_item("leases", instance.leases)?;
    dict.set_item("booked", domains.dict(py, &instance.booked)?)?;
    let measured = instance.measured.as_ref().map(|measured| domains.dict(py, measured)).transpose()?;
    dict.set_item("measured", measured)?;
    dict.set_item("residue", domains.dict(py, &instance.residue)?)?;
    dict.set_item("overdue", instance.is_overdue)?;
    dict.set_item("retired", instance.is_retired)?;
    Ok(dict)
}

/// What a request would meet.
pub(crate) fn plan<'py>(
    py: Python<'py>,
    pool: &Pool,
    domains: &Domains,
    model: &str,
    plan: &PoolPlan,
) -> PyResult<Bound<'py, PyDict>> {
    let listed = |models: &[ModelId]| models.iter().map(|&id| pool.name(id)).collect::<Vec<_>>();
    let dict = PyDict::new(py);
    dict.set_item("model", model)?;
    dict.set_item("place", plan.place.index())?;
    dict.set_item("needed", plan.needed.get())?;
    dict.set_item("demand", domains.dict(py, &plan.demand)?)?;
    dict.set_item("available", plan.available.map(Bytes::get))?;
    dict.set_item("ahead", plan.ahead)?;
    dict.set_item("eta_s", plan.eta.map(|eta| eta.as_secs_f64()))?;
    match &plan.step {
        Step::Grant => dict.set_item("decision", "grant")?,
        Step::Load => dict.set_item("decision", "load")?,
        Step::Promote => dict.set_item("decision", "promote")?,
        Step::Wait { behind, whom, evict, demote, drain } => {
            dict.set_item("decision", "wait")?;
            dict.set_item("behind", behind.name())?;
            dict.set_item("whom", listed(whom))?;
            dict.set_item("evict", listed(evict))?;
            dict.set_item("demote", listed(demote))?;
            dict.set_item("drain", listed(drain))?;
        }
        Step::Refuse(denial) => {
            dict.set_item("decision", "refuse")?;
            dict.update(action::denial(py, pool, domains, denial)?.as_mapping())?;
        }
    }
    Ok(dict)
}
