//! [`Search`]: depth first, from the lowest floor up, jumping back over decisions that are not to blame.
//!
//! At each step a section is taken whose floor is lowest, and it is decided which of its spans lies there, or that none
//! does. A layout in which each span rests on the bottom or on another exists wherever there is any (canonical solutions:
//! Moffitt et al., ASPLOS 2024), so that one that does not lie on the floor lies on a neighbour that is still to be
//! placed. A failure comes with the decisions to blame; others are taken back without trying their alternatives
//! (conflict-directed backjumping: Prosser, "Hybrid algorithms for the constraint satisfaction problem", 1993).

use std::cmp::Reverse;

use crate::arena::exact::conflict::{self, Set};
use crate::arena::exact::model::Model;
use crate::arena::exact::state::{Mark, State};
use crate::solving::Watch;

/// Which of the sections with the lowest floor is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The one with the fewest candidates.
    Fewest,
    /// The fewest for the failures that it had.
    FewestForWeight,
    /// The one with the least room to spare.
    Tightest,
    /// The one that failed most often.
    Heaviest,
}

impl Rule {
    pub(super) const ALL: [Self; 4] = [Self::Fewest, Self::FewestForWeight, Self::Tightest, Self::Heaviest];
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    Found,
    /// There is no layout.
    Exhausted,
    /// The failures allowed were used up.
    GivenUp,
    /// The time is over.
    Stopped,
}

/// One decision: which of the candidates lies on the floor, or none.
struct Level {
    candidates: Vec<u32>,
    /// How many alternatives have been tried.
    tried: usize,
    /// What is placed by the alternative that holds.
    placed: Option<usize>,
    mark: Mark,
    /// The decisions above to blame for the alternatives that failed.
    blamed: Set,
}

pub(super) struct Search<'a> {
    pub(super) state: State<'a>,
    levels: Vec<Level>,
    pub(super) failures: u64,
}

impl<'a> Search<'a> {
    pub(super) fn new(model: &'a Model) -> Self {
        Self { state: State::new(model), levels: Vec::new(), failures: 0 }
    }

    /// Looks for a layout of at most `capacity` bytes, candidates by decreasing `score`, until `limit` failures.
    pub(super) fn run(
        &mut self,
        capacity: u64,
        rule: Rule,
        scores: &[u128],
        limit: u64,
        watch: &mut Watch<'_>,
    ) -> Run {
        self.failures = 0;
        self.levels.clear();
        if !self.state.reset(capacity) {
            return Run::Exhausted;
        }
        self.descend(rule, scores);
        while self.state.left > 0 {
            if watch.spent(std::mem::take(&mut self.state.work)) {
                return Run::Stopped;
            }
            if self.failures >= limit {
                return Run::GivenUp;
            }
            match self.next_alternative() {
                Some(true) => self.descend(rule, scores),
                Some(false) => {
                    self.failures = self.failures.saturating_add(1);
                    let blamed = std::mem::take(&mut self.state.blamed);
                    self.fail(&blamed);
                    self.state.blamed = blamed;
                }
                None => {
                    let Some(level) = self.levels.pop() else { return Run::Exhausted };
                    self.fail(&level.blamed);
                }
            }
            if self.levels.is_empty() {
                return Run::Exhausted;
            }
        }
        Run::Found
    }

    /// Where the last run placed the spans, in bytes.
    pub(super) fn offsets(&self) -> Vec<u64> {
        let cell = self.state.model.cell;
        self.state.lows.iter().map(|low| low.saturating_mul(cell)).collect()
    }

    /// Begins the next decision, if anything is left to place.
    fn descend(&mut self, rule: Rule, scores: &[u128]) {
        let Some(section) = self.section(rule).filter(|_| self.state.left > 0) else { return };
        let mut candidates: Vec<u32> = self.state.candidates(section).collect();
        candidates.sort_by_key(|&span| Reverse(scores.get(span as usize)));
        let mut blamed = self.state.no_decisions();
        for &span in &candidates {
            self.state.blame(span as usize, &mut blamed);
        }
        self.levels.push(Level { candidates, tried: 0, placed: None, mark: self.state.mark(), blamed });
    }

    fn section(&self, rule: Rule) -> Option<usize> {
        let state = &self.state;
        let floor = *state.floors.iter().min()?;
        let lowest = (0..state.floors.len()).filter(|&section| state.floors[section] == floor);
        let count = |section: usize| state.candidates(section).count() as u64;
        let end = |section: usize| Reverse(state.ends[section]);
        let weight = |section: usize| state.weights[section];
        match rule {
            Rule::Fewest => lowest.min_by_key(|&section| (count(section), end(section))),
            Rule::Tightest => lowest.min_by_key(|&section| end(section)),
            Rule::Heaviest => {
                lowest.min_by_key(|&section| (Reverse(weight(section)), count(section), end(section)))
            }
            Rule::FewestForWeight => lowest.min_by(|&one, &other| {
                let of_one = count(one).saturating_mul(weight(other));
                let of_other = count(other).saturating_mul(weight(one));
                of_one.cmp(&of_other).then(end(one).cmp(&end(other)))
            }),
        }
    }

    /// Tries the next alternative of the last decision: whether it leaves a chance, `None` where there is none left.
    fn next_alternative(&mut self) -> Option<bool> {
        let depth = u32::try_from(self.levels.len()).unwrap_or(u32::MAX).saturating_sub(1);
        let level = self.levels.last_mut()?;
        loop {
            let tried = level.tried;
            level.tried = tried.saturating_add(1);
            let Some(&span) = level.candidates.get(tried) else {
                if tried > level.candidates.len() {
                    return None;
                }
                return Some(self.state.lift(&level.candidates, depth));
            };
            let before = level.candidates.get(..tried).unwrap_or_default();
            if !before.iter().any(|&other| self.state.are_alike(span as usize, other as usize)) {
                level.placed = Some(span as usize);
                return Some(self.state.place(span as usize, depth));
            }
        }
    }

    /// Takes back decisions until the last that is to blame, which has to look for another alternative.
    fn fail(&mut self, blamed: &[u64]) {
        while let Some(depth) = self.levels.len().checked_sub(1) {
            let Some(level) = self.levels.last_mut() else { return };
            if let Some(span) = level.placed.take() {
                self.state.take_up(span);
            }
            self.state.back(level.mark);
            let depth = u32::try_from(depth).unwrap_or(u32::MAX);
            if conflict::has(blamed, depth) {
                conflict::unite(&mut level.blamed, blamed);
                conflict::remove(&mut level.blamed, depth);
                return;
            }
            self.levels.pop();
        }
    }
}
