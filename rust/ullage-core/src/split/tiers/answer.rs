//! [`Placement`]: the tier of every piece, and what is proven of it.

use super::problem::Problem;
use crate::solving::Status;
use crate::units::Bytes;

/// Where every piece lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// What is proven.
    pub status: Status,
    /// The tier of each piece; empty where no complete placement was found.
    pub assignment: Vec<usize>,
    /// Bytes taken in each tier: weights, the states of what it computes, workspace and buffers.
    pub loads: Vec<Bytes>,
    /// Of these, the buffers of the tier that fetches.
    pub buffer: Bytes,
    /// Picoseconds of one step.
    pub latency: u64,
    /// No placement has a shorter step.
    pub lower_bound: u64,
    /// Why there is no placement, present exactly where that is proven.
    pub reason: Option<Infeasibility>,
}

/// A proof that there is no placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Infeasibility {
    /// A piece that fits no tier even alone.
    PieceTooLarge {
        /// The piece.
        piece: usize,
    },
    /// All tiers together are too small.
    TooLittleMemory {
        /// Weights and states of all pieces.
        needed: u64,
        /// What all tiers can hold.
        available: u64,
    },
    /// No placement is within the limits of these tiers; without the limit of any one of them there is one.
    Limits {
        /// Whether each tier is one of them.
        tiers: Vec<bool>,
    },
}

impl Infeasibility {
    /// The name used in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PieceTooLarge { .. } => "piece_too_large",
            Self::TooLittleMemory { .. } => "too_little_memory",
            Self::Limits { .. } => "limits",
        }
    }

    /// The reason in words that name the pieces and tiers of `problem`.
    #[must_use]
    pub fn explain(&self, problem: &Problem) -> String {
        match self {
            Self::PieceTooLarge { piece } => {
                let piece = problem.pieces().get(*piece);
                let name = piece.map_or("?", |piece| piece.name.as_str());
                let needed = piece.map_or(Bytes::ZERO, |piece| piece.weights.saturating_add(piece.state));
                format!("{name} ({needed}) fits no tier even alone, with its workspace and the buffers")
            }
            Self::TooLittleMemory { needed, available } => {
                let (needed, available) = (Bytes::new(*needed), Bytes::new(*available));
                format!("{needed} are needed, all tiers together have room for {available}")
            }
            Self::Limits { tiers } => {
                let blamed = problem.tiers().iter().zip(tiers).filter(|(_, is_blamed)| **is_blamed);
                let names: Vec<&str> = blamed.map(|(tier, _)| tier.name.as_str()).collect();
                format!("nothing is within the limits of {} at once", names.join(" and "))
            }
        }
    }
}
