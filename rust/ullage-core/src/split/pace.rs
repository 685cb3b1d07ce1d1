//! Time as a whole number of picoseconds, so that sums and comparisons are exact and a proof is one.

/// Picoseconds of a second.
pub const SECOND: u64 = 1_000_000_000_000;

/// The most that all times of a problem may add up to: 53 days, so that no sum of two overflows.
pub(super) const MOST: u64 = u64::MAX >> 2;

/// How long `amount` takes at `rate` a second, rounded up; nothing at an unlimited rate.
#[must_use]
pub fn at_rate(amount: u64, rate: Option<u64>) -> u64 {
    let Some(rate) = rate else { return 0 };
    let product = u128::from(amount).saturating_mul(u128::from(SECOND));
    u64::try_from(product.div_ceil(u128::from(rate.max(1)))).unwrap_or(u64::MAX)
}

/// The roofline of Williams, Waterman and Patterson (2009): as long as the slower of memory and arithmetic takes.
#[must_use]
pub fn roofline(bytes: u64, bandwidth: Option<u64>, operations: u64, peak: Option<u64>) -> u64 {
    at_rate(bytes, bandwidth).max(at_rate(operations, peak))
}

/// A way between two devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Link {
    /// Bytes a second; `None` for no limit.
    pub bandwidth: Option<u64>,
    /// Picoseconds until the first byte arrives.
    pub latency: u64,
}

impl Link {
    /// How long `bytes` take over it.
    #[must_use]
    pub fn time(self, bytes: u64) -> u64 {
        self.latency.saturating_add(at_rate(bytes, self.bandwidth))
    }

    /// How long a ring of `devices` needs to sum `bytes` that each of them holds: 2(g − 1) steps of `bytes / g` each
    /// (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009).
    #[must_use]
    pub fn all_reduce(self, bytes: u64, devices: u64) -> u64 {
        if devices <= 1 {
            return 0;
        }
        let steps = devices.saturating_sub(1).saturating_mul(2);
        self.time(bytes.div_ceil(devices)).saturating_mul(steps)
    }
}
