//! Bytes that come and go in great numbers under one label.

use std::sync::atomic::{AtomicU64, Ordering};

use super::tree::{Node, Ticket, Tree};
use crate::error::Refusal;
use crate::sync::{Arc, Mutex, lock};
use crate::units::Bytes;

/// Books an unnamed number of blocks as one holder of an account: for an allocator that knows each block's size itself
/// and would only keep a [`Reservation`](super::Reservation) beside every one of them to carry it.
///
/// Charging is as strict as reserving, on every account up to the root or on none. Cloning gives another handle to the
/// same sums; what is still held goes back when the last handle is dropped.
///
/// A refusal is immediate: nothing is waited for and no callback runs, since an allocator is called from places where
/// neither is allowed.
///
/// A meter can give back only what it holds: discharging more is a mistake of its owner, which stops a debug build and
/// in a release build ends at zero, so that no other holder's bytes are ever given away.
///
/// ```
/// use ullage_core::{Bytes, Ledger};
///
/// let ledger = Ledger::new(Some(Bytes::new(100)));
/// let meter = ledger.account("arrays", None)?.meter("numpy");
/// meter.charge(Bytes::new(60)).unwrap();
/// assert_eq!(meter.charge(Bytes::new(60)).unwrap_err().available, Bytes::new(40));
/// meter.discharge(Bytes::new(60));
/// assert_eq!(ledger.root().used(), Bytes::ZERO);
/// # Ok::<(), ullage_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Meter(Arc<Held>);

/// The one booking that all handles share.
#[derive(Debug)]
struct Held {
    shared: Arc<Mutex<Tree>>,
    node: Node,
    ticket: Ticket,
    label: Box<str>,
    /// Charged and not discharged; written under the lock only, so that counting costs no locked instruction.
    blocks: AtomicU64,
}

impl Held {
    fn count(&self, change: impl FnOnce(u64) -> u64) {
        self.blocks.store(change(self.blocks.load(Ordering::Relaxed)), Ordering::Relaxed);
    }
}

impl Meter {
    pub(super) fn new(shared: Arc<Mutex<Tree>>, node: Node, label: &str) -> Self {
        let ticket = lock(&shared).open_meter(node, label.into());
        let blocks = AtomicU64::new(0);
        Self(Arc::new(Held { shared, node, ticket, label: label.into(), blocks }))
    }

    /// Path of the account.
    #[must_use]
    pub fn account(&self) -> String {
        lock(&self.0.shared).path(self.0.node).to_owned()
    }

    /// What the bytes are for.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// Bytes held by all handles together.
    #[must_use]
    pub fn held(&self) -> Bytes {
        lock(&self.0.shared).bytes(self.0.ticket)
    }

    /// Blocks held: charged and not discharged.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.0.blocks.load(Ordering::Relaxed)
    }

    /// Books a block of `bytes` on the account and every account above it, or on none.
    ///
    /// # Errors
    /// The [`Refusal`] of the first account on the way to the root whose limit would be passed.
    pub fn charge(&self, bytes: Bytes) -> Result<(), Box<Refusal>> {
        let mut tree = lock(&self.0.shared);
        tree.grow(self.0.ticket, bytes)?;
        self.0.count(|blocks| blocks.saturating_add(1));
        Ok(())
    }

    /// Gives back a block of `bytes`.
    pub fn discharge(&self, bytes: Bytes) {
        let mut tree = lock(&self.0.shared);
        tree.shrink(self.0.ticket, bytes);
        self.0.count(|blocks| blocks.saturating_sub(1));
    }

    /// Makes a block of `old` bytes one of `new`: in one step, and always if it shrinks.
    ///
    /// # Errors
    /// As for [`Meter::charge`], for the growth alone; `old` stays booked.
    pub fn resize(&self, old: Bytes, new: Bytes) -> Result<(), Box<Refusal>> {
        let mut tree = lock(&self.0.shared);
        if let Some(growth) = new.checked_sub(old) {
            return tree.grow(self.0.ticket, growth);
        }
        tree.shrink(self.0.ticket, old.saturating_sub(new));
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.shared).release(self.ticket);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

    use std::thread;

    use proptest::prelude::*;

    use super::*;
    use crate::ledger::Ledger;

    fn bytes(count: u64) -> Bytes {
        Bytes::new(count)
    }

    #[test]
    fn a_meter_is_one_holder_however_many_blocks_it_books() {
        let ledger = Ledger::new(Some(bytes(100)));
        let account = ledger.account("a/b", Some(bytes(80))).unwrap();
        let meter = account.meter("numpy");
        let other = meter.clone();
        meter.charge(bytes(30)).unwrap();
        other.charge(bytes(20)).unwrap();
        let refusal = *meter.charge(bytes(31)).unwrap_err();
        assert_eq!((refusal.account.as_str(), refusal.requested), ("a/b", bytes(31)));
        assert_eq!((refusal.available, refusal.limit), (bytes(30), bytes(80)));
        assert_eq!(refusal.holders.len(), 1);
        assert_eq!((refusal.holders[0].label.as_str(), refusal.holders[0].bytes), ("numpy", bytes(50)));
        assert_eq!((meter.account().as_str(), meter.label()), ("a/b", "numpy"));
        assert_eq!((other.held(), other.blocks()), (bytes(50), 2));
        let row = &ledger.snapshot().accounts[2];
        assert_eq!((row.used, row.own, row.refusals), (bytes(50), bytes(50), 1));
    }

    #[test]
    fn the_last_handle_gives_back_what_is_left() {
        let ledger = Ledger::new(None);
        let meter = ledger.root().meter("numpy");
        let other = meter.clone();
        meter.charge(bytes(7)).unwrap();
        drop(meter);
        assert_eq!(ledger.root().used(), bytes(7));
        drop(other);
        assert_eq!((ledger.root().used(), ledger.root().peak()), (Bytes::ZERO, bytes(7)));
        assert_eq!(ledger.snapshot().accounts[0].reservations, 0);
    }

    #[test]
    fn a_sum_beyond_the_range_is_refused() {
        let ledger = Ledger::new(None);
        let meter = ledger.root().meter("numpy");
        meter.charge(bytes(u64::MAX)).unwrap();
        assert_eq!(meter.charge(bytes(1)).unwrap_err().available, Bytes::ZERO);
        assert_eq!(meter.resize(bytes(1), bytes(u64::MAX)).unwrap_err().available, Bytes::ZERO);
        meter.discharge(bytes(u64::MAX));
        assert_eq!(meter.held(), Bytes::ZERO);
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "more discharged"))]
    fn no_other_holder_pays_for_a_discharge_too_many() {
        let ledger = Ledger::new(None);
        let _other = ledger.root().reserve(bytes(10), "other").unwrap();
        let meter = ledger.root().meter("numpy");
        meter.charge(bytes(5)).unwrap();
        meter.discharge(bytes(6));
        assert_eq!((meter.held(), ledger.root().used()), (Bytes::ZERO, bytes(10)));
    }

    #[test]
    fn threads_that_share_a_meter_leave_nothing() {
        let ledger = Ledger::new(Some(bytes(40)));
        let meter = ledger.account("a", None).unwrap().meter("numpy");
        thread::scope(|scope| {
            for size in 1..=8_u64 {
                let meter = &meter;
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        if meter.charge(bytes(size)).is_ok() {
                            let grown = meter.resize(bytes(size), bytes(size + 3)).is_ok();
                            meter.discharge(bytes(if grown { size + 3 } else { size }));
                        }
                    }
                });
            }
        });
        assert_eq!((meter.held(), meter.blocks(), ledger.root().used()), (Bytes::ZERO, 0, Bytes::ZERO));
        assert!(ledger.root().peak() <= bytes(40));
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_live_blocks(steps in prop::collection::vec((0..3_u8, 0..60_u64, any::<prop::sample::Index>()), 1..80)) {
            let ledger = Ledger::new(Some(bytes(200)));
            let meter = ledger.account("a/b", None).unwrap().meter("numpy");
            let mut blocks: Vec<u64> = Vec::new();
            for (kind, size, at) in steps {
                let sum: u64 = blocks.iter().sum();
                if kind == 0 || blocks.is_empty() {
                    let fits = sum + size <= 200;
                    prop_assert_eq!(meter.charge(bytes(size)).is_ok(), fits);
                    if fits {
                        blocks.push(size);
                    }
                } else if kind == 1 {
                    meter.discharge(bytes(blocks.swap_remove(at.index(blocks.len()))));
                } else {
                    let at = at.index(blocks.len());
                    let fits = sum - blocks[at] + size <= 200;
                    prop_assert_eq!(meter.resize(bytes(blocks[at]), bytes(size)).is_ok(), fits);
                    if fits {
                        blocks[at] = size;
                    }
                }
                let sum = bytes(blocks.iter().sum());
                prop_assert_eq!((meter.held(), ledger.root().used()), (sum, sum));
                prop_assert_eq!(meter.blocks(), blocks.len() as u64);
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::thread;

    use super::*;
    use crate::ledger::Ledger;

    #[test]
    fn loom_two_handles_of_a_meter_share_one_limit_and_leave_nothing() {
        loom::model(|| {
            let ledger = Ledger::new(Some(Bytes::new(10)));
            let meter = ledger.root().meter("numpy");
            let handle = meter.clone();
            let block = |meter: &Meter| {
                let fits = meter.charge(Bytes::new(4)).is_ok();
                let grows = fits && meter.resize(Bytes::new(4), Bytes::new(7)).is_ok();
                if fits {
                    meter.discharge(Bytes::new(if grows { 7 } else { 4 }));
                }
                (fits, grows)
            };
            let thread = thread::spawn(move || block(&handle));
            let ours = block(&meter);
            let theirs = thread.join().unwrap();
            assert!(ours.0 || theirs.0);
            assert_eq!((meter.held(), meter.blocks(), ledger.root().used()), (Bytes::ZERO, 0, Bytes::ZERO));
            assert!(ledger.root().peak() <= Bytes::new(10));
        });
    }
}
