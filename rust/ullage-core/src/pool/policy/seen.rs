//! What is known of the gaps of one model: how many reached each age, the latest counting most.

#![allow(clippy::arithmetic_side_effects, reason = "numbers of bins, all bounded")]

use std::f64::consts::SQRT_2;

/// Bins of ages: two to an octave, from one unit of the clock to 2^24, half a year in seconds.
pub(super) const BINS: usize = 48;
/// Of its own gaps, a model remembers about so many: by number, so that a busy one learns anew in minutes, a rare one
/// in weeks.
const REMEMBERED: f32 = 50.0;
/// A gap counts half in its bin and a quarter in each neighbour: a timer that jitters is still one timer.
const SHARES: [f32; 3] = [0.25, 0.5, 0.25];

/// What is known of the gaps of one model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Gaps that reached each bin, with decay; the first counts them all. Never rising: every step below keeps an order
    /// that it finds, rounding included.
    pub(super) reached: [f32; BINS],
    /// How many gaps the pooled hazard expects in the time the model was seen, with the same decay.
    pub(super) expected: f64,
}

impl Seen {
    pub(super) const NOTHING: Self = Self { reached: [0.0; BINS], expected: 0.0 };

    pub(super) fn gaps(&self) -> f64 {
        f64::from(self.reached[0])
    }

    /// A gap ended in `bin`, where `expected` were expected meanwhile.
    pub(super) fn end(&mut self, bin: usize, expected: f64) {
        let keep = 1.0 - 1.0 / REMEMBERED;
        let shares: [&[f32; BINS]; 3] = std::array::from_fn(|at| {
            let bin = (bin + at).saturating_sub(1).min(BINS - 1);
            steps(&STEPS[at], bin)
        });
        // Each share is added by itself, one after another: sums of floats depend on the order.
        for (at, reached) in self.reached.iter_mut().enumerate() {
            *reached = *reached * keep + shares[0][at] + shares[1][at] + shares[2][at];
        }
        self.expected = self.expected * f64::from(keep) + expected;
    }
}

/// Each of [`SHARES`] for as many bins as there are, then nothing for as many.
const STEPS: [[f32; 2 * BINS]; 3] = {
    let mut steps = [[0.0; 2 * BINS]; 3];
    let mut at = 0;
    while at < 3 * BINS {
        steps[at / BINS][at % BINS] = SHARES[at / BINS];
        at += 1;
    }
    steps
};

/// The share in all bins up to `bin`.
fn steps(step: &[f32; 2 * BINS], bin: usize) -> &[f32; BINS] {
    step[BINS - 1 - bin..].first_chunk().unwrap_or(&[0.0; BINS])
}

/// The bin of an age: its exponent, and whether its fraction is in the upper half of the octave.
pub(super) fn bin(age: f64) -> usize {
    if age < SQRT_2 {
        return 0;
    }
    let bits = age.to_bits();
    let octave = (bits >> 52).saturating_sub(1023);
    let upper = u64::from(bits << 12 >> 12 >= SQRT_2.to_bits() << 12 >> 12);
    usize::try_from(2 * octave + upper).map_or(BINS - 1, |bin| bin.min(BINS - 1))
}

/// The age at which a bin begins: bin 0 at 0, bin n at 2^(n/2).
#[allow(clippy::cast_precision_loss, reason = "numbers of bins are small")]
pub(super) fn edge(bin: usize) -> f64 {
    if bin == 0 { 0.0 } else { (bin as f64 / 2.0).exp2() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The edges of bins are where ages change their bin.
        #[test]
        fn an_age_is_in_the_bin_between_two_edges(age in prop_oneof![0.0..3.0, 0.0..2e7, 0.0..1e300]) {
            let at = bin(age);
            prop_assert!(edge(at) <= age * (1.0 + 1e-12));
            prop_assert!(at == BINS - 1 || age <= edge(at + 1) * (1.0 + 1e-12));
        }

        /// A gap ends as by the definition: all decays, then each share comes to the bins that it reaches.
        #[test]
        fn a_gap_is_counted_in_its_bin_and_those_beside_it(bins in prop::collection::vec(0..BINS, 1..80)) {
            let mut seen = Seen::NOTHING;
            let mut reached = [0.0_f32; BINS];
            for bin in bins {
                seen.end(bin, 1.0);
                for reached in &mut reached {
                    *reached *= 1.0 - 1.0 / REMEMBERED;
                }
                for (offset, share) in SHARES.iter().enumerate() {
                    let last = (bin + offset).saturating_sub(1).min(BINS - 1);
                    for reached in &mut reached[..=last] {
                        *reached += share;
                    }
                }
                prop_assert_eq!(seen.reached.map(f32::to_bits), reached.map(f32::to_bits));
            }
        }
    }
}
