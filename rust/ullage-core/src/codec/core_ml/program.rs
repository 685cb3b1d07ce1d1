//! The size of `model.mlmodel`, the program beside the weights: an estimate from how many operations of each kind there are.

use super::super::linear::Granularity;
use super::super::scheme::Scheme;
use super::super::sparse::Kept;
use super::Target;
use crate::error::{Error, Result};
use crate::units::Bytes;

/// What a package holds beside weights and program: the manifest.
const MANIFEST: u64 = 617;
/// What coremltools drops when it writes a compressed model.
const DROPPED: u64 = 241;
/// A layer with the operations around it, and a batch norm: the means of `MobileNetV2` and `ResNet50`, whose names are 10 to 25
/// bytes long. Names are most of it.
const LAYER: u64 = 1540;
const NORM: u64 = 970;

/// A program, as far as its size is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Program {
    weights: u64,
    norms: u64,
    /// Bytes that operations which decompress weights add.
    added: u64,
}

impl Program {
    /// Counts a weight, in `scheme` where it is compressed.
    pub(super) fn weight(&mut self, scheme: Option<Scheme>, target: Target) {
        self.weights = self.weights.saturating_add(1);
        self.added = self.added.saturating_add(scheme.map_or(0, |scheme| operation(scheme, target)));
    }

    /// Counts a batch norm, if it stays.
    pub(super) fn norm(&mut self, is_kept: bool) {
        self.norms = self.norms.saturating_add(u64::from(is_kept));
    }

    /// Bytes of the program whose 16-bit form takes `dense` bytes; without that, of one with the usual operations around
    /// its layers.
    ///
    /// # Errors
    /// [`Error::Overflow`] beyond 2^64 − 1 bytes.
    pub fn bytes(&self, dense: Option<Bytes>) -> Result<Bytes> {
        let bytes = || {
            let base = dense.map_or_else(|| self.weights.checked_mul(LAYER), |dense| Some(dense.get()))?;
            let dropped = if self.added > 0 { DROPPED } else { 0 };
            base.checked_add(self.norms.checked_mul(NORM)?)?
                .checked_add(self.added)
                .map(|sum| sum.saturating_sub(dropped))
        };
        bytes().map(Bytes::new).ok_or(Error::Overflow { what: "the program" })
    }

    /// Bytes of the package around weights of `weights` bytes.
    ///
    /// # Errors
    /// [`Error::Overflow`] beyond 2^64 − 1 bytes.
    pub fn package(&self, weights: Bytes, dense: Option<Bytes>) -> Result<Bytes> {
        let sizes = [weights, self.bytes(dense)?, Bytes::new(MANIFEST)];
        Ok(Bytes::sum(sizes, "the package")?)
    }
}

/// Bytes of the operation that decompresses one weight: what the programs of `MobileNetV2` and `ResNet50` grow by, a weight,
/// within 3 bytes of one another.
fn operation(scheme: Scheme, target: Target) -> u64 {
    let is_16 = target == Target::Ios16;
    match scheme {
        Scheme::Dense(_) | Scheme::Gguf(_) | Scheme::Lossless(_) => 0,
        Scheme::Palettized(palettized) if palettized.has_scale => 467,
        Scheme::Palettized(palettized) if palettized.has_int8_table => 472,
        Scheme::Palettized(palettized) => {
            let inline =
                u64::from(palettized.bits < 4).saturating_mul(palettized.entries().saturating_mul(2));
            let base: u64 = if is_16 { 115 } else { 122 };
            if inline > 0 { base.saturating_add(inline) } else { base.saturating_add(31) }
        }
        Scheme::Linear(linear) => match (linear.granularity, linear.is_affine) {
            (Granularity::Tensor, _) if is_16 => 146,
            (Granularity::Tensor, false) => 117,
            (Granularity::Tensor, true) => 160,
            _ if is_16 => 221,
            (_, false) => 147,
            (_, true) => 234,
        },
        Scheme::Sparse(sparse) => match sparse.kept {
            Kept::F16 if is_16 => 157,
            Kept::F16 => 134,
            Kept::Palettized(_) => 663,
            Kept::Linear(_) => 671,
        },
    }
}
