#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use proptest::prelude::*;

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

/// A naive twin: every account's use recomputed from the list of live bookings.
#[derive(Default)]
struct Oracle {
    live: HashMap<usize, (usize, u64)>,
    peaks: [u64; 4],
}

const PATHS: [&str; 4] = ["/", "a", "a/b", "c"];
const ABOVE: [&[usize]; 4] = [&[0], &[1, 0], &[2, 1, 0], &[3, 0]];

impl Oracle {
    fn used(&self, account: usize) -> u64 {
        let below = |leaf: usize| ABOVE[leaf].contains(&account);
        self.live.values().filter(|(leaf, _)| below(*leaf)).map(|(_, bytes)| bytes).sum()
    }

    fn fits(&self, leaf: usize, more: u64, limits: &[Option<u64>; 4]) -> bool {
        ABOVE[leaf]
            .iter()
            .all(|&level| limits[level].is_none_or(|limit| more == 0 || self.used(level) + more <= limit))
    }

    fn note_peaks(&mut self) {
        for account in 0..4 {
            self.peaks[account] = self.peaks[account].max(self.used(account));
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Reserve { leaf: usize, bytes: u64 },
    Resize { which: usize, bytes: u64 },
    Release { which: usize },
    Limit { account: usize, limit: Option<u64> },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_usize, 0..60_u64).prop_map(|(leaf, bytes)| Step::Reserve { leaf, bytes }),
        2 => (0..20_usize, 0..60_u64).prop_map(|(which, bytes)| Step::Resize { which, bytes }),
        3 => (0..20_usize).prop_map(|which| Step::Release { which }),
        1 => (0..4_usize, prop::option::of(0..120_u64)).prop_map(|(account, limit)| Step::Limit { account, limit }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// In lock-step with the twin: the same answers, the same sums, the same peaks, never over a limit.
    #[test]
    fn agrees_with_a_naive_twin(steps in prop::collection::vec(step(), 1..80)) {
        let ledger = Ledger::new(Some(bytes(100)));
        let mut limits = [Some(100), Some(70), None, Some(50)];
        let accounts: Vec<Account> =
            PATHS.iter().zip(limits).map(|(path, limit)| ledger.account(path, limit.map(bytes)).unwrap()).collect();
        let mut oracle = Oracle::default();
        let mut reservations: Vec<Reservation> = Vec::new();
        for step in steps {
            match step {
                Step::Reserve { leaf, bytes: size } => {
                    let granted = accounts[leaf].reserve(bytes(size), "x");
                    prop_assert_eq!(granted.is_ok(), oracle.fits(leaf, size, &limits));
                    if let Ok(reservation) = granted {
                        oracle.live.insert(reservations.len(), (leaf, size));
                        reservations.push(reservation);
                    }
                }
                Step::Resize { which, bytes: size } if which < reservations.len() => {
                    let outcome = reservations[which].resize(bytes(size));
                    match oracle.live.get(&which).copied() {
                        None => prop_assert!(
                            matches!(outcome, Err(Error::Released { .. })),
                            "a released reservation was resized"
                        ),
                        Some((leaf, held)) => {
                            let fits = size <= held || oracle.fits(leaf, size - held, &limits);
                            prop_assert_eq!(outcome.is_ok(), fits);
                            if fits {
                                oracle.live.insert(which, (leaf, size));
                            }
                        }
                    }
                }
                Step::Release { which } if which < reservations.len() => {
                    prop_assert_eq!(reservations[which].release(), oracle.live.remove(&which).is_some());
                }
                Step::Limit { account, limit } => {
                    limits[account] = limit;
                    accounts[account].set_limit(limit.map(bytes));
                }
                Step::Resize { .. } | Step::Release { .. } => {}
            }
            oracle.note_peaks();
            let snapshot = ledger.snapshot();
            assert_adds_up(&snapshot);
            for (index, account) in accounts.iter().enumerate() {
                prop_assert_eq!(account.used().get(), oracle.used(index));
                prop_assert_eq!(account.peak().get(), oracle.peaks[index]);
            }
        }
        drop(reservations);
        prop_assert_eq!(ledger.root().used(), Bytes::ZERO);
    }
}

/// Eight threads reserve, resize and release at random while a ninth watches every account.
#[test]
fn never_over_a_limit_under_threads() {
    let ledger = Ledger::new(Some(bytes(1_000)));
    let leaves: Vec<Account> =
        (0..4).map(|i| ledger.account(&format!("g{}/m{i}", i % 2), Some(bytes(400))).unwrap()).collect();
    let done = AtomicBool::new(false);
    let granted = AtomicU64::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..8_u64)
            .map(|seed| {
                let (leaves, granted) = (&leaves, &granted);
                scope.spawn(move || {
                    let mut state = seed + 1;
                    let mut held = Vec::new();
                    for _ in 0..4_000 {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        let random = state >> 33;
                        let leaf = &leaves[usize::try_from(random % 4).unwrap()];
                        if let Ok(reservation) = leaf.reserve(bytes(random % 150), "x") {
                            granted.fetch_add(1, Ordering::Relaxed);
                            held.push(reservation);
                        }
                        if held.len() > 3 {
                            let _ = held[0].resize(bytes(random % 200));
                            held.swap_remove(usize::try_from(random % 3).unwrap());
                        }
                    }
                })
            })
            .collect();
        let (ledger, done) = (&ledger, &done);
        let watcher = scope.spawn(move || {
            let mut seen = 0_u64;
            while !done.load(Ordering::Relaxed) {
                let snapshot = ledger.snapshot();
                assert_adds_up(&snapshot);
                assert!(snapshot.accounts.iter().all(|account| account.over_by().is_zero()));
                seen += 1;
            }
            seen
        });
        for worker in workers {
            worker.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(watcher.join().unwrap() > 0);
    });
    assert!(granted.load(Ordering::Relaxed) > 8_000);
    let snapshot = ledger.snapshot();
    assert!(snapshot.accounts.iter().all(|account| account.used.is_zero() && account.reservations == 0));
    assert!(snapshot.accounts.iter().all(|account| account.limit.is_none_or(|limit| account.peak <= limit)));
}

/// With one requester that can never fit and one that always does, the second is never refused.
#[test]
fn what_fits_is_never_refused_by_what_does_not() {
    let ledger = Ledger::new(Some(bytes(100)));
    let (never, always) =
        (ledger.account("p/never", None).unwrap(), ledger.account("p/always", None).unwrap());
    thread::scope(|scope| {
        let hopeless =
            scope.spawn(move || (0..100_000).filter(|_| never.reserve(bytes(101), "x").is_ok()).count());
        let refused = (0..100_000).filter(|_| always.reserve(bytes(100), "y").is_err()).count();
        assert_eq!((refused, hopeless.join().unwrap()), (0, 0));
    });
}

/// Credit that was bought under a higher limit is not drawn past a lower one.
#[test]
fn a_lowered_limit_takes_idle_credit_back() {
    let ledger = Ledger::new(Some(bytes(100_000)));
    let leaf = ledger.credit_account("kv", None, Some(bytes(50_000))).unwrap();
    let held = leaf.draw(bytes(100)).unwrap();
    assert_eq!((leaf.used(), leaf.charged()), (bytes(100), bytes(50_100)));
    ledger.root().set_limit(Some(bytes(200)));
    assert_eq!((leaf.charged(), ledger.snapshot().accounts[0].over_by()), (bytes(100), Bytes::ZERO));
    assert_eq!(leaf.draw(bytes(101)).unwrap_err().available, bytes(100));
    drop(held);
}

/// What fell and rose again within the window: the balances before it are found through values below zero.
#[test]
fn a_peak_is_made_of_what_was_held_then_though_all_is_released_since() {
    let ledger = Ledger::new(None);
    let (a, b) = (ledger.account("a", None).unwrap(), ledger.account("b", None).unwrap());
    for _ in 0..3 {
        let first = a.reserve(bytes(5), "x").unwrap();
        let second = b.reserve(bytes(7), "y").unwrap();
        drop((first, second));
    }
    let held: Vec<(String, u64)> = ledger
        .root()
        .peak_holders(9)
        .unwrap()
        .into_iter()
        .map(|held| (held.label, held.bytes.get()))
        .collect();
    assert_eq!(held, [("y".to_owned(), 7), ("x".to_owned(), 5)]);
    assert_eq!(ledger.timeline().start, [0, 0]);
}
