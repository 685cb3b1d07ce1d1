//! The timeline against its own sums, and its memory.

use std::collections::HashMap;

use super::bytes;
use crate::ledger::{Ledger, LedgerOptions, OriginPolicy, Timeline};

/// Replays the window: the balances never go below nothing and end at what is `charged`; gives the highest of each
/// account on the way.
pub(super) fn assert_replays(timeline: &Timeline, charged: impl Fn(&str) -> u64) -> HashMap<String, u64> {
    let is_below = |path: &str, above: &str| {
        above == "/" || path == above || path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
    };
    let mut labels: Vec<i128> = timeline.start.iter().map(|&start| i128::from(start)).collect();
    let mut sums: Vec<i128> = vec![0; timeline.accounts.len()];
    for (account, path) in timeline.accounts.iter().enumerate() {
        for (label, &of) in timeline.label_accounts.iter().enumerate() {
            if is_below(&timeline.accounts[of as usize], path) {
                sums[account] += labels[label];
            }
        }
    }
    let mut highest = sums.clone();
    let mut last = 0;
    for event in &timeline.events {
        assert!(event.time_ns >= last, "time goes back from {last} to {}", event.time_ns);
        last = event.time_ns;
        assert_eq!(timeline.label_accounts[event.label as usize], event.account);
        labels[event.label as usize] += i128::from(event.delta);
        assert!(
            labels[event.label as usize] >= 0,
            "less than nothing under {:?}",
            timeline.labels[event.label as usize]
        );
        let place = timeline.accounts[event.account as usize].clone();
        for (account, path) in timeline.accounts.iter().enumerate() {
            if is_below(&place, path) {
                sums[account] += i128::from(event.delta);
                highest[account] = highest[account].max(sums[account]);
            }
        }
    }
    for (account, path) in timeline.accounts.iter().enumerate() {
        assert_eq!(sums[account], i128::from(charged(path)), "{path} at the end of its events");
    }
    let named = timeline.accounts.iter().zip(highest);
    named.map(|(path, highest)| (path.to_string(), u64::try_from(highest).unwrap())).collect()
}

fn ledger_with(timeline: usize) -> Ledger {
    Ledger::with_options(LedgerOptions { limit: None, timeline, origins: OriginPolicy::Off })
}

/// The peak's event falls out in every position of a chunk, also as the first and the last of it.
#[test]
fn who_held_what_at_the_peak_is_remembered_after_its_event_is_gone() {
    for before in [0, 1, 4090, 4093, 4094, 4095, 4096, 4097, 6000, 8191, 8192] {
        let ledger = ledger_with(1);
        let (a, b) = (ledger.account("a", None).unwrap(), ledger.account("b", None).unwrap());
        let keeper = a.reserve(bytes(5), "keeper").unwrap();
        for _ in 0..before {
            drop(b.reserve(bytes(3), "noise").unwrap());
        }
        let first = a.reserve(bytes(10), "first").unwrap();
        let second = b.reserve(bytes(20), "second").unwrap();
        drop((first, second));
        let labels = |most| -> Vec<(String, u64)> {
            let holders = ledger.root().peak_holders(most).unwrap();
            holders.into_iter().map(|holder| (holder.label, holder.bytes.get())).collect()
        };
        let expected =
            [("second", 20), ("first", 10), ("keeper", 5)].map(|(label, size)| (label.to_owned(), size));
        assert_eq!(labels(9), expected, "{before}");
        for round in 0..5 {
            for _ in 0..2_000 {
                drop(b.reserve(bytes(7), "later").unwrap());
            }
            assert_eq!(labels(9), expected, "{before}, {round}");
            assert_eq!(labels(1), expected[..1], "{before}, {round}");
            assert_replays(&ledger.timeline(), |path| ledger.account(path, None).unwrap().charged().get());
        }
        assert!(ledger.timeline().dropped > before);
        drop(keeper);
    }
}

/// A batch that is larger than the window.
#[test]
fn a_batch_that_fills_the_timeline_is_one_peak() {
    let ledger = ledger_with(1);
    let a = ledger.account("a", None).unwrap();
    let base = a.reserve(bytes(9), "base").unwrap();
    let batch = a.reserve_many(&vec![1; 20_000], "many").unwrap();
    let at_peak = a.peak_holders(9).unwrap();
    assert_eq!(at_peak.iter().map(|one| one.bytes.get()).collect::<Vec<_>>(), [20_000, 9]);
    assert_replays(&ledger.timeline(), |path| ledger.account(path, None).unwrap().charged().get());
    drop(batch);
    let after = a.peak_holders(9).unwrap();
    assert_eq!(after.iter().map(|one| one.bytes.get()).collect::<Vec<_>>(), [20_000, 9]);
    assert_replays(&ledger.timeline(), |path| ledger.account(path, None).unwrap().charged().get());
    drop(base);
}

/// Runs of one account after another, in and out, while the window turns at every place of a run: what was held at the
/// peak stays known, and every sum agrees with the events.
#[test]
fn batches_of_several_accounts_turn_the_window_with_sums_that_agree() {
    for before in [0, 1, 2, 4090, 4093, 4094, 4095, 4096] {
        let ledger = ledger_with(1);
        let paths = ["a", "a/b", "c"];
        let accounts = paths.map(|path| ledger.account(path, None).unwrap());
        for _ in 0..before {
            drop(accounts[0].reserve(bytes(1), "noise").unwrap());
        }
        let nodes: Vec<u32> = (0..9_000).map(|number| accounts[number / 7 % 3].id()).collect();
        let sizes: Vec<u64> = (0..9_000).map(|number| number % 5).collect();
        let batch = ledger.reserve_many(&nodes, &sizes, "many").unwrap();
        let expected = |node: u32| -> u64 {
            nodes.iter().zip(&sizes).filter(|&(&of, _)| of == node).map(|(_, &size)| size).sum()
        };
        let assert_at_peak = || {
            let held = ledger.root().peak_holders(9).unwrap();
            let bytes_of = |path: &str| held.iter().find(|one| one.account == path).unwrap().bytes.get();
            for (path, account) in paths.iter().zip(&accounts) {
                assert_eq!(bytes_of(path), expected(account.id()), "{path} after {before}");
            }
            assert_replays(&ledger.timeline(), |path| ledger.account(path, None).unwrap().charged().get());
        };
        assert_at_peak();
        let every_third: Vec<_> = batch.handles().iter().step_by(3).copied().collect();
        ledger.release_many(&every_third).unwrap();
        assert_at_peak();
        assert_eq!((batch.live(), batch.release(), batch.release()), (6_000, 6_000, 0));
        assert_at_peak();
        super::assert_adds_up(&ledger.snapshot());
        let counts = ledger.snapshot().accounts;
        assert_eq!(counts.iter().map(|row| row.made).sum::<u64>(), 9_000 + before);
        assert!(counts.iter().all(|row| row.reservations == 0 && row.used.is_zero()));
    }
}

/// Labels that never come back cost no memory, whatever else is charged meanwhile.
#[test]
fn labels_that_never_repeat_are_forgotten() {
    for timeline in [0, 4096] {
        let ledger = ledger_with(timeline);
        let account = ledger.account("a", None).unwrap();
        let meter = account.meter("allocator");
        let credit = ledger.credit_account("c", None, Some(bytes(64))).unwrap();
        for number in 0..60_000 {
            meter.charge(bytes(1)).unwrap();
            let reservation = account.reserve(bytes(1), &format!("request {number}")).unwrap();
            meter.discharge(bytes(1));
            drop(reservation);
            if number % 16 == 0 {
                drop(credit.reserve(bytes(1), "credit").unwrap());
                drop(account.meter(&format!("meter {number}")));
            }
        }
        let kept = ledger.timeline().labels.len();
        assert!(kept < 30_000, "{kept} labels kept with a timeline of {timeline}");
        let used = ledger.root().used();
        assert_eq!(used.get(), 0);
    }
}

#[test]
fn eight_threads_write_one_order_of_time() {
    let ledger = ledger_with(65_536);
    std::thread::scope(|scope| {
        for number in 0..8_u64 {
            let account = ledger.account(&format!("a{}", number % 3), None).unwrap();
            scope.spawn(move || {
                for round in 0..3_000_u64 {
                    let reservation = account.reserve(bytes(round % 9), "x").unwrap();
                    let _ = reservation.resize(bytes(round % 7));
                }
            });
        }
    });
    let timeline = ledger.timeline();
    assert!(timeline.events.len() > 60_000);
    assert_replays(&timeline, |_| 0);
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
