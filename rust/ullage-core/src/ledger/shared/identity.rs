//! Who a process is, in one word: its id and the time it started, so that an id used again is somebody else.

use crate::error::Result;

/// Bits of a start time in ticks of 10 ms since boot: enough for 1,390 years.
const START_BITS: u32 = 42;

/// The identity of process `id`, which started `start` ticks after boot. Linux gives ids below 2^22.
pub(super) fn identity(id: u32, start: u64) -> u64 {
    (u64::from(id) << START_BITS) | (start & ((1 << START_BITS) - 1))
}

/// The process id in an identity.
pub(super) fn id(identity: u64) -> u32 {
    u32::try_from(identity >> START_BITS).unwrap_or_default()
}

/// The start time in an identity.
pub(super) fn start(identity: u64) -> u64 {
    identity & ((1 << START_BITS) - 1)
}

/// What a ledger asks of the world about processes and time.
pub(super) trait World: Send + Sync {
    /// The identity of this very process.
    fn own_identity(&self) -> Result<u64>;
    /// Whether the process lives, in any of its threads. One of which nothing can be learnt counts as living.
    fn is_alive(&self, identity: u64) -> bool;
    /// Nanoseconds of a clock that all processes share and that never goes back.
    fn now_ns(&self) -> u64;
}

/// What makes process ids and start times mean what they mean: the boot, and the namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Surroundings {
    pub(super) boot: [u64; 2],
    pub(super) namespaces: [u64; 2],
}
