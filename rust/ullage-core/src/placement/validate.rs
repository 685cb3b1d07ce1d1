//! [`validate`](fn@validate): a placement checked against its problem by someone who does not know how it was made.

use crate::error::{Error, Result};
use crate::placement::answer::{PlacedBin, Placement, Proof};
use crate::placement::conflict::Demand;
use crate::placement::problem::{Keep, Problem, Rule};
use crate::solving::Status;

/// Checks every fact that `placement` states.
///
/// Not checkable, and taken on trust: proofs by search, by the number of devices and by weighted sums, of bounds and of
/// a conflict. A bound by the cover of one resource is computed anew.
///
/// # Errors
/// [`Error::Violation`] with the first violated fact.
pub fn validate(problem: &Problem, placement: &Placement) -> Result<()> {
    devices_exist(problem, placement)?;
    replicas_are_placed(problem, placement)?;
    loads_add_up(problem, placement)?;
    problem.rules().iter().try_for_each(|rule| rule_is_kept(problem, placement, rule))?;
    sums_are_right(problem, placement)?;
    status_agrees(problem, placement)?;
    bound_holds(problem, placement)?;
    conflict_speaks_of_the_problem(problem, placement)
}

fn holds(fact: bool, broken: impl FnOnce() -> String) -> Result<()> {
    if fact { Ok(()) } else { Err(Error::Violation { fact: broken() }) }
}

fn devices_exist(problem: &Problem, placement: &Placement) -> Result<()> {
    for (index, bin) in placement.bins.iter().enumerate() {
        let Some(kind) = problem.kinds().get(bin.kind) else {
            return holds(false, || {
                format!("device {index} is of kind {}, which the problem lacks", bin.kind)
            });
        };
        holds(kind.count.is_none_or(|count| bin.copy < count), || {
            let count = kind.count.unwrap_or(0);
            format!("device {index} is copy {} of {:?}, of which there are {count}", bin.copy, kind.name)
        })?;
    }
    let place = |bin: &PlacedBin| (bin.kind, bin.copy);
    holds(placement.bins.is_sorted_by(|a, b| place(a) < place(b)), || {
        "the devices are not in the order of kind and copy, or one is listed twice".to_owned()
    })
}

fn replicas_are_placed(problem: &Problem, placement: &Placement) -> Result<()> {
    let Placement { assignment, bins, unplaced, .. } = placement;
    holds(assignment.len() == problem.items().len(), || {
        format!("{} items are assigned, the problem has {}", assignment.len(), problem.items().len())
    })?;
    for (item, places) in problem.items().iter().zip(assignment) {
        holds(places.iter().all(|&place| place < bins.len()), || {
            format!("{:?} is on devices {places:?}, of {}", item.name, bins.len())
        })?;
        holds(places.is_sorted_by(|a, b| a < b), || {
            format!("replicas of {:?} share a device, or are out of order: {places:?}", item.name)
        })?;
        holds(places.is_empty() || places.len() == item.replicas as usize, || {
            format!("{:?} has {} replicas of {}", item.name, places.len(), item.replicas)
        })?;
    }
    let nowhere = assignment.iter().enumerate().filter(|(_, places)| places.is_empty());
    let nowhere: Vec<usize> = nowhere.map(|(item, _)| item).collect();
    holds(*unplaced == nowhere, || {
        format!("{} items have no place, {} are listed as unplaced", nowhere.len(), unplaced.len())
    })
}

fn loads_add_up(problem: &Problem, placement: &Placement) -> Result<()> {
    let width = problem.resources().len();
    let mut loads = vec![vec![0_u128; width]; placement.bins.len()];
    for (item, places) in problem.items().iter().zip(&placement.assignment) {
        for &place in places {
            for (load, &demand) in loads[place].iter_mut().zip(&item.demand) {
                *load = load.saturating_add(u128::from(demand));
            }
        }
    }
    for (index, (bin, loads)) in placement.bins.iter().zip(&loads).enumerate() {
        holds(bin.load.iter().map(|&load| u128::from(load)).eq(loads.iter().copied()), || {
            format!("device {index} holds {loads:?}, its load is given as {:?}", bin.load)
        })?;
        for (resource, &load) in loads.iter().enumerate() {
            let usable = problem.kinds()[bin.kind].usable(resource);
            holds(usable.is_none_or(|usable| load <= u128::from(usable)), || {
                let name = &problem.resources()[resource].name;
                format!("device {index} holds {load} of {name}, more than the {} it may", usable.unwrap_or(0))
            })?;
        }
    }
    Ok(())
}

fn rule_is_kept(problem: &Problem, placement: &Placement, rule: &Rule) -> Result<()> {
    let places_of = |item: usize| placement.assignment[item].as_slice();
    let name = |item: usize| problem.item_name(item);
    match rule {
        Rule::Only { item, spots } => {
            let allowed = |&place: &usize| {
                let PlacedBin { kind, copy, .. } = placement.bins[place];
                spots.iter().any(|spot| spot.kind == kind && spot.copy.is_none_or(|only| only == copy))
            };
            holds(places_of(*item).iter().all(allowed), || {
                format!("{:?} is on devices {:?}, not all of them allowed", name(*item), places_of(*item))
            })
        }
        Rule::Together(members) => members.windows(2).try_for_each(|pair| {
            holds(places_of(pair[0]) == places_of(pair[1]), || {
                format!("{:?} and {:?} are not together", name(pair[0]), name(pair[1]))
            })
        }),
        Rule::Apart(members) => {
            let mut holder = vec![None; placement.bins.len()];
            for &member in members {
                for &place in places_of(member) {
                    let before: Option<usize> = holder[place].replace(member);
                    holds(before.is_none(), || {
                        format!("{:?} and {:?} share device {place}", name(before.unwrap_or(0)), name(member))
                    })?;
                }
            }
            Ok(())
        }
    }
}

fn sums_are_right(problem: &Problem, placement: &Placement) -> Result<()> {
    let placed = problem.items().iter().zip(&placement.assignment).filter(|(_, places)| !places.is_empty());
    let value: u128 = placed.map(|(item, _)| u128::from(item.value)).sum();
    holds(value == u128::from(placement.value), || {
        format!("what is placed is worth {value}, the value is given as {}", placement.value)
    })?;
    let mut used = vec![false; placement.bins.len()];
    placement.assignment.iter().flatten().for_each(|&place| used[place] = true);
    let in_use = placement.bins.iter().zip(used).filter(|(_, used)| *used);
    let cost: u128 = in_use.map(|(bin, _)| u128::from(problem.kinds()[bin.kind].cost)).sum();
    holds(cost == u128::from(placement.cost), || {
        format!("the devices in use cost {cost}, the cost is given as {}", placement.cost)
    })
}

fn status_agrees(problem: &Problem, placement: &Placement) -> Result<()> {
    let Placement { status, value, value_bound, moved, moved_bound, cost, lower_bound, unplaced, .. } =
        placement;
    let closed = value == value_bound && moved == moved_bound && cost == lower_bound;
    let enough = unplaced.is_empty() || problem.keep() == Keep::BestValue;
    let agrees = match status {
        Status::Optimal => enough && closed,
        Status::Feasible => enough && !closed,
        Status::Infeasible | Status::Timeout => !enough,
    };
    holds(
        agrees && value <= value_bound && u128::from(*value_bound) <= u128::from(problem.total_value()),
        || {
            let left = unplaced.len();
            format!(
                "{status} with {left} items unplaced, a value of {value} (bound {value_bound}) and a cost of {cost} \
             (bound {lower_bound})"
            )
        },
    )?;
    holds(!enough || (lower_bound <= cost && moved_bound <= moved), || {
        format!(
            "a cost of {cost} (bound {lower_bound}) or {moved} bytes moved (bound {moved_bound}) are below the bound"
        )
    })?;
    holds(placement.conflict.is_some() == (*status == Status::Infeasible), || {
        format!("{status}, and the conflict is {:?}", placement.conflict)
    })
}

/// The bound by one resource, computed anew where everything has to be placed.
fn bound_holds(problem: &Problem, placement: &Placement) -> Result<()> {
    if placement.status == Status::Infeasible {
        return holds(placement.lower_bound == 0, || "an infeasible problem has a lower bound".to_owned());
    }
    let Proof::Cover { resource } = placement.proof else { return Ok(()) };
    holds(resource < problem.resources().len(), || format!("the bound speaks of resource {resource}"))?;
    if !placement.unplaced.is_empty() {
        return Ok(());
    }
    let needed = problem
        .items()
        .iter()
        .map(|item| u128::from(item.demand[resource]).saturating_mul(u128::from(item.replicas)));
    let cover = up_to_a_sum_of_costs(problem, cheapest_cover(problem, resource, needed.sum()));
    holds(u128::from(placement.lower_bound) <= cover, || {
        format!(
            "the lower bound is {}, its proof by resource {resource} gives {cover}",
            placement.lower_bound
        )
    })
}

/// What devices that hold `needed` of `resource` cost at least: the best value for its price first, the last one in
/// part, rounded up; and of any, the cheapest where anything is placed.
fn cheapest_cover(problem: &Problem, resource: usize, needed: u128) -> u128 {
    let usable =
        |kind: usize| problem.kinds()[kind].usable(resource).map_or(u128::from(u64::MAX), u128::from);
    let cost = |kind: usize| u128::from(problem.kinds()[kind].cost);
    let mut kinds: Vec<usize> = (0..problem.kinds().len()).filter(|&kind| usable(kind) > 0).collect();
    kinds.sort_by(|&a, &b| (cost(a).saturating_mul(usable(b))).cmp(&cost(b).saturating_mul(usable(a))));
    // No placement uses more devices than there are replicas.
    let replicas = problem.items().iter().map(|item| u128::from(item.replicas)).sum::<u128>();
    let (mut rest, mut paid) = (needed, 0_u128);
    for kind in kinds {
        let copies = problem.kinds()[kind].count.map_or(u128::MAX, u128::from).min(replicas);
        let whole = rest.checked_div(usable(kind)).unwrap_or(0).min(copies);
        paid = paid.saturating_add(whole.saturating_mul(cost(kind)));
        rest = rest.saturating_sub(whole.saturating_mul(usable(kind)));
        if whole < copies {
            return paid.saturating_add(rest.saturating_mul(cost(kind)).div_ceil(usable(kind)));
        }
    }
    if rest > 0 { u128::MAX } else { paid }
}

/// The least that is no less and a multiple of what all costs are multiples of.
fn up_to_a_sum_of_costs(problem: &Problem, cost: u128) -> u128 {
    let mut step = 0_u128;
    for kind in problem.kinds() {
        let mut other = u128::from(kind.cost);
        while let Some(rest) = step.checked_rem(other) {
            (step, other) = (other, rest);
        }
    }
    cost.checked_next_multiple_of(step).unwrap_or(cost)
}

fn conflict_speaks_of_the_problem(problem: &Problem, placement: &Placement) -> Result<()> {
    let Some(conflict) = &placement.conflict else { return Ok(()) };
    let exists = |demand: &Demand| match *demand {
        Demand::Item(item) | Demand::Replicas(item) => item < problem.items().len(),
        Demand::Rule(rule) => rule < problem.rules().len(),
        Demand::Resource(resource) => resource < problem.resources().len(),
        Demand::Reserve | Demand::Migrations => true,
    };
    let some_item = conflict.demands.iter().any(|demand| matches!(demand, Demand::Item(_)));
    holds(
        some_item && conflict.demands.iter().all(exists) && conflict.demands.is_sorted_by(|a, b| a < b),
        || format!("the conflict {:?} makes no sense", conflict.demands),
    )
}
