//! Lower bounds on the number of bins, and the cheap proofs that there is no complete plan.
//!
//! All but *area* are bounds for bins of the largest capacity, which hold for unlike bins too, since larger bins never need
//! more. `quick` has area and L2, in O(n) of sorted sizes; `dual` the dual feasible functions and `reduction` L3, both within
//! a fixed effort.

mod dual;
mod quick;
mod reduction;
#[cfg(test)]
mod tests;

pub(crate) use quick::{Bound, lower_bound, threshold};

use crate::pack::order::Order;
use crate::pack::plan::{Infeasibility, Proof};
use crate::pack::problem::Problem;
use crate::pack::supply::Supply;
use crate::pack::types::Types;

/// Bounds of a problem, each with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// No complete plan uses fewer bins: the largest of `all`. Zero for an infeasible problem.
    pub bins: usize,
    /// Why `bins` holds: the first of `all` that is as large.
    pub proof: Proof,
    /// What each bound says, the simplest first. Empty for an infeasible problem.
    pub all: Vec<(Proof, usize)>,
    /// Why no complete plan exists, where a bound shows it.
    pub reason: Option<Infeasibility>,
}

/// All lower bounds of `problem`.
///
/// ```
/// use ullage_core::Bytes;
/// use ullage_core::pack::{BinKind, Problem, Proof, bounds};
///
/// let bins = vec![BinKind { name: "gpu".into(), capacity: Bytes::new(10), count: None }];
/// let problem = Problem::from_sizes([6, 6, 4, 3].map(Bytes::new).to_vec(), bins)?;
/// let found = bounds(&problem);
/// assert_eq!((found.bins, found.proof), (2, Proof::Area));
/// # Ok::<(), ullage_core::Error>(())
/// ```
#[must_use]
pub fn bounds(problem: &Problem) -> Bounds {
    let (order, supply) = (Order::decreasing(problem), Supply::of(problem));
    let all = quick::quick(&order, &supply).and_then(|mut all| {
        for bound in thorough(&order.sizes, &supply) {
            all.push(checked(bound, &supply)?);
        }
        Ok(all)
    });
    match all {
        Ok(all) => {
            let best = largest(&all);
            Bounds {
                bins: best.bins,
                proof: best.proof,
                all: all.iter().map(|bound| (bound.proof, bound.bins)).collect(),
                reason: None,
            }
        }
        Err(reason) => Bounds { bins: 0, proof: Proof::Area, all: Vec::new(), reason: Some(reason) },
    }
}

/// The better of `known` and the bounds that take more effort, none of which is needed once one reaches `enough`.
pub(crate) fn improved(
    known: Bound,
    sizes: &[u64],
    supply: &Supply,
    enough: usize,
) -> Result<Bound, Infeasibility> {
    let mut best = known;
    for bound in thorough(sizes, supply) {
        if best.bins >= enough {
            break;
        }
        best = largest(&[best, checked(bound, supply)?]);
    }
    Ok(best)
}

/// The bounds that take more effort, one after the other. Items of no size need no bin, and what dominates with one of
/// them would not leave the other its place.
fn thorough(sizes: &[u64], supply: &Supply) -> impl Iterator<Item = Bound> {
    let types = Types::positive(sizes);
    let capacity = supply.largest();
    let bounds: [fn(&Types, u64) -> Bound; 2] = [dual::dual, reduction::reduction];
    bounds.into_iter().map(move |bound| bound(&types, capacity))
}

/// `bound`, if there are so many bins.
fn checked(bound: Bound, supply: &Supply) -> Result<Bound, Infeasibility> {
    let Bound { bins: needed, proof } = bound;
    let available = supply.bins();
    if needed > available { Err(Infeasibility::TooFewBins { proof, needed, available }) } else { Ok(bound) }
}

/// The first of the largest.
fn largest(all: &[Bound]) -> Bound {
    let none = Bound { bins: 0, proof: Proof::Area };
    all.iter().fold(none, |best, bound| if bound.bins > best.bins { *bound } else { best })
}
