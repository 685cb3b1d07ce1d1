//! What a policy would have done: the pool on a virtual clock, driven by a trace of requests.
//!
//! ```text
//!  models.csv  ──► Trace ──┬──► serial   one request after another, loads take no time    the policy alone, fast
//!  requests.csv            ├──► live     durations, concurrency, lags, wrong estimates    the very pool of production
//!                          └──► bound    no policy loads less than this
//! ```
//!
//! [`serial`] asks the same [`Policy`] through the same
//! [`select`](crate::pool::policy::select) as the [`Pool`](crate::pool::Pool) does, without its queue and its ledger; a
//! test holds both against each other, decision for decision. [`live`] drives the [`Pool`](crate::pool::Pool) itself.
//! Nothing reads a clock or draws a number that was not handed in: a trace replays the same, bit for bit.

mod bound;
mod live;
mod log;
mod outcome;
mod serial;
mod synthetic;
mod trace;

pub use bound::lower_bound;
pub use live::{Conditions, live};
pub use log::{Log, Move};
pub use outcome::{Delays, ModelOutcome, Outcome};
pub use serial::serial;
pub use synthetic::{FAMILIES, synthetic};
pub use trace::{Request, Trace, TracedModel};

use crate::error::Result;
use crate::pool::policy::{Clairvoyant, Informed, Policy, by_name};

/// The policy called `name`: one that a pool may have, or one that only a replay can: `clairvoyant`, which is told the
/// future, or `informed`, which is told the gaps between each model's requests, but not their order.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) listing the known names.
pub fn policy(name: &str, trace: &Trace) -> Result<Box<dyn Policy>> {
    Ok(match name {
        "clairvoyant" => Box::new(Clairvoyant::new(trace.uses())),
        "informed" => Box::new(Informed::new(&trace.uses())),
        _ => by_name(name)?,
    })
}

#[cfg(test)]
mod tests;
