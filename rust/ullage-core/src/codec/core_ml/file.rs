//! The layout of `weight.bin`.
//!
//! ```text
//! | header | metadata of A | A ... | pad | metadata of B | B ... |
//! 0        64              128         64-byte boundary           end: the last blob is not padded
//! ```

use std::collections::BTreeSet;

use super::super::piece::{Part, Piece};
use super::super::weight::OVERFLOW;
use super::Target;
use crate::error::Result;
use crate::units::Bytes;

/// The header, the metadata of a blob, and what every start is a multiple of.
const UNIT: u64 = 64;
/// Constants of fewer elements stand in the program itself (`should_use_weight_file`).
const FEWEST_IN_FILE: u64 = 10;
/// Equal constants of so many elements are stored once (`const_deduplication`).
const FEWEST_SHARED: u64 = 100;

/// A `weight.bin` that is being laid out: nothing is written.
#[derive(Clone, Debug, Default)]
pub struct WeightFile {
    end: u64,
    stored: BTreeSet<(Part, u64, u64, Vec<u64>)>,
}

impl WeightFile {
    /// Appends `piece` as a blob, unless it stands in the program or is there already. Gives the bytes of its data.
    ///
    /// # Errors
    /// [`crate::Error::Overflow`] where the file passes 2^64 − 1 bytes.
    pub fn append(&mut self, piece: &Piece, target: Target) -> Result<Bytes> {
        let bytes = piece.bytes()?;
        if !goes_to_file(piece, bytes, target) {
            return Ok(bytes);
        }
        if let Some(twin) = &piece.twin
            && piece.elements >= FEWEST_SHARED
            && !self.stored.insert((piece.part, piece.elements, piece.bits, twin.clone()))
        {
            return Ok(Bytes::ZERO);
        }
        let start = self.end.max(UNIT).checked_next_multiple_of(UNIT).and_then(|end| end.checked_add(UNIT));
        self.end = start.and_then(|start| start.checked_add(bytes.get())).ok_or(OVERFLOW)?;
        Ok(bytes)
    }

    /// Bytes of the file; none where all constants stand in the program.
    #[must_use]
    pub const fn bytes(&self) -> Bytes {
        Bytes::new(self.end)
    }
}

/// Whether `piece` is large enough for the file. iOS 16 packs indices and masks into an array of bytes, whose length counts.
fn goes_to_file(piece: &Piece, bytes: Bytes, target: Target) -> bool {
    let is_packed = matches!(piece.part, Part::Indices | Part::Mask) && target == Target::Ios16;
    let counted = if is_packed { bytes.get() } else { piece.elements };
    counted >= FEWEST_IN_FILE
}
