//! What a scheme does to weights of which only the shape is known.

use crate::codec::{Coded, Distortion, Scheme};
use crate::error::{Error, Result};
use crate::solving::Random;

/// The most weights that are made up to find out.
const SAMPLE: u64 = 1 << 15;
/// Rows of a sample at most: scales and tables of rows are alike.
const ROWS: u64 = 64;

/// Power over error, in decibels, of normally distributed weights of `shape` stored in `scheme`: an assumption where
/// nothing better is known.
///
/// A sample of the weight's own rows, of 2^15 weights at most, is encoded and decoded; the same arguments always give
/// the same figure. It is infinite where nothing is lost, and `None` for a scheme that encodes nothing yet.
///
/// # Errors
/// [`Error::Overflow`] for a shape beyond 2^64 − 1 elements.
pub fn assumed_snr_db(shape: &[u64], scheme: Scheme) -> Result<Option<f64>> {
    if matches!(scheme, Scheme::Lossless(_)) {
        return Ok(Some(f64::INFINITY));
    }
    let row = shape.get(1..).unwrap_or(&[]).iter().try_fold(1_u64, |all, &size| all.checked_mul(size));
    let row = row.ok_or(Error::Overflow { what: "the layer" })?.clamp(1, SAMPLE);
    let most = SAMPLE.checked_div(row).unwrap_or(1).clamp(1, ROWS);
    let rows = shape.first().copied().unwrap_or(1).clamp(1, most);
    let values = normal(rows.saturating_mul(row));
    match Coded::encode(&values, &[rows, row], scheme) {
        Ok(coded) => {
            let mut decoded = vec![0.0; values.len()];
            coded.decode_into(&mut decoded)?;
            Ok(Some(Distortion::of(&values, &decoded)?.snr_db))
        }
        Err(Error::Argument { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Numbers of the standard normal distribution: sums of twelve uniform ones, less six, are as near as a sample tells.
fn normal(count: u64) -> Vec<f32> {
    let mut random = Random(0x9D5C_0FB1);
    #[expect(clippy::cast_possible_truncation, reason = "rounded to the nearest of fewer digits")]
    let one = |random: &mut Random| {
        let sum: f64 = (0..12).map(|_| crate::jit::float(random.below(1 << 32)) / 4_294_967_296.0).sum();
        (sum - 6.0) as f32
    };
    (0..count).map(|_| one(&mut random)).collect()
}
