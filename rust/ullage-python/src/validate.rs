//! Answers of solvers, checked by strangers to them.

use pyo3::prelude::*;

use crate::error::Outcome;
use crate::layout::Layout;
use crate::placed::Placement;
use crate::plan::Plan;

/// What can be checked.
#[derive(FromPyObject)]
pub(crate) enum Answer<'py> {
    Plan(Bound<'py, Plan>),
    Layout(Bound<'py, Layout>),
    Placement(Bound<'py, Placement>),
}

/// Check every fact that a plan, a layout or a placement states, without any part of the solvers.
///
/// Raises `ViolationError` with the first violated fact.
#[pyfunction]
pub(crate) fn validate(py: Python<'_>, answer: Answer<'_>) -> Outcome<()> {
    match answer {
        Answer::Plan(plan) => {
            let plan = plan.get();
            py.detach(|| plan.validate())?;
        }
        Answer::Layout(layout) => {
            let layout = layout.get();
            py.detach(|| layout.validate())?;
        }
        Answer::Placement(placement) => {
            let placement = placement.get();
            py.detach(|| placement.validate())?;
        }
    }
    Ok(())
}
