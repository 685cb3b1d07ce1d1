//! [`Chain`]: a model as pieces that run one after another.

use crate::error::{Error, Result};
use crate::units::{Bytes, clip};

use super::pace::{self, Link};

/// A layer, or another part of a model that is never divided over two places of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its name, unique in a chain.
    pub name: String,
    /// Bytes of its own weights.
    pub weights: Bytes,
    /// Those of `weights` that every device of a tensor-parallel group holds whole: norms, routers.
    pub replicated: Bytes,
    /// Cache and recurrent state, for all sequences.
    pub state: Bytes,
    /// Ways that `state` can be divided in a tensor-parallel group: its key-value heads, 1 for a latent.
    pub state_ways: u64,
    /// Bytes of weights that one step reads: of a mixture, those of the experts that are asked.
    pub traffic: Bytes,
    /// Bytes of weights that must be fetched for a step from where they are not computed.
    pub moved: Bytes,
    /// Operations of one step.
    pub flops: u64,
    /// Bytes that one step hands to the next piece.
    pub output: Bytes,
    /// Sums over a tensor-parallel group in one step, each of `output` bytes.
    pub reductions: u32,
    /// Bytes needed beside weights and state while it runs; the pieces of one place take turns in them.
    pub workspace: Bytes,
    /// Picoseconds of one step that no device shortens.
    pub fixed: u64,
}

impl Piece {
    /// A piece of weights alone, all of which every step reads.
    #[must_use]
    pub fn plain(name: String, weights: Bytes) -> Self {
        Self {
            name,
            weights,
            replicated: Bytes::ZERO,
            state: Bytes::ZERO,
            state_ways: 1,
            traffic: weights,
            moved: weights,
            flops: 0,
            output: Bytes::ZERO,
            reductions: 0,
            workspace: Bytes::ZERO,
            fixed: 0,
        }
    }

    /// Bytes of memory that one step reads.
    #[must_use]
    pub const fn read(&self) -> u64 {
        self.traffic.get().saturating_add(self.state.get())
    }

    /// How long a step takes at `bandwidth` bytes and `peak` operations a second.
    #[must_use]
    pub fn time(&self, bandwidth: Option<u64>, peak: Option<u64>) -> u64 {
        pace::roofline(self.read(), bandwidth, self.flops, peak).saturating_add(self.fixed)
    }

    /// Its part on each device of a tensor-parallel group of `degree`, whose sums go over `link`.
    fn sharded(&self, degree: u64, link: Link) -> Self {
        let share = |bytes: Bytes| {
            let whole = bytes.min(self.replicated);
            let rest = bytes.saturating_sub(whole).get().div_ceil(degree);
            whole.saturating_add(Bytes::new(rest))
        };
        let sums = link.all_reduce(self.output.get(), degree).saturating_mul(u64::from(self.reductions));
        Self {
            name: self.name.clone(),
            weights: share(self.weights),
            traffic: share(self.traffic),
            moved: share(self.moved),
            state: Bytes::new(self.state.get().div_ceil(degree.min(self.state_ways))),
            flops: self.flops.div_ceil(degree),
            fixed: self.fixed.saturating_add(sums),
            ..*self
        }
    }
}

/// A tensor that several pieces use: it lies once in every place that has one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Its size.
    pub bytes: Bytes,
    /// The pieces that use it, ascending, at least two.
    pub pieces: Vec<usize>,
}

/// Pieces in the order in which they run. Checked at construction and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pieces: Vec<Piece>,
    shared: Vec<Shared>,
    /// Query heads, which a tensor-parallel group divides among its devices; 0 where unknown.
    heads: u64,
}

/// A figure of a piece.
type Column = fn(&Piece) -> u64;

impl Chain {
    /// The most pieces.
    pub const LARGEST: usize = 1 << 16;

    /// A chain of `pieces`, of which some share tensors, with so many query heads (0 where unknown).
    ///
    /// # Errors
    /// [`Error::Problem`] naming the piece or tensor at fault, [`Error::Overflow`] where a column adds up to 2^62 or
    /// more.
    pub fn new(pieces: Vec<Piece>, shared: Vec<Shared>, heads: u64) -> Result<Self> {
        if pieces.is_empty() || pieces.len() > Self::LARGEST {
            let reason = format!("{} are not between 1 and {}", pieces.len(), Self::LARGEST);
            return Err(wrong("pieces", reason));
        }
        let mut names = std::collections::HashMap::with_capacity(pieces.len());
        for (index, piece) in pieces.iter().enumerate() {
            if let Some(first) = names.insert(piece.name.as_str(), index) {
                let reason = format!("the name {:?} is taken by pieces[{first}]", clip(&piece.name));
                return Err(wrong(&format!("pieces[{index}]"), reason));
            }
            if piece.replicated > piece.weights || piece.state_ways == 0 {
                let reason = "more replicated than there are weights, or a state divisible in no way";
                return Err(wrong(&format!("pieces[{index}]"), reason.to_owned()));
            }
        }
        for (index, tensor) in shared.iter().enumerate() {
            let ascends = tensor.pieces.is_sorted_by(|a, b| a < b);
            let exist = tensor.pieces.last().is_some_and(|&last| last < pieces.len());
            if tensor.pieces.len() < 2 || !ascends || !exist {
                let reason = "not at least two pieces of the chain, ascending";
                return Err(wrong(&format!("shared[{index}]"), reason.to_owned()));
            }
        }
        let chain = Self { pieces, shared, heads };
        chain.add_up()?;
        Ok(chain)
    }

    /// Makes sure that no sum a solver forms can overflow.
    fn add_up(&self) -> Result<()> {
        let columns: [(&'static str, Column); 6] = [
            ("the weights and states", |piece| piece.weights.get().saturating_add(piece.state.get())),
            ("the bytes read", |piece| piece.read().max(piece.moved.get())),
            ("the operations", |piece| piece.flops),
            ("the outputs", |piece| piece.output.get()),
            ("the workspaces", |piece| piece.workspace.get()),
            ("the fixed times", |piece| piece.fixed),
        ];
        let shared = self.shared.iter().map(|tensor| tensor.bytes.get());
        if shared.fold(0, u64::saturating_add) > pace::MOST {
            return Err(Error::Overflow { what: "the shared tensors" });
        }
        for (what, column) in columns {
            if self.pieces.iter().map(column).fold(0, u64::saturating_add) > pace::MOST {
                return Err(Error::Overflow { what });
            }
        }
        Ok(())
    }

    /// The pieces in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Tensors that several pieces use.
    #[must_use]
    pub fn shared(&self) -> &[Shared] {
        &self.shared
    }

    /// Query heads; 0 where unknown.
    #[must_use]
    pub const fn heads(&self) -> u64 {
        self.heads
    }

    /// Weights and states of all pieces and every shared tensor once: what one place for all would hold, without
    /// workspace.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        let own = self.pieces.iter().map(|piece| piece.weights.saturating_add(piece.state));
        own.chain(self.shared.iter().map(|tensor| tensor.bytes)).fold(Bytes::ZERO, Bytes::saturating_add)
    }

    /// Whether a tensor-parallel group of `degree` can hold it: every device has as many query heads, and key-value
    /// heads are divided evenly or copied evenly.
    #[must_use]
    pub fn divides(&self, degree: u64) -> bool {
        let even = |ways: u64| ways.checked_rem(degree) == Some(0) || degree.checked_rem(ways) == Some(0);
        degree > 0
            && (self.heads == 0 || self.heads.checked_rem(degree) == Some(0))
            && self.pieces.iter().all(|piece| piece.state.is_zero() || even(piece.state_ways))
    }

    /// What each device of a tensor-parallel group of `degree` holds and does, sums over `link` included.
    ///
    /// # Errors
    /// [`Error::Argument`] where the heads cannot be divided so, [`Error::Overflow`] as [`Chain::new`].
    pub fn sharded(&self, degree: u64, link: Link) -> Result<Self> {
        if !self.divides(degree) {
            let reason =
                format!("the heads cannot be divided over {degree} devices (query heads: {})", self.heads);
            return Err(Error::Argument { name: "tensor_parallel", reason });
        }
        let pieces = self.pieces.iter().map(|piece| piece.sharded(degree, link)).collect();
        let shared = self.shared.iter().map(|tensor| {
            let bytes = Bytes::new(tensor.bytes.get().div_ceil(degree));
            Shared { bytes, pieces: tensor.pieces.clone() }
        });
        Self::new(pieces, shared.collect(), self.heads)
    }
}

pub(super) fn wrong(field: &str, reason: String) -> Error {
    Error::Problem { field: field.to_owned(), reason }
}
