//! [`Plan`]: an answer, with what is proven about it.

use std::fmt;

use crate::pack::problem::Problem;
use crate::solving::Status;
use crate::units::Bytes;

/// Where every item goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the plan is and what is proven.
    pub status: Status,
    /// For each item the position of its bin in `bins`; `None` for an unplaced one.
    pub assignment: Vec<Option<usize>>,
    /// The bins in the order of their kinds, then copies: every bin in use, and every bin that is the only copy of
    /// its kind even when empty. Where all kinds have one copy, position and kind are therefore the same number.
    pub bins: Vec<PlannedBin>,
    /// How many of `bins` hold an item.
    pub bins_used: usize,
    /// No complete plan uses fewer bins. Zero for an infeasible problem.
    pub lower_bound: usize,
    /// Why `lower_bound` holds.
    pub proof: Proof,
    /// The items without a bin, ascending.
    pub unplaced: Vec<usize>,
    /// Why no complete plan exists; present exactly when `status` is [`Status::Infeasible`].
    pub reason: Option<Infeasibility>,
    /// Nodes of the search tree that were looked at; zero when there was no search.
    pub nodes: u64,
}

impl Plan {
    /// Bins above the lower bound; `None` while items are unplaced.
    #[must_use]
    pub fn gap(&self) -> Option<usize> {
        self.unplaced.is_empty().then(|| self.bins_used.saturating_sub(self.lower_bound))
    }
}

/// One bin of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedBin {
    /// Position of its kind in the problem.
    pub kind: usize,
    /// Which copy of the kind, from zero.
    pub copy: u64,
    /// What it holds at most.
    pub capacity: Bytes,
    /// What it holds.
    pub load: Bytes,
}

/// Why a lower bound holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// So many of the largest bins are needed to cover the total size, and one if there is any item.
    Area,
    /// The bound L2 of Martello and Toth at this threshold, for the largest capacity.
    Threshold(Bytes),
    /// The sum of a dual feasible function over all items, those below `cut` left out and those that leave less than
    /// `cut` in the largest bin counted as that bin.
    Dual {
        /// Which function.
        function: DualFunction,
        /// Its parameter.
        parameter: u64,
        /// Half the largest capacity at most; zero for none.
        cut: Bytes,
    },
    /// The bound L3 of Martello and Toth for the items that have a size: bins that some best plan has, and L2 of the rest,
    /// after the smallest item of the rest was left out so many times.
    Reduction {
        /// Items left out.
        left_out: usize,
    },
    /// The search ruled out every plan with fewer bins, by looking at it or by prices of items that it found.
    Search,
}

impl Proof {
    /// A stable name for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Area => "area",
            Self::Threshold(_) => "threshold",
            Self::Dual { .. } => "dual_feasible_function",
            Self::Reduction { .. } => "reduction",
            Self::Search => "search",
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Area => f.write_str("the total size"),
            Self::Threshold(threshold) => write!(f, "L2 at {} bytes", threshold.get()),
            Self::Dual { function, parameter, cut } => {
                write!(
                    f,
                    "the dual feasible function {} at {parameter}, cut at {} bytes",
                    function.name(),
                    cut.get()
                )
            }
            Self::Reduction { left_out } => write!(f, "L3 with {left_out} items left out"),
            Self::Search => f.write_str("an exhaustive search"),
        }
    }
}

/// Functions f with f(a) + f(b) + ... at most f(C) for all sizes with a + b + ... at most the capacity C.
///
/// Names and forms are those of Clautiaux, Alves and Valerio de Carvalho, "A survey of dual-feasible and superadditive
/// functions", Annals of Operations Research 179, 2010. All are given here as whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DualFunction {
    /// `u^(k)` of Fekete and Schepers, k from 1, f(C) = k C: k x where C divides (k + 1) x, else C floor((k + 1) x / C).
    FeketeSchepers,
    /// `f_CCM,1` of Carlier, Clautiaux and Moukrim, k from 1 to C / 2, f(C) = 2 floor(C / k): 2 floor(x / k) for x below
    /// C / 2, floor(C / k) at C / 2, f(C) - 2 floor((C - x) / k) above.
    Counting,
    /// `f_VB,2` of Vanderbeck, k from 2, f(C) = 2 (k - 1): 2 max(0, ceil(k x / C) - 1) for x below C / 2, k - 1 at C / 2,
    /// f(C) - f(C - x) above.
    Vanderbeck,
}

impl DualFunction {
    /// A stable name for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FeketeSchepers => "fekete_schepers",
            Self::Counting => "carlier_clautiaux_moukrim",
            Self::Vanderbeck => "vanderbeck",
        }
    }
}

/// Why not every item can be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Infeasibility {
    /// An item is larger than every bin.
    ItemTooLarge {
        /// The item's position.
        item: usize,
        /// Its size.
        size: Bytes,
        /// The largest capacity there is.
        largest: Bytes,
    },
    /// The items larger than `above` sum to more than the bins larger than `above` hold.
    TooLittleCapacity {
        /// The size that items and bins must exceed to count; zero counts all.
        above: Bytes,
        /// Bytes of those items.
        needed: u128,
        /// Bytes of those bins, the largest first and no more of them than the problem has items.
        available: u128,
    },
    /// A bound asks for more bins than there are.
    TooFewBins {
        /// Which bound; never a search.
        proof: Proof,
        /// Bins needed.
        needed: usize,
        /// Bins there are.
        available: usize,
    },
    /// The search looked at every plan.
    SearchExhausted,
}

impl Infeasibility {
    /// A stable name for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ItemTooLarge { .. } => "item_too_large",
            Self::TooLittleCapacity { .. } => "too_little_capacity",
            Self::TooFewBins { .. } => "too_few_bins",
            Self::SearchExhausted => "search_exhausted",
        }
    }

    /// The reason as a sentence that calls the items of `problem` by their names.
    #[must_use]
    pub fn explain(self, problem: &Problem) -> String {
        match self {
            Self::ItemTooLarge { item, size, largest } => format!(
                "{:?} of {} bytes is larger than the largest bin, {} bytes",
                problem.item_name(item).unwrap_or_default(),
                size.get(),
                largest.get()
            ),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Infeasibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ItemTooLarge { item, size, largest } => write!(
                f,
                "item {item} of {} bytes is larger than the largest bin, {} bytes",
                size.get(),
                largest.get()
            ),
            Self::TooLittleCapacity { above: Bytes::ZERO, needed, available } => {
                write!(f, "the items need {needed} bytes and the bins hold {available}")
            }
            Self::TooLittleCapacity { above, needed, available } => {
                let above = above.get();
                write!(
                    f,
                    "the items larger than {above} bytes need {needed} and the bins larger than that hold {available}"
                )
            }
            Self::TooFewBins { proof: Proof::Threshold(threshold), needed, available } => write!(
                f,
                "{needed} bins are needed for the items of at least {} bytes and there are {available}",
                threshold.get()
            ),
            Self::TooFewBins { proof, needed, available } => {
                write!(f, "{needed} bins are needed, as {proof} shows, and there are {available}")
            }
            Self::SearchExhausted => f.write_str("an exhaustive search found no way to place every item"),
        }
    }
}
