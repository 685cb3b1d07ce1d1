//! Answers of anybody, checked from the problem and the answer alone.

use pyo3::prelude::*;
use ullage_core::arena::{self, Problem};
use ullage_core::pack::{self, VectorInstance, VectorItem};
use ullage_core::{Bytes, Error};

use crate::arena::buffers_of;
use crate::error::Outcome;
use crate::instance::Parts;

/// Check that every item has a bin and that no bin holds more than it has; give the number of bins in use.
///
/// `instance` is what `parse_packing_instance` gives. `assignment` names the bin of each item by any number, `None` for
/// none; items that are alike stand one after the other. Raises `ViolationError` with the first violated fact.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it converted")]
pub(crate) fn check_assignment(
    py: Python<'_>,
    instance: Parts,
    assignment: Vec<Option<u64>>,
) -> Outcome<usize> {
    let (resources, capacities, items) = instance;
    let width = capacities.len();
    if let Some(index) = items.iter().position(|(demand, _)| demand.len() != width) {
        let reason = format!("a demand for {width} resources is expected");
        return Err(Error::Problem { field: format!("items[{index}]"), reason }.into());
    }
    let items = items.into_iter().map(|(demand, count)| VectorItem { demand, count }).collect();
    let instance = VectorInstance { resources, capacities, items };
    Ok(py.detach(|| pack::check_assignment(&instance, &assignment))?)
}

/// Check that every buffer has an offset that its alignment allows and that no two alive at once share a byte; give the
/// height.
///
/// The columns are those of `plan_arena`. Raises `ViolationError` with the first violated fact.
#[pyfunction]
pub(crate) fn check_offsets(
    py: Python<'_>,
    sizes: &Bound<'_, PyAny>,
    starts: &Bound<'_, PyAny>,
    ends: &Bound<'_, PyAny>,
    alignments: Option<&Bound<'_, PyAny>>,
    offsets: Vec<u64>,
) -> Outcome<u128> {
    let problem = Problem::new(buffers_of(sizes, starts, ends, alignments)?, None, None)?;
    let offsets: Vec<Bytes> = offsets.into_iter().map(Bytes::new).collect();
    Ok(py.detach(|| arena::check_offsets(&problem, &offsets))?)
}
