//! Least recently used, and whatever is idle for some time goes though nobody needs its memory: for those who would rather
//! have free memory than warm models.

use std::time::Duration;

use super::{Habits, Lru};

/// How long the policy called `ttl` waits.
pub(super) const IDLE_FOR: Duration = Duration::from_mins(5);

/// A rule that sends models away after so long without a use.
#[must_use]
pub const fn ttl(idle_for: Duration) -> Lru {
    Lru::with("ttl", Habits { idle_for: Some(idle_for), ..Habits::NONE })
}
