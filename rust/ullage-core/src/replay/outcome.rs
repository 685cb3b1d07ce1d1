//! What came of a replay.

use crate::units::Bytes;

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Requests of the trace.
    pub requests: u64,
    /// Loads begun.
    pub cold_starts: u64,
    /// Seconds of loading, each load as if it were alone.
    pub load_s: f64,
    /// Models sent away.
    pub evictions: u64,
    /// Bytes sent away.
    pub evicted: u128,
    /// Bytes loaded.
    pub loaded: u128,
    /// Instants at which more was in use than the capacity.
    pub overcommits: u64,
    /// Requests refused, for whatever reason.
    pub refused: u64,
    /// The most bytes booked at once.
    pub peak: Bytes,
    /// How long requests waited.
    pub delays: Delays,
    /// Each model's part, in the order of the trace.
    pub models: Vec<ModelOutcome>,
}

/// One model's part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelOutcome {
    /// Requests for it.
    pub requests: u64,
    /// Loads begun.
    pub cold_starts: u64,
    /// Requests refused.
    pub refused: u64,
    /// How long requests waited.
    pub delays: Delays,
}

/// How long requests waited until they were granted, in seconds; zero where there were none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Delays {
    /// Half waited no longer.
    pub p50_s: f64,
    /// All but one in a hundred waited no longer.
    pub p99_s: f64,
    /// Nobody waited longer.
    pub max_s: f64,
}

impl Delays {
    /// Of these waits, in any order: the smallest that so many do not pass.
    pub(super) fn of(waits: &mut [f64]) -> Self {
        waits.sort_unstable_by(f64::total_cmp);
        let Some(&max_s) = waits.last() else { return Self::default() };
        let rank = |percent: usize| {
            let place = waits.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
            waits.get(place).copied().unwrap_or(max_s)
        };
        Self { p50_s: rank(50), p99_s: rank(99), max_s }
    }
}
