//! [`Clock`]: the watch of the solver, shared by all parts of this one.

use std::cell::{Cell, RefCell};

use crate::solving::Watch;

/// Work between two questions, in the unit of [`Watch::spent`]: a fraction of a millisecond.
const WORK: usize = 1 << 14;

pub(super) struct Clock<'a, 'b> {
    watch: RefCell<&'a mut Watch<'b>>,
    stopped: Cell<bool>,
}

impl<'a, 'b> Clock<'a, 'b> {
    pub(super) fn new(watch: &'a mut Watch<'b>) -> Self {
        let stopped = Cell::new(watch.look());
        Self { watch: RefCell::new(watch), stopped }
    }

    /// Whether to stop, by the time or by an interruption. Stays so.
    pub(super) fn stopped(&self) -> bool {
        if !self.stopped.get() {
            self.stopped.set(self.watch.borrow_mut().spent(WORK));
        }
        self.stopped.get()
    }

    /// Tells of the best number of bins and of the bound.
    pub(super) fn found(&self, bins: usize, bound: usize) {
        self.watch.borrow_mut().found(Some(bins as u64), bound as u64);
    }
}
