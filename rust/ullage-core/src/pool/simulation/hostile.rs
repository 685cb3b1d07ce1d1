//! A rule that says anything, and something else each time it is asked.

use std::cell::RefCell;

use crate::pool::policy::{Candidate, Policy, Selection};
use crate::solving::Random;
use crate::units::Time;

const WORTHS: [f64; 8] =
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -0.0, f64::MIN_POSITIVE, 1.0];

/// What somebody's own rule may be at its worst.
#[derive(Debug)]
pub(super) struct Hostile {
    dice: RefCell<Random>,
    selection: Selection,
}

impl Hostile {
    pub(super) fn new(seed: u64) -> Self {
        let selection =
            if seed.is_multiple_of(2) { Selection::Ordered } else { Selection::Least { slack: 40.0 } };
        Self { dice: RefCell::new(Random(seed)), selection }
    }
}

impl Policy for Hostile {
    fn name(&self) -> &'static str {
        "hostile"
    }

    fn worth(&self, _candidate: &Candidate, _now: Time) -> f64 {
        let mut dice = self.dice.borrow_mut();
        let place = dice.position(WORTHS.len() + 4);
        WORTHS.get(place).copied().unwrap_or_else(|| dice.fraction())
    }

    fn selection(&self) -> Selection {
        self.selection
    }
}

/// A rule that knows a worth for some only.
#[derive(Debug)]
struct Unsure(f64);

impl Policy for Unsure {
    fn name(&self) -> &'static str {
        "unsure"
    }

    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    fn worth(&self, candidate: &Candidate, _now: Time) -> f64 {
        if candidate.model.index() == 2 { self.0 } else { 9.0 - candidate.turn as f64 }
    }
}

#[test]
fn a_worth_that_is_none_leaves_the_least_recently_used() {
    let candidates = || {
        (0..4).map(|number| Candidate {
            model: crate::pool::ModelId(number),
            bytes: crate::Bytes::new(10),
            turn: number as u64 + 1,
        })
    };
    let mut chosen = Vec::new();
    let mut victims = |worth| {
        crate::pool::policy::select(&Unsure(worth), 15, 0, candidates(), Time::ZERO, &mut chosen);
        chosen.iter().map(|victim| victim.place).collect::<Vec<_>>()
    };
    assert_eq!(victims(100.0), [3, 1], "by worth the most recently used go first");
    assert_eq!(victims(f64::NAN), [0, 1], "without worths the least recently used do");
}
