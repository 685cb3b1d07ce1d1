//! Heuristics that take the items one by one, in O(n log n).
//!
//! In the order given they know nothing of what follows, as a dispatcher must; on decreasing sizes they are the classical
//! decreasing forms. Where capacities differ, [`Opening`] says which bin is opened.

mod arrivals;
mod best_fit;
mod best_fit_decreasing;
mod best_k_fit;
mod bits;
mod first_fit;
mod first_fit_decreasing;
mod next_fit;
mod slack;
mod worst_fit;

use std::num::NonZeroU32;

pub(crate) use slack::{minimum_slack, perturb};

use crate::pack::packing::Packing;
use crate::pack::supply::{Opening, Supply};
use crate::solving::Limits;

/// What a heuristic is given.
#[derive(Clone, Copy)]
pub(crate) struct Heuristic<'a> {
    /// Sizes in the order in which they are packed.
    pub(crate) sizes: &'a [u64],
    pub(crate) supply: &'a Supply,
    pub(crate) opening: Opening,
    pub(crate) limits: &'a Limits<'a>,
}

/// Which bin takes the next item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    Next,
    First,
    Best,
    Worst,
    /// Best fit among so many open bins.
    BestOf(NonZeroU32),
}

impl Heuristic<'_> {
    pub(crate) fn pack(self, rule: Rule, is_decreasing: bool) -> Packing {
        match (rule, is_decreasing) {
            (Rule::First, true) => first_fit_decreasing::first_fit_decreasing(self),
            (Rule::First, false) => first_fit::first_fit(self),
            (Rule::Best, true) => best_fit_decreasing::best_fit_decreasing(self),
            (Rule::Best, false) => best_fit::best_fit(self),
            (Rule::Next, _) => next_fit::next_fit(self),
            (Rule::Worst, _) => worst_fit::worst_fit(self),
            (Rule::BestOf(open), _) => best_k_fit::best_k_fit(self, open),
        }
    }
}

/// Whether to stop before the items from `position` to `end`: asked at the first, and again every so many.
fn stops(limits: &Limits<'_>, position: usize, end: usize) -> bool {
    let asks = |position: usize| position.checked_div(Limits::ITEMS_BETWEEN_CHECKS);
    (position == 0 || asks(position) != asks(end)) && limits.interrupted()
}
