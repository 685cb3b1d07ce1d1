//! The ledger's time: nanoseconds since it was made.
//!
//! Two readings of one clock. The precise one (the processor's counter, scaled by `quanta`; 9 to 16 ns a reading)
//! stamps events of the timeline. The coarse one (the kernel's last tick, at most 4 ms old; half the price) is enough
//! for the ages of reservations where no timeline is kept.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

static PRECISE: LazyLock<quanta::Clock> = LazyLock::new(quanta::Clock::new);

/// Ticks of the counter to nanoseconds are one multiplication and this shift.
const SCALE: u32 = 40;

#[derive(Debug)]
pub(super) struct Clock {
    is_precise: bool,
    counter: quanta::Clock,
    /// Nanoseconds of 2^[`SCALE`] ticks, which are minutes: the error is below one in 10^11.
    scale: u64,
    began: u64,
    coarse_began: u64,
    /// Wall-clock time of the beginning.
    pub(super) epoch_unix_ns: u64,
}

impl Clock {
    pub(super) fn new(is_precise: bool) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            is_precise,
            counter: PRECISE.clone(),
            scale: PRECISE.delta_as_nanos(0, 1 << SCALE),
            began: PRECISE.raw(),
            coarse_began: coarse(),
            epoch_unix_ns: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// Nanoseconds since the ledger was made, as precise as its use needs.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        if self.is_precise { self.precise() } else { coarse().saturating_sub(self.coarse_began) }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "centuries of nanoseconds")]
    fn precise(&self) -> u64 {
        let ticks = self.counter.raw().saturating_sub(self.began);
        (u128::from(ticks).wrapping_mul(self.scale.into()) >> SCALE) as u64
    }
}

#[cfg(target_os = "linux")]
#[inline]
fn coarse() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    time.tv_sec.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec.cast_unsigned())
}

#[cfg(not(target_os = "linux"))]
fn coarse() -> u64 {
    PRECISE.delta_as_nanos(0, PRECISE.raw())
}
