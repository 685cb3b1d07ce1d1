//! A shadow of the pool: what would be resident, had one rule decided alone, and what that would have cost.
//!
//! A ghost holds numbers, no models: a request costs it a look, or a choice among what it holds where the model would
//! have been loaded.

#![allow(clippy::arithmetic_side_effects, reason = "sums of bytes that a pool holds, and places in lists")]

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::Candidate;
use super::select::{Selection, Weighed, choose};
use crate::pool::ModelId;
use crate::units::Bytes;

/// What a ghost goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The expected loss, no more than needed going.
    Gaps,
    /// The expected loss per byte, the least first.
    GapsInOrder,
    /// Least recently used.
    Recency,
    /// Fewest requests ever.
    Frequency,
    /// Greedy-Dual-Size-Frequency.
    GreedyDual,
    /// Request rate × load time / bytes, of the last hour or so.
    Rate,
    /// Request rate × load time / bytes, of the whole history.
    Popularity,
}

/// What rules may know of a model.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    pub(super) load_s: f64,
    pub(super) bytes: u64,
    /// What a load costs for each byte.
    pub(super) density: f64,
    /// Requests of the whole pool as of its latest.
    pub(super) turn: u64,
    /// Its requests, all of them.
    pub(super) requests: f64,
    /// The logarithm of its decayed count of requests × load time / bytes, as of a time that is the same for all models.
    pub(super) level: f64,
    pub(super) is_resident: bool,
}

impl Known {
    pub(super) fn new(load_s: f64, bytes: u64) -> Self {
        let mut known = Self { bytes, ..Self::default() };
        known.cost(load_s);
        known
    }

    fn candidate(&self, model: usize) -> Candidate {
        Candidate { model: ModelId(model), bytes: Bytes::new(self.bytes), turn: self.turn }
    }

    /// A load costs so much.
    #[allow(clippy::cast_precision_loss, reason = "a ratio")]
    pub(super) fn cost(&mut self, load_s: f64) {
        self.load_s = load_s;
        self.density = load_s / (self.bytes as f64).max(1.0);
    }
}

/// No place.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Resident {
    model: u32,
    /// Requests since it came.
    frequency: f64,
    /// What keeping it is worth, by a rule whose worths change with requests only.
    worth: f64,
}

/// What a resident was worth when it was put in line. The least worth stands first, among equals the least recently
/// used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    /// The worth, as a number in the order of [`f64::total_cmp`].
    worth: i64,
    turn: u64,
    model: u32,
}

impl Line {
    fn new(worth: f64, turn: u64, model: u32) -> Self {
        let bits = worth.to_bits().cast_signed();
        // Without its sign a negative number's bits rise as it falls.
        Self { worth: bits ^ (bits >> 63).cast_unsigned().wrapping_shr(1).cast_signed(), turn, model }
    }
}

/// A shadow of the pool.
#[derive(Clone, Debug)]
pub(super) struct Ghost {
    rule: Rule,
    residents: Vec<Resident>,
    /// Where each model stands among the residents. By gaps any place says that it is there.
    places: Vec<u32>,
    /// The residents by gaps, under their numbers. Those that were worth least when somebody had to go stand first: they
    /// will be, mostly, the next time.
    rows: Vec<Weighed>,
    used: u64,
    /// Greedy-Dual's clock.
    clock: f64,
    /// Seconds of loading for what it holds and the pool does not: what it takes to become it.
    pub(super) ahead_s: f64,
    /// Seconds of loading by which it is worse than the best, as far as that is remembered.
    pub(super) behind_s: f64,
    /// Residents in line to go, for rules whose worths change with requests only. A use seldom lowers a worth, so nobody
    /// moves up or down with each: an entry that says too little is put right once it comes to the front. Where a worth
    /// falls nonetheless (a load is found to cost less), a second entry says so, and the first is passed over.
    line: BinaryHeap<Reverse<Line>>,
}

impl Ghost {
    pub(super) fn new(rule: Rule) -> Self {
        Self {
            rule,
            residents: Vec::new(),
            places: Vec::new(),
            used: 0,
            clock: 0.0,
            ahead_s: 0.0,
            behind_s: 0.0,
            line: BinaryHeap::new(),
            rows: Vec::new(),
        }
    }

    pub(super) const fn rule(&self) -> Rule {
        self.rule
    }

    pub(super) fn add(&mut self) {
        self.places.push(NONE);
    }

    pub(super) fn has(&self, model: usize) -> bool {
        self.places[model] != NONE
    }

    /// The worth of a model as it was just asked for, `frequency` times since it came.
    #[allow(clippy::cast_precision_loss, reason = "an order, not a count")]
    fn fresh(&self, known: &Known, frequency: f64) -> f64 {
        match self.rule {
            Rule::Recency => known.turn as f64,
            Rule::Frequency => known.requests,
            Rule::Rate => known.level,
            Rule::Popularity => known.requests * known.density,
            Rule::GreedyDual => self.clock + frequency * known.density,
            Rule::Gaps | Rule::GapsInOrder => 0.0,
        }
    }

    const fn is_by_gaps(&self) -> bool {
        matches!(self.rule, Rule::Gaps | Rule::GapsInOrder)
    }

    /// `model` is asked for and the ghost has it.
    pub(super) fn touch(&mut self, model: usize, known: &Known) {
        if self.is_by_gaps() {
            return;
        }
        let place = self.places[model] as usize;
        let frequency = self.residents[place].frequency + 1.0;
        let worth = self.fresh(known, frequency);
        let resident = &mut self.residents[place];
        let before = std::mem::replace(&mut resident.worth, worth);
        resident.frequency = frequency;
        if worth < before {
            let entry = Line::new(worth, known.turn, resident.model);
            self.queue_up(entry, false);
        }
    }

    /// Puts an entry in line, in the place of the first one if that is vacant; the line is made anew once most of it is out
    /// of date.
    fn queue_up(&mut self, entry: Line, is_first_vacant: bool) {
        match self.line.peek_mut() {
            Some(mut first) if is_first_vacant => first.0 = entry,
            first => {
                drop(first);
                self.line.push(Reverse(entry));
            }
        }
        if self.line.len() > 2 * self.residents.len() + 7 {
            // A turn that says too little is put right as a worth is.
            let line = |&Resident { model, worth, .. }| Reverse(Line::new(worth, 0, model));
            self.line.clear();
            self.line.extend(self.residents.iter().map(line));
        }
    }

    /// Loads `model` into what fits `room` bytes. `gap_worth` is what the gaps say of a model, and *e* to `slack_ln` what
    /// will soon be missing beyond that.
    pub(super) fn load(
        &mut self,
        model: usize,
        known: &[Known],
        room: u64,
        slack_ln: f64,
        gap_worth: impl Fn(usize) -> f64,
    ) {
        let facts = &known[model];
        let needed = self.used.saturating_add(facts.bytes);
        let mut is_first_vacant = false;
        if needed > room {
            match self.rule {
                Rule::Gaps => {
                    let how = Selection::Least { slack: slack_ln.exp() };
                    self.weigh(needed - room, how, known, gap_worth);
                }
                Rule::GapsInOrder => self.weigh(needed - room, Selection::Ordered, known, gap_worth),
                _ => is_first_vacant = self.shrink(room.saturating_sub(facts.bytes), known),
            }
        }
        if self.is_by_gaps() {
            self.places[model] = 0;
            self.rows.push(Weighed::new(model, 0.0, facts.candidate(model)));
        } else {
            let worth = self.fresh(facts, 1.0);
            self.places[model] = u32::try_from(self.residents.len()).unwrap_or(NONE);
            let number = u32::try_from(model).unwrap_or(NONE);
            self.residents.push(Resident { model: number, frequency: 1.0, worth });
            self.queue_up(Line::new(worth, facts.turn, number), is_first_vacant);
        }
        self.used = self.used.saturating_add(facts.bytes);
        if !facts.is_resident {
            self.ahead_s += facts.load_s;
        }
    }

    /// Sends away what is worth least by its gaps.
    fn weigh(&mut self, missing: u64, how: Selection, known: &[Known], worth: impl Fn(usize) -> f64) {
        let mut rows = std::mem::take(&mut self.rows);
        for row in &mut rows {
            row.worth = worth(row.place);
            row.candidate.turn = known[row.place].turn;
        }
        let many = choose(how, missing.into(), 0, &mut rows);
        for victim in rows.drain(..many) {
            self.places[victim.place] = NONE;
            self.part_with(&known[victim.place]);
        }
        self.rows = rows;
    }

    /// Sends away what is worth least until no more than `room` bytes are used. True if the first entry of the line is of
    /// one that went.
    fn shrink(&mut self, room: u64, known: &[Known]) -> bool {
        let mut is_first_vacant = false;
        while self.used > room {
            if is_first_vacant {
                self.line.pop();
            }
            let Some(place) = self.least(known) else { return false };
            is_first_vacant = true;
            self.clock = self.clock.max(self.residents[place].worth);
            self.drop(place, known);
        }
        is_first_vacant
    }

    /// The place of the resident that is worth least, whose entry is the first in line.
    fn least(&mut self, known: &[Known]) -> Option<usize> {
        loop {
            let Reverse(first) = *self.line.peek()?;
            let place = self.places[first.model as usize] as usize;
            let Some(resident) = self.residents.get(place) else {
                self.line.pop();
                continue;
            };
            let now = Line::new(resident.worth, known[first.model as usize].turn, first.model);
            match first.cmp(&now) {
                Ordering::Equal => {
                    #[cfg(test)]
                    assert_eq!(
                        Some(place),
                        self.least_by_scan(known),
                        "the line says what a look at all does"
                    );
                    return Some(place);
                }
                // Sorted in again where it belongs.
                Ordering::Less => self.line.peek_mut()?.0 = now,
                // A second entry, which said less, was put right since.
                Ordering::Greater => {
                    self.line.pop();
                }
            }
        }
    }

    fn drop(&mut self, place: usize, known: &[Known]) {
        let model = self.residents.swap_remove(place).model as usize;
        self.places[model] = NONE;
        if let Some(moved) = self.residents.get(place) {
            self.places[moved.model as usize] = u32::try_from(place).unwrap_or(NONE);
        }
        self.part_with(&known[model]);
    }

    fn part_with(&mut self, known: &Known) {
        self.used = self.used.saturating_sub(known.bytes);
        if !known.is_resident {
            self.ahead_s -= known.load_s;
        }
    }

    /// Adds up anew what it takes to become this ghost.
    pub(super) fn recount(&mut self, known: &[Known]) {
        let in_line = self.residents.iter().map(|resident| resident.model as usize);
        let all = in_line.chain(self.rows.iter().map(|row| row.place)).map(|model| &known[model]);
        self.ahead_s = all.filter(|known| !known.is_resident).map(|known| known.load_s).sum();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Ghost {
        /// The slow way: a look at all residents.
        pub(super) fn least_by_scan(&self, known: &[Known]) -> Option<usize> {
            let turn = |resident: &Resident| known[resident.model as usize].turn;
            (0..self.residents.len()).reduce(|best, place| {
                let (a, b) = (&self.residents[place], &self.residents[best]);
                let is_less = a.worth < b.worth || (a.worth <= b.worth && turn(a) < turn(b));
                if is_less { place } else { best }
            })
        }
    }

    const RULES: [Rule; 5] = [Rule::Recency, Rule::Frequency, Rule::GreedyDual, Rule::Rate, Rule::Popularity];

    #[test]
    fn a_line_is_in_the_order_of_all_numbers() {
        let worths =
            [f64::NEG_INFINITY, -1e300, -1.5, -1e-310, -0.0, 0.0, 1e-310, 1.5, f64::INFINITY, f64::NAN];
        assert!(worths.is_sorted_by(|a, b| Line::new(*a, 9, 9) < Line::new(*b, 0, 0)));
    }

    proptest! {
        /// Whatever is asked for, and however costs change meanwhile: each victim is the one that a look at all residents
        /// finds (`least` compares them), and the line does not outgrow the residents.
        #[test]
        fn the_line_is_in_order(
            rule in 0..RULES.len(), room in 10_u64..60,
            steps in prop::collection::vec((0..12_usize, 1_u64..9, prop::option::of(1_u32..50)), 1..400),
        ) {
            let mut ghost = Ghost::new(RULES[rule]);
            let mut known = vec![Known::new(1.0, 5); 12];
            for _ in &known {
                ghost.add();
            }
            let mut turn = 0;
            for (model, bytes, cost) in steps {
                if let Some(cost) = cost {
                    known[model].cost(f64::from(cost) / 8.0);
                    ghost.recount(&known);
                }
                turn += 1;
                let row = &mut known[model];
                if !ghost.has(model) {
                    *row = Known { turn: row.turn, requests: row.requests, ..Known::new(row.load_s, bytes) };
                }
                row.turn = turn;
                row.requests += 1.0;
                row.level = row.requests.log2() + row.density.log2() + f64::from(u32::try_from(turn).unwrap()) / 7.0;
                if ghost.has(model) {
                    ghost.touch(model, &known[model]);
                } else {
                    ghost.load(model, &known, room, 0.0, |_| 0.0);
                }
                prop_assert!(ghost.used <= room.max(bytes));
                prop_assert!(ghost.line.len() <= 2 * ghost.residents.len() + 8);
                let held: u64 = ghost.residents.iter().map(|row| known[row.model as usize].bytes).sum();
                prop_assert_eq!(held, ghost.used);
            }
        }
    }
}
