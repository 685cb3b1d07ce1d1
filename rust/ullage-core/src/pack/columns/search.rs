//! From the items of a problem to types and back.

use crate::pack::columns::stock::{CuttingStock, Patterns};
use crate::pack::columns::{Outcome, solve};
use crate::pack::packing::Packing;
use crate::pack::search::Found;
use crate::pack::supply::Supply;
use crate::solving::Watch;

/// Looks for complete plans of fewer than `to_beat` bins, where all bins are alike and there are enough of them: else
/// `None`. No plan has fewer bins than `bound`.
///
/// `sizes` must not increase. Items of size zero join the first bin.
pub(crate) fn search(
    sizes: &[u64],
    supply: &Supply,
    to_beat: usize,
    bound: usize,
    watch: &mut Watch<'_>,
) -> Option<Found> {
    let [class] = supply.classes.as_slice() else { return None };
    if to_beat > class.copies || sizes.first().is_none_or(|&largest| largest == 0 || largest > class.capacity)
    {
        return None;
    }
    let positive = sizes.partition_point(|&size| size > 0);
    let runs = sizes[..positive].chunk_by(|a, b| a == b);
    let types = runs.map(|run| (run[0], u32::try_from(run.len()).unwrap_or(u32::MAX))).collect();
    let stock = CuttingStock { capacity: class.capacity, types };
    let Outcome { best, bound, nodes } = solve(&stock, to_beat, bound, watch);
    let bins = best.as_ref().map_or(to_beat, |best| super::stock::bins(best));
    let best = best.map(|best| packing(&stock, &best, sizes.len()));
    Some(Found { best, lower_bound: bound, is_proven: bound >= bins, nodes })
}

/// The bins of the items in decreasing order; those past the last type are of size zero.
fn packing(stock: &CuttingStock, patterns: &Patterns, items: usize) -> Packing {
    let mut next = Vec::with_capacity(stock.types.len());
    let mut first = 0;
    for &(_, demand) in &stock.types {
        next.push(first);
        first += demand as usize;
    }
    let mut bin_of = vec![0; items];
    let mut bins = 0;
    for (pattern, times) in patterns {
        for _ in 0..*times {
            for &(kind, copies) in pattern {
                let start = next[kind as usize];
                next[kind as usize] += copies as usize;
                bin_of[start..next[kind as usize]].fill(bins);
            }
            bins += 1;
        }
    }
    Packing { bin_of, class_of: vec![0; bins as usize], unplaced: 0 }
}
