//! Integers with scales (`constexpr_affine_dequantize` and `constexpr_blockwise_shift_scale` of Core ML).

use std::fmt;

use super::piece::{Part, Piece};
use super::text::{self, Fault};
use super::weight::{OVERFLOW, Remainder, Weight};
use crate::error::Result as Outcome;

/// Integers of so many bits with 16-bit scales: `linear:8[,symmetric|affine][,tensor|channel|block=32]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Linear {
    /// Bits of an integer: 4 or 8.
    pub bits: u32,
    /// What shares a scale.
    pub granularity: Granularity,
    /// Whether each scale has a zero point beside it, as wide as the integers.
    pub is_affine: bool,
}

/// What shares a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Granularity {
    /// The whole weight.
    Tensor,
    /// One output channel.
    Channel,
    /// So many input channels of one output channel; all positions of a kernel share it.
    Block(u64),
}

const BITS: [u32; 2] = [4, 8];
const OPTIONS: &str = "symmetric, affine, tensor, channel and block=32";

impl Linear {
    /// Scales of `weight`; `None` where its input channels cannot be so split.
    pub(super) fn scales(self, weight: &Weight, remainder: Remainder) -> Outcome<Option<u64>> {
        match self.granularity {
            Granularity::Tensor => Ok(Some(1)),
            Granularity::Channel => Ok(Some(weight.outputs())),
            Granularity::Block(block) => match remainder.groups(weight.inputs(), block) {
                Some(blocks) => weight.outputs().checked_mul(blocks).map(Some).ok_or(OVERFLOW),
                None => Ok(None),
            },
        }
    }

    pub(super) fn pieces(self, weight: &Weight, remainder: Remainder) -> Outcome<Option<Vec<Piece>>> {
        let bits = u64::from(self.bits);
        let Some(scales) = self.scales(weight, remainder)? else { return Ok(None) };
        let mut pieces =
            vec![Piece::new(Part::Integers, weight.elements(), bits), Piece::new(Part::Scales, scales, 16)];
        if self.is_affine {
            pieces.push(Piece::new(Part::ZeroPoints, scales, bits));
        }
        Ok(Some(pieces))
    }

    pub(super) fn read(bits: &str, options: &[&str]) -> Result<Self, Fault> {
        let bits = text::bits(bits, &BITS)?;
        let mut scheme = Self { bits, granularity: Granularity::Channel, is_affine: false };
        for option in options {
            if let Some(block) = text::sized(option, "block") {
                scheme.granularity = Granularity::Block(block?);
                continue;
            }
            match *option {
                "affine" => scheme.is_affine = true,
                "symmetric" => scheme.is_affine = false,
                "tensor" => scheme.granularity = Granularity::Tensor,
                "channel" => scheme.granularity = Granularity::Channel,
                other => return text::unknown(other, OPTIONS),
            }
        }
        Ok(scheme)
    }
}

impl fmt::Display for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linear:{}{}", self.bits, if self.is_affine { ",affine" } else { "" })?;
        match self.granularity {
            Granularity::Channel => Ok(()),
            Granularity::Tensor => f.write_str(",tensor"),
            Granularity::Block(block) => write!(f, ",block={block}"),
        }
    }
}
