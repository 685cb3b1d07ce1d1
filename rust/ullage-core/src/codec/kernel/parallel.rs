//! Rows shared out among threads.

use std::ops::Range;
use std::thread;

use crate::error::{Error, Result};

/// Bytes of a cache line, which two threads should not both write to.
pub(super) const LINE: usize = 64;

/// At most `threads` consecutive ranges of `rows`, as equal as multiples of `multiple` rows allow.
#[must_use]
pub fn splits(threads: usize, rows: usize, multiple: usize) -> Vec<Range<usize>> {
    let multiple = multiple.max(1);
    let units = rows.div_ceil(multiple);
    let share = units.div_ceil(threads.max(1)).max(1).saturating_mul(multiple);
    (0..rows).step_by(share).map(|start| start..start.saturating_add(share).min(rows)).collect()
}

/// Rows of `row_bytes` each after which a cache line begins, if the first one begins one.
pub(super) fn whole_lines(row_bytes: usize) -> usize {
    let twos = row_bytes.trailing_zeros().min(LINE.trailing_zeros());
    LINE >> twos
}

/// Calls `work` with ranges that together are all `rows`, at most `threads` of them, each on a thread of its own; the last
/// one on this thread.
///
/// # Errors
/// The first one of `work`, in the order of rows.
pub fn parallel<F>(threads: usize, rows: usize, work: F) -> Result<()>
where
    F: Fn(Range<usize>) -> Result<()> + Sync,
{
    let work = &work;
    run(splits(threads, rows, 1).into_iter().map(|range| move || work(range)).collect())
}

/// Runs all of `works` at once, the last one on this thread.
pub(super) fn run<W: FnOnce() -> Result<()> + Send>(mut works: Vec<W>) -> Result<()> {
    let Some(last) = works.pop() else { return Ok(()) };
    thread::scope(|scope| {
        let others: Vec<_> =
            works.into_iter().map(|work| thread::Builder::new().spawn_scoped(scope, work)).collect();
        let last = last();
        let mut outcome = Ok(());
        for other in others {
            let joined = match other {
                Ok(handle) => handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(fault) => {
                    Err(Error::Argument { name: "threads", reason: format!("none was started: {fault}") })
                }
            };
            outcome = outcome.and(joined);
        }
        outcome.and(last)
    })
}
