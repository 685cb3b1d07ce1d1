//! Indices into tables of values (`constexpr_lut_to_dense` of Core ML).

use std::fmt;

use super::piece::{Part, Piece};
use super::text::{self, Fault};
use super::weight::{OVERFLOW, Remainder, Weight};
use crate::error::Result as Outcome;

/// An index of so many bits for every element, or vector of elements, into a table of values:
/// `palettized:4[,group=16][,vector=2][,scale][,lut=int8]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Palettized {
    /// Bits of an index: 1, 2, 3, 4, 6 or 8.
    pub bits: u32,
    /// Output channels that share a table; all of them where absent.
    pub group_size: Option<u64>,
    /// Elements along the output channels that one index stands for.
    pub vector: u64,
    /// Whether each position of an output channel has a 16-bit scale too, as `enable_per_channel_scale` makes them.
    pub has_scale: bool,
    /// Whether table entries are 8-bit integers with one scale, not 16-bit numbers.
    pub has_int8_table: bool,
}

const BITS: [u32; 6] = [1, 2, 3, 4, 6, 8];
const OPTIONS: &str = "group=16, vector=2, scale and lut=int8";

impl Palettized {
    /// One table of 16-bit values for each tensor.
    #[must_use]
    pub const fn per_tensor(bits: u32) -> Self {
        Self { bits, group_size: None, vector: 1, has_scale: false, has_int8_table: false }
    }

    /// Entries of one table.
    pub(super) fn entries(self) -> u64 {
        1_u64.checked_shl(self.bits).unwrap_or(0)
    }

    pub(super) fn entry_bits(self) -> u64 {
        if self.has_int8_table { 8 } else { 16 }
    }

    /// Tables of `weight`; `None` where its channels cannot be so grouped.
    pub(super) fn tables(self, weight: &Weight, remainder: Remainder) -> Option<u64> {
        let channels = weight.outputs();
        let group = self.group_size.unwrap_or(channels);
        let fits = |count: u64| remainder == Remainder::Smaller || count.is_multiple_of(self.vector);
        if group == 0 || !fits(group) || !fits(weight.outputs_in_group()) {
            return if group == 0 { Some(0) } else { None };
        }
        remainder.groups(channels, group)
    }

    pub(super) fn pieces(self, weight: &Weight, remainder: Remainder) -> Outcome<Option<Vec<Piece>>> {
        let Some(tables) = self.tables(weight, remainder) else { return Ok(None) };
        let indices = weight.elements().div_ceil(self.vector);
        let entries = tables.checked_mul(self.entries()).and_then(|count| count.checked_mul(self.vector));
        let mut pieces = vec![
            Piece::new(Part::Indices, indices, u64::from(self.bits)),
            Piece::new(Part::Tables, entries.ok_or(OVERFLOW)?, self.entry_bits()),
        ];
        if self.has_scale {
            pieces.push(Piece::new(Part::Scales, weight.row(), 16));
        }
        if self.has_int8_table {
            pieces.push(Piece::new(Part::TableScale, 1, 16));
        }
        Ok(Some(pieces))
    }

    pub(super) fn read(bits: &str, options: &[&str]) -> Result<Self, Fault> {
        let mut scheme = Self::per_tensor(text::bits(bits, &BITS)?);
        for option in options {
            if let Some(group) = text::sized(option, "group") {
                scheme.group_size = Some(group?);
            } else if let Some(vector) = text::sized(option, "vector") {
                scheme.vector = vector?;
            } else {
                match *option {
                    "scale" => scheme.has_scale = true,
                    "lut=int8" => scheme.has_int8_table = true,
                    "lut=f16" => scheme.has_int8_table = false,
                    other => return text::unknown(other, OPTIONS),
                }
            }
        }
        scheme.checked()
    }

    fn checked(self) -> Result<Self, Fault> {
        if self.group_size.is_some_and(|group| !group.is_multiple_of(self.vector)) {
            return Err("vectors must divide groups".to_owned());
        }
        if self.vector > 1 && (self.has_scale || self.has_int8_table) {
            return Err("a table of vectors takes neither scale nor lut=int8".to_owned());
        }
        Ok(self)
    }
}

impl fmt::Display for Palettized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "palettized:{}", self.bits)?;
        if let Some(group) = self.group_size {
            write!(f, ",group={group}")?;
        }
        if self.vector > 1 {
            write!(f, ",vector={}", self.vector)?;
        }
        f.write_str(if self.has_scale { ",scale" } else { "" })?;
        f.write_str(if self.has_int8_table { ",lut=int8" } else { "" })
    }
}
