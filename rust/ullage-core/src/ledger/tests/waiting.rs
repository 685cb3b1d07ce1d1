//! The queue: its order, its bounds, and what may not stand still because somebody waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use super::bytes;
use crate::ledger::{Ledger, Pending};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn equal_waiters_are_served_in_their_order() {
    let ledger = Ledger::new(Some(bytes(10)));
    let mut held = ledger.root().reserve(bytes(10), "all").ok();
    let mut queue: Vec<Pending> = (0..20).map(|_| ledger.root().queue(bytes(10), "next").unwrap()).collect();
    while !queue.is_empty() {
        assert!(queue.iter().all(|pending| pending.take().is_none()));
        drop(held.take());
        held = queue.remove(0).take();
        assert!(held.is_some(), "the first of those who wait");
    }
}

#[test]
fn a_large_waiter_is_passed_eight_times_and_then_served() {
    let ledger = Ledger::new(Some(bytes(100)));
    let blocker = ledger.root().reserve(bytes(50), "blocker").unwrap();
    let large = ledger.root().queue(bytes(60), "large").unwrap();
    let small: Vec<_> =
        std::iter::repeat_with(|| ledger.root().reserve(bytes(1), "small").ok()).take(30).collect();
    assert_eq!(small.iter().flatten().count(), 8);
    let later: Vec<Pending> = (0..5).map(|_| ledger.root().queue(bytes(1), "later").unwrap()).collect();
    assert!(later.iter().all(|pending| pending.take().is_none()), "kept for the large one");
    drop(small);
    drop(blocker);
    assert!(large.take().is_some());
    assert!(later.iter().all(|pending| pending.take().is_some()), "room enough for all of them");
}

/// A request that takes nothing of what the waiter waits for is not refused for its sake.
#[test]
fn a_transfer_below_what_is_waited_for_does_not_pass_anybody() {
    let ledger = Ledger::new(Some(bytes(100)));
    let (x, y) = (ledger.account("a/x", None).unwrap(), ledger.account("a/y", None).unwrap());
    let moving = x.reserve(bytes(60), "moving").unwrap();
    let waiter = ledger.account("b", None).unwrap().queue(bytes(50), "waiter").unwrap();
    for _ in 0..8 {
        drop(y.reserve(bytes(1), "passes").unwrap());
    }
    assert!(y.reserve(bytes(1), "one too many").is_err());
    for _ in 0..20 {
        moving.transfer(&y).unwrap();
        moving.transfer(&x).unwrap();
    }
    drop(moving);
    assert!(waiter.take().is_some());
}

/// A limit that was lowered below what somebody waits for does not stop everybody else for ever.
#[test]
fn who_can_never_be_served_stands_in_nobodys_way() {
    let ledger = Ledger::new(Some(bytes(100)));
    let blocker = ledger.root().reserve(bytes(60), "blocker").unwrap();
    let large = ledger.root().queue(bytes(50), "large").unwrap();
    for _ in 0..8 {
        drop(ledger.root().reserve(bytes(1), "passes").unwrap());
    }
    assert!(ledger.root().reserve(bytes(1), "one too many").is_err());
    ledger.root().set_limit(Some(bytes(40)));
    drop(blocker);
    assert!(large.take().is_none());
    assert!(ledger.root().reserve(bytes(10), "fits").is_ok());
    let later = ledger.root().queue(bytes(10), "fits").unwrap();
    assert!(later.take().is_some());
    drop(later);
    ledger.root().set_limit(Some(bytes(100)));
    assert!(large.take().is_some(), "a raised limit serves those who wait");
}

#[test]
fn nothing_passes_nobody() {
    let ledger = Ledger::new(Some(bytes(10)));
    let blocker = ledger.root().reserve(bytes(5), "blocker").unwrap();
    let _large = ledger.root().queue(bytes(10), "large").unwrap();
    for _ in 0..20 {
        assert!(ledger.root().queue(bytes(0), "nothing").unwrap().take().is_some());
        drop(ledger.root().reserve(bytes(0), "nothing").unwrap());
        blocker.resize(bytes(5)).unwrap();
    }
    assert!(ledger.root().reserve(bytes(1), "not passed yet").is_ok());
}

#[test]
fn a_waiter_held_up_elsewhere_keeps_nothing() {
    let ledger = Ledger::new(Some(bytes(100)));
    let full = ledger.account("full", Some(bytes(10))).unwrap();
    let _blocker = full.reserve(bytes(10), "blocker").unwrap();
    let _waiter = full.queue(bytes(10), "waiter").unwrap();
    for _ in 0..50 {
        assert!(ledger.account("free", None).unwrap().reserve(bytes(90), "x").is_ok());
    }
}

#[test]
fn a_waker_is_called_once_however_it_comes_to_it() {
    for is_early in [true, false] {
        let ledger = Ledger::new(Some(bytes(10)));
        let held = ledger.root().reserve(bytes(10), "").unwrap();
        let pending = ledger.root().queue(bytes(1), "").unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        let waker = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        if is_early {
            pending.on_granted(waker);
            held.release();
        } else {
            held.release();
            pending.on_granted(waker);
        }
        let other = ledger.root().reserve(bytes(9), "").unwrap();
        drop(other);
        drop(pending.take());
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}

/// A waker may do with the ledger what it likes: it runs under no lock.
#[test]
fn a_waker_may_come_back() {
    let ledger = Ledger::new(Some(bytes(10)));
    let held = ledger.root().reserve(bytes(10), "").unwrap();
    let pending = Arc::new(ledger.root().queue(bytes(4), "").unwrap());
    let (inner, root) = (pending.clone(), ledger.root());
    pending.on_granted(move || {
        inner.on_granted(|| ());
        let taken = inner.take().unwrap();
        taken.resize(bytes(5)).unwrap();
        drop(root.queue(bytes(10), "not now").unwrap());
        assert_eq!(root.used(), bytes(5));
    });
    held.release();
    assert_eq!(ledger.root().used(), bytes(0));
}

/// Threads hand one place on from each to the next: a lost wake-up would cost a whole timeout.
#[test]
fn no_wake_up_is_lost() {
    let ledger = Ledger::new(Some(bytes(3)));
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                for round in 0..300_u64 {
                    let size = bytes(1 + round % 3);
                    let begun = Instant::now();
                    let pending = ledger.root().queue(size, "").unwrap();
                    let reservation = pending.wait(PATIENCE).expect("everybody is served");
                    assert!(begun.elapsed() < PATIENCE / 2);
                    assert_eq!(reservation.bytes(), size);
                }
            });
        }
    });
    let snapshot = ledger.snapshot();
    assert_eq!((snapshot.accounts[0].used, snapshot.waiting), (bytes(0), 0));
    assert_eq!(snapshot.accounts[0].made, 2_400);
}

/// Timeouts that run out while they are granted: the bytes are in one hand, or in none.
#[test]
fn a_wait_given_up_while_it_is_granted_loses_nothing() {
    let ledger = Ledger::new(Some(bytes(2)));
    thread::scope(|scope| {
        for number in 0..6_u64 {
            let root = ledger.root();
            scope.spawn(move || {
                for round in 0..2_000_u64 {
                    let pending = root.queue(bytes(1 + (round + number) % 2), "").unwrap();
                    let reservation = pending.wait(Duration::from_micros((round * 7 + number) % 40));
                    assert!(root.used() <= bytes(2));
                    drop((pending, reservation));
                }
            });
        }
    });
    assert_eq!((ledger.root().used(), ledger.snapshot().waiting), (bytes(0), 0));
}
