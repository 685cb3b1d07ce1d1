//! A scheme and the size of a tensor in it.
//!
//! Sizes: GGUF blocks as in `ggml-common.h` (a fixed number of bytes for a block along the innermost dimension);
//! palettized and linear weights as Core ML stores them (coremltools 9, `constexpr_lut_to_dense` and
//! `constexpr_blockwise_shift_scale`): packed indices or integers, 16-bit table entries and scales, padding left out.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::model::{Dtype, Kind, Model, Tensor};
use crate::units::{Bytes, clip};

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Every real number in 16 bits.
    DenseF16,
    /// Blocks of a GGUF type.
    Gguf(Dtype),
    /// An index of so many bits into a table of 16-bit values, one table a tensor or a group of output channels.
    Palettized {
        /// Bits of an index, 1 to 8.
        bits: u32,
        /// Output channels that share a table; all of them where absent.
        group_size: Option<u64>,
    },
    /// Integers of so many bits with a 16-bit scale for a block of the innermost dimension, or for an output channel.
    Linear {
        /// Bits of an integer: 4 or 8.
        bits: u32,
        /// Elements that share a scale; an output channel where absent.
        block: Option<u64>,
        /// Whether a block has a zero point too, as wide as its integers.
        is_affine: bool,
    },
}

/// Bytes of a table entry or a scale.
const F16_BYTES: u64 = 2;

/// GGUF types that weights are re-encoded in, the least lossy first.
const GGUF: [Dtype; 16] = [
    Dtype::Q8_0,
    Dtype::Q6_K,
    Dtype::Q5_K,
    Dtype::Q5_1,
    Dtype::Q5_0,
    Dtype::Q4_K,
    Dtype::Q4_1,
    Dtype::Q4_0,
    Dtype::IQ4_NL,
    Dtype::IQ4_XS,
    Dtype::MXFP4,
    Dtype::Q3_K,
    Dtype::IQ3_XXS,
    Dtype::Q2_K,
    Dtype::IQ2_XXS,
    Dtype::IQ1_S,
];

impl Scheme {
    /// Bytes of all of `model`'s tensors with its matrices in this scheme.
    ///
    /// # Errors
    /// [`Error::Overflow`] where they pass 2^64 − 1.
    pub fn model_bytes(self, model: &Model) -> Result<Bytes> {
        let sizes: Result<Vec<Bytes>> =
            model.tensors.iter().map(|tensor| self.tensor_bytes(tensor)).collect();
        Ok(Bytes::sum(sizes?, "the re-encoded weights")?)
    }

    /// Bytes of `tensor` in this scheme. Vectors, integers, and what would grow stay as they are.
    ///
    /// # Errors
    /// [`Error::Overflow`] where they pass 2^64 − 1.
    pub fn tensor_bytes(self, tensor: &Tensor) -> Result<Bytes> {
        if tensor.bytes.is_zero() || tensor.dtype.kind() != Kind::Real && tensor.dtype.kind() != Kind::Block {
            return Ok(tensor.bytes);
        }
        let is_matrix = tensor.shape.len() > 1 || tensor.is_lump();
        if !is_matrix && self != Self::DenseF16 {
            return Ok(tensor.bytes);
        }
        let size = self.encoded(tensor).ok_or(Error::Overflow { what: "the re-encoded weights" })?;
        Ok(size.min(tensor.bytes))
    }

    /// Bits an element takes, scales left out: the coarser, the lossier.
    #[must_use]
    pub fn bits(self) -> u64 {
        match self {
            Self::DenseF16 => 16,
            Self::Gguf(dtype) => {
                let (elements, bits) = dtype.block();
                bits.checked_div(elements).unwrap_or(0)
            }
            Self::Palettized { bits, .. } | Self::Linear { bits, .. } => u64::from(bits),
        }
    }

    fn encoded(self, tensor: &Tensor) -> Option<Bytes> {
        let elements = tensor.elements();
        let channels = tensor.shape.first().copied().unwrap_or(1);
        match self {
            Self::DenseF16 => Dtype::F16.bytes_of(elements),
            Self::Gguf(dtype) => match gguf_type_for(dtype, tensor) {
                Some(dtype) => dtype.bytes_of(elements),
                None => Some(tensor.bytes),
            },
            Self::Palettized { bits, group_size } => {
                let tables = group_size.map_or(1, |group| channels.div_ceil(group));
                let entries = tables.checked_mul(1_u64.checked_shl(bits)?)?;
                packed(elements, bits)?.checked_add(entries.checked_mul(F16_BYTES)?).map(Bytes::new)
            }
            Self::Linear { bits, block, is_affine } => {
                let row = elements.checked_div(channels).unwrap_or(0);
                let blocks = if tensor.is_lump() {
                    block.map_or(0, |block| elements.div_ceil(block))
                } else {
                    channels.checked_mul(block.map_or(1, |block| row.div_ceil(block)))?
                };
                let scales = blocks.checked_mul(F16_BYTES)?;
                let zeros = if is_affine { packed(blocks, bits)? } else { 0 };
                packed(elements, bits)?.checked_add(scales)?.checked_add(zeros).map(Bytes::new)
            }
        }
    }
}

/// The type whose blocks rows divide into: `dtype`, or `Q8_0`; `None` where neither.
fn gguf_type_for(dtype: Dtype, tensor: &Tensor) -> Option<Dtype> {
    let row = tensor.shape.last().copied().unwrap_or(1);
    [dtype, Dtype::Q8_0].into_iter().find(|dtype| tensor.is_lump() || row.is_multiple_of(dtype.block().0))
}

fn packed(elements: u64, bits: u32) -> Option<u64> {
    let bits = u128::from(elements).checked_mul(u128::from(bits))?;
    u64::try_from(bits.div_ceil(8)).ok()
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DenseF16 => f.write_str("dense:f16"),
            Self::Gguf(dtype) => write!(f, "gguf:{}", dtype.to_string().to_ascii_lowercase()),
            Self::Palettized { bits, group_size: None } => write!(f, "palettized:{bits}"),
            Self::Palettized { bits, group_size: Some(group) } => {
                write!(f, "palettized:{bits},group={group}")
            }
            Self::Linear { bits, block, is_affine } => {
                write!(f, "linear:{bits}")?;
                if *is_affine {
                    f.write_str(",affine")?;
                }
                block.map_or(Ok(()), |block| write!(f, ",block={block}"))
            }
        }
    }
}

impl FromStr for Scheme {
    type Err = Error;

    /// Reads `dense:f16`, `gguf:q4_k` or `q4_k` alone, `palettized:4[,group=16]` or
    /// `linear:8[,symmetric|affine][,block=32]`.
    fn from_str(text: &str) -> Result<Self> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let mut words = rest.split(',');
        let first = words.next().unwrap_or("");
        let options: Vec<&str> = words.collect();
        let found = match kind {
            "dense" if first == "f16" && options.is_empty() => Some(Self::DenseF16),
            "gguf" if options.is_empty() => gguf_type(first).map(Self::Gguf),
            "palettized" => palettized(first, &options),
            "linear" => linear(first, &options),
            alone if rest.is_empty() => gguf_type(alone).map(Self::Gguf),
            _ => None,
        };
        found.ok_or_else(|| {
            let forms =
                "dense:f16, gguf:q4_k, palettized:4[,group=16] or linear:8[,symmetric|affine][,block=32]";
            Error::Argument { name: "scheme", reason: format!("{:?} is none of {forms}", clip(text)) }
        })
    }
}

fn gguf_type(name: &str) -> Option<Dtype> {
    GGUF.into_iter().find(|dtype| dtype.to_string().eq_ignore_ascii_case(name))
}

fn palettized(bits: &str, options: &[&str]) -> Option<Scheme> {
    let bits = bits.parse().ok().filter(|bits| [1, 2, 3, 4, 6, 8].contains(bits))?;
    match options {
        [] => Some(Scheme::Palettized { bits, group_size: None }),
        [option] => Some(Scheme::Palettized { bits, group_size: Some(sized(option, "group=")?) }),
        _ => None,
    }
}

fn linear(bits: &str, options: &[&str]) -> Option<Scheme> {
    let bits = bits.parse().ok().filter(|bits| [4, 8].contains(bits))?;
    let mut scheme = (None, false);
    for option in options {
        match *option {
            "affine" => scheme.1 = true,
            "symmetric" => scheme.1 = false,
            other => scheme.0 = Some(sized(other, "block=")?),
        }
    }
    Some(Scheme::Linear { bits, block: scheme.0, is_affine: scheme.1 })
}

fn sized(option: &str, name: &str) -> Option<u64> {
    option.strip_prefix(name)?.parse().ok().filter(|&size| size > 0)
}
