//! Threads that do everything at once, and others that look at every instant of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::{assert_adds_up, bytes};
use crate::ledger::{Account, Ledger, Reservation};

const WORKERS: u64 = 8;

/// Knuth's linear congruential generator; its high bits.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn leaves(ledger: &Ledger) -> Vec<Account> {
    let exact = |path| ledger.account(path, Some(bytes(400))).unwrap();
    let credit = |path, quantum| ledger.credit_account(path, Some(bytes(400)), Some(bytes(quantum))).unwrap();
    vec![exact("g0/a"), credit("g0/b", 16), exact("g1/c"), credit("g1/d", 64), credit("e", 1)]
}

fn act(dice: &mut Dice, leaves: &[Account], ledger: &Ledger, held: &mut Vec<Reservation>) {
    let leaf = &leaves[usize::try_from(dice.roll(leaves.len() as u64)).unwrap()];
    let size = bytes(dice.roll(120));
    let labels = ["", "", "x", "y"];
    let label = labels[usize::try_from(dice.roll(4)).unwrap()];
    let which =
        |dice: &mut Dice, held: &[Reservation]| usize::try_from(dice.roll(held.len() as u64)).unwrap();
    match dice.roll(12) {
        0..4 => held.extend(leaf.reserve(size, label)),
        4 => drop(leaf.draw(size)),
        5 => {
            let pending = leaf.queue(size, label);
            held.extend(pending.ok().and_then(|pending| pending.wait(Duration::from_micros(dice.roll(60)))));
        }
        6 => {
            let ids: Vec<u32> = leaves.iter().map(Account::id).collect();
            drop(ledger.reserve_many(&ids, &vec![dice.roll(30); ids.len()], label));
        }
        7 => leaf.set_limit(Some(bytes(300 + dice.roll(200)))),
        _ if held.is_empty() => {}
        8 => {
            let one = which(dice, held);
            let _ = held[one].resize(size);
        }
        9 => {
            let one = which(dice, held);
            held.extend(held[one].split(bytes(dice.roll(20))));
        }
        10 => {
            let (one, other) = (which(dice, held), which(dice, held));
            let _ = held[one].transfer(leaf);
            let _ = held[one].merge(&held[other]);
        }
        _ => {
            let one = which(dice, held);
            assert!(held[one].is_live() == held[one].release());
            held.swap_remove(one);
        }
    }
    if held.len() > 6 {
        held.drain(..3);
    }
}

fn watch(ledger: &Ledger, done: &AtomicBool) -> u64 {
    let mut seen = 0_u64;
    let mut peaks = vec![0; 8];
    while !done.load(Ordering::Relaxed) {
        let snapshot = ledger.snapshot();
        assert_adds_up(&snapshot);
        let root = &snapshot.accounts[0];
        assert!(root.over_by().is_zero(), "nobody lowers the root's limit");
        for (row, peak) in snapshot.accounts.iter().zip(&mut peaks) {
            assert!(row.peak.get() >= *peak, "a peak went down");
            *peak = row.peak.get();
            assert!(row.used.get() <= 500, "no limit is ever above that");
        }
        let refused = ledger.root().reserve(bytes(1_001), "never fits").unwrap_err();
        assert_eq!((refused.account.as_str(), refused.available <= bytes(1_000)), ("/", true));
        seen += 1;
    }
    seen
}

/// Eight threads do at random whatever the ledger offers while two others look at every account.
#[test]
fn every_instant_adds_up_whatever_threads_do() {
    let ledger = Ledger::new(Some(bytes(1_000)));
    for group in ["g0", "g1"] {
        ledger.account(group, Some(bytes(500))).unwrap();
    }
    ledger.root().set_limit(Some(bytes(500)));
    let leaves = leaves(&ledger);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|seed| {
                let (leaves, ledger) = (&leaves, &ledger);
                scope.spawn(move || {
                    let (mut dice, mut held) = (Dice(seed + 1), Vec::new());
                    for _ in 0..3_000 {
                        act(&mut dice, leaves, ledger, &mut held);
                    }
                })
            })
            .collect();
        let watchers: Vec<_> = (0..2).map(|_| scope.spawn(|| watch(&ledger, &done))).collect();
        let outcomes: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(outcomes.iter().all(Result::is_ok), "a worker failed");
        for watcher in watchers {
            assert!(watcher.join().unwrap() > 0);
        }
    });
    let snapshot = ledger.snapshot();
    assert_eq!(snapshot.waiting, 0);
    for row in &snapshot.accounts {
        assert_eq!((row.used.get(), row.reservations, row.leaked), (0, 0, 0), "{}", row.path);
        assert!(row.refusals > 0 || row.path.as_ref() != "g0/a");
    }
    super::timeline::assert_replays(&ledger.timeline(), |path| {
        ledger.account(path, None).unwrap().charged().get()
    });
}

/// A token that goes from one credit leaf to the other is seen once, or on its way, but never twice.
#[test]
fn a_snapshot_is_one_instant_of_all_credit_leaves() {
    let ledger = Ledger::new(None);
    let one = ledger.credit_account("one", None, Some(bytes(1 << 20))).unwrap();
    let other = ledger.credit_account("two", None, Some(bytes(1 << 20))).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let mover = scope.spawn(|| {
            for _ in 0..60_000 {
                drop(one.draw(bytes(1)).unwrap());
                drop(other.draw(bytes(1)).unwrap());
            }
        });
        let watcher = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let snapshot = ledger.snapshot();
                assert_adds_up(&snapshot);
                assert!(snapshot.accounts[0].used <= bytes(1), "the token was counted twice");
                assert!(
                    snapshot
                        .accounts
                        .iter()
                        .all(|row| row.reservations == row.used.get() || &*row.path == "/")
                );
                assert!(ledger.root().used() <= bytes(1));
            }
        });
        let outcome = mover.join();
        done.store(true, Ordering::Relaxed);
        watcher.join().unwrap();
        outcome.unwrap();
    });
}

/// With one requester that can never fit and one that always does, counts how often the second was refused.
fn refusals(tries: u64, never: &Account, too_much: u64, always: &Account, fits: u64) -> u64 {
    let done = AtomicBool::new(false);
    let refused = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert!(never.reserve(bytes(too_much), "never").is_err());
            }
        });
        for _ in 0..tries {
            if always.reserve(bytes(fits), "").is_err() {
                refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    refused.into_inner()
}

/// Wherever the limit sits, and however the two leaves book.
fn refusals_everywhere(tries: u64) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for place in ["/", "p", "p/never", "p/always"] {
        for credit in ["", "p/never", "p/always", "p/never p/always"] {
            let ledger = Ledger::new(None);
            let open = |path: &str| {
                if credit.split(' ').any(|one| one == path) {
                    ledger.credit_account(path, None, Some(bytes(8))).unwrap()
                } else {
                    ledger.account(path, None).unwrap()
                }
            };
            let (never, always) = (open("p/never"), open("p/always"));
            ledger.account(place, None).unwrap().set_limit(Some(bytes(100)));
            if place == "p/always" {
                never.set_limit(Some(bytes(100)));
            }
            let refused = refusals(tries, &never, 101, &always, 100);
            found.push((format!("limit on {place}, credit on {credit:?}"), refused));
            assert!(never.available().is_none_or(|available| available <= bytes(100)));
        }
    }
    found
}

#[test]
fn what_fits_is_never_refused_by_what_does_not() {
    assert!(refusals_everywhere(12_500).iter().all(|(_, refused)| *refused == 0), "200,000 tries");
}

/// `make soak`: ten million tries for each place of the limit.
#[test]
#[ignore = "takes minutes; `make soak` runs it"]
fn soak_what_fits_is_never_refused_by_what_does_not() {
    let found = refusals_everywhere(2_500_000);
    assert_eq!(found.iter().map(|(_, refused)| refused).sum::<u64>(), 0, "{found:?}");
}
