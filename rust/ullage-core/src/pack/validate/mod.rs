//! [`validate`](fn@validate): a plan checked against its problem by someone who does not know how it was made.

mod proofs;

use crate::error::{Error, Result};
use crate::pack::plan::{Infeasibility, Plan, PlannedBin};
use crate::pack::problem::{BinKind, Problem};
use crate::solving::Status;
use crate::units::Bytes;

/// Checks every fact that `plan` states.
///
/// Not checkable, and taken on trust: a proof by search, of a lower bound or of infeasibility.
///
/// # Errors
/// [`Error::Violation`] with the first violated fact.
pub fn validate(problem: &Problem, plan: &Plan) -> Result<()> {
    bins_exist(problem, plan)?;
    let held = items_in_bins(problem, plan)?;
    let used = held.iter().filter(|&&(items, _)| items > 0).count();
    holds(plan.bins_used == used, || format!("{used} bins hold an item, bins_used is {}", plan.bins_used))?;
    status_agrees(plan)?;
    bound_holds(problem, plan)?;
    match plan.reason {
        Some(reason) => reason_holds(problem, reason),
        None => Ok(()),
    }
}

fn holds(fact: bool, broken: impl FnOnce() -> String) -> Result<()> {
    if fact { Ok(()) } else { Err(Error::Violation { fact: broken() }) }
}

/// Every bin is a copy of its kind that exists, and is listed once, in order.
fn bins_exist(problem: &Problem, plan: &Plan) -> Result<()> {
    for (index, bin) in plan.bins.iter().enumerate() {
        let PlannedBin { kind, copy, capacity, .. } = *bin;
        let Some(BinKind { name, capacity: real, count }) = problem.kinds().get(kind) else {
            return holds(false, || format!("bin {index} is of kind {kind}, which the problem lacks"));
        };
        holds(count.is_none_or(|count| copy < count), || {
            format!("bin {index} is copy {copy} of {name:?}, of which there are {}", count.unwrap_or(0))
        })?;
        holds(capacity == *real, || {
            format!("bin {index} has {} bytes, its kind {name:?} {}", capacity.get(), real.get())
        })?;
    }
    let ordered = plan.bins.is_sorted_by(|a, b| (a.kind, a.copy) < (b.kind, b.copy));
    holds(ordered, || "the bins are not in the order of kind and copy, or one is listed twice".to_owned())
}

/// Every item is in one bin or unplaced, no bin is over-full, and the loads are what they say. Returns the number of
/// items and the load of each bin.
fn items_in_bins(problem: &Problem, plan: &Plan) -> Result<Vec<(usize, u128)>> {
    let sizes = problem.sizes();
    holds(plan.assignment.len() == sizes.len(), || {
        format!("{} items are assigned, the problem has {}", plan.assignment.len(), sizes.len())
    })?;
    let mut held = vec![(0_usize, 0_u128); plan.bins.len()];
    let mut nowhere = Vec::new();
    for (item, (bin, size)) in plan.assignment.iter().zip(sizes).enumerate() {
        let Some(bin) = *bin else {
            nowhere.push(item);
            continue;
        };
        let Some((items, load)) = held.get_mut(bin) else {
            return Err(Error::Violation {
                fact: format!("item {item} is in bin {bin}, of {} bins", plan.bins.len()),
            });
        };
        *items = items.saturating_add(1);
        *load = load.saturating_add(u128::from(size.get()));
    }
    holds(plan.unplaced == nowhere, || {
        format!("{} items have no bin, {} others are listed as unplaced", nowhere.len(), plan.unplaced.len())
    })?;
    for (index, (bin, (_, load))) in plan.bins.iter().zip(&held).enumerate() {
        holds(*load <= u128::from(bin.capacity.get()), || {
            format!("bin {index} holds {load} bytes, more than its capacity of {}", bin.capacity.get())
        })?;
        holds(*load == u128::from(bin.load.get()), || {
            format!("bin {index} holds {load} bytes, its load is given as {}", bin.load.get())
        })?;
    }
    Ok(held)
}

fn status_agrees(plan: &Plan) -> Result<()> {
    let Plan { status, bins_used, lower_bound, .. } = plan;
    let complete = plan.unplaced.is_empty();
    let agrees = match status {
        Status::Optimal => complete && bins_used == lower_bound,
        Status::Feasible => complete && bins_used > lower_bound,
        Status::Infeasible | Status::Timeout => !complete,
    };
    holds(agrees, || {
        let unplaced = plan.unplaced.len();
        format!(
            "{status} with {unplaced} items unplaced, {bins_used} bins and a lower bound of {lower_bound}"
        )
    })?;
    holds(plan.reason.is_some() == (*status == Status::Infeasible), || {
        format!("{status}, and the reason for infeasibility is {:?}", plan.reason)
    })
}

fn bound_holds(problem: &Problem, plan: &Plan) -> Result<()> {
    if plan.reason.is_some() {
        return holds(plan.lower_bound == 0, || "an infeasible problem has a lower bound".to_owned());
    }
    let proven = proofs::bins(problem, plan.proof);
    holds(proven.is_none_or(|bins| plan.lower_bound <= bins), || {
        format!("the lower bound is {}, its proof {:?} gives {proven:?}", plan.lower_bound, plan.proof)
    })
}

fn reason_holds(problem: &Problem, reason: Infeasibility) -> Result<()> {
    let fact = match reason {
        Infeasibility::ItemTooLarge { item, size, largest } => {
            problem.sizes().get(item) == Some(&size) && largest == largest_bin(problem) && size > largest
        }
        Infeasibility::TooLittleCapacity { above, needed, available } => {
            let larger = problem.sizes().iter().filter(|&&size| size > above);
            let total: u128 = larger.map(|size| u128::from(size.get())).sum();
            let room: u128 = largest_bins(problem, above)
                .fold(0, |sum, capacity| sum.saturating_add(u128::from(capacity)));
            needed == total && available == room && needed > available
        }
        Infeasibility::TooFewBins { proof, needed, available } => {
            proofs::bins(problem, proof).is_some_and(|bins| needed <= bins)
                && available == largest_bins(problem, Bytes::ZERO).count()
                && needed > available
        }
        Infeasibility::SearchExhausted => true,
    };
    holds(fact, || format!("the reason for infeasibility is not true: {reason}"))
}

fn largest_bin(problem: &Problem) -> Bytes {
    problem.kinds().iter().map(|kind| kind.capacity).max().unwrap_or(Bytes::ZERO)
}

/// Capacities above `above`, one entry a bin, the largest first and no more than there are items.
fn largest_bins(problem: &Problem, above: Bytes) -> impl Iterator<Item = u64> {
    let mut kinds: Vec<(u64, Option<u64>)> =
        problem.kinds().iter().map(|kind| (kind.capacity.get(), kind.count)).collect();
    kinds.sort_unstable_by(|a, b| b.cmp(a));
    let items = problem.sizes().len();
    let copies = move |(capacity, count): (u64, Option<u64>)| {
        let count = count.map_or(items, |count| usize::try_from(count).unwrap_or(items));
        std::iter::repeat_n(capacity, count)
    };
    let bins = kinds.into_iter().flat_map(copies).take(items);
    bins.take_while(move |&capacity| capacity > above.get())
}
