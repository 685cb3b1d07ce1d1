//! What the weights would take in a smaller format, to the byte.
//!
//! The formats are GGUF's block formats: a fixed number of bytes for a block of elements along the innermost dimension.
//! Block sizes are those of `ggml-common.h`.

use std::fmt;

use crate::error::{Error, Result};
use crate::model::{Basis, Model, Tensor};
use crate::units::Bytes;

/// A block format for weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WeightFormat {
    /// 8.5 bits an element.
    Q8_0,
    /// 6.5625 bits an element.
    Q6K,
    /// 5.5 bits an element.
    Q5K,
    /// 4.5 bits an element.
    Q4K,
    /// 3.4375 bits an element.
    Q3K,
    /// 2.625 bits an element.
    Q2K,
}

impl WeightFormat {
    /// Every format, the least lossy first.
    pub const ALL: [Self; 6] = [Self::Q8_0, Self::Q6K, Self::Q5K, Self::Q4K, Self::Q3K, Self::Q2K];

    /// The name used on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q8_0 => "q8_0",
            Self::Q6K => "q6_k",
            Self::Q5K => "q5_k",
            Self::Q4K => "q4_k",
            Self::Q3K => "q3_k",
            Self::Q2K => "q2_k",
        }
    }

    /// Elements and bytes of one block.
    #[must_use]
    pub const fn block(self) -> (u64, u64) {
        match self {
            Self::Q8_0 => (32, 34),
            Self::Q6K => (256, 210),
            Self::Q5K => (256, 176),
            Self::Q4K => (256, 144),
            Self::Q3K => (256, 110),
            Self::Q2K => (256, 84),
        }
    }

    /// Bytes of all of `model`'s tensors with its matrices in this format.
    ///
    /// # Errors
    /// [`Error::Overflow`] where they pass 2^64 − 1.
    pub fn model_bytes(self, model: &Model) -> Result<Bytes> {
        let sizes: Result<Vec<Bytes>> =
            model.tensors.iter().map(|tensor| self.tensor_bytes(model, tensor)).collect();
        Ok(Bytes::sum(sizes?, "the quantised weights")?)
    }

    /// A matrix of real numbers is quantised in this format if its rows divide into blocks, in `Q8_0` if they divide
    /// into those, and else stays; vectors and integers stay. Nothing grows.
    fn tensor_bytes(self, model: &Model, tensor: &Tensor) -> Result<Bytes> {
        let is_one_lump = model.basis == Basis::Size;
        if !tensor.dtype.is_weight() || (tensor.shape.len() < 2 && !is_one_lump) {
            return Ok(tensor.bytes);
        }
        let row = tensor.shape.last().copied().unwrap_or(1);
        let fits = |format: &&Self| is_one_lump || row.is_multiple_of(format.block().0);
        let Some(format) = [self, Self::Q8_0].iter().find(fits).copied() else {
            return Ok(tensor.bytes);
        };
        let (elements, bytes) = format.block();
        let blocks = Bytes::new(tensor.elements().div_ceil(elements));
        let quantised = blocks.checked_mul(bytes).ok_or(Error::Overflow { what: "the quantised weights" })?;
        Ok(quantised.min(tensor.bytes))
    }
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
