//! [`thinned`]: of partial placements, those that no other is at least as good as.

use std::collections::BTreeMap;

use super::classes::PerTier;
use super::problem::Problem;

/// A placement of the first classes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Partial {
    pub(super) cost: u64,
    pub(super) used: PerTier,
    /// The placement of one class less that it comes from.
    pub(super) before: u32,
    /// How many of the last class take each of its choices.
    pub(super) counts: [u32; Problem::MOST_TIERS],
}

/// Leaves out what costs no less and uses no less than another, as far as the tiers that `scarce` marks go; with three
/// or more of these, only what uses exactly the same is compared.
pub(super) fn thinned(mut all: Vec<Partial>, scarce: &[usize]) -> Vec<Partial> {
    let key = |partial: &Partial| -> PerTier {
        std::array::from_fn(|place| scarce.get(place).map_or(0, |&tier| partial.used[tier]))
    };
    all.sort_by_key(|partial| (key(partial), partial.cost));
    let mut kept: Vec<Partial> = Vec::with_capacity(all.len());
    let mut last: Option<PerTier> = None;
    // The least cost by the use of the second scarce tier, among all that use no more of the first.
    let mut stairs: BTreeMap<u64, u64> = BTreeMap::new();
    for partial in all {
        let [_, second, ..] = key(&partial);
        let is_dominated = if scarce.len() > 2 {
            last == Some(key(&partial))
        } else {
            stairs.range(..=second).next_back().is_some_and(|(_, &cost)| cost <= partial.cost)
        };
        if is_dominated {
            continue;
        }
        if scarce.len() <= 2 {
            let worse: Vec<u64> = stairs
                .range(second..)
                .take_while(|(_, cost)| **cost >= partial.cost)
                .map(|(&at, _)| at)
                .collect();
            for at in worse {
                stairs.remove(&at);
            }
            stairs.insert(second, partial.cost);
        }
        last = Some(key(&partial));
        kept.push(partial);
    }
    kept
}
