//! [`Search`]: layer after layer, all partial choices that could still be the best.

use super::answer::Choice;
use super::label::{Label, RING};
use super::prices::Prices;
use super::problem::Goal;
use super::table::Table;
use crate::solving::Watch;

/// Figures that differ by less are taken for equal: sums in another order do.
pub(super) const EQUAL: f64 = 1e-9;

/// What has to hold, in plain figures; infinite where nothing has to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) bytes: f64,
    pub(super) seconds: f64,
    pub(super) noise: f64,
}

/// One way through the layers.
pub(super) struct Search<'a> {
    pub(super) table: &'a Table,
    pub(super) prices: &'a Prices,
    pub(super) room: Room,
    pub(super) goal: Goal,
    /// The value of an answer that is known; nothing that comes to more is followed.
    pub(super) known: f64,
    /// The most labels of one layer.
    pub(super) width: usize,
    /// Whether labels that are too many become one with their neighbours, no worse than any of them, instead of being
    /// dropped: then what the plans come to is a bound of all plans, and they themselves may be beyond the limits.
    pub(super) is_relaxed: bool,
}

/// What came of it.
pub(super) struct Found {
    /// Choices for all layers with their bounds of seconds and bytes, the best by the goal first.
    pub(super) plans: Vec<Plan>,
    /// Nothing that is not among the plans and better than what was known comes to less than this.
    pub(super) dropped: f64,
}

/// A choice for all layers, and what it comes to at least.
pub(super) struct Plan {
    pub(super) choices: Vec<Choice>,
    pub(super) value: f64,
}

impl Search<'_> {
    /// Goes through all layers; `None` where the time was over before the end.
    pub(super) fn run(&self, watch: &mut Watch<'_>) -> Option<Found> {
        let rows = self.table.rows.iter().flatten();
        let deepest =
            rows.filter(|row| row.scratch.is_some()).map(|row| row.depth).max().unwrap_or(0).min(RING - 1);
        let mut layers: Vec<Vec<Label>> = vec![vec![Label::START]];
        let mut dropped = f64::INFINITY;
        for (place, choices) in self.table.rows.iter().enumerate() {
            let mut next: Vec<(f64, Label)> = Vec::new();
            for (from, label) in layers[place].iter().enumerate() {
                if watch.spent(choices.len().saturating_mul(64)) {
                    return None;
                }
                for (index, row) in choices.iter().enumerate() {
                    let mut label = label.then(row, self.table.is_overlapped);
                    label.forget(deepest);
                    (label.from, label.row) = (index_of(from), index_of(index));
                    if let Some(bound) = self.bound(&label, place.saturating_add(1)) {
                        next.push((bound, label));
                    }
                }
            }
            let (kept, lost) = self.thinned(next, watch)?;
            dropped = dropped.min(lost);
            layers.push(kept);
        }
        Some(Found { plans: self.plans(&layers), dropped })
    }

    /// The least value that `label`, of the first `place` layers, can come to; `None` where it comes to nothing.
    pub(super) fn bound(&self, label: &Label, place: usize) -> Option<f64> {
        let least = &self.prices.least[place];
        let kept = float(label.kept.saturating_add(label.scratch));
        let busy = [label.ends[0], label.ends[1], label.ends[2], label.bus];
        let rest = [least.tasks[0], least.tasks[1], least.tasks[2], least.bus];
        let alone = busy.iter().zip(rest).map(|(busy, rest)| busy + rest).fold(0.0, f64::max);
        let free = [kept, float(label.load)].map(|taken| self.room.bytes - taken);
        let seconds = self.table.floor + alone.max(self.prices.seconds(place, busy, free[0], free[1]));
        let (stays, loads) = if self.room.seconds.is_finite() {
            self.prices.bytes(place, busy, self.room.seconds - self.table.floor)
        } else {
            (float(least.kept), float(least.load))
        };
        let bytes = (float(label.load) + loads).max(kept + stays);
        let is_within = bytes <= self.room.bytes * (1.0 + EQUAL)
            && seconds <= self.room.seconds * (1.0 + EQUAL)
            && label.noise + least.noise <= self.room.noise * (1.0 + EQUAL);
        let value = match self.goal {
            Goal::Latency => seconds,
            Goal::Peak => bytes,
        };
        (is_within && value <= self.known * (1.0 + EQUAL)).then_some(value)
    }

    /// Labels that no other one can stand for, at most so many as there is room for; and the least bound of the rest.
    fn thinned(&self, all: Vec<(f64, Label)>, watch: &mut Watch<'_>) -> Option<(Vec<Label>, f64)> {
        let (mut all, early) = self.fewer(all, self.width.saturating_mul(8));
        all.sort_by(|(_, a), (_, b)| order(a, b));
        let mut kept: Vec<(f64, Label)> = Vec::new();
        for (bound, label) in all {
            if watch.spent(kept.len()) {
                return None;
            }
            if !kept.iter().any(|(_, other)| other.is_as_good(&label)) {
                kept.push((bound, label));
            }
        }
        let (kept, late) = self.fewer(kept, self.width);
        Some((kept.into_iter().map(|(_, label)| label).collect(), early.min(late)))
    }

    /// At most about `width` of `all`, and the least bound of what is not among them.
    fn fewer(&self, all: Vec<(f64, Label)>, width: usize) -> (Vec<(f64, Label)>, f64) {
        if all.len() <= width {
            (all, f64::INFINITY)
        } else if self.is_relaxed {
            (merged(all, width), f64::INFINITY)
        } else {
            narrowed(all, width)
        }
    }

    fn plans(&self, layers: &[Vec<Label>]) -> Vec<Plan> {
        let Some(last) = layers.last() else { return Vec::new() };
        let mut ends: Vec<(f64, f64, usize)> = last
            .iter()
            .enumerate()
            .map(|(place, label)| {
                let (seconds, bytes) = (self.table.floor + label.seconds(), float(label.peak()));
                match self.goal {
                    Goal::Latency => (seconds, bytes, place),
                    Goal::Peak => (bytes, seconds, place),
                }
            })
            .collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
        ends.into_iter()
            .map(|(value, _, place)| Plan { choices: self.traced(layers, place), value })
            .collect()
    }

    fn traced(&self, layers: &[Vec<Label>], mut place: usize) -> Vec<Choice> {
        let mut choices = Vec::with_capacity(self.table.rows.len());
        for (labels, rows) in layers.iter().skip(1).zip(&self.table.rows).rev() {
            let label = &labels[place];
            choices.push(rows[label.row as usize].choice);
            place = label.from as usize;
        }
        choices.reverse();
        choices
    }
}

/// Labels with the same last choice that follow one another in speed, so many together that about `width` are left.
fn merged(mut all: Vec<(f64, Label)>, width: usize) -> Vec<(f64, Label)> {
    all.sort_by(|(_, a), (_, b)| a.row.cmp(&b.row).then_with(|| order(a, b)));
    let size = all.len().div_ceil(width.max(1));
    let mut groups: Vec<(f64, Label)> = Vec::with_capacity(width);
    let mut count = 0_usize;
    for (bound, label) in all {
        match groups.last_mut() {
            Some(last) if count < size && last.1.row == label.row => {
                *last = (last.0.min(bound), last.1.or(&label));
                count = count.saturating_add(1);
            }
            _ => {
                groups.push((bound, label));
                count = 1;
            }
        }
    }
    groups
}

/// At most `width` of `all`: half of them the most promising, half spread over all speeds.
fn narrowed(mut all: Vec<(f64, Label)>, width: usize) -> (Vec<(f64, Label)>, f64) {
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| order(&a.1, &b.1)));
    let mut rest = all.split_off(width.div_ceil(2));
    rest.sort_by(|(_, a), (_, b)| order(a, b));
    let wanted = width.saturating_sub(all.len()).max(1);
    let count = rest.len();
    let mut lost = f64::INFINITY;
    for (index, pair) in rest.into_iter().enumerate() {
        // Every so manieth of them, both ends included.
        let is_taken = index.saturating_mul(wanted).checked_rem(count).is_some_and(|rest| rest < wanted);
        if is_taken && all.len() < width {
            all.push(pair);
        } else {
            lost = lost.min(pair.0);
        }
    }
    (all, lost)
}

/// Fast before slow, then small before large: what can stand for another comes before it.
fn order(a: &Label, b: &Label) -> std::cmp::Ordering {
    let times = a.ends[2].total_cmp(&b.ends[2]).then(a.kept.cmp(&b.kept)).then(a.load.cmp(&b.load));
    let more =
        times.then(a.scratch.cmp(&b.scratch)).then(a.bus.total_cmp(&b.bus)).then(a.noise.total_cmp(&b.noise));
    more.then((a.from, a.row).cmp(&(b.from, b.row)))
}

fn index_of(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn float(count: u64) -> f64 {
    crate::jit::float(count)
}
