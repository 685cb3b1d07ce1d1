//! Exponents in fewer bits, everything else as it is: nothing is lost.

use std::fmt;

use super::piece::{Part, Piece};
use super::text::Fault;
use super::weight::{OVERFLOW, Weight};
use crate::error::Result as Outcome;
use crate::model::Dtype;
use crate::units::clip;

/// Entropy coding of the exponents of BF16, F16 or F32, as `DFloat11` and `ZipNN` do it: `lossless[:entropy=2.65]`, or
/// `lossless:fixed` for codes of four bits.
///
/// Sizes are exact for the entropy given, and an estimate of what weights will take: the entropy is theirs. Trained
/// networks lie between 2.5 and 2.8 bits (`DFloat11`: 2.6 of BF16's 8), and the default is 2.65.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lossless {
    /// Thousandths of a bit that an exponent takes.
    pub exponent_millibits: u32,
    /// Whether each exponent has a code of four bits instead: the 15 commonest, and one for the others.
    pub is_fixed: bool,
}

const DEFAULT: u32 = 2650;
/// Elements that share one entry of the index, where a decoder can begin.
const BLOCK: u64 = 4096;

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
        let Some((plain, exponent)) = Self::split(dtype) else { return Ok(None) };
        let elements = weight.elements();
        let codes = if self.is_fixed {
            u128::from(elements).checked_mul(4)
        } else {
            let millibits = u64::from(self.exponent_millibits).min(exponent.saturating_mul(1000));
            let all = u128::from(elements).checked_mul(u128::from(millibits)).ok_or(OVERFLOW)?;
            Some(all.div_ceil(1000))
        };
        let code_bytes = u64::try_from(codes.ok_or(OVERFLOW)?.div_ceil(8)).map_err(|_| OVERFLOW)?;
        let mut pieces =
            vec![Piece::new(Part::Values, elements, plain), Piece::new(Part::Codes, code_bytes, 8)];
        if !self.is_fixed {
            pieces.push(Piece::new(Part::Codes, elements.div_ceil(BLOCK), 32));
        }
        Ok(Some(pieces))
    }

    pub(super) fn read(first: &str, options: &[&str]) -> Result<Self, Fault> {
        super::text::none(options)?;
        if first == "fixed" {
            return Ok(Self { exponent_millibits: 4000, is_fixed: true });
        }
        let exponent_millibits = match first.strip_prefix("entropy=") {
            None if first.is_empty() => DEFAULT,
            None => return super::text::unknown(first, "fixed and entropy=2.65"),
            Some(bits) => millibits(bits)
                .ok_or_else(|| format!("entropy is a number of bits from 0 to 8, not {:?}", clip(bits)))?,
        };
        Ok(Self { exponent_millibits, is_fixed: false })
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
        if self.is_fixed {
            return f.write_str("lossless:fixed");
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
