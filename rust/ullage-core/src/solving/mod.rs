//! What all solvers share: how long they may work, what they tell meanwhile, and what is proven of their answers.

mod limits;
mod random;
mod watch;

use std::fmt;

pub use limits::{Limits, Progress};
pub(crate) use random::Random;
pub(crate) use watch::Watch;

use crate::error::{Error, Result};
use crate::units::clip;

/// What is known about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Everything is placed, and provably nothing better exists.
    Optimal,
    /// Everything is placed; the gap to the lower bound is positive.
    Feasible,
    /// Provably not everything can be placed. The answer holds the best that was found.
    Infeasible,
    /// The effort allowed ended without a complete answer and without a proof that there is none.
    Timeout,
}

impl Status {
    /// The lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Optimal => "optimal",
            Self::Feasible => "feasible",
            Self::Infeasible => "infeasible",
            Self::Timeout => "timeout",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The strategy of `all` that is called `text`.
///
/// # Errors
/// [`Error::Argument`] listing the names there are.
pub(crate) fn strategy_named<S: Copy, const N: usize>(
    all: [S; N],
    name: fn(S) -> &'static str,
    text: &str,
) -> Result<S> {
    all.into_iter().find(|&strategy| name(strategy) == text).ok_or_else(|| Error::Argument {
        name: "strategy",
        reason: format!("{:?} is none of {}", clip(text), all.map(name).join(", ")),
    })
}
