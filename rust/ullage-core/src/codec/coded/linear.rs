//! Integers with scales: the least and the largest number that share a scale decide it.

use super::super::linear::{Granularity, Linear};
use super::super::piece::Part;
use super::super::weight::Weight;
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

pub(super) fn encode(scheme: Linear, weight: &Weight, values: &[f32]) -> Result<Vec<Vec<u8>>> {
    let scales = Scales::of(scheme, weight)?;
    let Some(count) = scheme.scales(weight, super::REMAINDER)? else { return Err(cannot(scheme)) };
    let mut ranges = vec![(0.0_f32, 0.0_f32); length(count)?];
    for (element, &value) in values.iter().enumerate() {
        let range = &mut ranges[scales.place(element)];
        *range = (range.0.min(value), range.1.max(value));
    }
    let (levels, largest) = span(scheme.bits);
    let steps: Vec<(f32, i16)> =
        ranges.iter().map(|&range| step(range, levels, largest, scheme.is_affine)).collect();
    if steps.iter().any(|(scale, _)| !scale.is_finite()) {
        let reason = "a scale lies beyond the 16-bit numbers".to_owned();
        return Err(Error::Argument { name: "weights", reason });
    }
    let codes: Vec<u8> = values
        .iter()
        .enumerate()
        .map(|(element, &value)| {
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
    let wanted =
        if is_affine { (most - least) / f32::from(levels) } else { most.max(-least) / f32::from(largest) };
    let mut scale = super::half::from_half(super::half::to_half(wanted));
    if wanted > 0.0 && scale <= 0.0 {
        scale = super::half::from_half(1);
    }
    let zero = if is_affine && scale > 0.0 { bits::nearest(-least / scale, 0, levels) } else { 0 };
    (scale, zero)
}

pub(super) fn decode(scheme: Linear, weight: &Weight, data: &[&[u8]], out: &mut [f32]) -> Result<()> {
    let (Some(&codes), Some(&steps)) = (data.first(), data.get(1)) else {
        return Err(damaged(Part::Integers, "no scales beside them"));
    };
    let zeros = if scheme.is_affine { data.get(2).copied().unwrap_or_default() } else { &[] };
    let scales = Scales::of(scheme, weight)?;
    let (_, largest) = span(scheme.bits);
    for (element, value) in out.iter_mut().enumerate() {
        let place = scales.place(element);
        let code = i16::from(bits::code(codes, element, scheme.bits));
        let level = if scheme.is_affine {
            code.saturating_sub(i16::from(bits::code(zeros, place, scheme.bits)))
        } else if code > largest {
            code.saturating_sub(largest.saturating_mul(2).saturating_add(2)) // two's complement
        } else {
            code
        };
        *value = f32::from(level) * bits::half(steps, place);
    }
    Ok(())
}
