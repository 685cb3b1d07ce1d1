//! Blocks of GGML types. Those of the reference implementation in Python, gguf-py, come out the same to the bit: what it
//! encodes, and every value it decodes. K-quants and IQ4, which it does not encode, have scales found for the least
//! squared error.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places and codes within a block of at most 256 elements and 292 bytes"
)]

mod affine;
mod block;
mod encode_k;
mod few;
mod float4;
mod grid;
mod grids;
mod k;
mod legacy;
mod symmetric;
#[cfg(test)]
mod tests;

use super::super::gguf::Gguf;
use super::super::piece::Part;
use super::super::weight::Weight;
use super::{cannot, damaged, length, untouched};
use crate::error::{Error, Result};
use crate::model::Dtype;

type Decode = fn(&[u8], &mut [f32]);
type Encode = fn(&[f32], &mut [u8]);

/// How one block is read, and written where that is known.
fn codec(dtype: Dtype) -> Option<(Decode, Option<Encode>)> {
    let (decode, encode): (Decode, Option<Encode>) = match dtype {
        Dtype::Q4_0 => (legacy::decode_q4_0, Some(legacy::encode_q4_0)),
        Dtype::Q4_1 => (legacy::decode_q4_1, Some(legacy::encode_q4_1)),
        Dtype::Q5_0 => (legacy::decode_q5_0, Some(legacy::encode_q5_0)),
        Dtype::Q5_1 => (legacy::decode_q5_1, Some(legacy::encode_q5_1)),
        Dtype::Q8_0 => (legacy::decode_q8_0, Some(legacy::encode_q8_0)),
        Dtype::Q8_1 => (legacy::decode_q8_1, Some(legacy::encode_q8_1)),
        Dtype::Q8_K => (legacy::decode_q8_k, Some(legacy::encode_q8_k)),
        Dtype::Q1_0 => (few::decode_q1_0, Some(few::encode_q1_0)),
        Dtype::Q2_0 => (few::decode_q2_0, Some(few::encode_q2_0)),
        Dtype::TQ1_0 => (few::decode_tq1_0, Some(few::encode_tq1_0)),
        Dtype::TQ2_0 => (few::decode_tq2_0, Some(few::encode_tq2_0)),
        Dtype::MXFP4 => (float4::decode_mxfp4, Some(float4::encode_mxfp4)),
        Dtype::NVFP4 => (float4::decode_nvfp4, Some(float4::encode_nvfp4)),
        Dtype::Q2_K => (k::decode_q2_k, Some(encode_k::encode_q2_k)),
        Dtype::Q3_K => (k::decode_q3_k, Some(encode_k::encode_q3_k)),
        Dtype::Q4_K => (k::decode_q4_k, Some(encode_k::encode_q4_k)),
        Dtype::Q5_K => (k::decode_q5_k, Some(encode_k::encode_q5_k)),
        Dtype::Q6_K => (k::decode_q6_k, Some(encode_k::encode_q6_k)),
        Dtype::IQ4_NL => (k::decode_iq4_nl, Some(encode_k::encode_iq4_nl)),
        Dtype::IQ4_XS => (k::decode_iq4_xs, Some(encode_k::encode_iq4_xs)),
        Dtype::IQ1_S => (grid::decode_iq1_s, None),
        Dtype::IQ1_M => (grid::decode_iq1_m, None),
        Dtype::IQ2_XXS => (grid::decode_iq2_xxs, None),
        Dtype::IQ2_XS => (grid::decode_iq2_xs, None),
        Dtype::IQ2_S => (grid::decode_iq2_s, None),
        Dtype::IQ3_XXS => (grid::decode_iq3_xxs, None),
        Dtype::IQ3_S => (grid::decode_iq3_s, None),
        _ => return None,
    };
    Some((decode, encode))
}

/// The type that `weight` is stored in, and elements and bytes of its blocks.
fn layout(scheme: Gguf, weight: &Weight) -> Result<(Dtype, usize, usize)> {
    let dtype = scheme.stored(weight).ok_or_else(|| untouched(scheme))?;
    let (elements, bits) = dtype.block();
    Ok((dtype, length(elements)?, length(bits.div_ceil(8))?))
}

pub(super) fn encode(scheme: Gguf, weight: &Weight, values: &[f32]) -> Result<Vec<Vec<u8>>> {
    let (dtype, elements, bytes) = layout(scheme, weight)?;
    let Some((decode, Some(encode))) = codec(dtype) else { return Err(cannot(scheme)) };
    let mut blocks = vec![0; (values.len() / elements).saturating_mul(bytes)];
    let mut decoded = vec![0.0; elements];
    for (place, (block, values)) in
        blocks.chunks_exact_mut(bytes).zip(values.chunks_exact(elements)).enumerate()
    {
        encode(values, block);
        decode(block, &mut decoded);
        if !decoded.iter().all(|value| value.is_finite()) {
            let reason = format!("the scale of block {place} lies beyond the 16-bit numbers");
            return Err(Error::Argument { name: "weights", reason });
        }
    }
    Ok(vec![blocks])
}

pub(super) fn decode(scheme: Gguf, weight: &Weight, data: &[&[u8]], out: &mut [f32]) -> Result<()> {
    let (dtype, elements, bytes) = layout(scheme, weight)?;
    let &[blocks] = data else { return Err(damaged(Part::Blocks, "they are one piece")) };
    let Some((decode, _)) = codec(dtype) else { return Err(cannot(scheme)) };
    for (block, values) in blocks.chunks_exact(bytes).zip(out.chunks_exact_mut(elements)) {
        decode(block, values);
    }
    Ok(())
}
