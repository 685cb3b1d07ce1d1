//! What waiting for the next use of a model is worth at each age: the Gittins index of its hazards.
//!
//! With the chance `s` to be unused at an age and the time `v` that is still spent unused after it, waiting from one age to
//! another gives `Δs / Δv`. So the ages are points of a plane, and the best that can be had from one of them is the tangent
//! from there to the hull of the later ones: one pass from the last to the first.

#![allow(clippy::arithmetic_side_effects, reason = "numbers of bins, all bounded")]

use super::seen::{BINS, Seen, edge};

/// How many gaps the prior of a model's own hazard counts for.
const PRIOR: f32 = 0.5;
/// How many gaps the mean of all models counts for, beside a model's own rate.
pub(super) const FRAILTY: f64 = 2.0;
/// As many places as a number of six bits tells apart, so that none needs to be checked.
const PLACES: usize = 64;

/// The hazard of all models together.
#[derive(Clone, Debug)]
pub(super) struct Pooled {
    /// A quarter of the length of each bin.
    quarters: [f64; BINS],
    /// Odds of each bin's hazard, and −ln of the chance to survive all bins before it.
    odds: [f32; BINS],
    pub(super) cumulative: [f32; BINS + 1],
    /// The mean factor of all models.
    pub(super) mean: f64,
}

/// The ages as points: `v` and `s` in the middle of each bin, and where all bins have ended.
struct Plane {
    waited: [f64; PLACES],
    alive: [f64; PLACES],
}

impl Default for Pooled {
    fn default() -> Self {
        let quarters = std::array::from_fn(|bin| 0.25 * (edge(bin + 1) - edge(bin)));
        Self { quarters, odds: [0.0; BINS], cumulative: [0.0; BINS + 1], mean: 1.0 }
    }
}

impl Pooled {
    /// From the gaps of all models that ended in each bin and that reached it; a tenth of a gap in ten stands in where
    /// nothing was seen.
    pub(super) fn renew(&mut self, ended: &[f64; BINS], reached: &[f64; BINS]) {
        let mut cumulative = 0.0;
        for bin in 0..BINS {
            let hazard = ((ended[bin] + 0.1) / (reached[bin] + 1.0)).min(0.999);
            self.odds[bin] = single(hazard / (1.0 - hazard));
            cumulative -= (1.0 - hazard).ln();
            self.cumulative[bin + 1] = single(cumulative);
        }
    }

    /// The chance that a model unused until the start of a bin is asked for within it. Its factor is what is known of it
    /// by then: that it is still unused tells that it is rare.
    fn hazards(&self, seen: &Seen) -> [f32; BINS] {
        let gaps = single(FRAILTY * self.mean + seen.gaps());
        let expected = single(FRAILTY + seen.expected);
        let mut later = [0.0; BINS];
        later[..BINS - 1].copy_from_slice(&seen.reached[1..]);
        std::array::from_fn(|bin| {
            // The odds are `above / below`.
            let (above, below) = (self.odds[bin] * gaps, expected + self.cumulative[bin]);
            let (reached, both) = (seen.reached[bin], above + below);
            ((reached - later[bin]) * both + PRIOR * above) / ((reached + PRIOR) * both)
        })
    }

    fn plane(&self, seen: &Seen) -> Plane {
        let hazards = self.hazards(seen);
        let (mut alive, mut starts) = (1.0, [0.0; BINS + 1]);
        for bin in 0..BINS {
            starts[bin] = alive;
            alive *= 1.0 - f64::from(hazards[bin]);
        }
        starts[BINS] = alive;
        let mut plane = Plane { waited: [0.0; PLACES], alive: [0.0; PLACES] };
        plane.alive[BINS] = alive;
        let mut left = 0.0;
        for bin in (0..BINS).rev() {
            let middle = 0.5 * (starts[bin] + starts[bin + 1]);
            let quarter = self.quarters[bin];
            plane.alive[bin] = middle;
            plane.waited[bin] = left + quarter * (middle + starts[bin + 1]);
            left = plane.waited[bin] + quarter * (middle + starts[bin]);
        }
        plane
    }

    /// The root of the index in the middle of each bin, per unit of the clock.
    ///
    /// In passes, none of which waits for what the next is about: sums for guesses that went wrong, or guesses for
    /// quotients.
    pub(super) fn roots(&self, seen: &Seen) -> [f32; BINS] {
        let (rises, runs) = self.plane(seen).tangents();
        let mut slopes = [0.0; BINS];
        for (slope, (rise, run)) in slopes.iter_mut().zip(rises.iter().zip(&runs)) {
            *slope = single(rise / run);
        }
        slopes.map(f32::sqrt)
    }
}

impl Plane {
    fn point(&self, place: u8) -> (f64, f64) {
        let place = usize::from(place) % PLACES;
        (self.waited[place], self.alive[place])
    }

    /// For each age how much is had, and how long is waited, until the later one that is the best to stop at.
    ///
    /// The hull of the ages from a bin on is that bin, the one best to stop at from there, the one best to stop at from
    /// that, and so on.
    fn tangents(&self) -> ([f64; BINS], [f64; BINS]) {
        const END: u8 = BINS.to_le_bytes()[0];
        let (mut rises, mut runs) = ([0.0; BINS], [0.0; BINS]);
        let mut best = [END; PLACES];
        let (mut next, mut further) = (END, END);
        let (mut near, mut far) = (self.point(END), self.point(END));
        for bin in (0..BINS).rev() {
            let here = (self.waited[bin], self.alive[bin]);
            // Later ages that are no better than still later ones are never stopped at again.
            while next != END && !is_steeper(here, near, far) {
                (next, near) = (further, far);
                further = best[usize::from(next) % PLACES];
                far = self.point(further);
            }
            best[bin] = next;
            (rises[bin], runs[bin]) = (here.1 - near.1, here.0 - near.0);
            (further, far) = (next, near);
            (next, near) = (bin.to_le_bytes()[0], here);
        }
        (rises, runs)
    }
}

/// Whether waiting from `here` until `near` is worth more per unit of time than until `far`.
fn is_steeper(here: (f64, f64), near: (f64, f64), far: (f64, f64)) -> bool {
    (here.1 - near.1) * (here.0 - far.0) > (here.1 - far.1) * (here.0 - near.0)
}

#[allow(clippy::cast_possible_truncation, reason = "seven digits are more than is known of any gap")]
fn single(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition: of all later ages to stop at, the one with the best rate.
    fn roots_by_trying(pooled: &Pooled, seen: &Seen) -> [f64; BINS] {
        let hazards = pooled.hazards(seen);
        let mut starts = [1.0; BINS + 1];
        for bin in 0..BINS {
            starts[bin + 1] = starts[bin] * (1.0 - f64::from(hazards[bin]));
        }
        let middle = |bin: usize| 0.5 * (starts[bin] + starts[bin + 1]);
        std::array::from_fn(|bin| {
            let (mut waited, mut best) = (pooled.quarters[bin] * (middle(bin) + starts[bin + 1]), 0.0_f64);
            for later in bin + 1..=BINS {
                let quarter = pooled.quarters.get(later).copied().unwrap_or(0.0);
                let alive = if later < BINS { middle(later) } else { starts[BINS] };
                if later < BINS {
                    waited += quarter * (middle(later) + starts[later]);
                }
                best = best.max((middle(bin) - alive) / waited);
                if later < BINS {
                    waited += quarter * (middle(later) + starts[later + 1]);
                }
            }
            best.sqrt()
        })
    }

    proptest! {
        /// The tangents to the hull are the best rates.
        #[test]
        fn no_other_age_to_stop_at_is_better(
            bins in prop::collection::vec(0..BINS, 0..120), expected in 0.0..200.0_f64, mean in 0.01..20.0_f64,
            all in prop::collection::vec((0.0..300.0_f64, 0.0..1.0_f64), BINS..=BINS),
        ) {
            let mut pooled = Pooled { mean, ..Pooled::default() };
            let reached: Vec<f64> = all.iter().map(|(reached, _)| *reached).collect();
            let ended: Vec<f64> = all.iter().map(|(reached, share)| reached * share).collect();
            pooled.renew(ended.first_chunk().unwrap(), reached.first_chunk().unwrap());
            let mut seen = Seen::NOTHING;
            for bin in bins {
                seen.end(bin, 1.0);
            }
            seen.expected = expected;
            let tried = roots_by_trying(&pooled, &seen);
            for (bin, (root, tried)) in pooled.roots(&seen).iter().zip(tried).enumerate() {
                prop_assert!((f64::from(*root) - tried).abs() <= 1e-5 * tried, "bin {bin}: {root} and {tried}");
            }
        }
    }
}
