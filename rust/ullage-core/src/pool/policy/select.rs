//! From worths to victims.

use std::cmp::Ordering;

use super::{Candidate, Policy};
use crate::units::Time;

/// How victims are chosen from their worths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Selection {
    /// The least worth first until enough is free, as the rules of the literature do: the last may make an earlier
    /// one needless.
    Ordered,
    /// No more than needed, and among such sets the one with the least loss (worth × bytes) per useful byte; bytes
    /// beyond what is missing are useful up to `slack`. Exact for up to [`EXACT_UP_TO`] candidates.
    Least {
        /// Bytes that will soon be missing, too.
        slack: f64,
    },
}

/// Among so many candidates [`Selection::Least`] is exact.
pub const EXACT_UP_TO: usize = 20;

/// Sets looked at before a search among more candidates ends with the best so far. Among [`EXACT_UP_TO`] there are
/// fewer than 2^21 sets, and a search that prunes nothing looks at each but once.
const MOST_STEPS: u32 = 100;
/// The search looks at so many candidates, the least worth ones.
const MOST: usize = 64;

/// One of the candidates with its worth. Scratch space of [`select`], kept by the caller from call to call.
#[derive(Clone, Copy, Debug)]
pub struct Weighed {
    /// Its place among the candidates.
    pub place: usize,
    /// What keeping it is worth.
    pub worth: f64,
    turn: u64,
    bytes: u64,
}

impl Weighed {
    pub(super) const fn new(place: usize, worth: f64, turn: u64, bytes: u64) -> Self {
        Self { place, worth, turn, bytes }
    }

    fn goes_before(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Less
    }

    fn order(&self, other: &Self) -> Ordering {
        let rest = || (self.turn, self.place).cmp(&(other.turn, other.place));
        self.worth.total_cmp(&other.worth).then_with(rest)
    }

    fn size(&self) -> f64 {
        float(self.bytes.into())
    }
}

/// Leaves in `chosen` the victims among `candidates` for `missing` bytes, `least_many` of them at the least, in the order
/// in which they go; all candidates where even all of them are not enough. Where a worth is NaN, no worth counts, and the
/// least recently used go.
pub fn select(
    policy: &dyn Policy,
    missing: u128,
    least_many: usize,
    candidates: impl Iterator<Item = Candidate>,
    now: Time,
    chosen: &mut Vec<Weighed>,
) {
    chosen.clear();
    let mut is_sound = true;
    chosen.extend(candidates.enumerate().map(|(place, candidate)| {
        let worth = if is_sound { policy.worth(&candidate, now) } else { 0.0 };
        is_sound = is_sound && !worth.is_nan();
        Weighed::new(place, worth, candidate.turn, candidate.bytes.get())
    }));
    if is_sound {
        choose(policy.selection(), missing, least_many, chosen);
    } else {
        for weighed in chosen.iter_mut() {
            weighed.worth = 0.0;
        }
        choose(Selection::Ordered, missing, least_many, chosen);
    }
}

/// Leaves the victims in `chosen`, which holds all candidates.
pub(super) fn choose(selection: Selection, missing: u128, least_many: usize, chosen: &mut Vec<Weighed>) {
    match selection {
        Selection::Least { slack } if least_many < 2 => least(missing, slack, chosen),
        Selection::Least { .. } | Selection::Ordered => {
            let taken = first(missing, least_many, chosen);
            chosen.truncate(taken);
        }
    }
}

/// Brings the least worth to the front, as many as asked for; gives their number.
fn first(missing: u128, least_many: usize, chosen: &mut [Weighed]) -> usize {
    let mut freed: u128 = 0;
    for taken in 0..chosen.len() {
        if freed >= missing && taken >= least_many {
            return taken;
        }
        let rest = taken..chosen.len();
        let least =
            rest.reduce(|a, b| if chosen[b].goes_before(&chosen[a]) { b } else { a }).unwrap_or(taken);
        chosen.swap(taken, least);
        freed = freed.saturating_add(chosen[taken].bytes.into());
    }
    chosen.len()
}

/// Leaves the set with the least loss per useful byte.
fn least(missing: u128, slack: f64, chosen: &mut Vec<Weighed>) {
    let greedy = first(missing, 1, chosen);
    if bytes_of(&chosen[..greedy]) < missing {
        return;
    }
    let most = chosen.len().min(MOST);
    let searched = MOST.saturating_sub(greedy);
    if searched < chosen[greedy..].len() && searched > 0 {
        chosen[greedy..].select_nth_unstable_by(searched, Weighed::order);
    }
    let mut search = Search::new(missing, slack, greedy.min(most), &mut chosen[..most]);
    search.go(0, 0.0, 0.0, 0);
    let set = search.set;
    let is_chosen = |place: usize| place < MOST && (set >> place) & 1 == 1;
    // Sums of floats are exact below 2^53 bytes; where they were not, the greedy set is sure to be enough.
    let found: u128 = (0..most).filter(|&at| is_chosen(at)).map(|at| u128::from(chosen[at].bytes)).sum();
    if found < missing {
        chosen.truncate(greedy);
    } else {
        let mut places = 0..;
        chosen.retain(|_| places.next().is_some_and(is_chosen));
    }
    spare(missing, chosen);
}

/// Lets those stay whom the others make needless, the most worth first.
fn spare(missing: u128, chosen: &mut Vec<Weighed>) {
    let mut freed = bytes_of(chosen);
    for place in (0..chosen.len()).rev() {
        let without = freed.saturating_sub(chosen[place].bytes.into());
        if without >= missing {
            freed = without;
            chosen.remove(place);
        }
    }
}

fn bytes_of(chosen: &[Weighed]) -> u128 {
    chosen.iter().map(|weighed| u128::from(weighed.bytes)).sum()
}

#[allow(clippy::cast_precision_loss, reason = "losses are weighed, not counted")]
fn float(bytes: u128) -> f64 {
    bytes as f64
}

/// Candidates that are put in order at a time: a search seldom looks far, and to sort them all would cost more than it.
const AT_A_TIME: usize = 6;

/// Depth-first search over the candidates in order of worth: each goes, or stays.
struct Search<'a> {
    candidates: &'a mut [Weighed],
    /// So many of them stand in order; those behind are worth no less.
    ordered: usize,
    missing: f64,
    /// Bytes that are useful at most.
    useful: f64,
    /// The least loss per useful byte so far, and its set as bits.
    best: f64,
    set: u64,
    steps: u32,
}

impl<'a> Search<'a> {
    fn new(missing: u128, slack: f64, ordered: usize, candidates: &'a mut [Weighed]) -> Self {
        let missing = float(missing);
        let steps = if candidates.len() <= EXACT_UP_TO { u32::MAX } else { MOST_STEPS };
        // A set without a needless member frees less than the largest beyond what is missing.
        let largest = candidates.iter().map(Weighed::size).fold(0.0, f64::max);
        let useful = missing + slack.min(largest);
        Self { candidates, ordered, missing, useful, best: f64::INFINITY, set: 0, steps }
    }

    /// The candidate at a place in the order of worth.
    fn next(&mut self, at: usize) -> Option<Weighed> {
        if at >= self.ordered {
            let rest = &mut self.candidates[self.ordered..];
            let chunk = AT_A_TIME.min(rest.len());
            if chunk < rest.len() {
                rest.select_nth_unstable_by(chunk, Weighed::order);
            }
            rest[..chunk].sort_unstable_by(Weighed::order);
            self.ordered = self.ordered.saturating_add(chunk);
        }
        self.candidates.get(at).copied()
    }

    #[allow(
        clippy::arithmetic_side_effects,
        reason = "a place below 64, and steps counted down from above 0"
    )]
    fn go(&mut self, at: usize, freed: f64, loss: f64, set: u64) {
        if freed >= self.missing {
            let ratio = loss / freed.min(self.useful);
            if ratio < self.best {
                (self.best, self.set) = (ratio, set);
            }
            return;
        }
        let Some(next) = self.next(at) else { return };
        // Whatever is added costs at least the least worth that is left, and the ratio moves one way with how much it is.
        let bound = |total: f64| (loss + (total - freed) * next.worth) >= self.best * total;
        if self.steps == 0 || (bound(self.missing) && bound(self.useful)) {
            return;
        }
        self.steps -= 1;
        self.go(at + 1, freed + next.size(), loss + next.worth * next.size(), set | 1 << at);
        self.go(at + 1, freed, loss, set);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// To put candidates in order as the search comes to them chooses the same as to sort them all beforehand.
        #[test]
        fn order_on_demand_is_order(
            rows in prop::collection::vec((0_u8..12, 1_u64..40), 1..90), missing in 1_u64..200, slack in 0_u8..60,
        ) {
            let all: Vec<Weighed> = rows
                .iter()
                .enumerate()
                .map(|(place, &(worth, bytes))| Weighed::new(place, f64::from(worth), 7, bytes))
                .collect();
            let search = |mut candidates: Vec<Weighed>, ordered: usize| {
                candidates.truncate(MOST);
                let mut search = Search::new(missing.into(), slack.into(), ordered, &mut candidates);
                search.go(0, 0.0, 0.0, 0);
                let (set, best) = (search.set, search.best);
                let mut places: Vec<usize> = (0..candidates.len())
                    .filter(|at| (set >> at) & 1 == 1)
                    .map(|at| candidates[at].place)
                    .collect();
                places.sort_unstable();
                (places, best)
            };
            let mut sorted = all.clone();
            sorted.truncate(MOST);
            sorted.sort_unstable_by(Weighed::order);
            let whole = sorted.len();
            prop_assert_eq!(search(all, 0), search(sorted, whole));
        }
    }
}
