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
    /// The candidate itself.
    pub candidate: Candidate,
}

impl Weighed {
    pub(super) const fn new(place: usize, worth: f64, candidate: Candidate) -> Self {
        Self { place, worth, candidate }
    }

    const fn bytes(&self) -> u64 {
        self.candidate.bytes.get()
    }

    fn goes_before(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Less
    }

    fn order(&self, other: &Self) -> Ordering {
        // Most worths differ, which is sooner seen than their order as bits.
        if self.worth < other.worth {
            return Ordering::Less;
        }
        if self.worth > other.worth {
            return Ordering::Greater;
        }
        let rest = || (self.candidate.turn, self.place).cmp(&(other.candidate.turn, other.place));
        self.worth.total_cmp(&other.worth).then_with(rest)
    }

    #[allow(clippy::cast_precision_loss, reason = "losses are weighed, not counted")]
    const fn size(&self) -> f64 {
        self.bytes() as f64
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
    let row = |(place, candidate)| Weighed { place, worth: 0.0, candidate };
    chosen.extend(candidates.enumerate().map(row));
    let many = if policy.weigh(chosen, now) {
        choose(policy.selection(), missing, least_many, chosen)
    } else {
        for weighed in chosen.iter_mut() {
            weighed.worth = 0.0;
        }
        choose(Selection::Ordered, missing, least_many, chosen)
    };
    chosen.truncate(many);
}

/// Brings the victims among `rows`, all candidates, to the front, and says how many they are. What little of the others was
/// put in order stands behind them.
pub(super) fn choose(selection: Selection, missing: u128, least_many: usize, rows: &mut [Weighed]) -> usize {
    match selection {
        Selection::Least { slack } if least_many < 2 => least(missing, slack, rows),
        Selection::Least { .. } | Selection::Ordered => Ranked::new(rows).enough(missing, least_many).0,
    }
}

/// Finds the set with the least loss per useful byte.
fn least(missing: u128, slack: f64, rows: &mut [Weighed]) -> usize {
    let mut ranked = Ranked::new(rows);
    let (greedy, freed) = ranked.enough(missing, 1);
    if freed < missing {
        return rows.len();
    }
    let useful = float(missing) + ranked.useful(slack);
    let mut search = Search::new(missing, useful, ranked);
    search.go(0, 0.0, 0.0, 0);
    let set = search.set;
    // Sums of floats are exact below 2^53 bytes; where they were not, the greedy set is sure to be enough.
    let found: u128 = places(set).map(|place| u128::from(rows[place].bytes())).sum();
    let mut taken = greedy;
    if found >= missing {
        taken = 0;
        for place in places(set) {
            rows.swap(taken, place);
            taken = taken.saturating_add(1);
        }
    }
    spare(missing, &mut rows[..taken])
}

/// The places of a set's bits, rising.
fn places(set: u64) -> impl Iterator<Item = usize> {
    let next = |left: &u64| Some(left & left.wrapping_sub(1)).filter(|&left| left != 0);
    std::iter::successors(Some(set).filter(|&set| set != 0), next).map(|left| left.trailing_zeros() as usize)
}

/// Lets those of `chosen` stay whom the others make needless, the most worth first; says how many go.
fn spare(missing: u128, chosen: &mut [Weighed]) -> usize {
    let mut freed = bytes_of(chosen);
    let mut taken = chosen.len();
    for place in (0..chosen.len()).rev() {
        let without = freed.saturating_sub(chosen[place].bytes().into());
        if without >= missing {
            freed = without;
            chosen[place..taken].rotate_left(1);
            taken = taken.saturating_sub(1);
        }
    }
    taken
}

fn bytes_of(chosen: &[Weighed]) -> u128 {
    chosen.iter().map(|weighed| u128::from(weighed.bytes())).sum()
}

#[allow(clippy::cast_precision_loss, reason = "losses are weighed, not counted")]
fn float(bytes: u128) -> f64 {
    bytes as f64
}

/// So many are looked for at a time. Seldom more are asked for, and to sort them all would cost more than the search.
const AT_A_TIME: usize = 4;
/// Once so many stand in order, the others are sorted.
const FEW: usize = 8;

/// Candidates in the order of their worth, put there as they are asked for.
struct Ranked<'a> {
    rows: &'a mut [Weighed],
    /// So many of them stand in order; those behind are worth no less.
    ranked: usize,
}

impl<'a> Ranked<'a> {
    const fn new(rows: &'a mut [Weighed]) -> Self {
        Self { rows, ranked: 0 }
    }

    /// The candidate at a place, the least worth first.
    fn get(&mut self, at: usize) -> Option<Weighed> {
        if at >= self.ranked && at < self.rows.len() {
            self.rank_more();
        }
        self.rows.get(at).copied()
    }

    #[allow(clippy::arithmetic_side_effects, reason = "places in a list, none below the first")]
    fn rank_more(&mut self) {
        let rest = &mut self.rows[self.ranked..];
        if self.ranked >= FEW || rest.len() <= AT_A_TIME {
            let many = MOST.min(rest.len());
            if many < rest.len() {
                rest.select_nth_unstable_by(many, Weighed::order);
            }
            rest[..many].sort_unstable_by(Weighed::order);
            self.ranked += many;
            return;
        }
        let (first, others) = rest.split_at_mut(AT_A_TIME);
        for at in 1..AT_A_TIME {
            sort_in(&mut first[..=at]);
        }
        for other in others {
            let last = &mut first[AT_A_TIME - 1];
            // Seldom, if those that went or nearly did the last time stand first.
            if other.worth <= last.worth && other.goes_before(last) {
                std::mem::swap(last, other);
                sort_in(first);
            }
        }
        self.ranked += AT_A_TIME;
    }

    /// How many of the first free `missing` bytes, `least_many` at the least, and what they free.
    fn enough(&mut self, missing: u128, least_many: usize) -> (usize, u128) {
        let (mut taken, mut freed) = (0_usize, 0_u128);
        while (freed < missing || taken < least_many)
            && let Some(next) = self.get(taken)
        {
            taken = taken.saturating_add(1);
            freed = freed.saturating_add(next.bytes().into());
        }
        (taken, freed)
    }

    /// How much of `slack` is of use: a set without a needless member frees less than the largest beyond what is missing.
    /// Only the [`MOST`] least worth count.
    fn useful(&mut self, slack: f64) -> f64 {
        if self.rows.len() <= MOST {
            let largest = self.rows.iter().map(Weighed::bytes).max().unwrap_or(0);
            return slack.min(float(largest.into()));
        }
        let is_useful = |weighed: &Weighed| weighed.size() >= slack;
        if self.rows[..self.ranked.min(MOST)].iter().any(is_useful) {
            return slack;
        }
        // If the largest of all is among those that stand in order, it is the largest of the least worth.
        let largest_of = |rows: &[Weighed]| rows.iter().map(Weighed::bytes).max().unwrap_or(0);
        let is_known = largest_of(&self.rows[..self.ranked.min(MOST)]) == largest_of(self.rows);
        if self.ranked < MOST && !is_known {
            self.rows[self.ranked..].select_nth_unstable_by(MOST.saturating_sub(self.ranked), Weighed::order);
        }
        slack.min(float(largest_of(if is_known { self.rows } else { &self.rows[..MOST] }).into()))
    }
}

/// Brings the last of `rows` to its place; the others stand in order.
#[allow(clippy::arithmetic_side_effects, reason = "places in a list, none below the first")]
fn sort_in(rows: &mut [Weighed]) {
    for at in (1..rows.len()).rev() {
        if !rows[at].goes_before(&rows[at - 1]) {
            return;
        }
        rows.swap(at - 1, at);
    }
}

/// Depth-first search over the candidates in order of worth: each goes, or stays.
struct Search<'a> {
    candidates: Ranked<'a>,
    /// How many of them it looks at.
    most: usize,
    missing: f64,
    /// Bytes that are useful at most.
    useful: f64,
    /// The least loss per useful byte so far, and its set as bits.
    best: f64,
    set: u64,
    steps: u32,
}

impl<'a> Search<'a> {
    fn new(missing: u128, useful: f64, candidates: Ranked<'a>) -> Self {
        let most = candidates.rows.len().min(MOST);
        let steps = if most <= EXACT_UP_TO { u32::MAX } else { MOST_STEPS };
        Self { candidates, most, missing: float(missing), useful, best: f64::INFINITY, set: 0, steps }
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
        if at >= self.most {
            return;
        }
        let Some(next) = self.candidates.get(at) else { return };
        // Whatever is added costs at least the least worth that is left, and the ratio moves one way with how much it is.
        let bound = |total: f64| (loss + (total - freed) * next.worth) >= self.best * total;
        if self.steps == 0 || (bound(self.missing) && bound(self.useful)) {
            return;
        }
        self.steps -= 1;
        let size = next.size();
        self.go(at + 1, freed + size, loss + next.worth * size, set | 1 << at);
        self.go(at + 1, freed, loss, set);
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pool::ModelId;
    use crate::units::Bytes;

    /// The same by definition: all sorted beforehand, the first of them searched.
    fn least_by_sorting(missing: u128, slack: f64, mut all: Vec<Weighed>) -> Vec<usize> {
        all.sort_unstable_by(Weighed::order);
        let of = |rows: &[Weighed]| rows.iter().map(|row| row.place).collect::<Vec<_>>();
        let (mut freed, mut greedy) = (0_u128, 0_usize);
        while greedy < all.len() && (freed < missing || greedy == 0) {
            freed = freed.saturating_add(all[greedy].bytes().into());
            greedy = greedy.saturating_add(1);
        }
        if freed < missing {
            return of(&all);
        }
        all.truncate(MOST.max(greedy));
        let largest = all.iter().take(MOST).map(Weighed::size).fold(0.0, f64::max);
        let ranked = Ranked { ranked: all.len(), rows: &mut all };
        let mut search = Search::new(missing, float(missing) + slack.min(largest), ranked);
        search.go(0, 0.0, 0.0, 0);
        let set = search.set;
        let mut chosen: Vec<Weighed> = places(set).map(|place| all[place]).collect();
        if bytes_of(&chosen) < missing {
            all.truncate(greedy);
            chosen = all;
        }
        let taken = spare(missing, &mut chosen);
        of(&chosen[..taken])
    }

    proptest! {
        /// To put candidates in order as the search comes to them chooses the same as to sort them all beforehand.
        #[test]
        fn order_on_demand_is_order(
            rows in prop::collection::vec((0_u8..12, 0_u64..40, 0_u64..3), 1..150), missing in 0_u64..400,
            slack in prop_oneof![Just(0.0), Just(1e9), 0.0..60.0], many in 0_usize..5,
        ) {
            let weighed = |(place, &(worth, bytes, turn)): (usize, &(u8, u64, u64))| {
                let candidate = Candidate { model: ModelId(place), bytes: Bytes::new(bytes), turn };
                Weighed::new(place, f64::from(worth) - 2.0, candidate)
            };
            let all: Vec<Weighed> = rows.iter().enumerate().map(weighed).collect();
            let of = |rows: &[Weighed]| rows.iter().map(|row| row.place).collect::<Vec<_>>();
            let mut chosen = all.clone();
            let taken = least(missing.into(), slack, &mut chosen);
            prop_assert_eq!(of(&chosen[..taken]), least_by_sorting(missing.into(), slack, all.clone()));
            let (mut sorted, mut chosen) = (all.clone(), all);
            sorted.sort_unstable_by(Weighed::order);
            let taken = choose(Selection::Ordered, missing.into(), many, &mut chosen);
            chosen.truncate(taken);
            let rest = sorted.split_off(chosen.len());
            prop_assert_eq!(of(&chosen), of(&sorted));
            let is_enough = |rows: &[Weighed]| bytes_of(rows) >= missing.into() && rows.len() >= many;
            prop_assert!(rest.is_empty() || is_enough(&chosen));
            prop_assert!(chosen.is_empty() || !is_enough(&chosen[..chosen.len() - 1]));
        }
    }
}
