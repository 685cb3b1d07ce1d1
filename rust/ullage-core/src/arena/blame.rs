//! Who reaches too high comes earlier next time (squeaky wheel optimisation: Joslin and Clements, JAIR 10, 1999).
//!
//! Buffers come to lie lowest first, but each with a *handicap* added to how low it could lie. At first all are equal.
//! Whoever then ends above the ceiling, just below the best height, loses some of its own and so comes earlier, below
//! others. After some rounds in vain all begin anew, from another order among equally low ones.

use crate::arena::heuristic::{greedy, lowest_first};
use crate::arena::neighbours::Neighbours;
use crate::arena::placed::Gap;
use crate::arena::spans::Spans;
use crate::solving::{Random, Watch};

/// Layouts in a row without a lower height, after which handicaps are made equal again.
const PATIENCE: u64 = 400;
/// Beginnings in a row without a lower height, after which this search ends.
const MOST_ROUNDS: usize = 12;

/// The best layout found.
pub(crate) struct Found {
    /// Offsets of the spans, their height, and the order of placing that gives them; `None` if nothing was lower than
    /// the height to beat.
    pub(crate) best: Option<(Vec<u64>, u64, Vec<u32>)>,
    pub(crate) steps: u64,
}

/// Looks for a layout lower than `to_beat`, beginning with `orders` in turn, and stops at one of at most `enough`.
pub(crate) fn blame(
    spans: &Spans,
    neighbours: &Neighbours,
    orders: &[Vec<u32>],
    to_beat: u64,
    enough: u64,
    random: &mut Random,
    watch: &mut Watch<'_>,
) -> Found {
    let mut found = Found { best: None, steps: 0 };
    let (mut height, mut rounds) = (to_beat, 0_usize);
    for order in orders.iter().cycle() {
        if height <= enough || rounds >= MOST_ROUNDS {
            break;
        }
        rounds = rounds.saturating_add(1);
        let mut handicaps = vec![to_beat; spans.all.len()];
        let mut idle = 0_u64;
        while idle < PATIENCE && height > enough {
            found.steps = found.steps.saturating_add(1);
            idle = idle.saturating_add(1);
            let placing = lowest_first(spans, neighbours, order, &handicaps);
            let Some(offsets) = greedy(spans, &placing, Gap::Lowest, watch) else { return found };
            let reached = spans.height(&offsets);
            if reached < height {
                height = reached;
                (idle, rounds) = (0, 0);
                found.best = Some((offsets.clone(), height, placing));
            }
            shift_blame(spans, &offsets, height.saturating_sub(1), &mut handicaps, random);
        }
    }
    found
}

/// Takes from the handicaps of those that end above `ceiling`, and now and then gives somebody's back.
fn shift_blame(spans: &Spans, offsets: &[u64], ceiling: u64, handicaps: &mut [u64], random: &mut Random) {
    for ((span, &offset), handicap) in spans.all.iter().zip(offsets).zip(&mut *handicaps) {
        let end = offset.saturating_add(span.size);
        if end > ceiling {
            *handicap = handicap.saturating_sub(random.below(span.size.saturating_add(1)));
        }
    }
    let highest = handicaps.iter().copied().max().unwrap_or(0);
    let pick = random.position(handicaps.len());
    if random.below(2) == 0
        && let Some(handicap) = handicaps.get_mut(pick)
    {
        *handicap = highest;
    }
}
