//! What Ollama does (ollama/ollama@fb307609, `server/sched.go`): at most three models; a load asks that its size be at
//! most 0.8 of what is free beside 1.45 GB, unless it is the first; idle models go after five minutes; the first by path
//! goes first, whenever it was used and whatever its load cost.

use std::time::Duration;

use super::{Candidate, Facts, Habits, Policy};
use crate::units::{Bytes, Time};

/// A re-statement for comparison: models with one `keep_alive` go by path, which is here the name.
#[derive(Clone, Debug, Default)]
pub struct Ollama {
    names: Vec<String>,
    /// The place of each model in the order of names.
    ranks: Vec<f64>,
}

impl Policy for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    fn on_register(&mut self, facts: &Facts<'_>) {
        let rank = self.names.iter().filter(|name| name.as_str() < facts.name).count();
        let later = self.names.iter().zip(&mut self.ranks).filter(|(name, _)| name.as_str() >= facts.name);
        later.for_each(|(_, rank)| *rank += 1.0);
        self.names.push(facts.name.to_owned());
        self.ranks.push(super::count(Bytes::new(u64::try_from(rank).unwrap_or(u64::MAX))));
    }

    fn worth(&self, candidate: &Candidate, _now: Time) -> f64 {
        self.ranks[candidate.model.0]
    }

    fn habits(&self) -> Habits {
        Habits {
            most_models: Some(3),
            idle_for: Some(Duration::from_mins(5)),
            share_of_free: 0.8,
            margin: Bytes::new(1_450_000_000),
            ..Habits::NONE
        }
    }
}
