//! What a weight is multiplied with, as far as rounding it asks.

use crate::error::{Error, Result};

/// Second moments of the inputs of a layer: for every pair of inputs the mean of their product over rows of them.
///
/// Rounding `W` to `Q` moves the layer's outputs by `(W − Q) x`, whose mean square is `(W − Q) E[x xᵀ] (W − Q)ᵀ`: nothing else
/// of the inputs counts, so any rows with the same `Xᵀ X` up to a factor will do, the triangle of a QR decomposition too.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    width: usize,
    /// `width` rows of `width`.
    moments: Vec<f32>,
}

/// Rows that are added at once.
const ROWS: usize = 16;
/// More inputs have moments of a gigabyte.
const WIDEST: usize = 1 << 14;

impl Inputs {
    /// The moments of `rows`, each of `width` inputs in the order of the weight's second and later dimensions.
    ///
    /// # Errors
    /// [`Error::Argument`] for rows that are none, numbers that are not finite, and more than 16,384 inputs.
    pub fn of(rows: &[f32], width: usize) -> Result<Self> {
        let refuse = |reason: String| Err(Error::Argument { name: "inputs", reason });
        if width == 0 || rows.is_empty() || !rows.len().is_multiple_of(width) {
            return refuse(format!("{} numbers are no rows of {width}", rows.len()));
        }
        if width > WIDEST {
            return refuse(format!("rows of {width} numbers, more than {WIDEST}"));
        }
        if let Some(place) = rows.iter().position(|value| !value.is_finite()) {
            return refuse(format!("number {place} is {}", rows[place]));
        }
        // Scaled so that no sum leaves the range: moments count up to a factor alone.
        let most = f64::from(rows.iter().fold(0.0_f32, |most, value| most.max(value.abs())));
        #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
        let count = rows.len().div_euclid(width) as f64;
        let factor = if most > 0.0 { 1.0 / (most * count.sqrt()) } else { 0.0 };
        let mut moments = vec![0.0_f32; width.saturating_mul(width)];
        for chunk in rows.chunks(width.saturating_mul(ROWS)) {
            let scaled: Vec<f32> = chunk.iter().map(|&value| narrow(f64::from(value) * factor)).collect();
            add(&mut moments, &scaled, width);
        }
        for one in 0..width {
            for other in 0..one {
                moments[one.saturating_mul(width).saturating_add(other)] =
                    moments[other.saturating_mul(width).saturating_add(one)];
            }
        }
        Ok(Self { width, moments })
    }

    /// How many inputs there are.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    pub(super) fn moments(&self) -> &[f32] {
        &self.moments
    }
}

#[expect(clippy::cast_possible_truncation, reason = "1 at most")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// Adds the products of a few rows to the upper half of `moments`.
fn add(moments: &mut [f32], rows: &[f32], width: usize) {
    for (one, sums) in moments.chunks_exact_mut(width).enumerate() {
        for row in rows.chunks_exact(width) {
            let value = row[one];
            for (sum, other) in sums[one..].iter_mut().zip(&row[one..]) {
                *sum += value * other;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_rows_up_to_a_factor() {
        let inputs = Inputs::of(&[1.0, 2.0, -3.0, 4.0], 2).unwrap();
        let expected = [10.0, -10.0, -10.0, 20.0];
        let factor = inputs.moments()[0] / expected[0];
        for (found, expected) in inputs.moments().iter().zip(expected) {
            assert!((found - expected * factor).abs() < 1e-6 && factor > 0.0);
        }
        assert!(Inputs::of(&[3e38; 8], 4).unwrap().moments().iter().all(|moment| moment.is_finite()));
        for (rows, width) in [(&[][..], 2), (&[1.0; 3][..], 2), (&[1.0][..], 0), (&[f32::NAN][..], 1)] {
            assert!(matches!(Inputs::of(rows, width), Err(Error::Argument { name: "inputs", .. })));
        }
    }
}
