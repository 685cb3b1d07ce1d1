//! A reservation and its release in a ledger that processes share, beside the least that it could cost: two uncontended
//! compare-and-swaps, with two questions for the process id where those were needed to notice a fork.

use std::hint::black_box;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs};

use criterion::{BenchmarkId, Criterion, criterion_group};
use ullage_core::Bytes;
use ullage_core::ledger::shared::{SharedAccount, SharedLedger};

const SIZE: Bytes = Bytes::new(1 << 20);
const LIMIT: Bytes = Bytes::new(1 << 40);
/// Names the ledger that a rival books in.
const RIVAL: &str = "ULLAGE_BENCH_RIVAL";

fn name(what: &str) -> String {
    format!("bench-{}-{what}", std::process::id())
}

fn ledger(what: &str) -> SharedLedger {
    SharedLedger::open(&name(what), Some(LIMIT)).expect("a good name")
}

fn remove(what: &str) {
    SharedLedger::unlink(&name(what)).expect("a ledger of this process");
}

fn pair(account: &SharedAccount) {
    drop(black_box(account.reserve(black_box(SIZE), "weights")));
}

fn alone(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shared/pair");
    let ledger = ledger("pair");
    for (levels, path) in [(1, "/"), (4, "host/gpu0/resnet")] {
        let account = ledger.account(path, None).expect("a good path");
        group.bench_function(BenchmarkId::new("levels", levels), |bencher| bencher.iter(|| pair(&account)));
    }
    group.finish();
    remove("pair");
}

/// A process that books in the same account until it is killed.
struct Rival(Child);

impl Rival {
    fn start(path: &Path) -> Self {
        let own = env::current_exe().expect("the path of this program");
        let mut command = Command::new(own);
        Self(command.env(RIVAL, path).stdin(Stdio::null()).spawn().expect("another process"))
    }

    fn book(path: &str) {
        let ledger = SharedLedger::open(path, None).expect("the ledger of the bench");
        let account = ledger.account("host/gpu0/resnet", None).expect("a good path");
        loop {
            pair(&account);
        }
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The time is that of a pair in this process, while another does the same.
fn together(criterion: &mut Criterion) {
    let ledger = ledger("rivals");
    let account = ledger.account("host/gpu0/resnet", None).expect("a good path");
    let rival = Rival::start(ledger.path());
    while ledger.processes().is_ok_and(|processes| processes.len() < 2) {
        std::thread::yield_now();
    }
    criterion.bench_function("shared/two processes, one account", |bencher| bencher.iter(|| pair(&account)));
    drop(rival);
    remove("rivals");
}

fn refused(criterion: &mut Criterion) {
    let ledger = ledger("refused");
    let account = ledger.account("host/gpu0/resnet", Some(Bytes::new(100))).expect("a good path");
    criterion.bench_function("shared/refused, nobody else", |bencher| {
        bencher.iter(|| black_box(account.reserve(SIZE, "weights")).is_err());
    });
    remove("refused");
}

fn read(criterion: &mut Criterion) {
    let ledger = ledger("read");
    let account = ledger.account("host/gpu0/resnet", None).expect("a good path");
    criterion.bench_function("shared/used", |bencher| bencher.iter(|| black_box(account.used())));
    criterion.bench_function("shared/snapshot, 4 accounts", |bencher| {
        bencher.iter(|| black_box(ledger.snapshot()));
    });
    remove("read");
}

fn opened(criterion: &mut Criterion) {
    let first = ledger("open");
    criterion.bench_function("shared/open and close", |bencher| {
        bencher.iter(|| black_box(SharedLedger::open(&name("open"), None)).is_ok());
    });
    drop(first);
    remove("open");
}

fn floors(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shared/floor");
    let lock = AtomicU64::new(0);
    let take = |own| {
        let _ = black_box(lock.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire));
        lock.store(0, Ordering::Release);
    };
    group.bench_function("2 locks by compare-and-swap", |bencher| {
        bencher.iter(|| (0..2).for_each(|_| take(7)));
    });
    group.bench_function("the same, asking for the process id", |bencher| {
        bencher.iter(|| (0..2).for_each(|_| take(u64::from(std::process::id()))));
    });
    group.bench_function("one stat file of /proc", |bencher| {
        bencher.iter(|| black_box(fs::read("/proc/self/stat").map(|text| text.len())).is_ok());
    });
    group.finish();
}

criterion_group!(benches, alone, together, refused, read, opened, floors);

fn main() {
    if let Ok(path) = env::var(RIVAL) {
        return Rival::book(&path);
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
