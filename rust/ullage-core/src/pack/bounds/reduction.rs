//! L3 of Martello and Toth: after every reduction the L2 of the rest, with the smallest item of the rest left out to allow the
//! next.

use crate::pack::bounds::Bound;
use crate::pack::bounds::quick::threshold;
use crate::pack::plan::Proof;
use crate::pack::reduce::reduce;
use crate::pack::types::Types;

/// Pairs of items: beyond so many, the rest is not reduced further. A round looks at all of them at worst.
const MOST_EFFORT: usize = 1 << 25;

/// The best of all rounds.
pub(super) fn reduction(types: &Types, capacity: u64) -> Bound {
    let mut best = Bound { bins: 0, proof: Proof::Area };
    let mut rest = types.clone();
    let (mut packed, mut effort) = (0_usize, 0_usize);
    for left_out in 0.. {
        effort = effort.saturating_add(rest.items().saturating_mul(rest.items()));
        if effort > MOST_EFFORT {
            break;
        }
        packed = packed.saturating_add(reduce(&mut rest, capacity).len());
        let sizes = rest.expanded();
        let bins = packed.saturating_add(area_or_threshold(&sizes, capacity));
        if bins > best.bins {
            best = Bound { bins, proof: Proof::Reduction { left_out } };
        }
        let Some(smallest) = (0..rest.len()).rfind(|&index| rest.count(index) > 0) else { break };
        rest.take(smallest);
        rest.drop_empty();
    }
    best
}

fn area_or_threshold(sizes: &[u64], capacity: u64) -> usize {
    let total: u128 = sizes.iter().map(|&size| u128::from(size)).sum();
    let area = usize::try_from(total.div_ceil(u128::from(capacity).max(1))).unwrap_or(usize::MAX);
    area.max(threshold(sizes, capacity).0)
}
