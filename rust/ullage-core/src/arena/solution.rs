//! [`Layout`]: an answer, with what is proven about it.

use std::fmt;

use crate::solving::Status;
use crate::units::Bytes;

/// Where every buffer lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What the layout is and what is proven. With a capacity, `Feasible` and `Optimal` are within it, `Infeasible`
    /// and `Timeout` above it.
    pub status: Status,
    /// The offset of each buffer.
    pub offsets: Vec<Bytes>,
    /// Where the highest buffer ends.
    pub height: Bytes,
    /// No layout is lower.
    pub lower_bound: Bytes,
    /// Why `lower_bound` holds.
    pub proof: Proof,
    /// Why no layout is within the capacity; present exactly when `status` is [`Status::Infeasible`].
    pub reason: Option<Infeasibility>,
    /// Changes that the search tried; zero when there was no search.
    pub steps: u64,
}

impl Layout {
    /// Bytes above the lower bound.
    #[must_use]
    pub fn gap(&self) -> Bytes {
        self.height.saturating_sub(self.lower_bound)
    }
}

/// Why a lower bound holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// What is alive at this instant takes so many bytes: each buffer rounded up to the greatest common divisor of all
    /// alignments, but for what that adds to the one which may lie on top.
    Load {
        /// The instant.
        at: i64,
    },
    /// A buffer that is fixed ends there.
    Fixed,
    /// A search went through all layouts that are lower. Checking it would take as long.
    Search,
}

/// Why no layout is within the capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Infeasibility {
    /// What is alive at one instant takes more than the capacity.
    LoadTooHigh {
        /// The instant.
        at: i64,
        /// Bytes that are needed then.
        load: Bytes,
        /// Bytes there are.
        capacity: Bytes,
    },
    /// A buffer that is fixed ends above the capacity.
    FixedTooHigh {
        /// Where the highest ends.
        end: Bytes,
        /// Bytes there are.
        capacity: Bytes,
    },
    /// A search went through all layouts.
    Exhausted {
        /// Bytes there are.
        capacity: Bytes,
    },
}

impl Infeasibility {
    /// A stable name for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LoadTooHigh { .. } => "load_too_high",
            Self::FixedTooHigh { .. } => "fixed_too_high",
            Self::Exhausted { .. } => "exhausted",
        }
    }
}

impl fmt::Display for Infeasibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LoadTooHigh { at, load, capacity } => {
                write!(
                    f,
                    "what is alive at {at} takes {} bytes, the capacity is {}",
                    load.get(),
                    capacity.get()
                )
            }
            Self::FixedTooHigh { end, capacity } => {
                write!(f, "a fixed buffer ends at {}, the capacity is {}", end.get(), capacity.get())
            }
            Self::Exhausted { capacity } => {
                write!(f, "the search went through all layouts of {} bytes", capacity.get())
            }
        }
    }
}
