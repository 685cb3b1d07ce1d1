//! Numbers as they are: F16 and F32.

use super::super::dense::Dense;
use super::{bits, cannot};
use crate::error::Result;
use crate::model::Dtype;

pub(super) fn encode(scheme: Dense, values: &[f32]) -> Result<Vec<Vec<u8>>> {
    match scheme.dtype() {
        Dtype::F16 => Ok(vec![bits::halves(values.iter().copied())]),
        Dtype::F32 => Ok(vec![values.iter().flat_map(|value| value.to_le_bytes()).collect()]),
        _ => Err(cannot(scheme)),
    }
}

pub(super) fn decode(scheme: Dense, data: &[&[u8]], out: &mut [f32]) -> Result<()> {
    let [numbers] = data else { return Err(cannot(scheme)) };
    match scheme.dtype() {
        Dtype::F16 => {
            out.iter_mut().enumerate().for_each(|(place, value)| *value = bits::half(numbers, place));
        }
        Dtype::F32 => {
            for (value, bytes) in out.iter_mut().zip(numbers.chunks_exact(4)) {
                *value = f32::from_le_bytes(bytes.try_into().unwrap_or_default());
            }
        }
        _ => return Err(cannot(scheme)),
    }
    Ok(())
}
