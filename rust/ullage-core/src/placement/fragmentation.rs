//! [`Fragmentation`]: how much of what is free can be used.

use crate::placement::answer::Placement;
use crate::placement::problem::Problem;

/// What is free of a resource, and how it lies.
///
/// Counted are the devices of kinds with a number of copies, in use or not, and of others those in use. A resource without
/// limit on any of them counts as nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fragmentation {
    /// What is free on all devices together, beside the reserves.
    pub free: u128,
    /// What is free on one device at most.
    pub largest_free: u64,
    /// What is free on devices on which the typical item fits no more: not for want of this resource alone, but of any.
    /// The typical item is the one with the median demand of the first resource, the larger of two.
    pub stranded: u128,
}

impl Fragmentation {
    /// The part of what is free that lies outside of the device with the most: `1 - largest_free / free`; 0 of nothing.
    #[must_use]
    pub fn external(&self) -> f64 {
        1.0 - ratio(u128::from(self.largest_free), self.free, 1.0)
    }

    /// `stranded / free`; 0 of nothing.
    #[must_use]
    pub fn stranded_share(&self) -> f64 {
        ratio(self.stranded, self.free, 0.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share to be read")]
fn ratio(part: u128, whole: u128, of_nothing: f64) -> f64 {
    if whole == 0 { of_nothing } else { part as f64 / whole as f64 }
}

/// How fragmented each resource is.
#[must_use]
pub fn fragmentation(problem: &Problem, placement: &Placement) -> Vec<Fragmentation> {
    let width = problem.resources().len();
    let mut all = vec![Fragmentation::default(); width];
    let typical = typical_demand(problem);
    let mut listed = vec![0_u64; problem.kinds().len()];
    for bin in &placement.bins {
        listed[bin.kind] = listed[bin.kind].saturating_add(1);
        add(problem, &mut all, bin.kind, &bin.load, 1, &typical);
    }
    let nothing = vec![0; width];
    for (kind, found) in problem.kinds().iter().enumerate() {
        let others = found.count.map_or(0, |count| count.saturating_sub(listed[kind]));
        add(problem, &mut all, kind, &nothing, others, &typical);
    }
    for (resource, found) in all.iter_mut().enumerate() {
        if problem.kinds().iter().any(|kind| kind.capacity[resource].is_none()) {
            *found = Fragmentation::default();
        }
    }
    all
}

fn typical_demand(problem: &Problem) -> Vec<u64> {
    let mut order: Vec<&[u64]> = problem.items().iter().map(|item| item.demand.as_slice()).collect();
    order.sort_unstable();
    let middle = order.len().checked_div(2).unwrap_or(0);
    order.get(middle).map_or_else(|| vec![0; problem.resources().len()], |demand| demand.to_vec())
}

/// Adds `copies` devices of `kind` that hold `load` each.
fn add(
    problem: &Problem,
    all: &mut [Fragmentation],
    kind: usize,
    load: &[u64],
    copies: u64,
    typical: &[u64],
) {
    if copies == 0 {
        return;
    }
    let kind = &problem.kinds()[kind];
    let free: Vec<u64> = (0..load.len())
        .map(|resource| kind.usable(resource).unwrap_or(u64::MAX).saturating_sub(load[resource]))
        .collect();
    let is_stranded = free.iter().zip(typical).any(|(free, typical)| free < typical);
    for (found, &free) in all.iter_mut().zip(&free) {
        let amount = u128::from(free).saturating_mul(u128::from(copies));
        found.free = found.free.saturating_add(amount);
        found.largest_free = found.largest_free.max(free);
        if is_stranded {
            found.stranded = found.stranded.saturating_add(amount);
        }
    }
}
