//! Numbers as they are, in any format: rounded to the nearest, ties to even.
//!
//! What passes the largest number becomes infinite; where there is no infinity, as in `f8_e4m3`, no number.

use super::super::dense::Dense;
use super::super::piece::Part;
use super::{bits, cannot, damaged, small};
use crate::error::Result;
use crate::model::Dtype;

pub(super) fn encode(scheme: Dense, values: &[f32]) -> Result<Vec<Vec<u8>>> {
    let small = |form| values.iter().map(move |&value| small::to_small(value, form)).collect();
    Ok(vec![match scheme.dtype() {
        Dtype::F16 => bits::halves(values.iter().copied()),
        Dtype::BF16 => values.iter().flat_map(|&value| to_brain(value).to_le_bytes()).collect(),
        Dtype::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Dtype::F64 => values.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect(),
        Dtype::F8_E4M3 => small(small::E4M3),
        Dtype::F8_E5M2 => small(small::E5M2),
        _ => return Err(cannot(scheme)),
    }])
}

/// The 16 bits of a number of 8 exponent bits that is nearest.
fn to_brain(value: f32) -> u16 {
    let bits = value.to_bits();
    let high = bits >> 16;
    let rounded = if value.is_nan() {
        high | 0x40
    } else {
        bits.saturating_add(0x7FFF_u32.saturating_add(high & 1)) >> 16
    };
    u16::try_from(rounded).unwrap_or(u16::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "numbers of 64 bits are given in 32")]
pub(super) fn decode(scheme: Dense, data: &[&[u8]], out: &mut [f32]) -> Result<()> {
    let &[numbers] = data else { return Err(damaged(Part::Values, "they are one piece")) };
    match scheme.dtype() {
        Dtype::F16 => each(numbers, out, |bytes| crate::codec::half::from_half(u16::from_le_bytes(bytes))),
        Dtype::BF16 => each(numbers, out, |[low, high]| f32::from_le_bytes([0, 0, low, high])),
        Dtype::F32 => each(numbers, out, f32::from_le_bytes),
        Dtype::F64 => each(numbers, out, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::F8_E4M3 => each(numbers, out, |[byte]| small::from_small(byte, small::E4M3)),
        Dtype::F8_E5M2 => each(numbers, out, |[byte]| small::from_small(byte, small::E5M2)),
        _ => return Err(cannot(scheme)),
    }
    Ok(())
}

fn each<const N: usize>(numbers: &[u8], out: &mut [f32], value: impl Fn([u8; N]) -> f32) {
    for (out, &bytes) in out.iter_mut().zip(numbers.as_chunks::<N>().0) {
        *out = value(bytes);
    }
}
