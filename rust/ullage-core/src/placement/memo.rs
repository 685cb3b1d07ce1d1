//! [`Memo`]: partial placements that were searched through, so that none that is no better is searched again.
//!
//! What can still become of the units not placed depends on the devices that are left and on the room and groups of
//! those bins that still admit any of them, not on what is where. Keys are kept whole: a proof rests on no hash.

use std::collections::HashMap;

use crate::placement::state::State;

/// What a partial placement has cost so far: value left over, bytes moved, cost of devices, items moved.
pub(super) type Spent = [u64; 4];

/// Partial placements that were searched through.
pub(super) struct Memo {
    seen: HashMap<Box<[u64]>, Spent>,
    /// Numbers in all keys together.
    size: usize,
}

impl Memo {
    /// The most numbers in all keys together: 64 MiB. Beyond, nothing new is remembered.
    const LARGEST: usize = 1 << 23;

    pub(super) fn new() -> Self {
        Self { seen: HashMap::new(), size: 0 }
    }

    /// Whether a partial placement like `state` was seen that had spent no more of anything; if not, it is from now on.
    ///
    /// `at` numbers the set of units that are still to be placed, `rest`.
    pub(super) fn knows(&mut self, at: usize, rest: &[usize], state: &State<'_>, spent: Spent) -> bool {
        let key = key(at, rest, state);
        if let Some(before) = self.seen.get_mut(&key) {
            let is_no_better = before.iter().zip(&spent).all(|(before, now)| before <= now);
            let is_better = before.iter().zip(&spent).all(|(before, now)| now <= before);
            if is_better {
                *before = spent;
            }
            return is_no_better;
        }
        let size = self.size.saturating_add(key.len());
        if size <= Self::LARGEST {
            self.size = size;
            self.seen.insert(key, spent);
        }
        false
    }
}

fn key(at: usize, rest: &[usize], state: &State<'_>) -> Box<[u64]> {
    let model = state.model;
    let is_live = |&bin: &usize| rest.iter().any(|&unit| state.admits(bin, unit));
    let is_open = |group: &u32| rest.iter().any(|&unit| model.units[unit].groups.contains(group));
    let mut bins: Vec<Vec<u64>> = (0..state.bins.len())
        .filter(is_live)
        .map(|bin| {
            let bin = &state.bins[bin];
            let mut groups: Vec<u64> =
                bin.groups.iter().filter(|group| is_open(group)).map(|&group| u64::from(group)).collect();
            groups.sort_unstable();
            let mut part = vec![bin.class as u64, u64::from(bin.members > 0), groups.len() as u64];
            part.extend_from_slice(&bin.free[..model.resources]);
            part.extend(groups);
            part
        })
        .collect();
    bins.sort_unstable();
    let left = state.left.iter().map(|&left| left as u64);
    [at as u64].into_iter().chain(left).chain(bins.into_iter().flatten()).collect()
}
