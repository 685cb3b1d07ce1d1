//! Resources made from others: every placement keeps to them, and bounds by them are often sharper.
//!
//! A derived resource gives each unit a demand and each device a capacity such that what fits a device in the true
//! resources fits it in the derived one too. Whatever bounds do with true resources is then valid for it. There are
//! three sorts, all in integers:
//!
//! - *thresholds* `t`: a demand of `x` counts as `ceil(x / t) - 1`, a capacity likewise. With `t` half a capacity it counts
//!   what is larger than that half. (Sums of numbers each above `m_i t` exceed `t` times the sum of the `m_i`.)
//! - *large fills all* (Martello and Toth's L2, a dual feasible function): with `C` the largest capacity and `a <= C / 2`,
//!   demands above `C - a` count as `C`, those below `a` as nothing; so do capacities above `C - a`.
//! - the *sum* of all resources, each in parts of its largest capacity: demands rounded down, capacities up.

use crate::placement::bounds::cover_cost;
use crate::placement::model::{Class, Unit};

/// Derived resources of one sort and true resource: those with the best bound are kept.
const KEPT: usize = 2;
/// Thresholds and cuts tried for a resource.
const TRIED: usize = 64;
/// Parts of a capacity in the sum of resources; small enough that sums over all replicas stay far below 2^64.
const PARTS: u128 = 1 << 32;

/// A derived resource: demands of the units, capacities of the classes.
struct Derived {
    demands: Vec<u64>,
    capacities: Vec<u64>,
}

impl Derived {
    /// What devices cost at least that cover it; none where no devices do.
    fn bound(&self, units: &[Unit], classes: &[Class]) -> u64 {
        let needed = units.iter().zip(&self.demands).fold(0_u64, |sum, (unit, &demand)| {
            sum.saturating_add(demand.saturating_mul(unit.copies as u64))
        });
        let mut order: Vec<usize> = (0..classes.len()).collect();
        by_price(&mut order, classes, |class| self.capacities[class]);
        let available = |class: usize| classes[class].count;
        let cover = cover_cost(
            needed,
            &order,
            |class| self.capacities[class],
            |class| classes[class].cost,
            available,
        );
        cover.unwrap_or(u64::MAX)
    }
}

/// Sorts classes by their cost for what they hold, the cheapest first.
pub(super) fn by_price(order: &mut [usize], classes: &[Class], capacity: impl Fn(usize) -> u64) {
    let product = |cost: usize, amount: usize| {
        u128::from(classes[cost].cost).saturating_mul(u128::from(capacity(amount)))
    };
    order.sort_by(|&a, &b| {
        let empty = (capacity(a) == 0).cmp(&(capacity(b) == 0));
        empty.then_with(|| product(a, b).cmp(&product(b, a))).then_with(|| capacity(b).cmp(&capacity(a)))
    });
}

/// Adds derived resources to the demands of `units` and the capacities of `classes`.
pub(super) fn append(resources: usize, units: &mut [Unit], classes: &mut [Class]) {
    let limited: Vec<usize> = (0..resources)
        .filter(|&resource| classes.iter().all(|class| class.usable[resource] < u64::MAX))
        .filter(|&resource| units.iter().any(|unit| unit.demand[resource] > 0))
        .collect();
    let mut kept = Vec::new();
    for &resource in &limited {
        let thresholds =
            thresholds(resource, classes).into_iter().map(|t| by_threshold(resource, t, units, classes));
        kept.extend(best(thresholds, units, classes));
        let cuts =
            cuts(resource, units, classes).into_iter().map(|cut| by_cut(resource, cut, units, classes));
        kept.extend(best(cuts, units, classes));
    }
    if limited.len() > 1 {
        kept.push(by_sum(&limited, units, classes));
    }
    for Derived { demands, capacities } in kept {
        units.iter_mut().zip(demands).for_each(|(unit, demand)| unit.demand.push(demand));
        classes.iter_mut().zip(capacities).for_each(|(class, capacity)| class.usable.push(capacity));
    }
}

/// The best by their bounds, those that mean nothing left out.
fn best(all: impl Iterator<Item = Derived>, units: &[Unit], classes: &[Class]) -> Vec<Derived> {
    let mut rated: Vec<(u64, Derived)> = all
        .filter(|derived| derived.demands.iter().any(|&demand| demand > 0))
        .map(|derived| (derived.bound(units, classes), derived))
        .collect();
    rated.sort_by_key(|(bound, _)| std::cmp::Reverse(*bound));
    rated.truncate(KEPT);
    rated.into_iter().map(|(_, derived)| derived).collect()
}

fn capacities(resource: usize, classes: &[Class]) -> Vec<u64> {
    let mut all: Vec<u64> =
        classes.iter().map(|class| class.usable[resource]).filter(|&usable| usable > 0).collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.dedup();
    all
}

/// A half, a third … of every capacity.
fn thresholds(resource: usize, classes: &[Class]) -> Vec<u64> {
    let parts = capacities(resource, classes)
        .into_iter()
        .flat_map(|capacity| (2..=5_u64).map(move |part| capacity.checked_div(part).unwrap_or(0).max(1)));
    let mut thresholds: Vec<u64> = parts.take(TRIED).collect();
    thresholds.sort_unstable();
    thresholds.dedup();
    thresholds
}

fn by_threshold(resource: usize, threshold: u64, units: &[Unit], classes: &[Class]) -> Derived {
    let count = |amount: u64| amount.div_ceil(threshold).saturating_sub(1);
    Derived {
        demands: units.iter().map(|unit| count(unit.demand[resource])).collect(),
        capacities: classes.iter().map(|class| count(class.usable[resource])).collect(),
    }
}

/// Demands up to half of the largest capacity, evenly chosen where there are many.
fn cuts(resource: usize, units: &[Unit], classes: &[Class]) -> Vec<u64> {
    let largest = capacities(resource, classes).first().copied().unwrap_or(0);
    let mut cuts: Vec<u64> = units
        .iter()
        .map(|unit| unit.demand[resource])
        .filter(|&demand| demand > 0 && demand <= largest.checked_div(2).unwrap_or(0))
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    let step = cuts.len().div_ceil(TRIED).max(1);
    cuts.into_iter().step_by(step).collect()
}

fn by_cut(resource: usize, cut: u64, units: &[Unit], classes: &[Class]) -> Derived {
    let largest = capacities(resource, classes).first().copied().unwrap_or(0);
    let all_from = largest.saturating_sub(cut);
    let demand = |amount: u64| match amount {
        amount if amount > largest => amount,
        amount if amount > all_from => largest,
        amount if amount < cut => 0,
        amount => amount,
    };
    Derived {
        demands: units.iter().map(|unit| demand(unit.demand[resource])).collect(),
        capacities: classes
            .iter()
            .map(|class| class.usable[resource])
            .map(|usable| if usable > all_from { largest } else { usable })
            .collect(),
    }
}

fn by_sum(resources: &[usize], units: &[Unit], classes: &[Class]) -> Derived {
    let wholes: Vec<(usize, u128)> = resources
        .iter()
        .map(|&resource| (resource, capacities(resource, classes).first().copied().unwrap_or(0)))
        .filter(|&(_, whole)| whole > 0)
        .map(|(resource, whole)| (resource, u128::from(whole)))
        .collect();
    // What is larger than the largest device fits nowhere, so that its part does not matter.
    let parts = |amount: u64, whole: u128| u128::from(amount).min(whole).saturating_mul(PARTS);
    let sum = |amounts: &[u64], part: &dyn Fn(u64, u128) -> u128| {
        let parts = wholes.iter().map(|&(resource, whole)| part(amounts[resource], whole));
        parts.fold(0_u64, |sum, part| sum.saturating_add(u64::try_from(part).unwrap_or(u64::MAX)))
    };
    let down = |amount: u64, whole: u128| parts(amount, whole).checked_div(whole).unwrap_or(0);
    let up = |amount: u64, whole: u128| parts(amount, whole).div_ceil(whole);
    Derived {
        demands: units.iter().map(|unit| sum(&unit.demand, &down)).collect(),
        capacities: classes.iter().map(|class| sum(&class.usable, &up)).collect(),
    }
}
