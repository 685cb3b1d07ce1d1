//! What a scheme stores for one weight, piece by piece.

use super::weight::OVERFLOW;
use crate::error::Result;
use crate::units::Bytes;

/// What a piece holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Numbers as they are: all of them, or those that are not zero.
    Values,
    /// Integers that a scale turns into numbers.
    Integers,
    /// Places in a table.
    Indices,
    /// The tables themselves.
    Tables,
    /// What the integers of tables are multiplied by.
    TableScale,
    /// What integers, or looked-up numbers, are multiplied by.
    Scales,
    /// What is subtracted from integers first.
    ZeroPoints,
    /// A bit for every element: whether it is stored.
    Mask,
    /// Blocks with their scales inside.
    Blocks,
    /// Codes of an entropy coder, or of few bits, for exponents.
    Codes,
    /// Where in other pieces each block begins or ends.
    Index,
    /// What has no code of few bits.
    Escapes,
}

impl Part {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Integers => "integers",
            Self::Indices => "indices",
            Self::Tables => "tables",
            Self::TableScale => "table_scale",
            Self::Scales => "scales",
            Self::ZeroPoints => "zero_points",
            Self::Mask => "mask",
            Self::Blocks => "blocks",
            Self::Codes => "codes",
            Self::Index => "index",
            Self::Escapes => "escapes",
        }
    }
}

/// So many elements of so many bits, packed without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it holds.
    pub part: Part,
    /// Number of elements.
    pub elements: u64,
    /// Bits of one element.
    pub bits: u64,
    /// Dimensions that decide the content by themselves: two pieces of equal part, bits and twin are equal byte for byte.
    /// `None` where the content comes from the weights.
    pub twin: Option<Vec<u64>>,
}

impl Piece {
    /// A piece whose content comes from the weights.
    #[must_use]
    pub const fn new(part: Part, elements: u64, bits: u64) -> Self {
        Self { part, elements, bits, twin: None }
    }

    /// Its size, a started byte counted whole.
    ///
    /// # Errors
    /// [`crate::Error::Overflow`] where it passes 2^64 − 1 bytes.
    pub fn bytes(&self) -> Result<Bytes> {
        let bits = u128::from(self.elements).checked_mul(u128::from(self.bits)).ok_or(OVERFLOW)?;
        u64::try_from(bits.div_ceil(8)).map(Bytes::new).map_err(|_| OVERFLOW)
    }
}

/// Bytes of `pieces` laid end to end.
///
/// # Errors
/// [`crate::Error::Overflow`] where they pass 2^64 − 1.
pub(super) fn total<'a>(pieces: impl IntoIterator<Item = &'a Piece>) -> Result<Bytes> {
    let sizes: Vec<Bytes> = pieces.into_iter().map(Piece::bytes).collect::<Result<_>>()?;
    Ok(Bytes::sum(sizes, "the compressed weights")?)
}
