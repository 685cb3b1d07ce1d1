//! Lower bounds on the cost of what is not placed yet, and upper bounds on its value.

use std::cmp::Ordering;

use crate::placement::derived::by_price;
use crate::placement::model::{Class, Model, Unit};
use crate::placement::state::State;

/// What devices cost at least that hold `needed` together, the last one in part, rounded up. `None` where all do not.
///
/// `order` has the classes by cost for their capacity, the cheapest first: this is the optimum of the fractional cover.
pub(super) fn cover_cost(
    needed: u64,
    order: &[usize],
    capacity: impl Fn(usize) -> u64,
    cost: impl Fn(usize) -> u64,
    available: impl Fn(usize) -> usize,
) -> Option<u64> {
    let (mut rest, mut paid) = (needed, 0_u64);
    for &class in order {
        if rest == 0 {
            break;
        }
        let (capacity, cost, available) = (capacity(class), cost(class), available(class) as u64);
        let Some(whole) = rest.checked_div(capacity) else { continue };
        if whole < available {
            paid = paid.saturating_add(whole.saturating_mul(cost));
            let part = u128::from(rest.saturating_sub(whole.saturating_mul(capacity)));
            let part = part.saturating_mul(u128::from(cost)).div_ceil(u128::from(capacity));
            return Some(paid.saturating_add(u64::try_from(part).unwrap_or(u64::MAX)));
        }
        paid = paid.saturating_add(available.saturating_mul(cost));
        rest = rest.saturating_sub(available.saturating_mul(capacity));
    }
    (rest == 0).then_some(paid)
}

/// Whose units, and which of their demands, must be covered.
struct Demandant {
    /// `None` for all units, else those restricted to this set of classes.
    set: Option<usize>,
    resource: usize,
    /// Its classes, by cost for capacity.
    order: Vec<usize>,
    /// The most that whole devices hold for each number of cost steps, as far as it matters.
    whole: Vec<u64>,
}

/// What can be computed once for all nodes of a search.
pub(super) struct Bounds {
    demandants: Vec<Demandant>,
    /// For each resource the units by value for demand, the best first.
    by_density: Vec<Vec<usize>>,
    /// What every cost is a multiple of.
    step: u64,
}

/// What bounds know of the units that are not placed: `true` for those that count.
pub(super) type Mask<'a> = &'a [bool];

impl Bounds {
    /// The most sets of classes for which covers are computed, beside that of all.
    const SETS: usize = 8;
    /// In place of the resource, where a bound is not the fractional cover by all devices.
    const OTHER: usize = usize::MAX;

    pub(super) fn new(model: &Model) -> Self {
        let width = model.classes.first().map_or(0, |class| class.usable.len());
        let mut sets = vec![None];
        let is_shared =
            |set: &usize| model.units.iter().filter(|unit| unit.allowed == Some(*set)).count() > 1;
        sets.extend((0..model.allowed.len()).filter(is_shared).take(Self::SETS).map(Some));
        let step =
            model.classes.iter().fold(0, |step, class| greatest_common_divisor(step, class.cost)).max(1);
        let mut demandants = Vec::new();
        for set in sets {
            for resource in 0..width {
                let concerned = |unit: &&Unit| set.is_none() || unit.allowed == set;
                if model.units.iter().filter(concerned).all(|unit| unit.demand[resource] == 0) {
                    continue;
                }
                let in_set = |class: &usize| set.is_none_or(|set| model.allowed[set][*class]);
                let mut order: Vec<usize> = (0..model.classes.len()).filter(in_set).collect();
                by_price(&mut order, &model.classes, |class| model.classes[class].usable[resource]);
                let whole = whole_covers(model, resource, &order, step);
                demandants.push(Demandant { set, resource, order, whole });
            }
        }
        let by_density = if model.may_drop { by_density(model, width) } else { Vec::new() };
        Self { demandants, by_density, step }
    }

    /// What the devices still to be taken into use cost at least, for the units of `mask` to be placed beside what is;
    /// with the resource that says so. `None` where they cannot be placed.
    pub(super) fn more_cost(&self, state: &State<'_>, mask: Mask<'_>) -> Option<(u64, usize)> {
        let model = state.model;
        let mut spare: Vec<usize> = state.left.clone();
        for bin in state.bins.iter().filter(|bin| bin.members == 0) {
            spare[bin.class] = spare[bin.class].saturating_add(1);
        }
        let mut most = (0_u64, 0);
        for Demandant { set, resource, order, whole } in &self.demandants {
            let needed = model.units.iter().zip(mask).zip(&state.places).fold(
                0_u64,
                |sum, ((unit, &counts), places)| {
                    let concerned = counts && (set.is_none() || unit.allowed == *set);
                    let copies = if concerned { unit.copies.saturating_sub(places.len()) as u64 } else { 0 };
                    sum.saturating_add(unit.demand[*resource].saturating_mul(copies))
                },
            );
            let usable = |class: usize| set.is_none_or(|set| model.allowed[set][class]);
            let room = state.bins.iter().filter(|bin| bin.members > 0 && usable(bin.class));
            let room = room.fold(0_u64, |sum, bin| sum.saturating_add(bin.free[*resource]));
            let excess = needed.saturating_sub(room);
            if excess == 0 {
                continue;
            }
            let classes = &model.classes;
            let cost = cover_cost(
                excess,
                order,
                |class| classes[class].usable[*resource],
                |class| classes[class].cost,
                |class| spare[class],
            )?;
            if cost > most.0 {
                most = (cost, if set.is_none() { *resource } else { Self::OTHER });
            }
            let steps = whole.partition_point(|&held| held < excess) as u64;
            let in_whole = steps.saturating_mul(self.step);
            if in_whole > self.rounded(most.0) {
                most = (in_whole, Self::OTHER);
            }
        }
        Some((self.rounded(most.0), most.1))
    }

    /// Up to a multiple of what all costs are multiples of.
    pub(super) fn rounded(&self, cost: u64) -> u64 {
        cost.div_ceil(self.step).checked_mul(self.step).unwrap_or(cost)
    }

    /// What the units of `mask` that find room are worth at most: for each resource the fractional knapsack of all room
    /// together, the least of them. Units that are partly placed take their room first.
    pub(super) fn most_value(&self, state: &State<'_>, mask: Mask<'_>) -> u64 {
        let values = self.by_density.iter().enumerate().map(|(resource, order)| {
            let room = state.bins.iter().map(|bin| bin.free[resource]);
            let spare = state.left.iter().zip(&state.model.classes);
            let spare = spare.map(|(&left, class)| class.usable[resource].saturating_mul(left as u64));
            let room = room.chain(spare).fold(0_u64, u64::saturating_add);
            fractional_knapsack(
                order.iter().filter(|&&unit| mask[unit]).map(|&unit| &state.model.units[unit]),
                resource,
                room,
            )
        });
        values.min().unwrap_or(u64::MAX)
    }
}

/// The most of `resource` that whole devices of `order` hold for each cost, in steps from zero: a bounded knapsack. Ends
/// where that covers all units, and where it would become too long; empty where there would be too much to compute.
fn whole_covers(model: &Model, resource: usize, order: &[usize], step: u64) -> Vec<u64> {
    const LONGEST: usize = 1024;
    const MOST_DEVICES: usize = 2000;
    let classes = || order.iter().map(|&class| &model.classes[class]);
    if classes().fold(0_usize, |sum, class| sum.saturating_add(class.count)) > MOST_DEVICES {
        return Vec::new();
    }
    let steps_of =
        |class: &Class| usize::try_from(class.cost.checked_div(step).unwrap_or(0)).unwrap_or(usize::MAX);
    let mut most = vec![0_u64; LONGEST];
    for class in classes() {
        let (steps, usable) = (steps_of(class), class.usable[resource]);
        if steps == 0 {
            let free = usable.saturating_mul(class.count as u64);
            for held in &mut most {
                *held = held.saturating_add(free);
            }
            continue;
        }
        for _ in 0..class.count.min(LONGEST.checked_div(steps).unwrap_or(0)) {
            for cost in (steps..LONGEST).rev() {
                most[cost] = most[cost].max(most[cost.saturating_sub(steps)].saturating_add(usable));
            }
        }
    }
    let needed = model.units.iter().fold(0_u64, |sum, unit| {
        sum.saturating_add(unit.demand[resource].saturating_mul(unit.copies as u64))
    });
    let end = most.partition_point(|&held| held < needed);
    most.truncate(end.saturating_add(1));
    most
}

fn fractional_knapsack<'a>(units: impl Iterator<Item = &'a Unit>, resource: usize, room: u64) -> u64 {
    let (mut rest, mut value) = (room, 0_u64);
    for unit in units {
        let demand = unit.demand[resource].saturating_mul(unit.copies as u64);
        if demand > rest {
            let part =
                u128::from(unit.value).saturating_mul(u128::from(rest)).checked_div(u128::from(demand));
            return value.saturating_add(part.and_then(|part| u64::try_from(part).ok()).unwrap_or(0));
        }
        rest = rest.saturating_sub(demand);
        value = value.saturating_add(unit.value);
    }
    value
}

fn by_density(model: &Model, width: usize) -> Vec<Vec<usize>> {
    let sorted = |resource: usize| {
        let mut order: Vec<usize> = (0..model.units.len()).collect();
        order.sort_by(|&a, &b| denser(&model.units[a], &model.units[b], resource));
        order
    };
    (0..width).map(sorted).collect()
}

/// The order of two units by value for what they need of a resource, the densest first.
pub(super) fn denser(a: &Unit, b: &Unit, resource: usize) -> Ordering {
    let demand = |unit: &Unit| u128::from(unit.demand[resource].saturating_mul(unit.copies as u64));
    let product = |value: &Unit, other: &Unit| u128::from(value.value).saturating_mul(demand(other));
    product(b, a).cmp(&product(a, b))
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a
}

/// Units of which no two fit on one device, found greedily: so many devices are needed.
///
/// Replicas count one by one. `mask` has the units that must be placed.
pub(super) fn devices_needed(model: &Model, mask: Mask<'_>) -> usize {
    let mut order: Vec<usize> = (0..model.units.len()).filter(|&unit| mask[unit]).collect();
    order.sort_by_key(|&unit| std::cmp::Reverse(model.units[unit].demand.first().copied()));
    let mut clique: Vec<usize> = Vec::new();
    for unit in order {
        if clique.iter().all(|&other| are_foes(model, unit, other)) {
            clique.push(unit);
        }
    }
    clique.iter().map(|&unit| model.units[unit].copies).sum()
}

fn are_foes(model: &Model, a: usize, b: usize) -> bool {
    let (a, b) = (&model.units[a], &model.units[b]);
    if a.groups.iter().any(|group| b.groups.contains(group)) {
        return true;
    }
    let both: Vec<u64> = a.demand.iter().zip(&b.demand).map(|(a, b)| a.saturating_add(*b)).collect();
    let holds = |class: usize| {
        let set = |unit: &Unit| unit.allowed.is_none_or(|set| model.allowed[set][class]);
        let room = &model.classes[class].usable;
        set(a) && set(b) && room.iter().zip(&both).all(|(room, both)| room >= both)
    };
    !(0..model.classes.len()).any(holds)
}

/// What the cheapest `devices` cost; `None` where there are not so many.
pub(super) fn cheapest(model: &Model, devices: usize) -> Option<u64> {
    let mut classes: Vec<(u64, usize)> =
        model.classes.iter().map(|class| (class.cost, class.count)).collect();
    classes.sort_unstable();
    let (mut rest, mut paid) = (devices, 0_u64);
    for (cost, count) in classes {
        let taken = rest.min(count);
        paid = paid.saturating_add(cost.saturating_mul(taken as u64));
        rest = rest.saturating_sub(taken);
    }
    (rest == 0).then_some(paid)
}
