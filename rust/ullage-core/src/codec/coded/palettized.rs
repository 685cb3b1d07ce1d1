//! Indices into tables, each the best for the values of its group.

use super::super::palettized::Palettized;
use super::super::piece::Part;
use super::super::weight::Weight;
use super::choices::Choices;
use super::feedback::{self, Norm};
use super::inputs::Inputs;
use super::stored::Stored;
use super::{bits, cannot, clusters, damaged, length, vectors};
use crate::error::{Error, Result};

pub(super) fn encode(
    scheme: Palettized,
    weight: &Weight,
    values: &Stored<'_>,
    choices: Choices,
    inputs: Option<&Inputs>,
) -> Result<Vec<Vec<u8>>> {
    let tables = length(scheme.tables(weight, super::REMAINDER).ok_or_else(|| cannot(scheme))?)?;
    if scheme.vector > 1 {
        let Stored::All(values) = values else { return Err(cannot(scheme)) };
        return vectors::encode(scheme, weight, values, tables, choices);
    }
    if !scheme.has_scale {
        let norm = inputs.and_then(|inputs| Norm::new(inputs, None));
        return scalar(scheme, weight, values, tables, &[], norm.as_ref());
    }
    let Stored::All(values) = values else { return Err(cannot(scheme)) };
    let row = length(weight.row())?;
    let scales = position_scales(values, row)?;
    let normal: Vec<f32> = (values.iter().enumerate())
        .map(|(element, value)| {
            scales.get(element.checked_rem(row).unwrap_or(0)).map_or(0.0, |&scale| divided(*value, scale))
        })
        .collect();
    let norm = inputs.and_then(|inputs| Norm::new(inputs, Some(&scales)));
    scalar(scheme, weight, &Stored::All(&normal), tables, &scales, norm.as_ref())
}

fn divided(value: f32, scale: f32) -> f32 {
    if scale > 0.0 { value / scale } else { 0.0 }
}

/// The largest magnitude of each position of an output channel, as 16 bits keep it.
fn position_scales(values: &[f32], row: usize) -> Result<Vec<f32>> {
    let mut scales = vec![0.0_f32; row];
    for channel in values.chunks_exact(row.max(1)) {
        for (scale, value) in scales.iter_mut().zip(channel) {
            *scale = scale.max(value.abs());
        }
    }
    for (place, scale) in scales.iter_mut().enumerate() {
        let wanted = *scale;
        *scale = rounded(wanted);
        if wanted > 0.0 && *scale <= 0.0 {
            *scale = crate::codec::half::from_half(1);
        }
        if !scale.is_finite() {
            let reason = format!("scale {place} lies beyond the 16-bit numbers");
            return Err(Error::Argument { name: "weights", reason });
        }
    }
    Ok(scales)
}

fn rounded(value: f32) -> f32 {
    crate::codec::half::from_half(crate::codec::half::to_half(value))
}

/// Pieces for tables of single numbers.
fn scalar(
    scheme: Palettized,
    weight: &Weight,
    values: &Stored<'_>,
    tables: usize,
    scales: &[f32],
    norm: Option<&Norm>,
) -> Result<Vec<Vec<u8>>> {
    let (group, entries) = (group_length(scheme, weight)?, length(scheme.entries())?);
    let run = |table: usize| {
        let start = table.saturating_mul(group);
        values.within(start, start.saturating_add(group))
    };
    let table_of = |run: &[f32]| match norm {
        Some(norm) => as_stored(feedback::table(run, norm, entries), entries),
        None => as_stored(means(run, entries), entries),
    };
    let mut all: Vec<Vec<f32>> = (0..tables).map(|table| table_of(&run(table))).collect();
    let packed = if scheme.has_int8_table { Some(in_integers(&mut all)?) } else { None };
    let mut indices = Vec::new();
    match norm {
        Some(norm) => {
            let rows = group.div_euclid(norm.size().max(1)).max(1);
            let several = feedback::together(rows);
            for (place, tables) in all.chunks_mut(several).enumerate() {
                let start = place.saturating_mul(several).saturating_mul(group);
                let run = values.within(start, start.saturating_add(tables.len().saturating_mul(group)));
                indices.extend(feedback::round(&run, norm, tables, rows, packed.is_none()));
            }
        }
        None => {
            for (place, table) in all.iter().enumerate() {
                indices.extend(run(place).iter().map(|&value| closest(table, value)));
            }
        }
    }
    let mut data = vec![bits::pack(&indices, scheme.bits)];
    let (integers, scale) = match packed {
        Some((integers, scale)) => (integers, Some(scale)),
        None => (bits::halves(all.into_iter().flatten()), None),
    };
    data.push(integers);
    if scheme.has_scale {
        data.push(bits::halves(scales.iter().copied()));
    }
    if let Some(scale) = scale {
        data.push(bits::halves(std::iter::once(scale)));
    }
    Ok(data)
}

/// Tables as integers of eight bits with one scale, to which their entries are rounded.
fn in_integers(tables: &mut [Vec<f32>]) -> Result<(Vec<u8>, f32)> {
    let most = tables.iter().flatten().fold(0.0_f32, |most, entry| most.max(entry.abs()));
    let mut scale = rounded(most / 127.0);
    if most > 0.0 && scale <= 0.0 {
        scale = crate::codec::half::from_half(1);
    }
    if !scale.is_finite() {
        let reason = "the scale of the tables lies beyond the 16-bit numbers".to_owned();
        return Err(Error::Argument { name: "weights", reason });
    }
    let mut integers = Vec::new();
    for entry in tables.iter_mut().flatten() {
        let level = bits::nearest(divided(*entry, scale), -127, 127);
        integers.push(level.to_le_bytes()[0]);
        *entry = f32::from(level) * scale;
    }
    Ok((integers, scale))
}

/// Elements that share a table.
fn group_length(scheme: Palettized, weight: &Weight) -> Result<usize> {
    let channels = scheme.group_size.unwrap_or(weight.outputs()).min(weight.outputs());
    Ok(length(channels.saturating_mul(weight.row()))?.max(1))
}

/// Entries of a table for `run`: its own values where there are no more of them, else means of clusters.
fn means(run: &[f32], entries: usize) -> Vec<f32> {
    let mut sorted: Vec<f32> = run.iter().map(|&value| value + 0.0).collect(); // -0 is 0
    sorted.sort_unstable_by(f32::total_cmp);
    clusters::means(&sorted, entries)
}

/// An entry as 16 bits keep it.
pub(super) fn entry(value: f32) -> f32 {
    rounded(value).clamp(-65_504.0, 65_504.0)
}

/// A table of so many entries, sorted.
fn as_stored(mut table: Vec<f32>, entries: usize) -> Vec<f32> {
    let last = table.last().copied().unwrap_or(0.0);
    table.resize(entries, last);
    for value in &mut table {
        *value = entry(*value);
    }
    table.sort_unstable_by(f32::total_cmp);
    table
}

/// The place of the entry of a sorted `table` that is closest to `value`.
pub(super) fn closest(table: &[f32], value: f32) -> u8 {
    let above = table.partition_point(|&entry| entry < value).min(table.len().saturating_sub(1));
    let below = above.saturating_sub(1);
    let is_below = (value - table[below]).abs() < (table[above] - value).abs();
    u8::try_from(if is_below { below } else { above }).unwrap_or(u8::MAX)
}

/// Writes the elements whose indices are stored, one after the other, at their `places`.
pub(super) fn decode(
    scheme: Palettized,
    weight: &Weight,
    data: &[&[u8]],
    places: impl Iterator<Item = usize>,
    out: &mut [f32],
) -> Result<()> {
    let (Some(&indices), Some(&tables)) = (data.first(), data.get(1)) else {
        return Err(damaged(Part::Indices, "no tables beside them"));
    };
    if scheme.vector > 1 {
        return vectors::decode(scheme, weight, indices, tables, out);
    }
    let (group, entries) = (group_length(scheme, weight)?, length(scheme.entries())?);
    let row = length(weight.row())?.max(1);
    let last = data.last().copied().unwrap_or_default();
    let table_scale = if scheme.has_int8_table { bits::half(last, 0) } else { 1.0 };
    for (place, element) in places.enumerate() {
        let table = element.div_euclid(group).saturating_mul(entries);
        let index = table.saturating_add(usize::from(bits::code(indices, place, scheme.bits)));
        let mut value = if scheme.has_int8_table {
            let entry = tables.get(index).copied().unwrap_or(0);
            f32::from(i8::from_le_bytes([entry])) * table_scale
        } else {
            bits::half(tables, index)
        };
        if scheme.has_scale {
            value *= bits::half(data.get(2).copied().unwrap_or_default(), element.rem_euclid(row));
        }
        out[element] = value;
    }
    Ok(())
}
