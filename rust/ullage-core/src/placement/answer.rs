//! [`Placement`]: an answer, with what is proven about it.

use crate::placement::conflict::Conflict;
use crate::solving::Status;

/// Where every item goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// What the placement is and what is proven. Where the best value is asked for, an answer that leaves items over
    /// is complete too: [`Status::Optimal`] and [`Status::Feasible`] then speak of value, bytes moved and cost.
    pub status: Status,
    /// For each item the positions of its devices in `bins`, ascending, one a replica; none for an unplaced item.
    pub assignment: Vec<Vec<usize>>,
    /// The devices in the order of their kinds, then copies: every one in use, and every one that is the only copy of
    /// its kind even when empty.
    pub bins: Vec<PlacedBin>,
    /// The items without a place, ascending.
    pub unplaced: Vec<usize>,
    /// What the placed items are worth.
    pub value: u64,
    /// No placement is worth more.
    pub value_bound: u64,
    /// Bytes that leave a device for another, in a repack; zero else.
    pub moved: u64,
    /// No placement that is worth as much moves less.
    pub moved_bound: u64,
    /// What the devices in use cost.
    pub cost: u64,
    /// No placement that is worth as much, and moves no more, costs less. Zero for an infeasible problem.
    pub lower_bound: u64,
    /// Why the bounds hold.
    pub proof: Proof,
    /// Why not everything can be placed; present exactly when `status` is [`Status::Infeasible`].
    pub conflict: Option<Conflict>,
    /// Nodes of search trees that were looked at.
    pub nodes: u64,
}

impl Placement {
    /// Cost above the lower bound; `None` where items are left over that should not be.
    #[must_use]
    pub fn gap(&self) -> Option<u64> {
        matches!(self.status, Status::Optimal | Status::Feasible)
            .then(|| self.cost.saturating_sub(self.lower_bound))
    }
}

/// One device of a placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedBin {
    /// Position of its kind in the problem.
    pub kind: usize,
    /// Which copy of the kind, from zero.
    pub copy: u64,
    /// What it holds, of every resource.
    pub load: Vec<u64>,
}

/// Why a lower bound on the cost holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// What must be placed needs so much of this resource, and no devices that hold it cost less.
    Cover {
        /// Position of the resource.
        resource: usize,
    },
    /// So many devices are needed, and no so many cost less.
    Count {
        /// The number.
        devices: usize,
    },
    /// The cover of a resource made from others, a dual feasible function or a weighted sum; or of what pinned items need
    /// of the devices they are pinned to, or of all where devices were left out that others can stand for.
    Derived,
    /// The search looked at everything that is better.
    Search,
}

impl Proof {
    /// A stable name for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cover { .. } => "cover",
            Self::Count { .. } => "count",
            Self::Derived => "derived",
            Self::Search => "search",
        }
    }
}
