//! The queue: a grant meets a cancellation, a waker, a drain.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::{assert_settled, bytes, credit, explore, ledger};

#[test]
fn loom_a_grant_against_a_cancellation_loses_nothing() {
    explore(5, || {
        let ledger = ledger(4);
        let held = ledger.root().reserve(bytes(4), "held").unwrap();
        let first = ledger.root().queue(bytes(4), "first").unwrap();
        let second = ledger.root().queue(bytes(2), "second").unwrap();
        let thread = thread::spawn(move || held.release());
        drop(first); // before the grant, or after it
        assert!(thread.join().unwrap());
        assert!(second.take().is_some(), "those behind are served whoever of the two came first");
        let snapshot = ledger.snapshot();
        assert_eq!((snapshot.accounts[0].used, snapshot.waiting), (bytes(0), 0));
    });
}

#[test]
fn loom_a_grant_is_taken_once() {
    explore(5, || {
        let ledger = ledger(4);
        let held = ledger.root().reserve(bytes(4), "held").unwrap();
        let pending = Arc::new(ledger.root().queue(bytes(3), "waits").unwrap());
        let same = pending.clone();
        let releaser = thread::spawn(move || held.release());
        let taker = thread::spawn(move || same.take());
        let here = pending.take();
        let there = taker.join().unwrap();
        releaser.join().unwrap();
        assert!(here.is_none() || there.is_none());
        let late = pending.take();
        assert_eq!([&here, &there, &late].iter().filter(|taken| taken.is_some()).count(), 1);
        assert_eq!(ledger.root().used(), bytes(3));
    });
}

#[test]
fn loom_a_waker_is_called_exactly_once() {
    explore(5, || {
        let ledger = ledger(4);
        let held = ledger.root().reserve(bytes(4), "held").unwrap();
        let pending = ledger.root().queue(bytes(4), "waits").unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        let thread = thread::spawn(move || held.release());
        pending.on_granted(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        thread.join().unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert!(pending.take().is_some());
        assert_settled(&ledger, 0, 2);
    });
}

/// Memory that comes free by a put reaches who waits: no credit stays idle meanwhile.
#[test]
fn loom_a_put_while_somebody_waits_serves_him() {
    explore(5, || {
        let ledger = ledger(4);
        let account = credit(&ledger, "leaf", 4);
        let drawn = account.reserve(bytes(3), "").unwrap();
        let root = ledger.root();
        let thread = thread::spawn(move || drawn.release());
        let pending = root.queue(bytes(4), "waits").unwrap();
        thread.join().unwrap();
        assert!(pending.take().is_some(), "a lost wake-up");
        assert_settled(&ledger, 0, 2);
    });
}

/// Two releases at once serve two waiters, in order.
#[test]
fn loom_two_releases_serve_two_waiters() {
    explore(5, || {
        let ledger = ledger(4);
        let (one, other) = (
            ledger.root().reserve(bytes(2), "one").unwrap(),
            ledger.root().reserve(bytes(2), "two").unwrap(),
        );
        let large = ledger.root().queue(bytes(4), "large").unwrap();
        let small = ledger.root().queue(bytes(2), "small").unwrap();
        let thread = thread::spawn(move || other.release());
        one.release();
        thread.join().unwrap();
        // The small one may have passed once; whoever came second is served when the first is done.
        let (mut first, second) = (large.take(), small.take());
        assert!(first.is_some() != second.is_some());
        drop(second);
        first = first.or_else(|| large.take());
        assert!(first.is_some());
        drop(first);
        drop(small);
        assert_eq!(ledger.root().used(), bytes(0));
    });
}

#[test]
fn loom_a_limit_against_a_queue_serves_who_fits() {
    explore(5, || {
        let ledger = ledger(4);
        let held = ledger.root().reserve(bytes(3), "held").unwrap();
        let root = ledger.root();
        let thread = thread::spawn(move || root.set_limit(Some(bytes(7))));
        let pending = ledger.root().queue(bytes(4), "waits").unwrap();
        thread.join().unwrap();
        assert!(pending.take().is_some());
        drop(held);
    });
}
