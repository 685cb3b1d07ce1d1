//! The ledger's time: nanoseconds since it was made.
//!
//! Two readings of one clock. The precise one (the processor's counter, scaled by `quanta`; 9 to 16 ns a reading)
//! stamps events of the timeline. The coarse one (the kernel's last tick, at most 4 ms old; half the price) is enough
//! for the ages of reservations where no timeline is kept.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

static PRECISE: LazyLock<quanta::Clock> = LazyLock::new(quanta::Clock::new);

#[derive(Debug)]
pub(super) struct Clock {
    is_precise: bool,
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
    fn precise(&self) -> u64 {
        PRECISE.delta_as_nanos(self.began, PRECISE.raw())
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
