//! [`Problem`]: pieces, and the tiers of memory that they may lie in.

use crate::error::Result;
use crate::split::chain::{Chain, Piece, wrong};
use crate::split::pace::{self, Link};
use crate::units::Bytes;

/// A memory, with what computes on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Its name, unique in a problem.
    pub name: String,
    /// Its size.
    pub capacity: Bytes,
    /// Memory that is not for the model.
    pub reserve: Bytes,
    /// Bytes that a step reads of it in a second, where it is computed here; `None` for no limit.
    pub bandwidth: Option<u64>,
    /// Operations a second, where it is computed here; `None` for no limit.
    pub flops: Option<u64>,
    /// The tier that computes what lies here: itself, or one that fetches it.
    pub worker: usize,
    /// What the worker fetches over, where it is another.
    pub link: Link,
}

impl Tier {
    /// Memory for the model.
    #[must_use]
    pub const fn usable(&self) -> u64 {
        self.capacity.get().saturating_sub(self.reserve.get())
    }
}

/// Which placements are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Any piece in any tier.
    Anywhere,
    /// The last pieces in the first tier, those before them in the second, and so on.
    LastFirst,
}

/// Pieces to be placed in tiers. Checked at construction and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pieces: Vec<Piece>,
    tiers: Vec<Tier>,
    /// Buffers of the worker for pieces that it fetches: with two, it fetches one while it computes another.
    buffers: u64,
    cut: Cut,
}

impl Problem {
    /// The most tiers.
    pub const MOST_TIERS: usize = 4;

    /// The pieces of `chain` in `tiers`, fetched through one buffer or two.
    ///
    /// # Errors
    /// [`crate::Error::Problem`] naming the part at fault: no tier or more than four, a name used twice, a rate of
    /// nothing, a worker that is none, two workers that fetch, buffers other than one or two, times beyond 53 days.
    pub fn new(chain: &Chain, tiers: Vec<Tier>, buffers: u64, cut: Cut) -> Result<Self> {
        if tiers.is_empty() || tiers.len() > Self::MOST_TIERS {
            return Err(wrong("tiers", format!("{} are not between 1 and 4", tiers.len())));
        }
        if !(1..=2).contains(&buffers) {
            return Err(wrong("buffers", format!("{buffers} is neither 1 nor 2")));
        }
        for (index, tier) in tiers.iter().enumerate() {
            check(index, tier, &tiers)?;
        }
        let mut pieces = chain.pieces().to_vec();
        for tensor in chain.shared() {
            if let Some(piece) = tensor.pieces.last().and_then(|&last| pieces.get_mut(last)) {
                piece.weights = piece.weights.saturating_add(tensor.bytes);
                piece.moved = piece.moved.saturating_add(tensor.bytes);
            }
        }
        let problem = Self { pieces, tiers, buffers, cut };
        let slowest = |piece: usize| (0..problem.tiers.len()).map(|tier| problem.time(piece, tier)).max();
        let whole = (0..problem.pieces.len()).filter_map(slowest).fold(0, u64::saturating_add);
        if whole > pace::MOST {
            return Err(wrong("tiers", "one step would take more than 53 days".to_owned()));
        }
        Ok(problem)
    }

    /// The pieces, each with the shared tensors that lie where it does.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The tiers.
    #[must_use]
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// Buffers of the worker that fetches.
    #[must_use]
    pub const fn buffers(&self) -> u64 {
        self.buffers
    }

    /// Which placements are allowed.
    #[must_use]
    pub const fn cut(&self) -> Cut {
        self.cut
    }

    /// The same with no limit on the tiers that `lifted` marks.
    pub(in crate::split) fn lifted(&self, lifted: &[bool]) -> Self {
        let mut other = self.clone();
        for (tier, _) in other.tiers.iter_mut().zip(lifted).filter(|(_, lifted)| **lifted) {
            (tier.capacity, tier.reserve) = (Bytes::new(u64::MAX), Bytes::ZERO);
        }
        other
    }

    /// Whether what lies in `tier` is fetched by another.
    #[must_use]
    pub fn is_fetched(&self, tier: usize) -> bool {
        self.tiers.get(tier).is_some_and(|it| it.worker != tier)
    }

    /// Picoseconds of a step of `piece` where it lies in `tier`.
    #[must_use]
    pub fn time(&self, piece: usize, tier: usize) -> u64 {
        let (Some(piece), Some(from)) = (self.pieces.get(piece), self.tiers.get(tier)) else { return 0 };
        let Some(worker) = self.tiers.get(from.worker) else { return 0 };
        let computed = piece.time(worker.bandwidth, worker.flops);
        if from.worker == tier || piece.moved.is_zero() {
            return computed;
        }
        let fetched = from.link.time(piece.moved.get());
        if self.buffers > 1 { fetched.max(computed) } else { fetched.saturating_add(computed) }
    }
}

fn check(index: usize, tier: &Tier, tiers: &[Tier]) -> Result<()> {
    let field = format!("tiers[{index}]");
    if tiers.iter().take(index).any(|other| other.name == tier.name) {
        return Err(wrong(&field, format!("{:?} stands there twice", tier.name)));
    }
    if [tier.bandwidth, tier.flops, tier.link.bandwidth].contains(&Some(0)) {
        return Err(wrong(&field, "a rate of nothing a second".to_owned()));
    }
    if tiers.get(tier.worker).is_none_or(|worker| worker.worker != tier.worker) {
        return Err(wrong(&field, "what computes it is no tier that computes".to_owned()));
    }
    let fetching = tiers.iter().enumerate().find(|(place, other)| other.worker != *place);
    if tier.worker != index && fetching.is_some_and(|(_, other)| other.worker != tier.worker) {
        return Err(wrong(&field, "a second tier fetches; one alone can".to_owned()));
    }
    Ok(())
}
