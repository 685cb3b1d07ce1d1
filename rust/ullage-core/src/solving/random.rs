//! Numbers that look random and are the same for the same seed.

/// splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `count`; 0 for 0.
    pub(crate) fn below(&mut self, count: u64) -> u64 {
        let product = u128::from(self.next()).wrapping_mul(u128::from(count));
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// A position in a list of `length`; 0 for an empty one.
    pub(crate) fn position(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// A number in [0, 1): a multiple of 2^-53, each as likely.
    #[allow(clippy::cast_precision_loss, reason = "53 bits, which a float holds")]
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
