//! Indices into tables, each the best for the values of its group.

use super::super::palettized::Palettized;
use super::super::piece::Part;
use super::super::weight::Weight;
use super::{bits, cannot, clusters, damaged, length};
use crate::error::Result;

pub(super) fn encode(scheme: Palettized, weight: &Weight, values: &[f32]) -> Result<Vec<Vec<u8>>> {
    let (group, entries) = (group_length(scheme, weight)?, length(scheme.entries())?);
    let mut indices = Vec::with_capacity(values.len());
    let mut tables = Vec::new();
    for run in values.chunks(group) {
        let table = table_of(run, entries);
        indices.extend(run.iter().map(|&value| closest(&table, value)));
        tables.extend(table);
    }
    Ok(vec![bits::pack(&indices, scheme.bits), bits::halves(tables.into_iter())])
}

/// Elements that share a table.
fn group_length(scheme: Palettized, weight: &Weight) -> Result<usize> {
    if scheme.vector > 1 || scheme.has_scale || scheme.has_int8_table {
        return Err(cannot(scheme));
    }
    let channels = scheme.group_size.unwrap_or(weight.outputs()).min(weight.outputs());
    Ok(length(channels.saturating_mul(weight.row()))?.max(1))
}

/// A table of so many entries for `run`, sorted: its own values where there are no more of them, else means of clusters.
fn table_of(run: &[f32], entries: usize) -> Vec<f32> {
    let mut sorted: Vec<f32> = run.iter().map(|&value| value + 0.0).collect(); // -0 is 0
    sorted.sort_unstable_by(f32::total_cmp);
    let mut table = sorted.clone();
    table.dedup();
    if table.len() > entries {
        table = clusters::means(&sorted, entries);
    }
    let last = table.last().copied().unwrap_or(0.0);
    table.resize(entries, last);
    for entry in &mut table {
        *entry = super::half::from_half(super::half::to_half(*entry));
    }
    table.sort_unstable_by(f32::total_cmp);
    table
}

/// The place of the entry of a sorted `table` that is closest to `value`.
fn closest(table: &[f32], value: f32) -> u8 {
    let above = table.partition_point(|&entry| entry < value).min(table.len().saturating_sub(1));
    let below = above.saturating_sub(1);
    let is_below = (value - table[below]).abs() < (table[above] - value).abs();
    u8::try_from(if is_below { below } else { above }).unwrap_or(u8::MAX)
}

pub(super) fn decode(scheme: Palettized, weight: &Weight, data: &[&[u8]], out: &mut [f32]) -> Result<()> {
    let (Some(&indices), Some(&tables)) = (data.first(), data.get(1)) else {
        return Err(damaged(Part::Indices, "no tables beside them"));
    };
    let (group, entries) = (group_length(scheme, weight)?, length(scheme.entries())?);
    for (element, value) in out.iter_mut().enumerate() {
        let table = element.div_euclid(group).saturating_mul(entries);
        let index = usize::from(bits::code(indices, element, scheme.bits));
        *value = bits::half(tables, table.saturating_add(index));
    }
    Ok(())
}
