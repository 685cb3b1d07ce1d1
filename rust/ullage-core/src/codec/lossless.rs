//! Exponents in fewer bits, everything else as it is: nothing is lost.

use std::fmt;

use super::piece::{Part, Piece};
use super::text::Fault;
use super::weight::{OVERFLOW, Weight};
use crate::error::Result as Outcome;
use crate::model::Dtype;
use crate::units::clip;

/// Weights that come back byte for byte: `lossless[:entropy=2.65]` codes the exponents of BF16, F16 or F32 by their entropy,
/// as `DFloat11` and `ZipNN` do it, `lossless:fixed` in four bits, and `lossless:lz4` compresses planes of bytes.
///
/// Sizes are estimates, for what weights take is theirs. With entropy they are exact for the entropy given, but for the
/// code lengths (16 or 128 bytes), 16 bytes of padding and what Huffman codes take above it, some 0.05 bits; trained
/// networks lie between 2.5 and 2.8 bits (`DFloat11`: 2.6 of BF16's 8), and the default is 2.65. In four bits, what stands
/// beside the codes is left out: 15 bytes, four for each 4096 elements, and one for each exponent that has no code. LZ4
/// is taken to gain nothing, which is the most it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lossless {
    /// Thousandths of a bit that an exponent takes.
    pub exponent_millibits: u32,
    /// How.
    pub method: Method,
}

/// How weights are compressed without loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Huffman codes for exponents.
    Entropy,
    /// A code of four bits for each exponent: the 15 commonest, and one for the others.
    Fixed,
    /// Planes of bytes in LZ4, of any dtype.
    Lz4,
}

const DEFAULT: u32 = 2650;
/// Elements that share one entry of the index, where a decoder can begin.
const BLOCK: u64 = 4096;
/// The same, to count in memory.
pub(super) const BLOCK_ELEMENTS: usize = 4096;
/// Elements of a chunk of LZ4, whose window is as long.
pub(super) const CHUNK_ELEMENTS: usize = 1 << 16;

impl Lossless {
    /// Bits of sign and mantissa, and of the exponent; `None` for a format that is not compressed so.
    const fn split(dtype: Dtype) -> Option<(u64, u64)> {
        match dtype {
            Dtype::BF16 => Some((8, 8)),
            Dtype::F16 => Some((11, 5)),
            Dtype::F32 => Some((24, 8)),
            _ => None,
        }
    }

    pub(super) fn pieces(self, weight: &Weight, dtype: Dtype) -> Outcome<Option<Vec<Piece>>> {
        if self.method == Method::Lz4 {
            return Ok(Self::planes(weight, dtype));
        }
        let Some((plain, exponent)) = Self::split(dtype) else { return Ok(None) };
        let elements = weight.elements();
        let is_fixed = self.method == Method::Fixed;
        let codes = if is_fixed {
            u128::from(elements).checked_mul(4)
        } else {
            let millibits = u64::from(self.exponent_millibits).min(exponent.saturating_mul(1000));
            let all = u128::from(elements).checked_mul(u128::from(millibits)).ok_or(OVERFLOW)?;
            Some(all.div_ceil(1000))
        };
        let code_bytes = u64::try_from(codes.ok_or(OVERFLOW)?.div_ceil(8)).map_err(|_| OVERFLOW)?;
        let mut pieces =
            vec![Piece::new(Part::Values, elements, plain), Piece::new(Part::Codes, code_bytes, 8)];
        if !is_fixed {
            pieces.push(Piece::new(Part::Index, elements.div_ceil(BLOCK), 32));
        }
        Ok(Some(pieces))
    }

    /// Every plane as it is, and an entry for each plane of each chunk.
    fn planes(weight: &Weight, dtype: Dtype) -> Option<Vec<Piece>> {
        let (per_block, bits) = dtype.block();
        let is_plain = per_block == 1 && bits > 0 && bits.is_multiple_of(8) && bits <= 128;
        let chunks = weight.elements().div_ceil(u64::try_from(CHUNK_ELEMENTS).unwrap_or(u64::MAX));
        is_plain.then(|| {
            let entries = chunks.saturating_mul(bits / 8);
            vec![Piece::new(Part::Codes, weight.elements(), bits), Piece::new(Part::Index, entries, 32)]
        })
    }

    pub(super) fn read(first: &str, options: &[&str]) -> Result<Self, Fault> {
        super::text::none(options)?;
        match first {
            "fixed" => return Ok(Self { exponent_millibits: 4000, method: Method::Fixed }),
            "lz4" => return Ok(Self { exponent_millibits: 8000, method: Method::Lz4 }),
            _ => {}
        }
        let exponent_millibits = match first.strip_prefix("entropy=") {
            None if first.is_empty() => DEFAULT,
            None => return super::text::unknown(first, "fixed, lz4 and entropy=2.65"),
            Some(bits) => millibits(bits)
                .ok_or_else(|| format!("entropy is a number of bits from 0 to 8, not {:?}", clip(bits)))?,
        };
        Ok(Self { exponent_millibits, method: Method::Entropy })
    }
}

fn millibits(word: &str) -> Option<u32> {
    let (whole, decimals) = word.split_once('.').unwrap_or((word, "0"));
    let is_decimal = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_decimal(whole) || !is_decimal(decimals) || decimals.len() > 3 || whole.len() > 1 {
        return None;
    }
    let decimals: u32 = format!("{decimals:0<3}").parse().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(1000)?.checked_add(decimals).filter(|&bits| bits <= 8000)
}

impl fmt::Display for Lossless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.method {
            Method::Fixed => return f.write_str("lossless:fixed"),
            Method::Lz4 => return f.write_str("lossless:lz4"),
            Method::Entropy => {}
        }
        if self.exponent_millibits == DEFAULT {
            return f.write_str("lossless");
        }
        let decimals = format!("{:03}", self.exponent_millibits.checked_rem(1000).unwrap_or(0));
        let whole = self.exponent_millibits.checked_div(1000).unwrap_or(0);
        let decimals = decimals.trim_end_matches('0');
        let dot = if decimals.is_empty() { "" } else { "." };
        write!(f, "lossless:entropy={whole}{dot}{decimals}")
    }
}
