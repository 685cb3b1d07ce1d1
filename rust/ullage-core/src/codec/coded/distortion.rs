//! How far decoded weights are off.

use crate::error::{Error, Result};

/// How far decoded weights are from the original ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distortion {
    /// The largest absolute error.
    pub max: f64,
    /// The root of the mean squared error.
    pub rms: f64,
    /// Power of the weights over that of the error, in decibels; infinite without an error.
    pub snr_db: f64,
}

impl Distortion {
    /// The distance of `decoded` from `original`.
    ///
    /// # Errors
    /// [`Error::Argument`] unless both have as many elements.
    pub fn of(original: &[f32], decoded: &[f32]) -> Result<Self> {
        if original.len() != decoded.len() {
            let reason = format!("{} elements, not {}", decoded.len(), original.len());
            return Err(Error::Argument { name: "decoded", reason });
        }
        let (mut max, mut error, mut power) = (0.0_f64, 0.0_f64, 0.0_f64);
        for (&before, &after) in original.iter().zip(decoded) {
            let off = f64::from(before) - f64::from(after);
            max = max.max(off.abs());
            error += off * off;
            power += f64::from(before) * f64::from(before);
        }
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let count = original.len().max(1) as f64;
        let snr_db = if error > 0.0 { 10.0 * (power / error).log10() } else { f64::INFINITY };
        Ok(Self { max, rms: (error / count).sqrt(), snr_db })
    }
}
