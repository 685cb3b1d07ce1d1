//! Interleavings of threads, by loom: `make loom`.
//!
//! Small models are explored whole, larger ones up to a number of preemptions: what is wrong shows with two or three of
//! them, in every known case.

mod credit;
mod queue;

use loom::model::Builder;
use loom::thread;

use super::{Account, Ledger, LedgerOptions, OriginPolicy, Snapshot};
use crate::units::Bytes;

const LIMIT: Bytes = Bytes::new(10);

fn bytes(count: u64) -> Bytes {
    Bytes::new(count)
}

/// Explores `model` with at most `preemptions` switches away from a thread that could go on.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

fn ledger(limit: u64) -> Ledger {
    let limit = Some(bytes(limit));
    Ledger::with_options(LedgerOptions { limit, timeline: 0, origins: OriginPolicy::Off })
}

fn credit(ledger: &Ledger, path: &str, quantum: u64) -> Account {
    ledger.credit_account(path, None, Some(bytes(quantum))).unwrap()
}

/// What every snapshot shows, whatever goes on meanwhile.
fn assert_sound(snapshot: &Snapshot) {
    for row in &snapshot.accounts {
        let children = snapshot.accounts.iter().filter(|one| one.parent.as_deref() == Some(&*row.path));
        let below: u64 = children.map(|child| child.used.get()).sum();
        assert_eq!(row.used.get(), row.own.get().wrapping_add(below), "{}", row.path);
        assert!(row.used <= row.charged && row.used <= row.peak, "{}", row.path);
        assert!(row.over_by().is_zero(), "{}", row.path);
        assert!(row.reservations <= row.made, "{}: released before it was made", row.path);
    }
}

/// What holds when nobody does anything: all that is charged is used or idle, all that was made is live or released.
fn assert_settled(ledger: &Ledger, used: u64, made: u64) {
    let snapshot = ledger.snapshot();
    assert_sound(&snapshot);
    assert_eq!((snapshot.accounts[0].used, snapshot.waiting), (bytes(used), 0));
    assert_eq!(snapshot.accounts.iter().map(|row| row.made).sum::<u64>(), made);
    drop(ledger.root().queue(bytes(0), "").unwrap()); // takes idle credit back
    for row in ledger.snapshot().accounts {
        assert_eq!(row.charged, row.used, "{}", row.path);
    }
}

#[test]
fn loom_one_of_two_requests_that_exclude_each_other_is_granted() {
    loom::model(|| {
        let ledger = Ledger::new(Some(LIMIT));
        let account = ledger.account("a/b", None).unwrap();
        let other = account.clone();
        let thread = thread::spawn(move || other.reserve(Bytes::new(6), "theirs"));
        let ours = account.reserve(Bytes::new(6), "ours");
        let theirs = thread.join().unwrap();
        assert!(ours.is_ok() != theirs.is_ok());
        assert_eq!(ledger.root().peak(), Bytes::new(6));
    });
}

#[test]
fn loom_what_fits_is_never_refused_by_what_does_not() {
    loom::model(|| {
        let ledger = Ledger::new(Some(LIMIT));
        let small = ledger.account("small", None).unwrap();
        let large = ledger.account("large", None).unwrap();
        let thread = thread::spawn(move || large.reserve(Bytes::new(11), "never fits").is_err());
        assert!(small.reserve(LIMIT, "always fits").is_ok());
        assert!(thread.join().unwrap());
    });
}

#[test]
fn loom_two_releases_of_one_reservation_give_the_bytes_back_once() {
    loom::model(|| {
        let ledger = Ledger::new(Some(LIMIT));
        let account = ledger.account("a", None).unwrap();
        let keeper = account.reserve(Bytes::new(3), "stays").unwrap();
        let reservation = loom::sync::Arc::new(account.reserve(Bytes::new(4), "goes").unwrap());
        let same = reservation.clone();
        let thread = thread::spawn(move || same.release());
        let here = reservation.release();
        assert!(here != thread.join().unwrap());
        assert_eq!(account.used(), keeper.bytes());
    });
}

#[test]
fn loom_a_snapshot_taken_meanwhile_adds_up() {
    loom::model(|| {
        let ledger = Ledger::new(Some(LIMIT));
        let account = ledger.account("a/b", None).unwrap();
        let thread = thread::spawn(move || {
            let reservation = account.reserve(Bytes::new(5), "x").unwrap();
            reservation.resize(Bytes::new(8)).unwrap();
        });
        let snapshot = ledger.snapshot();
        assert_sound(&snapshot);
        for pair in snapshot.accounts.windows(2) {
            assert_eq!(pair[0].used, pair[1].used, "a chain of accounts with one leaf");
        }
        thread.join().unwrap();
        assert_eq!(ledger.root().used(), Bytes::ZERO);
    });
}

/// A transfer is booked once at every instant: neither twice nor not at all.
#[test]
fn loom_a_transfer_is_booked_once_at_every_instant() {
    loom::model(|| {
        let ledger = ledger(4);
        let (one, other) = (ledger.account("one", None).unwrap(), ledger.account("two", None).unwrap());
        let reservation = one.reserve(bytes(4), "x").unwrap();
        let thread = thread::spawn(move || {
            reservation.transfer(&other).unwrap();
            reservation
        });
        let snapshot = ledger.snapshot();
        assert_sound(&snapshot);
        assert_eq!(snapshot.accounts[0].used, bytes(4));
        assert!(one.reserve(bytes(1), "y").is_err());
        drop(thread.join().unwrap());
        assert_settled(&ledger, 0, 2);
    });
}

/// Of two handles to the same bytes one release wins, whichever way it is asked for.
#[test]
fn loom_a_batch_and_its_handles_release_once() {
    loom::model(|| {
        let ledger = ledger(4);
        let batch = ledger.root().reserve_many(&[1, 3], "x").unwrap();
        let (same, handles) = (ledger.clone(), batch.handles().to_vec());
        let thread = thread::spawn(move || same.release_many(&handles).is_ok());
        let here = batch.release();
        let there = thread.join().unwrap();
        assert_eq!((here, there), if there { (0, true) } else { (2, false) });
        assert_settled(&ledger, 0, 2);
    });
}
