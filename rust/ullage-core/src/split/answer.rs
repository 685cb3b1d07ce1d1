//! [`Split`]: which pieces go to which place, and what is proven of it.

use std::fmt;

use super::problem::{Objective, Problem};
use crate::solving::Status;
use crate::units::Bytes;

/// A run of pieces in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The place.
    pub place: usize,
    /// Its first piece.
    pub first: usize,
    /// The piece after its last.
    pub end: usize,
    /// Bytes that the place holds.
    pub load: Bytes,
    /// Picoseconds of one step.
    pub time: u64,
    /// Picoseconds of handing over to the next stage; 0 for the last.
    pub transfer: u64,
}

/// Stages in the order of the chain, and what is proven of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// What is proven.
    pub status: Status,
    /// The stages; none where no complete split was found.
    pub stages: Vec<Stage>,
    /// What the objective counts: picoseconds, places, or the share of the fullest place (see [`super::fill`]).
    pub value: u64,
    /// No split has a smaller value.
    pub lower_bound: u64,
    /// Picoseconds of one step through all stages, transfers included.
    pub latency: u64,
    /// Picoseconds of the slowest stage or link.
    pub bottleneck: u64,
    /// Why there is no split, present exactly where that is proven.
    pub reason: Option<Infeasibility>,
}

/// A proof that there is no split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Infeasibility {
    /// A piece that fits nowhere.
    PieceTooLarge {
        /// The piece.
        piece: usize,
        /// What a place must hold for it alone: its weights, state, shared tensors and workspace.
        needed: u64,
        /// What the largest place can.
        largest: u64,
    },
    /// All places together are too small.
    TooLittleMemory {
        /// Weights and states of all pieces, every shared tensor once.
        needed: u64,
        /// What all places can hold.
        available: u64,
    },
    /// These pieces cannot be cut so that every run fits its place, and any fewer in a row can.
    NoCut {
        /// The first of them.
        first: usize,
        /// The piece after the last.
        end: usize,
    },
}

impl Infeasibility {
    /// The name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PieceTooLarge { .. } => "piece_too_large",
            Self::TooLittleMemory { .. } => "too_little_memory",
            Self::NoCut { .. } => "no_cut",
        }
    }

    /// The reason in words that name the pieces of `problem`.
    #[must_use]
    pub fn explain(self, problem: &Problem) -> String {
        let name =
            |piece: usize| problem.chain().pieces().get(piece).map_or("?", |piece| piece.name.as_str());
        match self {
            Self::PieceTooLarge { piece, needed, largest } => {
                let (needed, largest) = (Bytes::new(needed), Bytes::new(largest));
                format!("{} needs {needed}, the largest device has room for {largest}", name(piece))
            }
            Self::TooLittleMemory { needed, available } => {
                let (needed, available) = (Bytes::new(needed), Bytes::new(available));
                format!("{needed} are needed, all devices together have room for {available}")
            }
            Self::NoCut { first, end } => {
                let last = name(end.saturating_sub(1));
                format!(
                    "{} to {last} cannot be cut so that every run of layers fits its device; without the first or \
                     the last of them it can",
                    name(first)
                )
            }
        }
    }
}

impl Split {
    /// `value` less `lower_bound`.
    #[must_use]
    pub const fn gap(&self) -> u64 {
        self.value.saturating_sub(self.lower_bound)
    }

    /// The place of every piece; `None` for all where nothing was found.
    #[must_use]
    pub fn assignment(&self, pieces: usize) -> Vec<Option<usize>> {
        let mut places = vec![None; pieces];
        for stage in &self.stages {
            for place in places.iter_mut().take(stage.end).skip(stage.first) {
                *place = Some(stage.place);
            }
        }
        places
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
