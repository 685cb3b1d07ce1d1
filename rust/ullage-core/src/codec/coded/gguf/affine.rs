//! Finding scales and offsets for `Q2_K`, `Q4_K` and `Q5_K`: an element is `d · step · code − m · offset`.
//!
//! For each group, many scales are tried; each is refined by least squares for the codes it gives. Then scales and offsets
//! become steps of the block's two, neighbouring steps are tried for what the codes make of them, and those two are
//! fitted to all codes again. What counts is the squared error, every element alike.

use super::block::range;
use crate::codec::half::{from_half, to_half};

/// What a type allows.
#[derive(Clone, Copy)]
pub(super) struct Form {
    /// Elements that share a step and an offset.
    pub(super) group: usize,
    /// The largest code.
    pub(super) most: f32,
    /// The largest step, and offset.
    pub(super) steps: f32,
}

/// What is stored for 256 elements.
pub(super) struct Found {
    /// The scale of all groups.
    pub(super) scale: f32,
    /// The unit of all offsets.
    pub(super) least: f32,
    /// Of each group.
    pub(super) steps: Vec<u8>,
    /// Of each group.
    pub(super) offsets: Vec<u8>,
    /// Of each element.
    pub(super) codes: Vec<u8>,
}

/// What adds up over a group, for the codes that some scale and offset give.
#[derive(Clone, Copy, Default)]
struct Sums {
    codes: f32,
    squares: f32,
    products: f32,
    error: f32,
}

const LANES: usize = 8;
/// Added and taken away again, it leaves a small number rounded.
const ROUNDING: f32 = 12_582_912.0;
/// How many scales are tried for a group.
const TRIALS: u8 = 21;
const ROUNDS: usize = 3;

/// The nearest code for a number of so many scales.
fn code(level: f32, most: f32) -> f32 {
    (level.max(0.0).min(most) + ROUNDING) - ROUNDING
}

/// Sums for codes of `scale · code − offset`.
fn sums(values: &[f32], scale: f32, offset: f32, most: f32) -> Sums {
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut lanes = [[0.0_f32; LANES]; 4];
    let [codes, squares, products, errors] = &mut lanes;
    for chunk in values.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            let value = chunk[lane];
            let code = code((value + offset) * inverse, most);
            let off = scale * code - offset - value;
            codes[lane] += code;
            squares[lane] += code * code;
            products[lane] += code * value;
            errors[lane] += off * off;
        }
    }
    let [codes, squares, products, error] = lanes.map(|lanes| lanes.iter().sum());
    Sums { codes, squares, products, error }
}

/// The best scale and offset for codes that add up so; offsets are never below 0.
fn fitted(sums: Sums, count: f32, total: f32) -> Option<(f32, f32)> {
    let determinant = count * sums.squares - sums.codes * sums.codes;
    if determinant <= 0.0 {
        return None;
    }
    let scale = (count * sums.products - total * sums.codes) / determinant;
    let offset = (sums.codes * sums.products - sums.squares * total) / determinant;
    if offset >= 0.0 {
        return Some((scale, offset));
    }
    (sums.squares > 0.0).then(|| (sums.products / sums.squares, 0.0))
}

/// Scale and offset of one group, as good as they are found.
fn fit(values: &[f32], most: f32) -> (f32, f32) {
    let (least, highest) = range(values);
    let least = least.min(0.0);
    if highest <= least {
        return (0.0, -least);
    }
    #[expect(clippy::cast_precision_loss, reason = "a group has 32 elements at most")]
    let count = values.len() as f32;
    let total: f32 = values.iter().sum();
    let mut best = (f32::INFINITY, 0.0, -least);
    for trial in 0..TRIALS {
        // From one code fewer than there are to two more.
        let wanted = most - 1.0 + 0.15 * f32::from(trial);
        let (mut scale, mut offset) = ((highest - least) / wanted, -least);
        for _ in 0..ROUNDS {
            let found = sums(values, scale, offset, most);
            if found.error < best.0 {
                best = (found.error, scale, offset);
            }
            match fitted(found, count, total) {
                Some(better) if better.0 > 0.0 => (scale, offset) = better,
                _ => break,
            }
        }
    }
    (best.1, best.2)
}

fn stored(value: f32) -> f32 {
    from_half(to_half(value))
}

/// The step for `value` in units of `unit`, and its neighbours.
fn around(value: f32, unit: f32, most: f32) -> [f32; 3] {
    let middle = if unit > 0.0 { code(value / unit, most) } else { 0.0 };
    [middle, (middle - 1.0).max(0.0), (middle + 1.0).min(most)]
}

/// One group as it is with units given.
#[derive(Clone, Copy)]
struct Group {
    step: f32,
    offset: f32,
    error: f32,
}

/// The best steps for a group that wants `scale` and `offset`.
fn settled(values: &[f32], wanted: (f32, f32), units: (f32, f32), form: Form) -> Group {
    let mut best = Group { step: 0.0, offset: 0.0, error: f32::INFINITY };
    for step in around(wanted.0, units.0, form.steps) {
        for offset in around(wanted.1, units.1, form.steps) {
            let error = sums(values, units.0 * step, units.1 * offset, form.most).error;
            if error < best.error {
                best = Group { step, offset, error };
            }
        }
    }
    best
}

/// The best units for the codes of all groups.
fn refitted(values: &[f32], groups: &[Group], units: (f32, f32), form: Form) -> Option<(f32, f32)> {
    let (mut steps, mut both, mut offsets) = (0.0_f64, 0.0_f64, 0.0_f64);
    let (mut by_step, mut by_offset) = (0.0_f64, 0.0_f64);
    for (values, group) in values.chunks_exact(form.group).zip(groups) {
        let found = sums(values, units.0 * group.step, units.1 * group.offset, form.most);
        let (step, offset) = (f64::from(group.step), f64::from(group.offset));
        let total: f32 = values.iter().sum();
        steps += step * step * f64::from(found.squares);
        both += step * offset * f64::from(found.codes);
        #[expect(clippy::cast_precision_loss, reason = "a group has 32 elements at most")]
        let count = form.group as f64;
        offsets += offset * offset * count;
        by_step += step * f64::from(found.products);
        by_offset += offset * f64::from(total);
    }
    let determinant = steps * offsets - both * both;
    if determinant > steps * offsets * 1e-9 {
        let least = (both * by_step - by_offset * steps) / determinant;
        let scale = (by_step + least * both) / steps;
        return Some((narrow(scale), narrow(least)));
    }
    (steps > 0.0 && offsets <= 0.0).then(|| (narrow(by_step / steps), units.1))
}

#[expect(clippy::cast_possible_truncation, reason = "it is stored in 16 bits")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// What stands for `values`, 256 of them.
pub(super) fn found(values: &[f32], form: Form) -> Found {
    let wanted: Vec<(f32, f32)> =
        values.chunks_exact(form.group).map(|values| fit(values, form.most)).collect();
    let largest = |of: fn(&(f32, f32)) -> f32| wanted.iter().map(of).fold(0.0, f32::max);
    let mut units =
        (stored(largest(|pair| pair.0) / form.steps), stored(largest(|pair| pair.1) / form.steps));
    let settle = |units| -> Vec<Group> {
        let groups = values.chunks_exact(form.group).zip(&wanted);
        groups.map(|(values, &wanted)| settled(values, wanted, units, form)).collect()
    };
    let error = |groups: &[Group]| groups.iter().map(|group| group.error).sum::<f32>();
    let mut groups = settle(units);
    for _ in 0..ROUNDS {
        let Some(better) = refitted(values, &groups, units, form) else { break };
        let better = (stored(better.0), stored(better.1));
        if better == units || better.0 <= 0.0 || better.1 < 0.0 || !better.0.is_finite() {
            break;
        }
        let others = settle(better);
        if error(&others) >= error(&groups) {
            break;
        }
        (units, groups) = (better, others);
    }
    written(values, &groups, units, form)
}

fn written(values: &[f32], groups: &[Group], units: (f32, f32), form: Form) -> Found {
    let mut codes = Vec::with_capacity(values.len());
    for (values, group) in values.chunks_exact(form.group).zip(groups) {
        let (scale, offset) = (units.0 * group.step, units.1 * group.offset);
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        codes.extend(values.iter().map(|value| byte(code((value + offset) * inverse, form.most))));
    }
    let steps = groups.iter().map(|group| byte(group.step)).collect();
    let offsets = groups.iter().map(|group| byte(group.offset)).collect();
    Found { scale: units.0, least: units.1, steps, offsets, codes }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number from 0 to 63")]
fn byte(value: f32) -> u8 {
    value as u8
}
