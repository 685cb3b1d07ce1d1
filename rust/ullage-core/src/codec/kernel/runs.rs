//! Runs of elements that share a table or a scale.

use std::ops::Range;

/// How elements share: each period of `row` elements is cut into runs of `run`, the last of which may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sharing {
    row: usize,
    run: usize,
    in_row: usize,
}

/// A run, or the part of one that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Its first element.
    pub(super) start: usize,
    /// Its elements.
    pub(super) length: usize,
    /// The place of what it shares.
    pub(super) place: usize,
}

/// The runs of a range.
#[derive(Clone, Debug)]
pub(super) struct Runs {
    sharing: Sharing,
    next: usize,
    end: usize,
    /// Where the period and the run of `next` end, and the place of that run.
    row_end: usize,
    run_end: usize,
    place: usize,
}

impl Sharing {
    pub(super) fn new(row: usize, run: usize) -> Self {
        let (row, run) = (row.max(1), run.clamp(1, row.max(1)));
        Self { row, run, in_row: row.div_ceil(run) }
    }

    /// Whether all runs are of so many elements, so that run `n` begins at `n` times as many.
    pub(super) const fn is_even(self, run: usize) -> bool {
        self.run == run && self.row.is_multiple_of(run)
    }

    /// Whether rows of `cols` elements are cut into runs of `run`, and nothing else is.
    pub(super) const fn is_even_in(self, cols: usize, run: usize) -> bool {
        self.is_even(run) && cols.is_multiple_of(run)
    }

    /// Whether every row of `cols` elements lies within one run.
    pub(super) const fn is_by_row(self, cols: usize) -> bool {
        self.run.is_multiple_of(cols) && self.row.is_multiple_of(self.run)
    }

    pub(super) fn of(self, range: Range<usize>) -> Runs {
        let (row, inside) = (range.start.div_euclid(self.row), range.start.rem_euclid(self.row));
        let run = inside.div_euclid(self.run);
        let row_start = row.saturating_mul(self.row);
        let row_end = row_start.saturating_add(self.row);
        Runs {
            sharing: self,
            next: range.start,
            end: range.end,
            row_end,
            run_end: row_start.saturating_add(run.saturating_add(1).saturating_mul(self.run)).min(row_end),
            place: row.saturating_mul(self.in_row).saturating_add(run),
        }
    }
}

impl Iterator for Runs {
    type Item = Run;

    #[inline(always)]
    fn next(&mut self) -> Option<Run> {
        let (start, end) = (self.next, self.run_end.min(self.end));
        if start >= end {
            return None;
        }
        let run = Run { start, length: end.saturating_sub(start), place: self.place };
        self.next = end;
        if self.run_end >= self.row_end {
            self.row_end = self.row_end.saturating_add(self.sharing.row);
        }
        self.run_end = self.run_end.saturating_add(self.sharing.run).min(self.row_end);
        self.place = self.place.saturating_add(1);
        Some(run)
    }
}
