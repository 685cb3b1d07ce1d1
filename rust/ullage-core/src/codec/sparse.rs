//! A bit for every element, and the elements that are not zero (`constexpr_sparse_to_dense` of Core ML).

use std::fmt;

use super::linear::Linear;
use super::palettized::Palettized;
use super::piece::{Part, Piece};
use super::text::{self, Fault};
use super::weight::{Remainder, Weight};
use crate::error::Result as Outcome;

/// A mask and the elements that are not zero: `sparse:0.75`, `sparse:2:4`, `sparse:0.5+palettized:4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sparse {
    /// Which elements are zero.
    pub zeros: Zeros,
    /// How the others are stored.
    pub kept: Kept,
}

/// How many elements are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zeros {
    /// So many millionths of all, rounded down.
    Share(u32),
    /// The smallest of every so many along the input channels. A weight with fewer than twice as many input channels is left
    /// as it is.
    Pattern {
        /// How many are zero.
        zeros: u64,
        /// Of how many.
        of: u64,
    },
}

/// How the elements that are not zero are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kept {
    /// In 16 bits each.
    F16,
    /// As indices.
    Palettized(Palettized),
    /// As integers.
    Linear(Linear),
}

const MILLION: u32 = 1_000_000;

impl Zeros {
    /// Elements of `weight` that are not zero; `None` where it cannot be pruned so.
    pub(super) fn kept(self, weight: &Weight) -> Option<u64> {
        let elements = u128::from(weight.elements());
        let kept = match self {
            Self::Share(millionths) => {
                let zeros = elements.checked_mul(u128::from(millionths))?.checked_div(u128::from(MILLION))?;
                elements.checked_sub(zeros)?
            }
            Self::Pattern { zeros, of } => {
                let inputs = weight.inputs();
                if inputs < of.checked_mul(2)? {
                    return None;
                }
                let rest = inputs.checked_rem(of)?;
                // The last, shorter group is filled with zeros, which are the smallest of it and pruned first.
                let filled = if rest == 0 { 0 } else { of.checked_sub(rest)? };
                let whole = inputs.checked_div(of)?.checked_mul(of.checked_sub(zeros)?)?;
                let kept = whole.checked_add(rest.saturating_sub(zeros.saturating_sub(filled)))?;
                let rows = elements.checked_div(u128::from(inputs))?;
                rows.checked_mul(u128::from(kept))?
            }
        };
        u64::try_from(kept).ok()
    }

    fn read(word: &str) -> Result<Self, Fault> {
        if let Some((zeros, of)) = word.split_once(':') {
            let (zeros, of) = (zeros.parse().ok(), of.parse().ok());
            return match (zeros, of) {
                (Some(zeros), Some(of)) if 0 < zeros && zeros < of => Ok(Self::Pattern { zeros, of }),
                _ => Err("a pattern is two numbers such as 2:4, the first the smaller".to_owned()),
            };
        }
        let is_decimal = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let millionths = is_decimal.then(|| millionths(word)).flatten();
        millionths.map(Self::Share).ok_or_else(|| {
            "the share of zeros is a number from 0 to 1 of at most six decimals, such as 0.75".to_owned()
        })
    }
}

/// A decimal from 0 to 1 in millionths.
fn millionths(word: &str) -> Option<u32> {
    let (whole, decimals) = word.split_once('.').unwrap_or((word, "0"));
    if !["0", "1"].contains(&whole) || decimals.is_empty() {
        return None;
    }
    let decimals = decimals.trim_end_matches('0');
    if decimals.len() > 6 {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    let decimals: u32 = format!("{decimals:0<6}").parse().ok()?;
    whole.checked_mul(MILLION)?.checked_add(decimals).filter(|&share| share <= MILLION)
}

impl Kept {
    /// What is stored of `kept` elements of `weight`; `None` where its channels cannot be so grouped, and they stay numbers.
    fn pieces(self, weight: &Weight, kept: u64, remainder: Remainder) -> Outcome<Option<Vec<Piece>>> {
        let (part, bits, mut pieces) = match self {
            Self::F16 => return Ok(None),
            Self::Palettized(palettized) => match palettized.pieces(weight, remainder)? {
                Some(pieces) => (Part::Indices, palettized.bits, pieces),
                None => return Ok(None),
            },
            Self::Linear(linear) => match linear.pieces(weight, remainder)? {
                Some(pieces) => (Part::Integers, linear.bits, pieces),
                None => return Ok(None),
            },
        };
        for piece in pieces.iter_mut().filter(|piece| piece.part == part) {
            *piece = Piece::new(part, kept, u64::from(bits));
        }
        Ok(Some(pieces))
    }
}

impl Sparse {
    pub(super) fn pieces(self, weight: &Weight, remainder: Remainder) -> Outcome<Option<Vec<Piece>>> {
        let Some(kept) = self.zeros.kept(weight) else { return Ok(None) };
        let mask = Piece::new(Part::Mask, weight.elements(), 1);
        // In the order of the operations' inputs, which decides what the end of a file is.
        Ok(Some(match self.kept.pieces(weight, kept, remainder)? {
            Some(pieces) => std::iter::once(mask).chain(pieces).collect(),
            None => vec![Piece::new(Part::Values, kept, 16), mask],
        }))
    }

    /// Bits of an element, the mask left out, rounded down.
    pub(super) fn bits(self) -> u64 {
        let kept = match self.kept {
            Kept::F16 => 16,
            Kept::Palettized(palettized) => u64::from(palettized.bits),
            Kept::Linear(linear) => u64::from(linear.bits),
        };
        let (stored, of) = match self.zeros {
            Zeros::Share(millionths) => {
                (u64::from(MILLION).saturating_sub(u64::from(millionths)), u64::from(MILLION))
            }
            Zeros::Pattern { zeros, of } => (of.saturating_sub(zeros), of),
        };
        kept.saturating_mul(stored).checked_div(of).unwrap_or(0)
    }

    pub(super) fn read(share: &str, options: &[&str]) -> Result<Self, Fault> {
        text::none(options)?;
        Ok(Self { zeros: Zeros::read(share)?, kept: Kept::F16 })
    }

    /// The same with what is kept stored in another way.
    pub(super) fn with(self, kept: Kept) -> Result<Self, Fault> {
        if let Kept::Palettized(Palettized { vector, has_scale, has_int8_table, .. }) = kept
            && (vector > 1 || has_scale || has_int8_table)
        {
            return Err("what sparse weights keep is palettized by bits and group alone".to_owned());
        }
        Ok(Self { kept, ..self })
    }
}

impl fmt::Display for Sparse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.zeros {
            Zeros::Share(millionths) => {
                let decimals = format!("{:06}", millionths.checked_rem(MILLION).unwrap_or(0));
                let decimals = decimals.trim_end_matches('0');
                let dot = if decimals.is_empty() { "" } else { "." };
                write!(f, "sparse:{}{dot}{decimals}", millionths.checked_div(MILLION).unwrap_or(0))?;
            }
            Zeros::Pattern { zeros, of } => write!(f, "sparse:{zeros}:{of}")?,
        }
        match self.kept {
            Kept::F16 => Ok(()),
            Kept::Palettized(palettized) => write!(f, "+{palettized}"),
            Kept::Linear(linear) => write!(f, "+{linear}"),
        }
    }
}
