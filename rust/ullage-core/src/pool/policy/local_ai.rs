//! What the watchdog of `LocalAI` does (mudler/LocalAI, `pkg/model/watchdog.go`): while more than 95 % of memory is in use,
//! the least recently used idle model goes, whether or not anybody needs its memory.

use super::{Habits, Lru};

/// A re-statement for comparison.
#[must_use]
pub const fn local_ai() -> Lru {
    Lru::with("localai", Habits { fill: 0.95, ..Habits::NONE })
}
