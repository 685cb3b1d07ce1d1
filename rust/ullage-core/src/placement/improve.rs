//! Local search: some devices are emptied and what they held is placed anew, together with what was left over.
//!
//! Moves, swaps, chains of ejections, the change of a device for a cheaper one and the end of a device are all of this
//! kind. What is no worse replaces the placement; the same seed makes the same choices.

use crate::placement::greedy::{FITS, Fit, MEASURES, Measure, OPENINGS, Opening, Taste, Weights};
use crate::placement::model::Model;
use crate::placement::state::{Score, Solution, State};
use crate::solving::{Random, Watch};

/// The most devices that are emptied at once.
const MOST_EMPTIED: u64 = 4;

/// Improves `start` until it scores no more than `enough`, for at most `patience` tries in a row that improve nothing.
pub(super) fn improve(
    model: &Model,
    weights: &Weights,
    start: Solution,
    enough: Score,
    patience: u64,
    random: &mut Random,
    watch: &mut Watch<'_>,
) -> Solution {
    let mut best = start.clone();
    let mut current = start;
    let mut tries = 0;
    while tries < patience && best.score > enough && !watch.look() {
        tries = tries.saturating_add(1);
        let next = neighbour(model, weights, &current, random);
        watch.spent(next.places.len().saturating_mul(next.class_of.len()));
        if next.score < best.score {
            tries = 0;
            best = next.clone();
            if best.score.dropped == 0 && best.score.moved == 0 {
                watch.found(Some(best.score.cost), 0);
            }
        }
        if next.score <= current.score {
            current = next;
        }
    }
    best
}

fn neighbour(model: &Model, weights: &Weights, current: &Solution, random: &mut Random) -> Solution {
    let mut state = State::restored(model, current);
    let mut out = empty_some(&mut state, random);
    out.extend((0..state.places.len()).filter(|&unit| current.places[unit].is_empty()));
    sort(&mut out, model, weights, random);
    let taste =
        Taste { fit: pick(&FITS, random, Fit::Length), opening: pick(&OPENINGS, random, Opening::Cheapest) };
    for unit in out {
        weights.place(&mut state, unit, taste);
    }
    state.solution()
}

/// Empties a few devices. Returns the units that stood there.
fn empty_some(state: &mut State<'_>, random: &mut Random) -> Vec<usize> {
    let used: Vec<usize> = (0..state.bins.len()).filter(|&bin| state.bins[bin].members > 0).collect();
    let mut is_emptied = vec![false; state.bins.len()];
    for _ in 0..random.below(MOST_EMPTIED).saturating_add(1) {
        if let Some(&bin) = used.get(random.position(used.len())) {
            is_emptied[bin] = true;
        }
    }
    let stood = |places: &Vec<u32>| places.iter().any(|&bin| is_emptied[bin as usize]);
    let out: Vec<usize> = (0..state.places.len()).filter(|&unit| stood(&state.places[unit])).collect();
    for &unit in &out {
        state.take_all(unit);
    }
    out
}

fn sort(units: &mut [usize], model: &Model, weights: &Weights, random: &mut Random) {
    if random.below(3) == 0 {
        for end in (1..units.len()).rev() {
            let other = random.position(end.saturating_add(1));
            units.swap(end, other);
        }
        return;
    }
    let measure = pick(&MEASURES, random, Measure::Sum);
    let noise =
        |random: &mut Random| 1.0 + f64::from(u32::try_from(random.below(1 << 10)).unwrap_or(0)) / 2048.0;
    let mut rated: Vec<(f64, usize)> = units
        .iter()
        .map(|&unit| (weights.measure(&model.units[unit], measure) * noise(random), unit))
        .collect();
    rated.sort_by(|a, b| b.0.total_cmp(&a.0));
    units.iter_mut().zip(rated).for_each(|(slot, (_, unit))| *slot = unit);
}

fn pick<T: Copy>(all: &[T], random: &mut Random, otherwise: T) -> T {
    all.get(random.position(all.len())).copied().unwrap_or(otherwise)
}
