//! Heuristics: one unit after the other, or one device after the other.
//!
//! Vector packing after Panigrahy, Talwar, Uyeda and Wieder ("Heuristics for vector bin packing", 2011): units by the sum,
//! the length or the largest of their demands, weighted by how scarce a resource is; and devices filled with what fits
//! their room best, by the dot product or the length of what remains. Devices are opened by their price. Every rule holds
//! at every step. Floating-point weights only rank what is possible.

use std::cmp::Ordering;

use crate::placement::model::{Model, Unit};
use crate::placement::state::{Solution, State};
use crate::solving::Watch;

/// By what units are sorted, the largest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Sum,
    Length,
    Largest,
    /// The value for the sum.
    Density,
}

/// Which of the bins with room is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    First,
    /// The largest dot product of demand and room.
    Dot,
    /// The shortest remaining room.
    Length,
}

/// Which device is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Cheapest,
    /// The cheapest for its capacity.
    BestPrice,
    Largest,
}

pub(super) const MEASURES: [Measure; 4] = [Measure::Sum, Measure::Length, Measure::Largest, Measure::Density];
pub(super) const FITS: [Fit; 3] = [Fit::First, Fit::Dot, Fit::Length];
pub(super) const OPENINGS: [Opening; 3] = [Opening::Cheapest, Opening::BestPrice, Opening::Largest];

/// A way to choose a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taste {
    pub(super) fit: Fit,
    pub(super) opening: Opening,
}

/// How much each resource counts: one part of what there is to demand, for what there is of it.
pub(super) struct Weights(Vec<f64>);

#[expect(clippy::cast_precision_loss, reason = "a weight only ranks what is possible")]
fn float(amount: u64) -> f64 {
    amount as f64
}

impl Weights {
    pub(super) fn of(model: &Model) -> Self {
        let weight = |resource: usize| {
            let demand: f64 =
                model.units.iter().map(|unit| float(unit.demand[resource]) * float(unit.copies as u64)).sum();
            let room: f64 = model
                .classes
                .iter()
                .map(|class| float(class.usable[resource]) * float(class.count as u64))
                .sum();
            let largest = model.classes.iter().map(|class| class.usable[resource]).max().unwrap_or(0);
            if room > 0.0 && largest > 0 { (demand / room) / float(largest) } else { 0.0 }
        };
        Self((0..model.resources).map(weight).collect())
    }

    fn weighted<'a>(&'a self, amounts: &'a [u64]) -> impl Iterator<Item = f64> + 'a {
        self.0.iter().zip(amounts).map(|(weight, &amount)| weight * float(amount))
    }

    pub(super) fn measure(&self, unit: &Unit, measure: Measure) -> f64 {
        let parts = || self.weighted(&unit.demand);
        match measure {
            Measure::Sum => parts().sum(),
            Measure::Length => parts().map(|part| part * part).sum(),
            Measure::Largest => parts().fold(0.0, f64::max),
            Measure::Density => {
                let size: f64 = parts().sum::<f64>() * float(unit.copies as u64);
                float(unit.value) / size.max(f64::MIN_POSITIVE)
            }
        }
    }

    /// How badly `unit` fits into `room`: the least is best.
    fn misfit(&self, room: &[u64], unit: &Unit, fit: Fit) -> f64 {
        let both = self.weighted(room).zip(self.weighted(&unit.demand));
        match fit {
            Fit::First => 0.0,
            Fit::Dot => -both.map(|(room, demand)| room * demand).sum::<f64>(),
            Fit::Length => both.map(|(room, demand)| (room - demand) * (room - demand)).sum(),
        }
    }

    /// How unwelcome it is to open a device of `class`.
    fn price(&self, model: &Model, class: usize, opening: Opening) -> f64 {
        let class = &model.classes[class];
        let size: f64 = self.weighted(&class.usable).sum();
        match opening {
            Opening::Cheapest => float(class.cost),
            Opening::BestPrice => float(class.cost) / size.max(f64::MIN_POSITIVE),
            Opening::Largest => -size,
        }
    }

    /// Places all replicas of `unit`, or none.
    pub(super) fn place(&self, state: &mut State<'_>, unit: usize, taste: Taste) -> bool {
        for _ in 0..state.unit(unit).copies {
            let Some(bin) = self.choose(state, unit, taste) else {
                state.take_all(unit);
                return false;
            };
            state.put(unit, bin);
        }
        true
    }

    /// Where the next replica of `unit` goes: first by the bytes that move, then onto a bin in use, then by taste.
    fn choose(&self, state: &mut State<'_>, unit: usize, taste: Taste) -> Option<usize> {
        let model = state.model;
        let needs = &model.units[unit];
        let mut best: Option<((u64, bool, f64), usize)> = None;
        let is_less = |a: &(u64, bool, f64), b: &(u64, bool, f64)| {
            (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| a.2.total_cmp(&b.2)) == Ordering::Less
        };
        for bin in 0..state.bins.len() {
            if !state.admits(bin, unit) {
                continue;
            }
            let found = &state.bins[bin];
            let is_empty = found.members == 0;
            let rank = if is_empty {
                self.price(model, found.class, taste.opening)
            } else {
                self.misfit(&found.free, needs, taste.fit)
            };
            let key = (model.moving(needs, bin).0, is_empty, rank);
            if best.as_ref().is_none_or(|(least, _)| is_less(&key, least)) {
                best = Some((key, bin));
            }
            if taste.fit == Fit::First && key.0 == 0 && !is_empty {
                break;
            }
        }
        if best.as_ref().is_some_and(|((moved, is_empty, _), _)| !is_empty && *moved <= needs.away.0) {
            return best.map(|(_, bin)| bin);
        }
        let classes = (0..model.classes.len()).filter(|&class| state.admits_new(class, unit));
        let prices = classes.map(|class| (self.price(model, class, taste.opening), class));
        let cheapest = prices.min_by(|a, b| a.0.total_cmp(&b.0));
        match (best, cheapest) {
            (Some((key, bin)), Some((price, _))) if !is_less(&(needs.away.0, true, price), &key) => Some(bin),
            (_, Some((_, class))) => Some(state.open(class)),
            (best, None) => best.map(|(_, bin)| bin),
        }
    }
}

/// Units by `measure`, the largest first; before them those with few places to go, where `picky_first`.
pub(super) fn order_by(model: &Model, weights: &Weights, measure: Measure, picky_first: bool) -> Vec<usize> {
    let choices = |unit: &Unit| {
        let suited = (0..model.classes.len()).filter(|&class| model.suits(unit, class));
        suited.fold(0_usize, |sum, class| sum.saturating_add(model.classes[class].count))
    };
    let keys: Vec<(usize, f64)> = model
        .units
        .iter()
        .map(|unit| {
            let is_picky = picky_first && (unit.allowed.is_some() || unit.copies > 1);
            let choices =
                if is_picky { choices(unit).checked_div(unit.copies).unwrap_or(0) } else { usize::MAX };
            (choices, weights.measure(unit, measure))
        })
        .collect();
    let mut order: Vec<usize> = (0..model.units.len()).collect();
    order.sort_by(|&a, &b| keys[a].0.cmp(&keys[b].0).then_with(|| keys[b].1.total_cmp(&keys[a].1)));
    // What stands somewhere stays there, as far as it can.
    order.sort_by_key(|&unit| model.units[unit].home.is_empty());
    order
}

/// Places the units of `order` one after the other.
pub(super) fn by_unit(
    model: &Model,
    weights: &Weights,
    order: &[usize],
    taste: Taste,
    watch: &mut Watch<'_>,
) -> Solution {
    let mut state = State::new(model);
    for &unit in order {
        if watch.spent(state.bins.len().saturating_mul(8)) {
            break;
        }
        weights.place(&mut state, unit, taste);
    }
    state.solution()
}

/// Fills one device after the other with what fits it best.
pub(super) fn by_bin(model: &Model, weights: &Weights, taste: Taste, watch: &mut Watch<'_>) -> Solution {
    let mut state = State::new(model);
    let mut waiting: Vec<usize> = (0..model.units.len()).collect();
    let mut classes: Vec<usize> = (0..model.classes.len()).collect();
    classes.sort_by(|&a, &b| {
        weights.price(model, a, taste.opening).total_cmp(&weights.price(model, b, taste.opening))
    });
    for class in classes {
        while state.left[class] > 0 && !waiting.is_empty() {
            let bin = state.open(class);
            fill(&mut state, weights, bin, &mut waiting, taste.fit, watch);
            if state.bins[bin].members == 0 {
                break;
            }
            if watch.spent(1) {
                return state.solution();
            }
        }
    }
    drop_partly_placed(&mut state);
    state.solution()
}

/// Adds the best fitting replica to `bin` until none fits.
fn fill(
    state: &mut State<'_>,
    weights: &Weights,
    bin: usize,
    waiting: &mut Vec<usize>,
    fit: Fit,
    watch: &mut Watch<'_>,
) {
    loop {
        if watch.spent(waiting.len().saturating_mul(8)) {
            return;
        }
        let fitting = waiting.iter().enumerate().filter(|&(_, &unit)| state.admits(bin, unit));
        let rated = fitting.map(|(at, &unit)| {
            (weights.misfit(&state.bins[bin].free, &state.model.units[unit], fit), at, unit)
        });
        let Some((_, at, unit)) = rated.min_by(|a, b| a.0.total_cmp(&b.0)) else { return };
        state.put(unit, bin);
        if state.places[unit].len() == state.unit(unit).copies {
            waiting.remove(at);
        }
    }
}

fn drop_partly_placed(state: &mut State<'_>) {
    for unit in 0..state.places.len() {
        if state.places[unit].len() < state.unit(unit).copies {
            state.take_all(unit);
        }
    }
}
