//! Instances of packing, from the content of public files.

use std::path::PathBuf;

use pyo3::prelude::*;
use ullage_core::pack::{self, Content, VectorInstance, VectorItem};

use crate::error::Outcome;

/// Resources, capacities (none where the format gives none), and what an item needs with how many there are.
pub(crate) type Parts = (Vec<String>, Vec<u64>, Vec<(Vec<u64>, u64)>);

/// Read the content of an instance file called `name`: resources, capacities, and demand and count of each kind of item.
///
/// BPPLIB text and CSV of names and sizes have one resource, and each item its own kind; CSV has no capacity. CSP and
/// VBP text are told by name or content. Raises `ProblemError` naming the line of what makes no sense.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it converted")]
pub(crate) fn parse_packing_instance(py: Python<'_>, content: &[u8], name: PathBuf) -> Outcome<Parts> {
    Ok(match py.detach(|| pack::parse_content(content, &name))? {
        Content::Vector(instance) => parts(instance),
        Content::Items(instance) => {
            let items = instance.sizes.iter().map(|size| (vec![size.get()], 1)).collect();
            let capacities = instance.capacity.iter().map(|capacity| capacity.get()).collect();
            (vec!["size".to_owned()], capacities, items)
        }
    })
}

/// Read pods and nodes of Alibaba's `OpenB` trace: an instance, with its name, for each kind of node.
///
/// Raises `ProblemError` naming list, line and column of what makes no sense.
#[pyfunction]
pub(crate) fn parse_openb_trace(py: Python<'_>, pods: &[u8], nodes: &[u8]) -> Outcome<Vec<(String, Parts)>> {
    Ok(named(py.detach(|| pack::parse_openb(pods, nodes))?))
}

/// Read VM types and requests of the Azure trace for packing, as CSV: an instance, with its name, for each machine, of
/// what is alive at `at` days.
///
/// Raises `ProblemError` naming table, line and column of what makes no sense.
#[pyfunction]
pub(crate) fn parse_azure_trace(
    py: Python<'_>,
    types: &[u8],
    requests: &[u8],
    at: f64,
) -> Outcome<Vec<(String, Parts)>> {
    Ok(named(py.detach(|| pack::parse_azure(types, requests, at))?))
}

fn named(found: Vec<(String, VectorInstance)>) -> Vec<(String, Parts)> {
    found.into_iter().map(|(name, instance)| (name, parts(instance))).collect()
}

fn parts(instance: VectorInstance) -> Parts {
    let VectorInstance { resources, capacities, items } = instance;
    let items = items.into_iter().map(|VectorItem { demand, count }| (demand, count)).collect();
    (resources, capacities, items)
}
