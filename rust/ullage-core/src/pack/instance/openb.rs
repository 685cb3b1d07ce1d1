//! The lists of `OpenB`, Alibaba's GPU cluster trace of 2023 (`openb_pod_list_*.csv`, `openb_node_list_*.csv`).

use std::collections::HashMap;

use super::{VectorInstance, VectorItem};
use crate::error::{Error, Result};
use crate::table::{self, Row, text_of, wrong};

const PODS: [&str; 5] = ["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"];
const NODES: [&str; 4] = ["sn", "cpu_milli", "memory_mib", "gpu"];
const RESOURCES: [&str; 3] = ["cpu_milli", "memory_mib", "gpu_milli"];
const WHOLE_GPU: u64 = 1000;

/// All pods on nodes of one kind, an instance for each kind of node, named as in `96000-393216-8`: thousandths of a CPU,
/// MiB, GPUs.
///
/// A pod that is too large for the node is left out of that instance. GPUs are counted in thousandths, summed over the
/// node: that a share must lie on one GPU is not modelled. Kinds of nodes come in the order of the file, pods that are
/// alike are counted where the first of them stands.
///
/// # Errors
/// [`Error::Problem`] naming list, line and column of what makes no sense.
pub fn parse_openb(pods: &[u8], nodes: &[u8]) -> Result<Vec<(String, VectorInstance)>> {
    let pods = parse_pods(pods).map_err(|error| in_list("pods", error))?;
    let nodes = parse_nodes(nodes).map_err(|error| in_list("nodes", error))?;
    let instance = |(name, capacities): (String, [u64; 3])| {
        let fits = |item: &&VectorItem| item.demand.iter().zip(&capacities).all(|(need, has)| need <= has);
        let items = pods.iter().filter(fits).cloned().collect();
        let resources = RESOURCES.map(str::to_owned).to_vec();
        (name, VectorInstance { resources, capacities: capacities.to_vec(), items })
    };
    Ok(nodes.into_iter().map(instance).collect())
}

fn in_list(name: &str, error: Error) -> Error {
    match error {
        Error::Problem { field, reason } => wrong(format!("{name}, {field}"), reason),
        other => other,
    }
}

fn parse_pods(content: &[u8]) -> Result<Vec<VectorItem>> {
    let table = table::open(text_of(content)?, &PODS)?;
    let (cpu, memory) = (table.require("cpu_milli")?, table.require("memory_mib")?);
    let (gpus, share) = (table.require("num_gpu")?, table.require("gpu_milli")?);
    let mut items: Vec<VectorItem> = Vec::new();
    let mut place = HashMap::new();
    for row in table.rows() {
        let row = row?;
        let each: u64 = row.whole(share, "gpu_milli")?;
        let gpu = thousandths(&row, row.whole(gpus, "num_gpu")?, each, "num_gpu")?;
        let demand = [row.whole(cpu, "cpu_milli")?, row.whole(memory, "memory_mib")?, gpu];
        let index = *place.entry(demand).or_insert(items.len());
        match items.get_mut(index) {
            Some(item) => item.count = item.count.saturating_add(1),
            None => items.push(VectorItem { demand: demand.to_vec(), count: 1 }),
        }
    }
    Ok(items)
}

fn parse_nodes(content: &[u8]) -> Result<Vec<(String, [u64; 3])>> {
    let table = table::open(text_of(content)?, &NODES)?;
    let (cpu, memory) = (table.require("cpu_milli")?, table.require("memory_mib")?);
    let gpus = table.require("gpu")?;
    let mut nodes: Vec<(String, [u64; 3])> = Vec::new();
    for row in table.rows() {
        let row = row?;
        let (cpu, memory): (u64, u64) = (row.whole(cpu, "cpu_milli")?, row.whole(memory, "memory_mib")?);
        let count: u64 = row.whole(gpus, "gpu")?;
        let name = format!("{cpu}-{memory}-{count}");
        if !nodes.iter().any(|(known, _)| *known == name) {
            let gpu = thousandths(&row, count, WHOLE_GPU, "gpu")?;
            nodes.push((name, [cpu, memory, gpu]));
        }
    }
    Ok(nodes)
}

fn thousandths(row: &Row, count: u64, each: u64, name: &str) -> Result<u64> {
    count.checked_mul(each).ok_or_else(|| row.wrong(name, format!("{count} GPUs are too many")))
}
