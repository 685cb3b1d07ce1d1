//! What the ledger promises, between processes that are simulated.

use super::machine::{Machine, assert_books};
use crate::error::Error;
use crate::ledger::shared::{SharedLedger, SharedReservation};
use crate::units::Bytes;

fn bytes(count: u64) -> Bytes {
    Bytes::new(count)
}

fn limited(machine: &Machine, id: u32, limit: u64) -> SharedLedger {
    let ledger = machine.process(id);
    ledger.root().set_limit(Some(bytes(limit))).unwrap();
    ledger
}

fn refusal(outcome: Result<SharedReservation, Error>) -> crate::error::Refusal {
    match outcome {
        Err(Error::BudgetExceeded(refusal)) => *refusal,
        other => panic!("{other:?} is no refusal"),
    }
}

#[test]
fn a_refusal_names_the_full_account_and_the_processes_that_fill_it() {
    let machine = Machine::new();
    let (first, second) = (limited(&machine, 1, 100), machine.process(2));
    let _a = first.account("gpu", None).unwrap().reserve(bytes(30), "weights").unwrap();
    machine.pass(3);
    let _b = second.account("gpu/model", Some(bytes(50))).unwrap().reserve(bytes(40), "cache").unwrap();
    let refused = refusal(second.account("gpu/model", None).unwrap().reserve(bytes(11), "x"));
    assert_eq!(
        (refused.account.as_str(), refused.available.get(), refused.limit.get()),
        ("gpu/model", 10, 50)
    );
    let refused = refusal(first.root().reserve(bytes(31), "x"));
    assert_eq!((refused.account.as_str(), refused.requested.get(), refused.available.get()), ("/", 31, 30));
    let holders: Vec<_> = refused
        .holders
        .iter()
        .map(|holder| (holder.account.as_str(), holder.label.as_str(), holder.bytes.get()))
        .collect();
    assert_eq!(holders, [("gpu/model", "pid 2", 40), ("gpu", "pid 1", 30)]);
    let ages: Vec<_> =
        refused.holders.iter().map(|holder| (holder.reservations, holder.age.as_secs())).collect();
    assert_eq!(ages, [(1, 0), (1, 3)]);
    let rows = first.snapshot().unwrap().accounts;
    let counts: Vec<_> = rows.iter().map(|row| (row.path.as_str(), row.reservations, row.refusals)).collect();
    assert_eq!(counts, [("/", 0, 1), ("gpu", 1, 0), ("gpu/model", 1, 1)]);
}

#[test]
fn resize_is_one_step_and_a_refused_growth_keeps_what_was_held() {
    let machine = Machine::new();
    let ledger = limited(&machine, 1, 10);
    let reservation = ledger.root().reserve(bytes(6), "x").unwrap();
    reservation.resize(bytes(10)).unwrap();
    assert!(matches!(reservation.resize(bytes(11)), Err(Error::BudgetExceeded(_))));
    assert_eq!(reservation.bytes(), bytes(10));
    reservation.resize(bytes(1)).unwrap();
    assert_eq!((ledger.root().used().unwrap(), ledger.root().peak().unwrap()), (bytes(1), bytes(10)));
    assert!(reservation.release().unwrap());
    assert!(!reservation.release().unwrap());
    assert!(matches!(reservation.resize(bytes(1)), Err(Error::Released { .. })));
    assert_eq!(reservation.bytes(), Bytes::ZERO);
}

#[test]
fn sums_that_would_wrap_are_refused() {
    let machine = Machine::new();
    let account = machine.process(1).account("a", None).unwrap();
    let other = machine.process(2).account("b", None).unwrap();
    let _most = account.reserve(bytes(u64::MAX - 1), "most").unwrap();
    assert_eq!(refusal(other.reserve(bytes(2), "two more")).available, bytes(1));
    assert!(other.reserve(bytes(1), "one more").is_ok());
}

#[test]
fn a_limit_may_fall_below_what_is_booked_and_then_nothing_new_fits() {
    let machine = Machine::new();
    let ledger = limited(&machine, 1, 100);
    let held = ledger.root().reserve(bytes(80), "x").unwrap();
    machine.process(2).root().set_limit(Some(bytes(50))).unwrap();
    let row = &ledger.snapshot().unwrap().accounts[0];
    assert_eq!((row.over_by(), ledger.root().available().unwrap()), (bytes(30), Some(Bytes::ZERO)));
    assert!(ledger.root().reserve(bytes(1), "x").is_err());
    held.resize(bytes(49)).unwrap();
    assert!(ledger.root().reserve(bytes(1), "x").is_ok());
}

#[test]
fn a_limit_contradicts_the_living_and_replaces_that_of_the_dead() {
    let machine = Machine::new();
    let first = machine.process(1);
    first.account("a/b", Some(bytes(5))).unwrap();
    let second = machine.process(2);
    assert!(matches!(second.account("a/b", Some(bytes(6))), Err(Error::Argument { name: "limit", .. })));
    assert!(matches!(second.account("a", Some(bytes(6))), Err(Error::Argument { name: "limit", .. })));
    assert!(second.account("a/b", Some(bytes(5))).is_ok());
    machine.kill(1, &first);
    second.close().unwrap();
    let third = machine.process(3);
    assert_eq!(third.account("a/b", None).unwrap().limit().unwrap(), Some(bytes(5)), "nobody named another");
    assert_eq!(third.account("a/b", Some(bytes(7))).unwrap().limit().unwrap(), Some(bytes(7)));
    assert!(matches!(third.account("a/b", Some(bytes(8))), Err(Error::Argument { name: "limit", .. })));
}

#[test]
fn the_dead_are_gone_at_the_next_refusal_or_within_a_second() {
    let machine = Machine::new();
    let (first, second) = (limited(&machine, 1, 100), machine.process(2));
    std::mem::forget(first.account("a", None).unwrap().reserve(bytes(90), "x").unwrap());
    assert_eq!(second.root().used().unwrap(), bytes(90));
    machine.kill(1, &first);
    machine.pass(1);
    assert_eq!(second.root().used().unwrap(), Bytes::ZERO);
    let third = machine.process(3);
    std::mem::forget(third.root().reserve(bytes(90), "x").unwrap());
    machine.kill(3, &third);
    drop(second.root().reserve(bytes(100), "no second passed").unwrap());
    assert_books(&second, &[2], &super::machine::Held::new());
}

#[test]
fn a_process_that_opened_the_ledger_twice_is_one() {
    let machine = Machine::new();
    let (first, again) = (machine.process(1), machine.process(1));
    let _a = first.root().reserve(bytes(3), "x").unwrap();
    let _b = again.root().reserve(bytes(4), "x").unwrap();
    assert_books(&first, &[1], &[("/".to_owned(), [(1, 7)].into())].into());
    assert!(again.close().unwrap());
    assert!(!again.close().unwrap());
    assert_books(&first, &[1], &[("/".to_owned(), [(1, 3)].into())].into());
    assert!(matches!(again.root().used(), Err(Error::SharedClosed { .. })));
    assert!(matches!(again.root().reserve(bytes(1), "x"), Err(Error::SharedClosed { .. })));
}

#[test]
fn a_closed_ledger_leaves_no_live_reservation() {
    let machine = Machine::new();
    let (first, second) = (machine.process(1), machine.process(2));
    let held = first.root().reserve(bytes(3), "x").unwrap();
    first.close().unwrap();
    assert!(!held.is_live() && !held.release().unwrap());
    assert_eq!(second.root().used().unwrap(), Bytes::ZERO);
}

#[test]
fn places_and_accounts_run_out_with_an_error() {
    let machine = Machine::new();
    let ledgers: Vec<_> = (1..=4).map(|id| machine.process(id)).collect();
    assert!(matches!(machine.book(5).open(), Err(Error::SharedFile { .. })));
    machine.kill(2, &ledgers[1]);
    let fifth = machine.process(5);
    for number in 1..8 {
        fifth.account(&format!("a{number}"), None).unwrap();
    }
    assert!(matches!(fifth.account("one more", None), Err(Error::SharedFile { .. })));
    let long = "\u{e9}".repeat(129);
    assert!(matches!(fifth.account(&long, None), Err(Error::SharedFile { .. } | Error::AccountPath { .. })));
    assert!(matches!(fifth.account("a//b", None), Err(Error::AccountPath { .. })));
}

#[test]
fn names_of_any_length_that_fits_are_read_back() {
    let machine = Machine::new();
    let ledger = machine.process(1);
    for length in [1, 7, 8, 9, 127, 128] {
        let path = "\u{e9}".repeat(length);
        assert_eq!(ledger.account(&path, None).unwrap().path(), path);
    }
    let long = "\u{e9}".repeat(129);
    assert!(matches!(ledger.account(&long, None), Err(Error::AccountPath { .. })));
    let paths: Vec<_> =
        machine.process(2).snapshot().unwrap().accounts.into_iter().map(|row| row.path).collect();
    assert_eq!(paths.iter().map(|path| path.chars().count()).collect::<Vec<_>>(), [1, 1, 7, 8, 9, 127, 128]);
}

#[test]
fn a_waiter_is_served_before_those_who_come_later_take_everything() {
    let machine = Machine::new();
    let (first, second) = (limited(&machine, 1, 100), machine.process(2));
    let mut held: Vec<_> = (0..10).map(|_| first.root().reserve(bytes(10), "small").unwrap()).collect();
    let waiter = second.root().wait(bytes(60), "large").unwrap();
    assert!(waiter.poll().unwrap().is_none());
    // Small requests come and go for ever: the waiter is passed so often, and then the room it needs is kept.
    let mut passes = 0;
    loop {
        held.remove(0);
        match first.root().reserve(bytes(10), "small") {
            Ok(reservation) => held.push(reservation),
            Err(_) => break,
        }
        passes += 1;
        assert!(waiter.poll().unwrap().is_none());
        assert!(passes < 100, "starved");
    }
    assert_eq!(passes, 8);
    while held.len() > 4 {
        held.remove(0);
        assert!(first.root().reserve(bytes(10), "small").is_err());
    }
    assert_eq!(waiter.poll().unwrap().unwrap().bytes(), bytes(60));
    assert!(first.root().reserve(bytes(60), "after").is_ok());
}

#[test]
fn waiters_that_fit_one_at_a_time_are_served_in_their_order_whoever_asks_first() {
    let machine = Machine::new();
    let ledger = limited(&machine, 1, 100);
    let held = ledger.root().reserve(bytes(100), "all").unwrap();
    let waiters: Vec<_> = (0..3).map(|_| ledger.root().wait(bytes(60), "x").unwrap()).collect();
    assert!(waiters.iter().all(|waiter| waiter.poll().unwrap().is_none()));
    drop(held);
    for next in 0..3 {
        for later in (next + 1..3).rev() {
            assert!(waiters[later].poll().unwrap().is_none());
        }
        drop(waiters[next].poll().unwrap().unwrap());
    }
}

#[test]
fn a_small_waiter_goes_ahead_of_a_large_one_that_does_not_fit_yet() {
    let machine = Machine::new();
    let ledger = limited(&machine, 1, 100);
    let _held = ledger.root().reserve(bytes(80), "most").unwrap();
    let large = ledger.root().wait(bytes(60), "x").unwrap();
    assert!(large.poll().unwrap().is_none());
    let small = ledger.root().wait(bytes(15), "x").unwrap();
    assert!(small.poll().unwrap().is_some());
    assert!(large.poll().unwrap().is_none());
}

#[test]
fn a_waiter_that_an_account_elsewhere_holds_up_is_in_nobody_s_way() {
    let machine = Machine::new();
    let ledger = limited(&machine, 1, 100);
    let full = ledger.account("a", Some(bytes(50))).unwrap();
    let _held = full.reserve(bytes(50), "x").unwrap();
    let waiter = full.wait(bytes(50), "x").unwrap();
    assert!(waiter.poll().unwrap().is_none());
    for _ in 0..20 {
        drop(ledger.account("b", None).unwrap().reserve(bytes(50), "x").unwrap());
    }
}

#[test]
fn a_waiter_that_is_dead_or_asleep_is_in_nobody_s_way() {
    let machine = Machine::new();
    let (first, second) = (limited(&machine, 1, 100), machine.process(2));
    let held = first.root().reserve(bytes(50), "x").unwrap();
    let waiter = second.root().wait(bytes(60), "x").unwrap();
    assert!(waiter.poll().unwrap().is_none());
    for _ in 0..8 {
        drop(first.root().reserve(bytes(50), "passes").unwrap());
    }
    assert!(first.root().reserve(bytes(50), "passes").is_err());
    machine.pass(2);
    drop(first.root().reserve(bytes(50), "it does not ask").unwrap());
    assert!(waiter.poll().unwrap().is_none());
    assert!(first.root().reserve(bytes(50), "it asks again").is_err());
    machine.kill(2, &second);
    drop(first.root().reserve(bytes(50), "it is dead").unwrap());
    drop(held);
}

#[test]
fn what_no_release_could_grant_is_refused_at_once() {
    let machine = Machine::new();
    let ledger = limited(&machine, 1, 100);
    assert!(matches!(ledger.root().wait(bytes(101), "x"), Err(Error::BudgetExceeded(_))));
    let waiter = ledger.root().wait(bytes(100), "x").unwrap();
    let _held = ledger.root().reserve(bytes(1), "x").unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(refusal(waiter.wait(std::time::Duration::from_millis(20))).available, bytes(99));
    assert!(begun.elapsed() >= std::time::Duration::from_millis(20));
}

#[test]
fn a_living_process_that_keeps_the_lock_is_named() {
    use crate::ledger::shared::identity::identity;
    use crate::ledger::shared::layout::LOCK;
    use std::sync::atomic::Ordering;

    let machine = Machine::new();
    let ledger = machine.process(1);
    let held = ledger.root().reserve(bytes(5), "x").unwrap();
    machine.word(LOCK).store(identity(9, 1), Ordering::SeqCst);
    assert!(matches!(ledger.root().reserve(bytes(1), "x"), Err(Error::SharedBusy { pid: Some(9), .. })));
    drop(held); // cannot be given back now
    machine.word(LOCK).store(0, Ordering::SeqCst);
    assert_eq!(ledger.root().reserve(bytes(1), "x").unwrap().bytes(), bytes(1));
    assert_eq!(ledger.root().used().unwrap(), Bytes::ZERO);
}
