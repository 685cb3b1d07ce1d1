//! Which rule to go by: each has a [`Ghost`], and the pool follows the one that did best lately.
//!
//! No rule is best for all requests: gaps tell most where requests have a rhythm, recency where they come in bursts,
//! counts where nothing changes. Which it is shows in what each rule *would have paid*, on the same requests in the same
//! memory. To follow the best of several that change costs something at each change (the models that the new one has
//! and the old one has not), which makes this a metrical task system (Borodin, Linial and Saks, "An optimal on-line
//! algorithm for metrical task system", 1992), and what is done here is their rule: the *work function* of an expert is
//! the least that could have been paid by whoever ends with it. It grows with what the expert pays, but never beyond
//! that of another by more than a change between both costs, so that the past is forgotten at the pace at which it can
//! be made good. The pool changes once another is better by as much as the change costs: no window, no rate of learning
//! to be chosen, and not more spent on changes than was lost by waiting for them.

#![allow(clippy::arithmetic_side_effects, reason = "sums of bytes that a pool holds")]

use super::ghost::{Ghost, Known, Rule};

/// In the order of preference among equals.
const RULES: [Rule; 7] = [
    Rule::Gaps,
    Rule::GapsInOrder,
    Rule::Rate,
    Rule::GreedyDual,
    Rule::Popularity,
    Rule::Recency,
    Rule::Frequency,
];

/// Evictions after which an older peak of what the pool holds is forgotten, if there was none as high in as many: its
/// limit may have been lowered.
const PEAK_LASTS: u32 = 1024;

/// Costs that come to be known better until sums are made anew, so that roundings do not add up.
const RECOUNT_EVERY: u32 = 1024;

/// All ghosts, and which of them is followed.
#[derive(Clone, Debug)]
pub(super) struct Experts {
    ghosts: Vec<Ghost>,
    followed: usize,
    /// Bytes that the pool holds, and the most it held: in this age of it, and in the one before.
    used: u64,
    peaks: [u64; 2],
    evictions: u32,
    is_full: bool,
    /// Seconds of loading for all that the pool holds.
    held_s: f64,
    /// Costs that came to be known better since all was added up.
    costs: u32,
}

impl Default for Experts {
    fn default() -> Self {
        let ghosts = RULES.map(Ghost::new).to_vec();
        Self {
            ghosts,
            followed: 0,
            used: 0,
            peaks: [0, 0],
            evictions: 0,
            is_full: false,
            held_s: 0.0,
            costs: 0,
        }
    }
}

impl Experts {
    pub(super) fn add(&mut self) {
        self.ghosts.iter_mut().for_each(Ghost::add);
    }

    /// The ghost whose models the pool keeps; none where gaps alone decide.
    pub(super) fn kept(&self) -> Option<&Ghost> {
        Some(&self.ghosts[self.followed]).filter(|ghost| ghost.rule() != Rule::Gaps)
    }

    /// Whether something had to go yet.
    pub(super) const fn is_full(&self) -> bool {
        self.is_full
    }

    /// `model` is asked for.
    pub(super) fn request(
        &mut self,
        model: usize,
        known: &[Known],
        slack_ln: f64,
        gap_worth: impl Fn(usize) -> f64,
    ) {
        let room = self.peaks[0].max(self.peaks[1]);
        // Whether it fits is not known; if not, it costs no rule anything.
        if known[model].bytes > room {
            return;
        }
        let mut has_lost = false;
        for ghost in &mut self.ghosts {
            if ghost.has(model) {
                ghost.touch(model, &known[model]);
            } else {
                ghost.load(model, known, room, slack_ln, &gap_worth);
                ghost.behind_s += known[model].load_s;
                has_lost = true;
            }
        }
        if has_lost {
            self.compare();
        }
    }

    /// Forgets what can be made good, and follows another if that has become worth what it costs.
    fn compare(&mut self) {
        let best = self.ghosts.iter().map(|ghost| ghost.behind_s).fold(f64::INFINITY, f64::min);
        for ghost in &mut self.ghosts {
            ghost.behind_s = (ghost.behind_s - best).min(self.held_s);
        }
        let mine = self.ghosts[self.followed].behind_s;
        if mine <= 0.0 {
            return;
        }
        let mut most = 0.0;
        for (number, ghost) in self.ghosts.iter().enumerate() {
            let gain = mine - ghost.behind_s;
            if gain > most && gain >= ghost.ahead_s {
                (most, self.followed) = (gain, number);
            }
        }
    }

    /// The pool has loaded `known`, which is marked as resident.
    pub(super) fn loaded(&mut self, model: usize, known: &Known) {
        self.used = self.used.saturating_add(known.bytes);
        self.held_s += known.load_s;
        self.peaks[0] = self.peaks[0].max(self.used);
        for ghost in self.ghosts.iter_mut().filter(|ghost| ghost.has(model)) {
            ghost.ahead_s -= known.load_s;
        }
    }

    /// The pool has sent `known` away, which is no longer marked as resident.
    pub(super) fn evicted(&mut self, model: usize, known: &Known) {
        self.is_full = true;
        self.evictions += 1;
        if self.evictions >= PEAK_LASTS {
            self.peaks = [self.used, self.peaks[0]];
            self.evictions = 0;
        }
        self.used = self.used.saturating_sub(known.bytes);
        self.held_s -= known.load_s;
        for ghost in self.ghosts.iter_mut().filter(|ghost| ghost.has(model)) {
            ghost.ahead_s += known.load_s;
        }
    }

    /// A load of `model` is known to cost `more_s` more than was thought.
    pub(super) fn cost(&mut self, model: usize, more_s: f64, known: &[Known]) {
        self.costs += 1;
        if self.costs >= RECOUNT_EVERY {
            self.costs = 0;
            self.recount(known);
        } else if known[model].is_resident {
            self.held_s += more_s;
        } else {
            for ghost in self.ghosts.iter_mut().filter(|ghost| ghost.has(model)) {
                ghost.ahead_s += more_s;
            }
        }
    }

    /// Adds up anew what is loaded.
    fn recount(&mut self, known: &[Known]) {
        self.held_s = known.iter().filter(|known| known.is_resident).map(|known| known.load_s).sum();
        self.ghosts.iter_mut().for_each(|ghost| ghost.recount(known));
    }
}
