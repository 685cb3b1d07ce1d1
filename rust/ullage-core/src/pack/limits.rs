//! How long a solver may work, and who may stop it.

use std::time::Duration;

/// When to stop before the end.
#[derive(Clone, Copy, Default)]
pub struct Limits<'a> {
    /// The time for the search; `None` for as long as it takes. The heuristics run to their end in any case.
    pub time: Option<Duration>,
    /// Asked every few milliseconds; `true` ends the work with the best plan so far.
    pub interrupted: Option<&'a dyn Fn() -> bool>,
}

impl Limits<'_> {
    /// Items that a heuristic packs between two looks at `interrupted`.
    pub(crate) const ITEMS_BETWEEN_CHECKS: usize = 1 << 16;

    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted.is_some_and(|ask| ask())
    }
}
