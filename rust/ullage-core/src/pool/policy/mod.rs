//! Which model goes first when something has to go. One rule a file.
//!
//! A rule is told what happens (a request, a load, an eviction, each with its time) and is asked what keeping a
//! resident model is worth. [`select`] turns worths into a set of victims; the pool and the replay both call it, so
//! that what a replay proves of a rule is true of the pool.
//!
//! Two kinds of rule stand here: those that stand for an idea (`lru`, `lfu`, `gdsf`, `rate`, `largest`, `ttl`,
//! `value`), and re-statements of what other servers do (`ollama`, `llama.cpp`, `localai`), for comparison.

mod clairvoyant;
mod clocks;
mod experts;
mod gaps;
mod gdsf;
mod ghost;
mod habits;
mod informed;
mod largest;
mod lfu;
mod llama_cpp;
mod local_ai;
mod lru;
mod ollama;
mod rate;
mod roots;
mod seen;
mod select;
mod ttl;
mod value;

pub use clairvoyant::Clairvoyant;
pub use gdsf::Gdsf;
pub use habits::Habits;
pub use informed::Informed;
pub use largest::Largest;
pub use lfu::Lfu;
pub use llama_cpp::llama_cpp;
pub use local_ai::local_ai;
pub use lru::Lru;
pub use ollama::Ollama;
pub use rate::Rate;
pub use select::{EXACT_UP_TO, Selection, Weighed, select};
pub use ttl::ttl;
pub use value::Value;

use super::event::ModelId;
use crate::error::{Error, Result};
use crate::units::{Bytes, Time, clip};

/// A resident model that may be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The model.
    pub model: ModelId,
    /// Bytes it holds.
    pub bytes: Bytes,
    /// A number that grows with every use in the pool, as it was at this model's latest.
    pub turn: u64,
}

/// What a rule is told of a model when it joins the pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts<'a> {
    /// Its name.
    pub name: &'a str,
    /// What a load of it takes of memory.
    pub bytes: Bytes,
    /// What a load of it costs, in seconds; as good as any unit, as long as it is one unit for all.
    pub load_s: f64,
}

/// An eviction rule: gives each candidate a worth; the least worth goes first.
///
/// Models are numbered from zero in the order of `on_register`. Times never run backwards. What a rule is not told: who
/// holds leases or is pinned (such models are no candidates), and how much memory there is.
pub trait Policy: Send + std::fmt::Debug {
    /// The name used in arguments and JSON.
    fn name(&self) -> &str;

    /// The next model joins, cold.
    fn on_register(&mut self, facts: &Facts<'_>) {
        let _ = facts;
    }

    /// Somebody asks for `model`, resident or not.
    fn on_request(&mut self, model: ModelId, now: Time) {
        let _ = (model, now);
    }

    /// A use of `model` ended.
    fn on_release(&mut self, model: ModelId, now: Time) {
        let _ = (model, now);
    }

    /// `model` is resident from now on.
    fn on_load(&mut self, model: ModelId, now: Time) {
        let _ = (model, now);
    }

    /// `model` is resident no longer.
    fn on_evict(&mut self, model: ModelId, now: Time) {
        let _ = (model, now);
    }

    /// What a load of `model` was seen to cost.
    fn on_cost(&mut self, model: ModelId, load_s: f64) {
        let _ = (model, load_s);
    }

    /// What keeping `candidate` is worth at `now`, per byte where the rule weighs bytes. Among equals the least
    /// recently used goes. NaN says that the rule does not know: then the least recently used of all candidates goes.
    fn worth(&self, candidate: &Candidate, now: Time) -> f64;

    /// Writes down the worth of each candidate; false as soon as one is NaN.
    fn weigh(&self, candidates: &mut [Weighed], now: Time) -> bool {
        for weighed in candidates {
            weighed.worth = self.worth(&weighed.candidate, now);
            if weighed.worth.is_nan() {
                return false;
            }
        }
        true
    }

    /// How victims are chosen from their worths.
    fn selection(&self) -> Selection {
        Selection::Ordered
    }

    /// What the rule does beside choosing victims.
    fn habits(&self) -> Habits {
        Habits::NONE
    }

    /// Whether the rule has failed, so that what it says from now on means nothing. A replay ends there; a pool goes on.
    fn has_failed(&self) -> bool {
        false
    }
}

/// The names that [`by_name`] knows.
pub const NAMES: [&str; 10] =
    ["value", "lru", "lfu", "gdsf", "rate", "largest", "ttl", "ollama", "llama.cpp", "localai"];

/// The rule called `name`.
///
/// # Errors
/// [`Error::Argument`] listing the known names.
pub fn by_name(name: &str) -> Result<Box<dyn Policy>> {
    Ok(match name {
        "value" => Box::new(Value::default()),
        "lru" => Box::new(Lru::default()),
        "lfu" => Box::new(Lfu::default()),
        "gdsf" => Box::new(Gdsf::default()),
        "rate" => Box::new(Rate::default()),
        "largest" => Box::new(Largest),
        "ttl" => Box::new(ttl(ttl::IDLE_FOR)),
        "ollama" => Box::new(Ollama::default()),
        "llama.cpp" => Box::new(llama_cpp()),
        "localai" => Box::new(local_ai()),
        _ => {
            return Err(Error::Argument {
                name: "policy",
                reason: format!("{:?} is not one of: {}", clip(name), NAMES.join(", ")),
            });
        }
    })
}

/// Bytes as a float: rules weigh, they do not count.
#[allow(clippy::cast_precision_loss, reason = "a ratio of values; nobody's bytes are counted with it")]
pub(super) fn count(bytes: Bytes) -> f64 {
    bytes.get() as f64
}

/// A time as a float of seconds, without the division into seconds and nanoseconds: this is asked for often.
#[allow(
    clippy::cast_precision_loss,
    reason = "rules weigh ages; half a microsecond in a century does not matter"
)]
fn seconds(time: Time) -> f64 {
    time.as_nanos() as f64 / 1e9
}
