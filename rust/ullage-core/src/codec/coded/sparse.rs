//! A mask and what is not zero: the smallest magnitudes are pruned, of equal ones the earlier.

use super::super::piece::Part;
use super::super::sparse::{Kept, Sparse, Zeros};
use super::super::weight::Weight;
use super::choices::Choices;
use super::stored::Stored;
use super::{bits, damaged, length, linear, palettized, untouched};
use crate::error::Result;

pub(super) fn encode(
    scheme: Sparse,
    weight: &Weight,
    values: &[f32],
    choices: Choices,
) -> Result<Vec<Vec<u8>>> {
    let kept = length(scheme.zeros.kept(weight).ok_or_else(|| untouched(scheme))?)?;
    let mask = match scheme.zeros {
        Zeros::Share(_) => share(values, kept),
        Zeros::Pattern { zeros, of } => pattern(weight, values, length(zeros)?, length(of)?)?,
    };
    let places: Vec<usize> = (0..values.len()).filter(|&place| mask[place] == 1).collect();
    let stored = Stored::At(values, &places);
    let packed = bits::pack(&mask, 1);
    let rest = match scheme.kept {
        Kept::F16 => return Ok(vec![bits::halves(stored.iter().map(|(_, value)| value)), packed]),
        Kept::Palettized(palettized) => palettized::encode(palettized, weight, &stored, choices, None)?,
        Kept::Linear(linear) => linear::encode(linear, weight, &stored, choices)?,
    };
    Ok(std::iter::once(packed).chain(rest).collect())
}

/// Clears all but `kept` places of the largest magnitudes.
fn share(values: &[f32], kept: usize) -> Vec<u8> {
    let mut mask = vec![1; values.len()];
    let zeros = values.len().saturating_sub(kept);
    let mut order: Vec<usize> = (0..values.len()).collect();
    clear(&mut mask, &mut order, values, zeros);
    mask
}

/// Clears so many of `places`, those of the smallest magnitudes.
fn clear(mask: &mut [u8], places: &mut [usize], values: &[f32], zeros: usize) {
    let Some(last) = zeros.checked_sub(1) else { return };
    let order = |&one: &usize, &other: &usize| {
        values[one].abs().total_cmp(&values[other].abs()).then(one.cmp(&other))
    };
    if last < places.len() {
        places.select_nth_unstable_by(last, order);
    }
    for &place in places.iter().take(zeros) {
        mask[place] = 0;
    }
}

/// Clears so many of every `of` input channels, the last of which may be filled up with zeros that go first.
fn pattern(weight: &Weight, values: &[f32], zeros: usize, of: usize) -> Result<Vec<u8>> {
    let (row, inputs) = (length(weight.row())?, length(weight.inputs())?);
    let kernel = row.checked_div(inputs).unwrap_or(1).max(1);
    let mut mask = vec![1; values.len()];
    let mut places = Vec::with_capacity(of.min(inputs));
    for first in (0..values.len()).step_by(row.max(1)) {
        for position in 0..kernel {
            for start in (0..inputs).step_by(of) {
                let end = start.saturating_add(of).min(inputs);
                let filled = start.saturating_add(of).saturating_sub(inputs);
                let at = |input: usize| input.saturating_mul(kernel).saturating_add(position);
                places.clear();
                places.extend((start..end).map(|input| at(input).saturating_add(first)));
                clear(&mut mask, &mut places, values, zeros.saturating_sub(filled));
            }
        }
    }
    Ok(mask)
}

pub(super) fn decode(scheme: Sparse, weight: &Weight, data: &[&[u8]], out: &mut [f32]) -> Result<()> {
    let mask_first = scheme.kept != Kept::F16;
    let (Some(&first), Some(&second)) = (data.first(), data.get(1)) else {
        return Err(damaged(Part::Mask, "nothing beside it"));
    };
    let mask = if mask_first { first } else { second };
    let kept = length(scheme.zeros.kept(weight).ok_or_else(|| untouched(scheme))?)?;
    let is_set = |element: &usize| bits::code(mask, *element, 1) == 1;
    let count = out.len();
    let set = (0..count).filter(is_set).count();
    if set != kept {
        return Err(damaged(Part::Mask, format!("it has {set} elements and {kept} are stored")));
    }
    out.fill(0.0);
    let places = (0..count).filter(is_set);
    match scheme.kept {
        Kept::F16 => {
            for (next, element) in places.enumerate() {
                out[element] = bits::half(first, next);
            }
            Ok(())
        }
        Kept::Palettized(palettized) => palettized::decode(palettized, weight, &data[1..], places, out),
        Kept::Linear(linear) => linear::decode(linear, weight, &data[1..], places, out),
    }
}
