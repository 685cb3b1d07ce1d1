//! Every interleaving of two threads, by loom: `RUSTFLAGS="--cfg loom" cargo test -p ullage-core --release --lib loom`.

use loom::thread;

use super::Ledger;
use crate::units::Bytes;

const LIMIT: Bytes = Bytes::new(10);

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
        for pair in snapshot.accounts.windows(2) {
            assert_eq!(pair[0].used, pair[1].used, "a chain of accounts with one leaf");
        }
        thread.join().unwrap();
        assert_eq!(ledger.root().used(), Bytes::ZERO);
    });
}
