//! Integers with scales: the least and the largest number that share a scale decide it, or those of a rank.

use super::super::linear::{Granularity, Linear};
use super::super::piece::Part;
use super::super::weight::Weight;
use super::choices::Choices;
use super::stored::Stored;
use super::{bits, cannot, damaged, length};
use crate::error::{Error, Result};

/// Which scale an element has.
struct Scales {
    row: usize,
    kernel: usize,
    block: usize,
    blocks: usize,
    is_whole: bool,
}

impl Scales {
    fn of(scheme: Linear, weight: &Weight) -> Result<Self> {
        let (row, inputs) = (length(weight.row())?, length(weight.inputs())?);
        let kernel = row.checked_div(inputs).unwrap_or(1).max(1);
        let block = match scheme.granularity {
            Granularity::Block(block) => length(block.min(weight.inputs()))?.max(1),
            _ => inputs.max(1),
        };
        let is_whole = scheme.granularity == Granularity::Tensor;
        Ok(Self { row: row.max(1), kernel, block, blocks: inputs.div_ceil(block), is_whole })
    }

    fn place(&self, element: usize) -> usize {
        if self.is_whole {
            return 0;
        }
        let (channel, rest) = (element.div_euclid(self.row), element.rem_euclid(self.row));
        let block = rest.div_euclid(self.kernel).div_euclid(self.block);
        channel.saturating_mul(self.blocks).saturating_add(block)
    }
}

const fn span(bits: u32) -> (i16, i16) {
    if bits == 4 { (15, 7) } else { (255, 127) }
}

/// The least and the largest number of each scale, 0 between them.
fn ranges(
    scheme: Linear,
    scales: &Scales,
    count: usize,
    values: &Stored<'_>,
    choices: Choices,
) -> Vec<(f32, f32)> {
    if choices.quantile < 1.0 {
        let mut sharing = vec![Vec::new(); count];
        for (element, value) in values.iter() {
            sharing[scales.place(element)].push(value);
        }
        return sharing.iter_mut().map(|values| quantiles(values, scheme.is_affine, choices)).collect();
    }
    let mut ranges = vec![(0.0_f32, 0.0_f32); count];
    for (element, value) in values.iter() {
        let range = &mut ranges[scales.place(element)];
        *range = (range.0.min(value), range.1.max(value));
    }
    ranges
}

/// The numbers between which the share that is wanted lies, by magnitude where both ends are equally far.
fn quantiles(values: &mut [f32], is_affine: bool, choices: Choices) -> (f32, f32) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let rank = choices.rank(values.len());
    let mut of_rank = |key: fn(f32) -> f32| {
        values.select_nth_unstable_by(rank, |&one, &other| key(one).total_cmp(&key(other)));
        values[rank]
    };
    if is_affine {
        return (of_rank(|value| -value).min(0.0), of_rank(|value| value).max(0.0));
    }
    let most = of_rank(f32::abs).abs();
    (-most, most)
}

pub(super) fn encode(
    scheme: Linear,
    weight: &Weight,
    values: &Stored<'_>,
    choices: Choices,
) -> Result<Vec<Vec<u8>>> {
    let scales = Scales::of(scheme, weight)?;
    let Some(count) = scheme.scales(weight, super::REMAINDER)? else { return Err(cannot(scheme)) };
    let ranges = ranges(scheme, &scales, length(count)?, values, choices);
    let (levels, largest) = span(scheme.bits);
    let steps: Vec<(f32, i16)> =
        ranges.iter().map(|&range| step(range, levels, largest, scheme.is_affine)).collect();
    if let Some(place) = steps.iter().position(|(scale, _)| !scale.is_finite()) {
        let reason = format!("scale {place} lies beyond the 16-bit numbers");
        return Err(Error::Argument { name: "weights", reason });
    }
    let codes: Vec<u8> = values
        .iter()
        .map(|(element, value)| {
            let (scale, zero) = steps[scales.place(element)];
            let level = if scale > 0.0 { value / scale } else { 0.0 };
            let whole = if scheme.is_affine {
                bits::nearest(level + f32::from(zero), 0, levels)
            } else {
                bits::nearest(level, largest.saturating_neg(), largest)
            };
            whole.to_le_bytes()[0] & levels.to_le_bytes()[0]
        })
        .collect();
    let mut data = vec![bits::pack(&codes, scheme.bits), bits::halves(steps.iter().map(|&(scale, _)| scale))];
    if scheme.is_affine {
        let zeros: Vec<u8> = steps.iter().map(|(_, zero)| zero.to_le_bytes()[0]).collect();
        data.push(bits::pack(&zeros, scheme.bits));
    }
    Ok(data)
}

/// The scale, as 16 bits keep it, and the zero point for numbers between two.
fn step((least, most): (f32, f32), levels: i16, largest: i16, is_affine: bool) -> (f32, i16) {
    let wanted = if is_affine {
        most / f32::from(levels) - least / f32::from(levels)
    } else {
        most.max(-least) / f32::from(largest)
    };
    let mut scale = crate::codec::half::from_half(crate::codec::half::to_half(wanted));
    if wanted > 0.0 && scale <= 0.0 {
        scale = crate::codec::half::from_half(1);
    }
    let zero = if is_affine && scale > 0.0 { bits::nearest(-least / scale, 0, levels) } else { 0 };
    (scale, zero)
}

/// Writes the elements whose integers are stored, one after the other, at their `places`.
pub(super) fn decode(
    scheme: Linear,
    weight: &Weight,
    data: &[&[u8]],
    places: impl Iterator<Item = usize>,
    out: &mut [f32],
) -> Result<()> {
    let (Some(&codes), Some(&steps)) = (data.first(), data.get(1)) else {
        return Err(damaged(Part::Integers, "no scales beside them"));
    };
    let zeros = if scheme.is_affine { data.get(2).copied().unwrap_or_default() } else { &[] };
    let scales = Scales::of(scheme, weight)?;
    let (_, largest) = span(scheme.bits);
    for (index, element) in places.enumerate() {
        let place = scales.place(element);
        let code = i16::from(bits::code(codes, index, scheme.bits));
        let level = if scheme.is_affine {
            code.saturating_sub(i16::from(bits::code(zeros, place, scheme.bits)))
        } else if code > largest {
            code.saturating_sub(largest.saturating_mul(2).saturating_add(2)) // two's complement
        } else {
            code
        };
        out[element] = f32::from(level) * bits::half(steps, place);
    }
    Ok(())
}
