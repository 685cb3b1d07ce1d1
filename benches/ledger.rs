//! A reservation and its release four levels deep, in one thread: ours in its forms, the other ways to build such a tree,
//! and the floors that no ledger passes.
//!
//! `make ledger-costs` takes several passes over this and prints what each costs at its least, beside the targets.

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use designs::{FLOORS, Limits, OURS, PEERS};
use ullage_core::ledger::{LedgerOptions, TIMELINE_EVENTS};
use ullage_core::{Bytes, Ledger};

#[path = "peers/ledger_designs.rs"]
mod designs;

const SIZE: u64 = 1 << 20;

/// Samples so short that most of them are not interrupted.
fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(150));
    group
}

fn pairs(criterion: &mut Criterion) {
    let mut group = group(criterion, "ledger/pair");
    for (name, make) in OURS.into_iter().chain(PEERS) {
        let design = make(Limits::NONE);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let start = Instant::now();
                design.pairs(0, SIZE, count);
                start.elapsed()
            });
        });
    }
    group.finish();
}

fn depths(criterion: &mut Criterion) {
    let mut group = group(criterion, "ledger/levels");
    let ledger = Ledger::new(Some(Bytes::new(1 << 40)));
    for (levels, path) in [(1, "/"), (2, "host"), (4, "host/gpu0/a"), (8, "host/gpu0/a/b/c/d/e")] {
        let account = ledger.account(path, None).expect("a good path");
        group.bench_function(BenchmarkId::from_parameter(levels), |bencher| {
            bencher.iter(|| black_box(account.reserve(black_box(Bytes::new(SIZE)), "weights")).is_ok());
        });
    }
    group.finish();
}

fn refused(criterion: &mut Criterion) {
    let mut group = group(criterion, "ledger/refused");
    for (name, make) in OURS.into_iter().chain(PEERS) {
        let design = make(Limits { root: 100, ..Limits::NONE });
        group.bench_function(name, |bencher| bencher.iter(|| black_box(design.pair(0, black_box(SIZE)))));
    }
    group.finish();
}

fn batches(criterion: &mut Criterion) {
    for (name, timeline) in [("ledger/batch", TIMELINE_EVENTS), ("ledger/batch, no timeline", 0)] {
        let mut group = group(criterion, name);
        let limit = Some(Bytes::new(1 << 50));
        let ledger = Ledger::with_options(LedgerOptions { limit, timeline, ..LedgerOptions::default() });
        let account = ledger.account("host/gpu0/kv", None).expect("a good path");
        for count in [16, 256, 4096, 65_536] {
            let sizes = vec![SIZE; count];
            group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                bencher.iter(|| black_box(account.reserve_many(black_box(&sizes), "blocks")).is_ok());
            });
        }
        group.finish();
    }
}

fn floors(criterion: &mut Criterion) {
    let mut group = group(criterion, "ledger/floor");
    for (name, make) in FLOORS {
        let design = make(Limits::NONE);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let start = Instant::now();
                design.pairs(0, SIZE, count);
                start.elapsed()
            });
        });
    }
    let used = Mutex::new(0_u64);
    group.bench_function("2 locks", |bencher| {
        bencher.iter(|| {
            for _ in 0..2 {
                if let Ok(mut used) = used.lock() {
                    *used = black_box(used.wrapping_add(1));
                }
            }
        });
    });
    let clock = quanta::Clock::new();
    group.bench_function("2 locks, the counter read in each", |bencher| {
        bencher.iter(|| {
            for _ in 0..2 {
                if let Ok(mut used) = used.lock() {
                    *used = black_box(used.wrapping_add(clock.raw()));
                }
            }
        });
    });
    let word = AtomicU64::new(0);
    group.bench_function("2 CAS of a word", |bencher| {
        bencher.iter(|| {
            for _ in 0..2 {
                let seen = word.load(Ordering::Relaxed);
                let next = seen.wrapping_add(black_box(1));
                let exchanged = word.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed);
                black_box(&exchanged);
            }
        });
    });
    group.bench_function("the processor's counter", |bencher| bencher.iter(|| black_box(clock.raw())));
    group.bench_function("the system's clock", |bencher| bencher.iter(|| black_box(Instant::now())));
    group.finish();
}

criterion_group!(benches, floors, pairs, depths, refused, batches);
criterion_main!(benches);
