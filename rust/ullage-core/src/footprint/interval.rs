//! An honest number: how few, how many, most likely, and why.

use std::borrow::Cow;
use std::fmt;

use crate::error::Result;
use crate::units::Bytes;

/// Where a number comes from, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Read from the header of a file.
    Header,
    /// Computed from the model's own configuration.
    Config,
    /// Measured or published.
    Measured,
    /// Computed by a formula whose accuracy depends on the runtime.
    Formula,
    /// Taken for want of anything better.
    Assumed,
}

impl Origin {
    /// The word used in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Config => "config",
            Self::Measured => "measured",
            Self::Formula => "formula",
            Self::Assumed => "assumed",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A number of bytes between `lo` and `hi`, most likely `best`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The least it can be.
    pub lo: Bytes,
    /// The most likely.
    pub best: Bytes,
    /// The most it can be; what to book.
    pub hi: Bytes,
    /// Where it comes from.
    pub origin: Origin,
    /// The formula behind it.
    pub formula: Cow<'static, str>,
}

impl Interval {
    /// An interval; the three are put in order, so that `lo <= best <= hi` always holds.
    #[must_use]
    pub fn new(
        lo: Bytes,
        best: Bytes,
        hi: Bytes,
        origin: Origin,
        formula: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut ordered = [lo, best, hi];
        ordered.sort_unstable();
        let [lo, best, hi] = ordered;
        Self { lo, best, hi, origin, formula: formula.into() }
    }

    /// A number known to the byte.
    #[must_use]
    pub fn exact(bytes: Bytes, origin: Origin, formula: impl Into<Cow<'static, str>>) -> Self {
        Self { lo: bytes, best: bytes, hi: bytes, origin, formula: formula.into() }
    }

    /// The part `numerator / denominator` of it, rounded up.
    ///
    /// # Errors
    /// [`crate::Error::Overflow`] where a bound passes 2^64 − 1.
    pub(super) fn scaled(self, numerator: u64, denominator: u64) -> Result<Self> {
        let scaled = |bytes: Bytes| bytes.scaled(numerator, denominator, "the footprint");
        Ok(Self { lo: scaled(self.lo)?, best: scaled(self.best)?, hi: scaled(self.hi)?, ..self })
    }

    /// The sum of `parts`, as sure as the least sure part that is not zero.
    ///
    /// # Errors
    /// [`crate::Error::Overflow`] where the sum passes 2^64 − 1.
    pub(super) fn total(parts: [&Self; 5]) -> Result<Self> {
        let sum = |field: fn(&Self) -> Bytes| Bytes::sum(parts.map(field), "the footprint");
        let counted = parts.iter().filter(|part| !part.hi.is_zero());
        let origin = counted.map(|part| part.origin).max().unwrap_or(Origin::Header);
        Ok(Self {
            lo: sum(|part| part.lo)?,
            best: sum(|part| part.best)?,
            hi: sum(|part| part.hi)?,
            origin,
            formula: "sum_of_parts".into(),
        })
    }
}
