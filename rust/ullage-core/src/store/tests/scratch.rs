//! The scratch space: one budget, many threads.

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use tempfile::{TempDir, tempdir};

use super::{bytes_of, file, weights};
use crate::codec::Plan;
use crate::error::Error;
use crate::ledger::Ledger;
use crate::model::Model;
use crate::store::{Form, StoreOptions, WeightStore, WriteOptions, write};
use crate::units::Bytes;

/// Bytes of one tensor of the store, decoded.
const TENSOR: u64 = 4 * 32 * 32;

/// A file of `count` compressed tensors of [`TENSOR`] bytes.
fn layers(folder: &Path, count: u32) -> PathBuf {
    let names: Vec<String> = (0..count).map(|layer| format!("layer.{layer}.weight")).collect();
    let tensors: Vec<(&str, &str, &[u64], Vec<u8>)> = names
        .iter()
        .zip(0..)
        .map(|(name, seed)| (name.as_str(), "F32", &[32, 32][..], bytes_of(&weights(1024, seed))))
        .collect();
    let source = file(folder, "m.safetensors", &tensors);
    let out = folder.join("out.safetensors");
    let plan = Plan::new("linear:8".parse().unwrap());
    write(&Model::open(&source).unwrap(), &plan, &out, &WriteOptions::default()).unwrap().unwrap();
    out
}

fn store(count: u32, room: u64, ledger: Option<&Ledger>) -> (WeightStore, TempDir) {
    let folder = tempdir().unwrap();
    let account = ledger.map(|ledger| ledger.account("store", None).unwrap());
    let options = StoreOptions { scratch: Bytes::new(room * TENSOR), threads: 2, account };
    (WeightStore::open(&layers(folder.path(), count), &options).unwrap(), folder)
}

#[test]
fn a_round_that_does_not_fit_keeps_what_fits() {
    let (store, _folder) = store(10, 6, None);
    for _ in 0..20 {
        for place in 0..10 {
            store.get(place, Form::Native, Duration::ZERO).unwrap();
        }
    }
    let stats = store.stats();
    assert_eq!(stats.hits + stats.misses, 200);
    // The best there is keeps five of ten and decodes the others in the sixth buffer; the least recently used keeps none.
    assert!(stats.hits >= 85, "{stats:?}");
    assert_eq!(stats.peak.get(), 6 * TENSOR);
}

#[test]
fn what_is_decoded_ahead_stays_until_it_is_asked_for() {
    let (store, _folder) = store(6, 3, None);
    for place in 0..6 {
        assert_eq!(store.prefetch(place, Form::Native).unwrap(), place < 3);
    }
    assert!(store.prefetch(0, Form::Native).unwrap());
    for place in 0..3 {
        store.get(place, Form::Native, Duration::ZERO).unwrap();
    }
    let stats = store.stats();
    assert_eq!((stats.misses, stats.hits), (3, 3));
    assert!(store.prefetch(5, Form::Native).unwrap());
    store.close();
    assert!(matches!(store.prefetch(4, Form::Native), Err(Error::Argument { name: "store", .. })));
}

#[test]
fn what_is_held_is_never_used_again_and_a_full_space_refuses() {
    let (store, _folder) = store(4, 2, None);
    let first = store.get(0, Form::Native, Duration::ZERO).unwrap();
    let before = first.bytes().to_vec();
    let second = store.get(1, Form::Native, Duration::ZERO).unwrap();
    let Err(Error::BudgetExceeded(refusal)) = store.get(2, Form::Native, Duration::from_millis(30)) else {
        panic!("there is no room")
    };
    assert_eq!((refusal.requested.get(), refusal.available.get()), (TENSOR, 0));
    assert_eq!(refusal.limit.get(), 2 * TENSOR);
    let named: Vec<&str> = refusal.holders.iter().map(|holder| holder.label.as_str()).collect();
    assert_eq!(named, ["layer.0.weight", "layer.1.weight"]);
    drop(second);
    store.get(2, Form::Native, Duration::ZERO).unwrap();
    store.get(3, Form::Native, Duration::ZERO).unwrap();
    assert_eq!(first.bytes(), before);
    assert_eq!(store.stats().held.get(), TENSOR);
}

#[test]
fn what_never_fits_is_refused_at_once() {
    let (store, _folder) = store(1, 0, None);
    let found = store.get(0, Form::Native, Duration::from_hours(1));
    assert!(matches!(found, Err(Error::BudgetExceeded(_))));
}

#[test]
fn whoever_waits_gets_the_buffer_that_is_let_go() {
    let (store, _folder) = store(2, 1, None);
    let first = store.get(0, Form::Native, Duration::ZERO).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| store.get(1, Form::Native, Duration::from_mins(1)).map(drop));
        thread::sleep(Duration::from_millis(20));
        drop(first);
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn many_who_ask_for_one_tensor_decode_it_once() {
    let (store, _folder) = store(3, 3, None);
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                for place in 0..3 {
                    store.get(place, Form::Native, Duration::ZERO).unwrap();
                }
            });
        }
    });
    let stats = store.stats();
    assert_eq!((stats.misses, stats.hits + stats.shared), (3, 21));
    assert_eq!(stats.decoded.get(), 3 * TENSOR);
}

#[test]
fn threads_in_a_tight_space_see_the_right_numbers_and_books_that_close() {
    let ledger = Ledger::new(None);
    let (store, _folder) = store(6, 3, Some(&ledger));
    let expected: Vec<Vec<u8>> = (0..6)
        .map(|place| store.get(place, Form::Native, Duration::ZERO).unwrap().bytes().to_vec())
        .collect();
    thread::scope(|scope| {
        for worker in 0..3_usize {
            let (store, expected) = (&store, &expected);
            scope.spawn(move || {
                for turn in 0..300_usize {
                    let place = (turn * (worker + 1) + worker) % 6;
                    let array = store.get(place, Form::Native, Duration::from_mins(1)).unwrap();
                    assert_eq!(array.bytes(), expected[place]);
                    assert!(store.stats().used.get() <= 3 * TENSOR);
                }
            });
        }
    });
    let file = store.file().bytes();
    assert_eq!(ledger.root().used(), file.saturating_add(store.stats().used));
    store.clear();
    assert_eq!(ledger.root().used(), file);
    drop(store);
    assert_eq!(ledger.root().used(), Bytes::ZERO);
}

#[test]
fn an_account_that_is_full_takes_from_what_nobody_holds_and_refuses_the_rest() {
    let ledger = Ledger::new(None);
    let (store, _folder) = store(4, 4, Some(&ledger));
    let file = store.file().bytes();
    ledger.root().set_limit(Some(file.saturating_add(Bytes::new(2 * TENSOR))));
    for place in 0..4 {
        store.get(place, Form::Native, Duration::ZERO).unwrap();
    }
    assert_eq!(store.stats().used.get(), 2 * TENSOR);
    let _held = [2, 3].map(|place| store.get(place, Form::Native, Duration::ZERO).unwrap());
    let Err(Error::BudgetExceeded(refusal)) = store.get(0, Form::Native, Duration::ZERO) else {
        panic!("there is no room")
    };
    assert_eq!(refusal.account, "/");
}

#[test]
fn an_account_without_room_for_the_file_opens_nothing() {
    let folder = tempdir().unwrap();
    let ledger = Ledger::new(Some(Bytes::new(10)));
    let account = Some(ledger.account("store", None).unwrap());
    let options = StoreOptions { account, ..StoreOptions::default() };
    let found = WeightStore::open(&layers(folder.path(), 1), &options);
    assert!(matches!(found, Err(Error::BudgetExceeded(_))));
    assert_eq!(ledger.root().used(), Bytes::ZERO);
}

#[test]
fn arrays_outlive_a_store_that_was_closed_and_are_booked_until_they_go() {
    let ledger = Ledger::new(None);
    let (store, _folder) = store(2, 2, Some(&ledger));
    let array = store.get(0, Form::Native, Duration::ZERO).unwrap();
    store.get(1, Form::Native, Duration::ZERO).unwrap();
    let before = array.bytes().to_vec();
    let file = store.file().bytes();
    store.close();
    assert!(store.is_closed());
    assert!(matches!(store.get(1, Form::Native, Duration::ZERO), Err(Error::Argument { name: "store", .. })));
    assert_eq!(ledger.root().used(), file.saturating_add(Bytes::new(TENSOR)));
    drop(store);
    assert_eq!(array.bytes(), before);
    assert_eq!(ledger.root().used(), Bytes::new(TENSOR));
    drop(array);
    assert_eq!(ledger.root().used(), Bytes::ZERO);
}
