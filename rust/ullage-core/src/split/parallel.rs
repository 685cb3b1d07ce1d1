//! Tensor-parallel groups as places of a pipeline: how many devices share every layer, and how many groups follow one
//! another.
//!
//! In a group of g devices every device holds a share of every matrix and of the key-value heads, and the group sums its
//! parts twice a layer (Shoeybi et al., "Megatron-LM", 2019) over a ring. Norms are held whole by each. A group lies
//! within one machine. Every degree is solved exactly, and the best is the answer.

use super::answer::Split;
use super::chain::{Chain, wrong};
use super::pace::Link;
use super::problem::{Links, Objective, Order, Place, Problem};
use super::solve::solve;
use crate::error::{Error, Result};
use crate::solving::{Limits, Status};

/// The largest group that is tried.
const MOST_DEGREE: usize = 4096;

/// Machines that are alike, each with devices that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rack {
    /// A device; its name is that of all, and its node does not count.
    pub device: Place,
    /// Machines.
    pub nodes: usize,
    /// Devices of one machine.
    pub per_node: usize,
    /// Between two devices of a machine.
    pub inside: Link,
    /// Between two machines.
    pub between: Link,
}

/// A split over groups of one size.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Devices of a group.
    pub degree: usize,
    /// What each device of a group holds, and groups as places: what `split` is of.
    pub problem: Problem,
    /// The stages, each a group.
    pub split: Split,
}

impl Plan {
    /// Devices in use.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.split.stages.len().saturating_mul(self.degree)
    }
}

impl Rack {
    /// The degrees that both the machines and the heads of `chain` allow, ascending.
    #[must_use]
    pub fn degrees(&self, chain: &Chain) -> Vec<usize> {
        let is_allowed = |degree: &usize| {
            let groups = self.per_node.checked_div(*degree).unwrap_or(0).saturating_mul(self.nodes);
            self.per_node.checked_rem(*degree) == Some(0)
                && chain.divides(*degree as u64)
                && groups <= Problem::MOST_PLACES
        };
        (1..=self.per_node.min(MOST_DEGREE)).filter(is_allowed).collect()
    }

    /// `chain` over groups of `degree` devices.
    ///
    /// # Errors
    /// [`Error::Argument`] for a degree that machines or heads do not allow, and what [`Problem::new`] gives.
    pub fn problem(&self, chain: &Chain, degree: usize, objective: Objective) -> Result<Problem> {
        if degree == 0 || self.per_node.checked_rem(degree) != Some(0) {
            let reason = format!("groups of {degree} do not fill a machine of {} devices", self.per_node);
            return Err(Error::Argument { name: "tensor_parallel", reason });
        }
        let share = chain.sharded(degree as u64, self.inside)?;
        let groups = self.per_node.checked_div(degree).unwrap_or(0);
        let count = groups.saturating_mul(self.nodes);
        if count == 0 || count > Problem::MOST_PLACES {
            return Err(wrong("devices", format!("{count} groups are not between 1 and 1024")));
        }
        let group = |index: usize| {
            let node = index.checked_div(groups).unwrap_or(0);
            let first = index.checked_rem(groups).unwrap_or(0).saturating_mul(degree);
            let last = first.saturating_add(degree).saturating_sub(1);
            let devices = if degree == 1 { first.to_string() } else { format!("{first}-{last}") };
            Place { name: format!("{}:{node}.{devices}", self.device.name), node, ..self.device.clone() }
        };
        let links = Links::Nodes { inside: self.inside, between: self.between };
        Problem::new(share, (0..count).map(group).collect(), links, Order::Given, objective)
    }

    /// The best split for every degree there is, or for `degree` alone; the best of all first.
    ///
    /// The best has the smallest value of `objective`, and of these the fewest devices. Devices are counted one by one,
    /// not by groups.
    ///
    /// # Errors
    /// [`Error::Argument`] for a degree that machines or heads do not allow, and what [`Problem::new`] gives.
    pub fn plans(
        &self,
        chain: &Chain,
        degree: Option<usize>,
        objective: Objective,
        limits: &Limits<'_>,
    ) -> Result<Vec<Plan>> {
        let degrees = degree.map_or_else(|| self.degrees(chain), |degree| vec![degree]);
        if degrees.is_empty() {
            return Err(wrong("devices", "more than 1024 groups, whatever their size".to_owned()));
        }
        let mut plans = Vec::with_capacity(degrees.len());
        for degree in degrees {
            let problem = self.problem(chain, degree, objective)?;
            let split = solve(&problem, limits);
            plans.push(Plan { degree, problem, split });
        }
        plans.sort_by_key(|plan| {
            let is_complete = matches!(plan.split.status, Status::Optimal | Status::Feasible);
            let value = match objective {
                Objective::Devices => plan.devices() as u64,
                _ => plan.split.value,
            };
            (!is_complete, value, plan.devices(), plan.split.latency, std::cmp::Reverse(plan.degree))
        });
        Ok(plans)
    }
}
