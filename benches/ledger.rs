//! A reservation and its release, beside the least that any ledger could do: one lock each, or one atomic
//! read-modify-write per level each way.

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ullage_core::{Account, Bytes, Ledger};

const SIZE: Bytes = Bytes::new(1 << 20);

fn account(ledger: &Ledger, path: &str) -> Account {
    ledger.account(path, Some(Bytes::new(1 << 40))).expect("a good path")
}

fn pair(account: &Account) {
    drop(black_box(account.reserve(black_box(SIZE), "weights")));
}

fn alone(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger/pair");
    let ledger = Ledger::new(Some(Bytes::new(1 << 40)));
    for (levels, path) in [(1, "/"), (4, "host/gpu0/resnet")] {
        let account = account(&ledger, path);
        group.bench_function(BenchmarkId::new("levels", levels), |bencher| bencher.iter(|| pair(&account)));
    }
    group.finish();
}

fn refused(criterion: &mut Criterion) {
    let ledger = Ledger::new(Some(Bytes::new(100)));
    let account = ledger.account("host/gpu0/resnet", None).expect("a good path");
    criterion.bench_function("ledger/refused", |bencher| {
        bencher.iter(|| black_box(account.reserve(SIZE, "weights")));
    });
}

fn floors(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger/floor");
    let used = Mutex::new(0_u64);
    group.bench_function("2 locks of a Mutex<u64>", |bencher| {
        bencher.iter(|| {
            for _ in 0..2 {
                if let Ok(mut used) = used.lock() {
                    *used = black_box(used.wrapping_add(1));
                }
            }
        });
    });
    let levels = [const { AtomicU64::new(0) }; 4];
    group.bench_function("8 atomic adds", |bencher| {
        bencher.iter(|| {
            for level in &levels {
                black_box(level.fetch_add(black_box(1), Ordering::AcqRel));
            }
            for level in &levels {
                black_box(level.fetch_sub(black_box(1), Ordering::AcqRel));
            }
        });
    });
    group.finish();
}

/// Wall time of `pairs` in each of two threads that start together.
fn race(pairs: u64, work: impl Fn(usize) + Sync) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..2 {
            let work = &work;
            scope.spawn(move || (0..pairs).for_each(|_| work(thread)));
        }
    });
    start.elapsed()
}

/// The time is that of a pair in each thread.
fn together(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger/two threads");
    let ledger = Ledger::new(Some(Bytes::new(1 << 40)));
    let siblings = [account(&ledger, "host/gpu0/a"), account(&ledger, "host/gpu0/b")];
    group.bench_function("sibling leaves", |bencher| {
        bencher.iter_custom(|pairs| race(pairs, |thread| pair(&siblings[thread])));
    });
    let used = Mutex::new(0_u64);
    group.bench_function("2 locks of a Mutex<u64>", |bencher| {
        bencher.iter_custom(|pairs| {
            race(pairs, |_| {
                for _ in 0..2 {
                    if let Ok(mut used) = used.lock() {
                        *used = black_box(used.wrapping_add(1));
                    }
                }
            })
        });
    });
    group.finish();
}

criterion_group!(benches, alone, refused, together, floors);
criterion_main!(benches);
