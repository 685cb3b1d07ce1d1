//! [`Limits`]: when a solver stops before the end, and whom it tells how far it is.

use std::time::Duration;

/// When to stop before the end, and whom to tell about the way there.
#[derive(Clone, Copy, Default)]
pub struct Limits<'a> {
    /// The time for a search; `None` for as long as it takes. Plain heuristics run to their end in any case.
    pub time: Option<Duration>,
    /// Asked every few milliseconds; `true` ends the work with the best answer so far.
    pub interrupted: Option<&'a dyn Fn() -> bool>,
    /// Told of every better answer and bound, and about four times a second in between.
    pub progress: Option<&'a dyn Fn(Progress)>,
}

impl Limits<'_> {
    /// Items that a heuristic packs between two looks at `interrupted`.
    pub(crate) const ITEMS_BETWEEN_CHECKS: usize = 1 << 16;

    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted.is_some_and(|ask| ask())
    }
}

/// How far a solver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What the best complete answer costs, in the unit that the solver minimises; `None` while there is none.
    pub best: Option<u64>,
    /// No answer costs less.
    pub lower_bound: u64,
    /// The time since the start.
    pub elapsed: Duration,
}
