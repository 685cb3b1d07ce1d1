//! [`Answer`]: what was chosen for every layer, and what is proven of it.

use crate::jit::policy::Policy;
use crate::jit::simulate::Simulation;
use crate::solving::Status;
use crate::units::Bytes;

/// What is chosen for one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choice {
    /// The place of its variant.
    pub variant: usize,
    /// What is done with it.
    pub policy: Policy,
}

/// What the simulator says of a choice for all layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// For every layer.
    pub choices: Vec<Choice>,
    /// Seconds of a pass.
    pub latency_s: f64,
    /// The most bytes at any time.
    pub peak: Bytes,
    /// Power of all weights over that of all errors; `None` where that of a variant is unknown.
    pub snr_db: Option<f64>,
}

/// One policy for all layers, all stored in the variant of one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Uniform {
    /// The policy.
    pub policy: Policy,
    /// The place of the variant.
    pub variant: usize,
    /// Seconds of a pass.
    pub latency_s: f64,
    /// The most bytes at any time.
    pub peak: Bytes,
    /// Power of all weights over that of all errors; `None` where unknown.
    pub snr_db: Option<f64>,
    /// Whether it keeps to the bounds.
    pub is_allowed: bool,
}

/// The outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What is proven.
    pub status: Status,
    /// The best choice that was found, with what the simulator says of it; `None` where nothing keeps to the bounds.
    pub best: Option<Candidate>,
    /// The pass of the best choice.
    pub simulation: Option<Simulation>,
    /// Nothing is less than that: seconds or bytes, as the goal is.
    pub lower_bound: f64,
    /// Every policy for all layers alike, whether it keeps to the bounds or not.
    pub uniform: Vec<Uniform>,
    /// Of all that was simulated within the bounds, what nothing else beats in both bytes and seconds; by bytes.
    pub front: Vec<Candidate>,
    /// How many plans were simulated.
    pub simulated: u64,
    /// Why nothing keeps to the bounds.
    pub reason: Option<String>,
}

impl Answer {
    /// How far the best is above the bound, as a share of the best; 0 where it is proven to be the best.
    #[must_use]
    pub fn gap(&self, value: f64) -> f64 {
        if self.status == Status::Optimal || value <= 0.0 {
            0.0
        } else {
            (1.0 - self.lower_bound / value).max(0.0)
        }
    }
}
