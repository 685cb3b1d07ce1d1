//! Finding scales for `Q3_K`, `Q6_K` and IQ4: an element is `d · step · level`, and steps may be negative, for levels reach
//! farther one way than the other.
//!
//! For each group, many scales are tried; each is refined by least squares for the levels it gives. Then scales become
//! steps of the block's one, neighbouring steps are tried for what the levels make of them, and that one is fitted to all
//! levels again. What counts is the squared error, every element alike.

use super::block::farthest;
use super::k;
use crate::codec::half::{from_half, to_half};

/// What elements are multiples of.
#[derive(Clone, Copy)]
pub(super) enum Levels {
    /// Whole numbers from so many below 0 to one fewer above.
    Whole(f32),
    /// Those of IQ4.
    Uneven,
}

/// What a type allows.
#[derive(Clone, Copy)]
pub(super) struct Form {
    /// Elements that share a step.
    pub(super) group: usize,
    /// What codes stand for.
    pub(super) levels: Levels,
    /// Steps go from so many below 0 to one fewer above.
    pub(super) steps: f32,
}

/// What is stored for a block.
pub(super) struct Found {
    /// The scale of all groups.
    pub(super) scale: f32,
    /// Of each group.
    pub(super) steps: Vec<i8>,
    /// Of each element, counted from the lowest level.
    pub(super) codes: Vec<u8>,
}

const ROUNDING: f32 = 12_582_912.0;
const ROUNDS: usize = 3;
/// How many scales are tried for a group, for each sign.
const TRIALS: u8 = 19;

impl Levels {
    fn nearest(self, value: f32) -> f32 {
        match self {
            Self::Whole(below) => (value.max(-below).min(below - 1.0) + ROUNDING) - ROUNDING,
            Self::Uneven => k::LEVELS[uneven(value)],
        }
    }

    /// The level farthest from 0.
    const fn extreme(self) -> f32 {
        match self {
            Self::Whole(below) => -below,
            Self::Uneven => k::LEVELS[0],
        }
    }

    /// Levels by which the extreme one is moved, from trial to trial.
    fn stride(self) -> f32 {
        match self {
            Self::Whole(below) => below.sqrt() * 0.06,
            Self::Uneven => 3.0,
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 64")]
    fn code(self, level: f32) -> u8 {
        match self {
            Self::Whole(below) => (level + below) as u8,
            Self::Uneven => uneven(level) as u8,
        }
    }
}

/// The place of the nearest level of IQ4: so many midpoints lie below.
fn uneven(value: f32) -> usize {
    k::LEVELS.windows(2).map(|pair| usize::from(value > f32::midpoint(pair[0], pair[1]))).sum()
}

/// Squares of levels, their products with the values, and the squared error.
fn sums(values: &[f32], scale: f32, levels: Levels) -> [f32; 3] {
    const LANES: usize = 8;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let mut lanes = [[0.0_f32; LANES]; 3];
    let [squares, products, errors] = &mut lanes;
    for chunk in values.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            let level = levels.nearest(chunk[lane] * inverse);
            let off = scale * level - chunk[lane];
            squares[lane] += level * level;
            products[lane] += level * chunk[lane];
            errors[lane] += off * off;
        }
    }
    lanes.map(|lanes| lanes.iter().sum())
}

/// The scale of one group, as good as it is found.
fn fit(values: &[f32], levels: Levels) -> f32 {
    let most = farthest(values);
    if most == 0.0 {
        return 0.0;
    }
    let mut best = (f32::INFINITY, 0.0);
    for trial in 0..TRIALS {
        for sign in [1.0, -1.0] {
            let moved = levels.stride() * (f32::from(trial) - 7.0);
            let mut scale = sign * most / (levels.extreme() - moved);
            for _ in 0..ROUNDS {
                let [squares, products, error] = sums(values, scale, levels);
                if error < best.0 {
                    best = (error, scale);
                }
                let better = products / squares;
                if !better.is_finite() || better.to_bits() == scale.to_bits() || better == 0.0 {
                    break;
                }
                scale = better;
            }
        }
    }
    best.1
}

fn stored(value: f32) -> f32 {
    from_half(to_half(value))
}

#[derive(Clone, Copy)]
struct Group {
    step: f32,
    error: f32,
}

fn settled(values: &[f32], wanted: f32, unit: f32, form: Form) -> Group {
    let middle = if unit == 0.0 { 0.0 } else { (wanted / unit).max(-form.steps).min(form.steps - 1.0) };
    let middle = (middle + ROUNDING) - ROUNDING;
    let mut best = Group { step: 0.0, error: f32::INFINITY };
    for step in [middle, (middle - 1.0).max(-form.steps), (middle + 1.0).min(form.steps - 1.0)] {
        let [_, _, error] = sums(values, unit * step, form.levels);
        if error < best.error {
            best = Group { step, error };
        }
    }
    best
}

/// The best unit for the levels of all groups.
fn refitted(values: &[f32], groups: &[Group], unit: f32, form: Form) -> f32 {
    let (mut squares, mut products) = (0.0_f64, 0.0_f64);
    for (values, group) in values.chunks_exact(form.group).zip(groups) {
        let found = sums(values, unit * group.step, form.levels);
        squares += f64::from(group.step * group.step) * f64::from(found[0]);
        products += f64::from(group.step) * f64::from(found[1]);
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is stored in 16 bits")]
    let better = (products / squares) as f32;
    stored(better)
}

/// What stands for `values`, a block of them.
pub(super) fn found(values: &[f32], form: Form) -> Found {
    let wanted: Vec<f32> = values.chunks_exact(form.group).map(|values| fit(values, form.levels)).collect();
    let settle = |unit: f32| -> Vec<Group> {
        let groups = values.chunks_exact(form.group).zip(&wanted);
        groups.map(|(values, &wanted)| settled(values, wanted, unit, form)).collect()
    };
    let error = |groups: &[Group]| groups.iter().map(|group| group.error).sum::<f32>();
    let mut unit = stored(farthest(&wanted) / -form.steps);
    let mut groups = settle(unit);
    for _ in 0..ROUNDS {
        let better = refitted(values, &groups, unit, form);
        if better.to_bits() == unit.to_bits() || better == 0.0 || !better.is_finite() {
            break;
        }
        let others = settle(better);
        if error(&others) >= error(&groups) {
            break;
        }
        (unit, groups) = (better, others);
    }
    let mut codes = Vec::with_capacity(values.len());
    for (values, group) in values.chunks_exact(form.group).zip(&groups) {
        let scale = unit * group.step;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        codes.extend(values.iter().map(|value| form.levels.code(form.levels.nearest(value * inverse))));
    }
    #[expect(clippy::cast_possible_truncation, reason = "a whole number from -128 to 127")]
    let steps = groups.iter().map(|group| group.step as i8).collect();
    Found { scale: unit, steps, codes }
}

/// One scale for one block, with the levels of IQ4.
pub(super) fn single(values: &[f32]) -> (f32, Vec<u8>) {
    let form = Form { group: values.len(), levels: Levels::Uneven, steps: 2.0 };
    let wanted = fit(values, form.levels);
    let mut best = (f32::INFINITY, 0.0);
    // Sixteen bits have steps too: the two numbers beside the best.
    let bits = to_half(wanted);
    for scale in [bits, bits.saturating_add(1), bits.saturating_sub(1)].map(from_half) {
        let [_, _, error] = sums(values, scale, form.levels);
        if error < best.0 {
            best = (error, scale);
        }
    }
    let inverse = if best.1 == 0.0 { 0.0 } else { 1.0 / best.1 };
    let code = |value: &f32| form.levels.code(form.levels.nearest(value * inverse));
    (best.1, values.iter().map(code).collect())
}
