//! One tensor of a store, and where its bytes lie.

use std::ops::Range;

use crate::codec::Scheme;
use crate::model::Dtype;
use crate::units::Bytes;

/// One tensor of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Number format: for a compressed one, that of the weights it was made from.
    pub dtype: Dtype,
    /// Shape, outermost dimension first.
    pub shape: Vec<u64>,
    /// How it is stored; `None` as it was.
    pub scheme: Option<Scheme>,
    /// Bytes in the file.
    pub bytes: Bytes,
    /// Its pieces, in the order of the scheme; one for what is stored as it was.
    pub(super) pieces: Vec<StoredPiece>,
}

/// A piece in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredPiece {
    pub(super) name: String,
    pub(super) place: Range<usize>,
}

impl Entry {
    /// Number of elements, known not to overflow.
    #[must_use]
    pub fn elements(&self) -> u64 {
        if self.shape.contains(&0) {
            return 0;
        }
        self.shape.iter().fold(1, |product: u64, &size| product.saturating_mul(size))
    }
}
