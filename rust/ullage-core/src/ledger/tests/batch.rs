//! Batches: sums that no number holds, and handles that were never given.

use super::bytes;
use crate::error::{Error, HandleFault};
use crate::ledger::{Handle, Ledger};

#[test]
fn sums_beyond_every_number_are_refused_and_book_nothing() {
    let ledger = Ledger::new(None);
    let (a, b) = (ledger.account("a", None).unwrap(), ledger.account("b", None).unwrap());
    let refusal = a.reserve_many(&[u64::MAX, u64::MAX], "x").unwrap_err();
    assert!(refusal.requested > refusal.available);
    assert!(matches!(ledger.reserve_many(&[1, 1], &[u64::MAX, 1], "x"), Err(Error::BudgetExceeded(_))));
    assert!(matches!(
        ledger.reserve_many(&[1, 2], &[u64::MAX, u64::MAX], "x"),
        Err(Error::BudgetExceeded(_))
    ));
    let (most, mask) = ledger.reserve_what_fits(&[1, 2, 1], &[u64::MAX, 1, 0], "x").unwrap();
    assert_eq!(mask, [true, false, true]);
    assert_eq!((most.bytes(), ledger.root().used()), (bytes(u64::MAX), bytes(u64::MAX)));
    drop(most);
    assert_eq!((ledger.root().used(), a.used(), b.used()), (bytes(0), bytes(0), bytes(0)));
}

#[test]
fn a_refused_batch_is_not_held_against_those_who_wait() {
    let ledger = Ledger::new(None);
    let (x, y) =
        (ledger.account("x", Some(bytes(10))).unwrap(), ledger.account("y", Some(bytes(10))).unwrap());
    let (in_x, in_y) = (x.reserve(bytes(5), "").unwrap(), y.reserve(bytes(5), "").unwrap());
    let first = x.queue(bytes(9), "first").unwrap();
    for _ in 0..8 {
        drop(x.reserve(bytes(1), "passes").unwrap());
    }
    let second = y.queue(bytes(9), "second").unwrap();
    for _ in 0..20 {
        assert!(ledger.reserve_many(&[y.id(), x.id()], &[1, 1], "").is_err(), "x is kept for the first");
    }
    assert!(y.reserve(bytes(1), "may pass the second").is_ok());
    drop((in_x, in_y));
    assert!(first.take().is_some() && second.take().is_some());
}

#[test]
fn a_handle_named_twice_releases_nothing_and_spoils_nothing() {
    let ledger = Ledger::new(None);
    let batch = ledger.root().reserve_many(&[1, 2, 3, 4], "x").unwrap();
    let [a, b, c, d] = *batch.handles() else { panic!("four handles") };
    let unknown = Handle { generation: 9, ..d };
    for (list, wrong) in [
        (vec![a, b, a, c], (2, HandleFault::Released)),
        (vec![d, d], (1, HandleFault::Released)),
        (vec![c, a, b, c, unknown], (3, HandleFault::Released)),
        (vec![a, unknown, a], (1, HandleFault::Unknown)),
    ] {
        match ledger.release_many(&list) {
            Err(Error::Handle { index, fault }) => assert_eq!((index, fault), wrong),
            other => panic!("{other:?}"),
        }
        assert_eq!((batch.live(), ledger.root().used()), (4, bytes(10)));
    }
    ledger.release_many(&[d, b]).unwrap();
    assert!(matches!(ledger.release_many(&[a, d]), Err(Error::Handle { index: 1, .. })));
    assert_eq!((batch.release(), ledger.root().used()), (2, bytes(0)));
}

#[test]
fn forged_handles_release_nothing() {
    let (ledger, other) = (Ledger::new(None), Ledger::new(None));
    let batch = ledger.root().reserve_many(&[1, 2, 3], "x").unwrap();
    let owned = ledger.root().reserve(bytes(4), "owned").unwrap();
    let foreign = other.root().reserve_many(&[5], "x").unwrap();
    let real = batch.handles()[1];
    let faults = [
        (Handle { generation: real.generation + 1, ..real }, HandleFault::Unknown),
        (Handle { slot: 3, ..real }, HandleFault::Unknown),
        (Handle { slot: u32::MAX, ..real }, HandleFault::Unknown),
        (Handle { generation: u32::MAX, ..real }, HandleFault::Unknown),
        (foreign.handles()[0], HandleFault::Foreign),
        (Handle { ledger: 0, ..real }, HandleFault::Foreign),
        (batch.handles()[0], HandleFault::Released),
    ];
    for (forged, expected) in faults {
        match ledger.release_many(&[batch.handles()[0], real, forged]) {
            Err(Error::Handle { index: 2, fault }) => assert_eq!(fault, expected),
            other => panic!("{other:?} of {forged:?}"),
        }
        assert_eq!((batch.live(), owned.bytes(), ledger.root().used()), (3, bytes(4), bytes(10)));
    }
    assert_eq!(foreign.live(), 1);
    assert!(ledger.reserve_many(&[0, 1], &[1], "").is_err());
    assert!(ledger.reserve_many(&[9], &[1], "").is_err());
    assert!(ledger.reserve_many(&[], &[], "").unwrap().handles().is_empty());
}
