//! What encoding may be asked for beside a scheme.

use crate::error::{Error, Result};

/// How weights are encoded where a scheme leaves it open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choices {
    /// Where the search for tables of vectors begins: equal seeds give equal bytes.
    pub seed: u64,
    /// The share of numbers, by rank, that integers reach without being clipped: 1 for all, which is the least and the
    /// largest; 0.999 leaves out one of a thousand, at either end where there are zero points.
    pub quantile: f64,
}

impl Default for Choices {
    fn default() -> Self {
        Self { seed: 0, quantile: 1.0 }
    }
}

impl Choices {
    /// Refuses a quantile that is none.
    pub(super) fn checked(self) -> Result<Self> {
        if self.quantile > 0.5 && self.quantile <= 1.0 {
            return Ok(self);
        }
        let reason = format!("{} is not above 0.5 and at most 1", self.quantile);
        Err(Error::Argument { name: "quantile", reason })
    }

    /// The rank, from 0 on, of the largest of `count` numbers that are reached.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place among numbers in memory"
    )]
    pub(super) fn rank(self, count: usize) -> usize {
        let rank = (self.quantile * count as f64).ceil() as usize;
        rank.clamp(1, count.max(1)).saturating_sub(1)
    }
}
