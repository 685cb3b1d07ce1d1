#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod batch;
mod credit;
mod model;
mod threads;
mod timeline;
mod twin;
mod waiting;

use super::*;

fn bytes(count: u64) -> Bytes {
    Bytes::new(count)
}

/// Facts that hold for every snapshot of every ledger.
fn assert_adds_up(snapshot: &Snapshot) {
    for account in &snapshot.accounts {
        let children: u64 = snapshot
            .accounts
            .iter()
            .filter(|child| child.parent.as_deref() == Some(&*account.path))
            .map(|child| child.used.get())
            .sum();
        assert_eq!(account.used.get(), account.own.get() + children, "{}", account.path);
        assert!(account.peak >= account.used, "{}", account.path);
        assert!(account.used <= account.charged, "{}", account.path);
        assert!(
            account.reservations <= account.made,
            "{}: a release counted before what it released",
            account.path
        );
    }
}

#[test]
fn a_refusal_names_the_full_account_and_its_holders() {
    let ledger = Ledger::new(Some(bytes(100)));
    let gpu = ledger.account("gpu", Some(bytes(50))).unwrap();
    let model = ledger.account("gpu/model", None).unwrap();
    let _small = model.reserve(bytes(10), "cache").unwrap();
    let _large = model.reserve(bytes(30), "weights").unwrap();
    let refusal = *model.reserve(bytes(20), "batch").unwrap_err();
    assert_eq!((refusal.account.as_str(), refusal.requested.get()), ("gpu", 20));
    assert_eq!((refusal.available.get(), refusal.limit.get()), (10, 50));
    let labels: Vec<_> = refusal.holders.iter().map(|holder| holder.label.as_str()).collect();
    assert_eq!(labels, ["weights", "cache"]);
    assert_eq!(gpu.used(), bytes(40));
}

/// However a reservation keeps its account, it is the same to the ledger.
#[test]
fn anchors_make_no_difference_to_what_is_booked() {
    let ledger = Ledger::new(Some(bytes(100)));
    let exact = ledger.account("exact", None).unwrap();
    let credit = ledger.credit_account("credit", None, Some(bytes(8))).unwrap();
    for account in [&exact, &credit] {
        for label in ["", "weights"] {
            let held = account.hold(bytes(30), label).unwrap();
            let part = held.split(bytes(10)).unwrap();
            assert_eq!((account.used(), held.bytes(), part.bytes()), (bytes(30), bytes(20), bytes(10)));
            assert_eq!((&*held.label(), held.account()), (label, account.path()));
            let owned = Reservation::anchored(account.clone(), bytes(5), label).unwrap();
            held.merge(&part).unwrap();
            assert_eq!((account.used(), held.bytes(), part.is_live()), (bytes(35), bytes(30), false));
            drop((held, part));
            assert_eq!(account.used(), bytes(5));
            assert!(owned.release() && !owned.release());
            drop(account.hold(bytes(7), label).unwrap());
            assert_eq!(account.used(), bytes(0));
            assert!(account.hold(bytes(101), label).is_err());
        }
    }
    assert_adds_up(&ledger.snapshot());
}

#[test]
fn sums_that_would_wrap_are_refused() {
    let account = Ledger::new(None).account("a", None).unwrap();
    let _most = account.reserve(bytes(u64::MAX - 1), "most").unwrap();
    let refusal = *account.reserve(bytes(2), "two more").unwrap_err();
    assert_eq!(refusal.available, bytes(1));
    assert!(account.reserve(bytes(1), "one more").is_ok());
}

#[test]
fn resize_is_one_step_and_a_refused_growth_keeps_what_was_held() {
    let ledger = Ledger::new(Some(bytes(10)));
    let reservation = ledger.root().reserve(bytes(6), "x").unwrap();
    reservation.resize(bytes(10)).unwrap();
    assert!(matches!(reservation.resize(bytes(11)), Err(Error::BudgetExceeded(_))));
    assert_eq!(reservation.bytes(), bytes(10));
    reservation.resize(bytes(1)).unwrap();
    assert_eq!((ledger.root().used(), ledger.root().peak()), (bytes(1), bytes(10)));
    assert!(reservation.release());
    assert!(!reservation.release());
    assert!(matches!(reservation.resize(bytes(1)), Err(Error::Released { .. })));
    assert_eq!(reservation.bytes(), Bytes::ZERO);
}

#[test]
fn a_stale_ticket_never_touches_the_next_tenant_of_its_slot() {
    let ledger = Ledger::new(None);
    let first = ledger.root().reserve(bytes(5), "first").unwrap();
    first.release();
    let second = ledger.root().reserve(bytes(7), "second").unwrap();
    assert!(!first.release());
    assert!(!first.is_live());
    drop(first);
    assert_eq!(second.bytes(), bytes(7));
    assert_eq!(ledger.root().used(), bytes(7));
}

#[test]
fn a_lowered_limit_takes_nothing_new_until_it_has_drained() {
    let ledger = Ledger::new(Some(bytes(10)));
    let held = ledger.root().reserve(bytes(8), "held").unwrap();
    ledger.root().set_limit(Some(bytes(5)));
    assert_eq!(ledger.snapshot().accounts[0].over_by(), bytes(3));
    let refusal = *ledger.root().reserve(bytes(1), "new").unwrap_err();
    assert_eq!(refusal.available, Bytes::ZERO);
    assert!(ledger.root().reserve(Bytes::ZERO, "nothing").is_ok());
    held.resize(bytes(4)).unwrap();
    assert!(ledger.root().reserve(bytes(1), "new").is_ok());
}

#[test]
fn an_account_is_opened_once_and_keeps_its_limit() {
    let ledger = Ledger::new(None);
    let made = ledger.account("a/b", Some(bytes(5))).unwrap();
    assert_eq!(ledger.account("a/b", None).unwrap(), made);
    assert_eq!(ledger.account("a/b", Some(bytes(5))).unwrap().limit(), Some(bytes(5)));
    assert!(matches!(ledger.account("a/b", Some(bytes(6))), Err(Error::Argument { name: "limit", .. })));
    assert!(matches!(ledger.account("a", Some(bytes(6))), Err(Error::Argument { .. })));
    assert_eq!(ledger.account("/", None).unwrap(), ledger.root());
    assert_ne!(Ledger::new(None).root(), ledger.root());
}

#[test]
fn paths_that_are_not_paths_are_refused() {
    let ledger = Ledger::new(None);
    let deep = vec!["a"; 33].join("/");
    let long = "x".repeat(256);
    for path in ["/a", "a/", "a//b", "a/\n", "//", deep.as_str(), long.as_str()] {
        assert!(matches!(ledger.account(path, None), Err(Error::AccountPath { .. })), "{path:?}");
    }
    assert_eq!(ledger.snapshot().accounts.len(), 1, "a refused path leaves nothing behind");
}

#[test]
fn parents_stand_before_children_in_a_snapshot() {
    let ledger = Ledger::new(None);
    for path in ["b/x", "a-b", "a/z", "a"] {
        ledger.account(path, None).unwrap();
    }
    let snapshot = ledger.snapshot();
    let paths: Vec<&str> = snapshot.accounts.iter().map(|account| &*account.path).collect();
    assert_eq!(paths, ["/", "a", "a/z", "a-b", "b", "b/x"]);
}
