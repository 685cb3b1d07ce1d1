//! Credit leaves: what is idle is nobody's, whatever happens to limits meanwhile.

use super::{assert_adds_up, bytes};
use crate::ledger::{Account, Ledger};

fn leaf(limit: Option<u64>, quantum: u64) -> (Ledger, Account) {
    let ledger = Ledger::new(limit.map(bytes));
    let account = ledger.credit_account("leaf", None, Some(bytes(quantum))).unwrap();
    (ledger, account)
}

#[test]
fn idle_credit_is_not_given_out_beyond_a_lowered_limit() {
    let (ledger, account) = leaf(Some(1_000), 100);
    drop(account.draw(bytes(1)).unwrap());
    assert!(account.charged().get() > 0, "there is idle credit");
    ledger.root().set_limit(Some(bytes(0)));
    assert_eq!(ledger.snapshot().accounts[0].over_by().get(), 0);
    assert!(account.draw(bytes(1)).is_err());
    assert!(account.reserve(bytes(1), "").is_err());
    assert_eq!(account.available(), Some(bytes(0)));
}

#[test]
fn what_is_put_back_over_a_lowered_limit_is_not_drawn_again() {
    let (ledger, account) = leaf(Some(1_000), 100);
    let held: Vec<_> = (0..10).map(|_| account.draw(bytes(50)).unwrap()).collect();
    ledger.root().set_limit(Some(bytes(300)));
    for (count, draw) in held.into_iter().enumerate() {
        drop(draw);
        let used = 500 - 50 * (count as u64 + 1);
        assert_eq!(ledger.root().used(), bytes(used));
        assert_eq!(account.available(), Some(bytes(300_u64.saturating_sub(used))));
        assert!(account.draw(bytes(0)).is_ok(), "nothing always fits");
        assert_eq!(account.draw(bytes(50)).is_ok(), used + 50 <= 300, "{used} used");
        assert_adds_up(&ledger.snapshot());
    }
}

#[test]
fn a_meter_on_credit_grows_into_what_is_free() {
    let (ledger, account) = leaf(Some(100), 8);
    let meter = account.meter("x");
    meter.charge(bytes(60)).unwrap();
    meter.resize(bytes(60), bytes(95)).unwrap();
    assert_eq!((account.used(), account.peak()), (bytes(95), bytes(95)));
    assert!(meter.resize(bytes(95), bytes(101)).is_err());
    meter.resize(bytes(95), bytes(3)).unwrap();
    assert_eq!((account.used(), account.peak()), (bytes(3), bytes(95)));
    let row = ledger.snapshot().accounts[1].clone();
    assert_eq!((row.reservations, row.refusals), (1, 1));
    meter.discharge(bytes(3));
    assert_eq!((ledger.snapshot().accounts[1].reservations, account.used()), (0, bytes(0)));
}

#[test]
fn what_no_credit_can_hold_goes_the_long_way_and_comes_back() {
    let most = 1_u64 << 47;
    let (ledger, account) = leaf(None, 1 << 30);
    let (small, large) = (account.draw(bytes(most)).unwrap(), account.draw(bytes(most + 1)).unwrap());
    let reservation = account.reserve(bytes(most + 1), "").unwrap();
    assert_eq!(account.used(), bytes(3 * most + 2));
    drop((small, large));
    reservation.resize(bytes(1)).unwrap();
    let meter = account.meter("x");
    meter.charge(bytes(most)).unwrap();
    meter.resize(bytes(most), bytes(2 * most)).unwrap();
    meter.resize(bytes(2 * most), bytes(3 * most)).unwrap();
    meter.resize(bytes(3 * most), bytes(5)).unwrap();
    assert_eq!(account.used(), bytes(6));
    meter.discharge(bytes(5));
    drop(reservation);
    assert_eq!((account.used(), ledger.root().used()), (bytes(0), bytes(0)));
}

/// More draws and puts than their counters in the word hold.
#[test]
fn counts_that_ran_over_in_the_word_are_not_lost() {
    let (ledger, account) = leaf(None, 1 << 20);
    for _ in 0..5_000 {
        drop(account.draw(bytes(1)).unwrap());
    }
    let held: Vec<_> = (0..2_500).map(|_| account.reserve(bytes(2), "").unwrap()).collect();
    let row = ledger.snapshot().accounts[1].clone();
    assert_eq!((row.made, row.released, row.reservations), (7_500, 5_000, 2_500));
    assert_eq!((row.used, row.peak), (bytes(5_000), bytes(5_000)));
    held[0].resize(bytes(3)).unwrap(); // given a place of its own
    let row = ledger.snapshot().accounts[1].clone();
    assert_eq!((row.made, row.released), (7_500, 5_000));
    drop(held);
    assert_eq!(ledger.snapshot().accounts[1].released, 7_500);
}

#[test]
fn a_quantum_is_never_larger_than_what_is_free() {
    let (ledger, account) = leaf(Some(100), 1 << 30);
    let other = ledger.account("other", None).unwrap();
    let rest = other.reserve(bytes(40), "x").unwrap();
    let draw = account.draw(bytes(1)).unwrap();
    assert_eq!(ledger.root().charged(), bytes(100));
    let more = other.reserve(bytes(59), "x").unwrap();
    assert!(other.reserve(bytes(1), "x").is_err());
    assert!(account.draw(bytes(1)).is_err());
    drop((rest, more, draw));
    assert_eq!(ledger.root().used(), bytes(0));
}

/// Credit that was bought under a higher limit is not drawn past a lower one.
#[test]
fn a_lowered_limit_takes_idle_credit_back() {
    let ledger = Ledger::new(Some(bytes(100_000)));
    let leaf = ledger.credit_account("kv", None, Some(bytes(50_000))).unwrap();
    let held = leaf.draw(bytes(100)).unwrap();
    assert_eq!((leaf.used(), leaf.charged()), (bytes(100), bytes(50_100)));
    ledger.root().set_limit(Some(bytes(200)));
    assert_eq!((leaf.charged(), ledger.snapshot().accounts[0].over_by()), (bytes(100), bytes(0)));
    assert_eq!(leaf.draw(bytes(101)).unwrap_err().available, bytes(100));
    drop(held);
}
