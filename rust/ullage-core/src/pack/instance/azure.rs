//! The tables of the Azure trace for packing (`AzureTracesForPacking2020`, Hadary et al., OSDI 2020) as CSV.

use std::collections::HashMap;

use super::{VectorInstance, VectorItem};
use crate::error::{Error, Result};
use crate::table::{self, Row, text_of, wrong};
use crate::units::clip;

const TYPES: [&str; 4] = ["vmTypeId", "machineId", "core", "memory"];
const REQUESTS: [&str; 3] = ["vmTypeId", "starttime", "endtime"];
/// In the order of the trace. The last three may be missing.
const RESOURCES: [&str; 5] = ["core", "memory", "hdd", "ssd", "nic"];
/// Shares of a machine are counted in millionths.
const WHOLE_MACHINE: u64 = 1_000_000;

/// What runs at the instant `at`, in days, one instance for each machine: of all requests alive then those whose type
/// can stand on that machine, in shares of it.
///
/// `types` is the table `vmType` as CSV, `requests` the table `vm`. A share is counted in millionths, cut below, so that
/// three thirds fit; an empty field is none. A request without an end is still there. Machines and types come in the
/// order of the file.
///
/// # Errors
/// [`Error::Problem`] naming table, line and column of what makes no sense.
pub fn parse_azure(types: &[u8], requests: &[u8], at: f64) -> Result<Vec<(String, VectorInstance)>> {
    let alive = alive(requests, at).map_err(|error| in_table("requests", error))?;
    let mut machines: Vec<(String, VectorInstance)> = Vec::new();
    let mut place = HashMap::new();
    parse_types(types, |machine, kind, demand| {
        let index = *place.entry(machine.to_owned()).or_insert(machines.len());
        if index == machines.len() {
            machines.push((machine.to_owned(), empty()));
        }
        let count = alive.get(kind).copied().unwrap_or(0);
        if let Some((_, instance)) = machines.get_mut(index).filter(|_| count > 0) {
            instance.items.push(VectorItem { demand, count });
        }
    })
    .map_err(|error| in_table("types", error))?;
    Ok(machines)
}

fn empty() -> VectorInstance {
    VectorInstance {
        resources: RESOURCES.map(str::to_owned).to_vec(),
        capacities: vec![WHOLE_MACHINE; RESOURCES.len()],
        items: Vec::new(),
    }
}

fn in_table(name: &str, error: Error) -> Error {
    match error {
        Error::Problem { field, reason } => wrong(format!("{name}, {field}"), reason),
        other => other,
    }
}

fn parse_types(content: &[u8], mut found: impl FnMut(&str, &str, Vec<u64>)) -> Result<()> {
    let table = table::open(text_of(content)?, &TYPES)?;
    let (kind, machine) = (table.require("vmTypeId")?, table.require("machineId")?);
    let mut columns = Vec::new();
    for name in RESOURCES {
        columns.push(if TYPES.contains(&name) { Some(table.require(name)?) } else { table.find(name)? });
    }
    for row in table.rows() {
        let row = row?;
        let shares = RESOURCES.iter().zip(&columns);
        let demand = shares.map(|(name, column)| column.map_or(Ok(0), |column| share(&row, column, name)));
        found(row.text(machine), row.text(kind), demand.collect::<Result<_>>()?);
    }
    Ok(())
}

/// Millionths of a machine.
fn share(row: &Row, column: usize, name: &str) -> Result<u64> {
    let text = row.text(column);
    if text.is_empty() {
        return Ok(0);
    }
    let refused = || row.wrong(name, format!("{:?} is not a share of a machine, from 0 to 1", clip(text)));
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(refused)?;
    // To nine places first: what is written as 0.57 is a little less than that in binary.
    let digits = format!("{share:.9}").replace('.', "");
    digits.get(..digits.len().saturating_sub(3)).and_then(|kept| kept.parse().ok()).ok_or_else(refused)
}

/// How many requests for each type are alive at `at`.
fn alive(content: &[u8], at: f64) -> Result<HashMap<String, u64>> {
    let table = table::open(text_of(content)?, &REQUESTS)?;
    let kind = table.require("vmTypeId")?;
    let (start, end) = (table.require("starttime")?, table.require("endtime")?);
    let mut counts = HashMap::<String, u64>::new();
    for row in table.rows() {
        let row = row?;
        let has_begun = day(&row, start, "starttime")?.is_none_or(|start| start <= at);
        let has_ended = day(&row, end, "endtime")?.is_some_and(|end| end <= at);
        if has_begun && !has_ended {
            let count = counts.entry(row.text(kind).to_owned()).or_default();
            *count = count.saturating_add(1);
        }
    }
    Ok(counts)
}

/// An instant in days; none where the field is empty.
fn day(row: &Row, column: usize, name: &str) -> Result<Option<f64>> {
    let text = row.text(column);
    if text.is_empty() || text.eq_ignore_ascii_case("null") {
        return Ok(None);
    }
    let day = text.parse::<f64>().ok().filter(|day| day.is_finite());
    day.map(Some).ok_or_else(|| row.wrong(name, format!("{:?} is not a number of days", clip(text))))
}
