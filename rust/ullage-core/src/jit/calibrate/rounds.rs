//! Rounds: everything that is timed gets a short visit in each, so that all of it sees the same states of the machine.
//!
//! What a shared machine does to a kernel changes from second to second, by a half and more: its neighbours come and go.
//! A low percentile tells the kernel from the neighbours only where samples were taken in several such states. So visits
//! are short and many, and those that are to be compared lie beside one another.

use std::time::{Duration, Instant};

use super::{Listener, tell};
use crate::error::Result;
use crate::jit::{Policy, float};

/// Passes of a visit that are timed. Calibration and verification take as many, so that their percentiles mean the same.
pub(super) const PASSES: u32 = 2;
/// The fewest rounds.
const ROUNDS: u32 = 2;

/// What is visited in every round.
pub(super) trait Visit {
    /// Its place in a round.
    fn key(&self) -> Key;
    /// Goes through a few passes.
    fn visit(&mut self) -> Result<()>;
}

/// Visits with the same policy lie side by side, then those with as many threads, then those of one scheme.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    policy: String,
    threads: u32,
    scheme: String,
}

impl Key {
    pub(super) fn new(policy: Policy, threads: u32, scheme: String) -> Self {
        Self { policy: policy.to_string(), threads, scheme }
    }

    fn what(&self) -> String {
        let threads = if self.threads == 1 { "thread" } else { "threads" };
        format!("{}, {}, {} {threads}", self.scheme, self.policy, self.threads)
    }
}

/// Goes through all visits in rounds until another round would take longer than there is time; gives their number.
pub(super) fn run(
    mut visits: Vec<&mut dyn Visit>,
    time: Duration,
    begun: Instant,
    listener: Listener<'_>,
) -> Result<u32> {
    visits.sort_by_cached_key(|visit| visit.key());
    let count = float(u64::try_from(visits.len().max(1)).unwrap_or(1));
    let mut rounds = 0_u32;
    loop {
        let started = Instant::now();
        for (place, visit) in visits.iter_mut().enumerate() {
            let of_round = float(u64::try_from(place).unwrap_or(0)) / count;
            let by_rounds = (f64::from(rounds) + of_round) / f64::from(ROUNDS);
            let by_time = begun.elapsed().as_secs_f64() / time.as_secs_f64().max(1.0);
            // The fewest rounds are gone through even where that takes longer.
            let done = if rounds < ROUNDS { by_rounds.min(by_time) } else { by_time };
            tell(listener, done, visit.key().what())?;
            visit.visit()?;
        }
        rounds = rounds.saturating_add(1);
        if rounds >= ROUNDS && begun.elapsed().saturating_add(started.elapsed()) > time {
            return Ok(rounds);
        }
    }
}
