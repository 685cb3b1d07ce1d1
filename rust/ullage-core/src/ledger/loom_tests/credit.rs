//! The credit word, and what is drawn from it.

use loom::sync::Arc;
use loom::thread;

use super::super::credit::{CreditLeaf, Settlement};
use super::{assert_settled, assert_sound, bytes, credit, explore, ledger};

/// A leaf that has bought `charged` bytes, all of them idle.
fn leaf(quantum: u64, charged: u64) -> Arc<CreditLeaf> {
    let leaf = CreditLeaf::new(quantum, 0);
    leaf.settle(|_| Some(Settlement { charged, credit: charged, is_frozen: false })).unwrap();
    Arc::new(leaf)
}

#[test]
fn loom_two_draws_never_take_the_same_credit() {
    loom::model(|| {
        let leaf = leaf(8, 8);
        let other = leaf.clone();
        let thread = thread::spawn(move || other.draw(5));
        let (ours, theirs) = (leaf.draw(5), thread.join().unwrap());
        assert!(ours != theirs, "one of them fits, one does not");
        assert_eq!((leaf.word().credit(), leaf.peak(8), leaf.word().draws()), (3, 5, 1));
    });
}

/// The peak is what was really drawn at once, never what was drawn one after the other.
#[test]
fn loom_the_peak_of_draws_and_puts_is_exact() {
    loom::model(|| {
        let leaf = leaf(8, 8);
        let other = leaf.clone();
        let thread = thread::spawn(move || {
            assert!(other.draw(3) && other.put(3));
            let seen = other.peak(8);
            assert!([3, 4, 7].contains(&seen), "{seen}");
        });
        assert!(leaf.draw(4));
        thread.join().unwrap();
        let (word, peak) = (leaf.word(), leaf.peak(8));
        assert_eq!((word.credit(), word.draws(), word.puts()), (4, 2, 1));
        assert!([4, 7].contains(&peak), "{peak}");
    });
}

/// While the holder of the lock changes what is charged, twice, a draw knows what it made of it.
#[test]
fn loom_a_draw_against_settlements_makes_an_exact_peak() {
    loom::model(|| {
        let leaf = leaf(8, 8);
        let other = leaf.clone();
        let thread = thread::spawn(move || other.draw(2));
        let mut charged = 8;
        for growth in [4, 4] {
            charged += growth;
            let settle = |word: super::super::credit::Word| {
                Some(Settlement { charged, credit: word.credit() + growth, is_frozen: false })
            };
            leaf.settle(settle).unwrap();
        }
        // Give all idle credit back, as before a refusal.
        let before = leaf.settle(|word| {
            let left = charged - word.credit();
            Some(Settlement { charged: left, credit: 0, is_frozen: true })
        });
        charged -= before.unwrap().credit();
        let is_drawn = thread.join().unwrap();
        assert_eq!((charged, leaf.peak(charged)), if is_drawn { (2, 2) } else { (0, 0) });
        assert!(!leaf.draw(0) && !leaf.put(1), "a frozen leaf goes through the lock");
    });
}

#[test]
fn loom_a_put_against_a_drain_is_in_one_place() {
    loom::model(|| {
        let leaf = leaf(8, 8);
        assert!(leaf.draw(6));
        let other = leaf.clone();
        let thread = thread::spawn(move || other.put(6));
        let before =
            leaf.settle(|word| Some(Settlement { charged: 8 - word.credit(), credit: 0, is_frozen: true }));
        let is_put = thread.join().unwrap();
        assert_eq!(before.unwrap().credit(), if is_put { 8 } else { 2 });
        assert_eq!((leaf.word().credit(), leaf.peak(0)), (0, 6));
    });
}

#[test]
fn loom_counts_that_are_folded_are_neither_lost_nor_doubled() {
    loom::model(|| {
        let leaf = leaf(8, 8);
        let other = leaf.clone();
        let thread = thread::spawn(move || assert!(other.draw(1) && other.put(1)));
        let (first_draws, first_puts) = leaf.take_counts();
        assert!(first_puts <= first_draws);
        thread.join().unwrap();
        let (draws, puts) = leaf.take_counts();
        assert_eq!((first_draws + draws, first_puts + puts, leaf.word().credit()), (1, 1, 8));
    });
}

#[test]
fn loom_two_draws_through_the_ledger_buy_what_they_need() {
    explore(5, || {
        let ledger = ledger(10);
        let account = credit(&ledger, "leaf", 2);
        let other = account.clone();
        let thread = thread::spawn(move || drop(other.draw(bytes(5)).unwrap()));
        let ours = account.draw(bytes(5)).unwrap();
        assert_sound(&ledger.snapshot());
        thread.join().unwrap();
        let peak = account.peak();
        assert!(peak == bytes(5) || peak == bytes(10), "{peak}");
        drop(ours);
        assert_settled(&ledger, 0, 2);
    });
}

#[test]
fn loom_a_drawn_reservation_is_released_once() {
    explore(5, || {
        let ledger = ledger(10);
        let account = credit(&ledger, "leaf", 4);
        let reservation = Arc::new(account.reserve(bytes(3), "").unwrap());
        let same = reservation.clone();
        let thread = thread::spawn(move || same.release());
        let here = reservation.release();
        assert!(here != thread.join().unwrap());
        assert!(!reservation.is_live());
        assert_settled(&ledger, 0, 1);
    });
}

/// Given a place of its own (to be resized) in one thread and released in the other.
#[test]
fn loom_a_drawn_reservation_is_placed_or_released() {
    explore(5, || {
        let ledger = ledger(10);
        let account = credit(&ledger, "leaf", 4);
        let reservation = Arc::new(account.reserve(bytes(3), "").unwrap());
        let same = reservation.clone();
        let thread = thread::spawn(move || same.resize(bytes(9)).is_ok());
        assert!(reservation.release());
        let is_resized = thread.join().unwrap();
        assert_eq!(account.peak(), if is_resized { bytes(9) } else { bytes(3) });
        assert_settled(&ledger, 0, 1);
    });
}

#[test]
fn loom_a_drawn_reservation_is_split_or_released() {
    explore(5, || {
        let ledger = ledger(10);
        let account = credit(&ledger, "leaf", 4);
        let reservation = Arc::new(account.reserve(bytes(3), "").unwrap());
        let same = reservation.clone();
        let thread = thread::spawn(move || same.split(bytes(1)).ok());
        assert!(reservation.release());
        let rest = thread.join().unwrap();
        assert_eq!(ledger.root().used(), if rest.is_some() { bytes(1) } else { bytes(0) });
        let made = if rest.is_some() { 2 } else { 1 };
        drop(rest);
        assert_settled(&ledger, 0, made);
    });
}

/// A put on one leaf and a draw on another while a third account asks: it is refused only if it did not fit at some
/// instant, and whatever was held by nobody at all times is granted.
#[test]
fn loom_a_refusal_holds_at_one_instant_of_all_leaves() {
    explore(5, || {
        let ledger = ledger(10);
        let (one, other) = (credit(&ledger, "one", 2), credit(&ledger, "two", 2));
        let exact = ledger.account("exact", None).unwrap();
        let held = one.reserve(bytes(4), "").unwrap();
        let same = other.clone();
        let putter = thread::spawn(move || held.release());
        let drawer = thread::spawn(move || same.draw(bytes(4)).map(drop).is_ok());
        // Used is 0, 4 or 8 at any instant: what needs 10 may be refused, what needs 2 may not.
        let small = exact.reserve(bytes(2), "");
        assert!(small.is_ok(), "no instant at which 2 did not fit");
        assert!(putter.join().unwrap());
        assert!(drawer.join().unwrap(), "no instant at which 4 did not fit");
        drop(small);
        assert_settled(&ledger, 0, 3);
    });
}

/// The token moves from one leaf to the other, drawn again only after it was put back: never seen twice.
#[test]
fn loom_a_snapshot_is_one_instant_of_two_leaves() {
    explore(5, || {
        let ledger = ledger(20);
        let (one, other) = (credit(&ledger, "one", 4), credit(&ledger, "two", 4));
        drop(other.draw(bytes(1)).unwrap()); // buys credit
        let held = one.reserve(bytes(3), "").unwrap();
        let thread = thread::spawn(move || {
            held.release();
            other.reserve(bytes(3), "").unwrap()
        });
        let snapshot = ledger.snapshot();
        assert_sound(&snapshot);
        assert!(snapshot.accounts[0].used <= bytes(3), "{} used", snapshot.accounts[0].used);
        assert!(ledger.root().used() <= bytes(3));
        drop(thread.join().unwrap());
        assert_settled(&ledger, 0, 3);
    });
}

/// A lowered limit is not passed by what was bought before.
#[test]
fn loom_a_draw_against_a_lowered_limit_comes_before_it_or_is_refused() {
    explore(5, || {
        let ledger = ledger(10);
        let account = credit(&ledger, "leaf", 4);
        drop(account.draw(bytes(1)).unwrap());
        let other = account.clone();
        let thread = thread::spawn(move || other.reserve(bytes(3), "").ok());
        ledger.root().set_limit(Some(bytes(2)));
        let used = ledger.root().used();
        let drawn = thread.join().unwrap();
        assert_eq!(drawn.is_some(), used == bytes(3), "drawn before, or not at all");
        assert!(account.draw(bytes(3)).is_err());
    });
}
