//! Two threads on one ledger: what a pair costs each of them, and how often one that fits is refused because of one that
//! does not.
//!
//! Costs: both threads do the same number of pairs from a common start; the rounds are short and alternate between the
//! designs, so that what else the machine does hits all alike, and a round in which a thread lost its processor is
//! left out. The time is that of a pair in each thread.
//!
//! Refusals: one thread asks for what can never fit, the other for what always does. Every refusal of the second is
//! wrong.
//!
//! With `LEDGER_COSTS` naming a folder, the figures are also written there, as `threads.json` and `refusals.json`.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, hint, thread};

use designs::{Design, FLOORS, Limits, Maker, OURS, PEERS};
use serde_json::{Value, json};

#[path = "peers/ledger_designs.rs"]
mod designs;

const SIZE: u64 = 1 << 20;
const ROUNDS: usize = 200;
const PAIRS: u32 = 2_000;

fn main() {
    let figures = [("threads", costs()), ("refusals", refusals())];
    if let Some(folder) = env::var_os("LEDGER_COSTS") {
        for (name, rows) in figures {
            let path = Path::new(&folder).join(name).with_extension("json");
            fs::write(&path, Value::Array(rows).to_string())
                .expect("the folder of LEDGER_COSTS can be written to");
        }
    }
}

/// Where the two threads work.
#[derive(Clone, Copy)]
struct Place {
    name: &'static str,
    threads: usize,
    is_one_tree: bool,
    leaves: [usize; 2],
}

const PLACES: [Place; 4] = [
    Place { name: "1 thread", threads: 1, is_one_tree: true, leaves: [0, 0] },
    Place { name: "separate trees", threads: 2, is_one_tree: false, leaves: [0, 0] },
    Place { name: "sibling leaves", threads: 2, is_one_tree: true, leaves: [0, 1] },
    Place { name: "same leaf", threads: 2, is_one_tree: true, leaves: [0, 0] },
];

/// Times that the scheduler took the processor from this thread.
fn preemptions() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

/// Time for each thread to do its pairs; `None` if one lost its processor meanwhile.
fn round(trees: &[Box<dyn Design>; 2], place: Place) -> Option<Duration> {
    let ready = AtomicUsize::new(0);
    let work = |thread: usize| {
        let tree = &trees[if place.is_one_tree { 0 } else { thread }];
        let before = preemptions();
        ready.fetch_add(1, Ordering::AcqRel);
        while ready.load(Ordering::Acquire) < place.threads {
            hint::spin_loop();
        }
        let start = Instant::now();
        tree.pairs(place.leaves[thread], SIZE, PAIRS.into());
        let end = Instant::now();
        (preemptions() == before).then_some((start, end))
    };
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = (1..place.threads).map(|thread| scope.spawn(move || work(thread))).collect();
        let first = work(0);
        let mut span = first?;
        for other in others {
            let (start, end) = other.join().expect("a bench does not panic")?;
            span = (span.0.min(start), span.1.max(end));
        }
        Some(span.1.duration_since(span.0))
    })
}

/// Every design in every place.
fn costs() -> Vec<Value> {
    let designs: Vec<_> = OURS.into_iter().chain(PEERS).chain(FLOORS).collect();
    let mut rows = Vec::new();
    println!("ns a pair in each thread: lower quartile, median (rounds without preemption of {ROUNDS})");
    for place in PLACES {
        let trees: Vec<_> =
            designs.iter().map(|(_, make)| [make(Limits::NONE), make(Limits::NONE)]).collect();
        let mut times = vec![Vec::new(); designs.len()];
        for _ in 0..ROUNDS {
            for (trees, times) in trees.iter().zip(&mut times) {
                times.extend(round(trees, place));
            }
        }
        for ((name, _), mut times) in designs.iter().zip(times) {
            times.sort_unstable();
            let quantile = |quarter: usize| {
                let time = times.get(times.len().saturating_mul(quarter) / 4)?;
                Some(time.as_secs_f64() * 1e9 / f64::from(PAIRS))
            };
            let (low, median) = (quantile(1), quantile(2));
            let shown = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.1}"));
            println!(
                "{:<16} {name:<32} {:>8} {:>8} ({})",
                place.name,
                shown(low),
                shown(median),
                times.len()
            );
            rows.push(json!({
                "design": name, "place": place.name, "low_ns": low, "median_ns": median, "rounds": times.len(),
            }));
        }
    }
    rows
}

/// Where the limit sits that the first thread cannot pass; sizes in MiB.
#[derive(Clone, Copy)]
struct Barrier {
    name: &'static str,
    limits: Limits,
    never: u64,
}

const MIB: u64 = 1 << 20;
const BARRIERS: [Barrier; 3] = [
    Barrier { name: "root", limits: Limits { root: 100 * MIB, ..Limits::NONE }, never: 101 * MIB },
    Barrier {
        name: "shared parent, refused at the root",
        limits: Limits { root: 50 * MIB, shared: 100 * MIB, ..Limits::NONE },
        never: 100 * MIB,
    },
    Barrier {
        name: "own leaf, root shared",
        limits: Limits { root: 100 * MIB, leaves: [100 * MIB, MIB], ..Limits::NONE },
        never: 100 * MIB,
    },
];

const TRIES: u32 = 10_000_000;
/// A peer is shown to refuse, or not, in this time; ours must get through all the tries.
const PATIENCE: Duration = Duration::from_secs(1);

/// Refusals of what always fits, and tries; and how often the other was refused meanwhile.
fn contest(make: Maker, barrier: Barrier, patience: Duration) -> (u32, u32, u64) {
    let tree = make(barrier.limits);
    let (is_over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                assert!(!tree.pair(1, barrier.never), "what never fits is never booked");
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        while asked.load(Ordering::Relaxed) == 0 {
            hint::spin_loop();
        }
        let (start, mut refused, mut tries) = (Instant::now(), 0_u32, 0_u32);
        while tries < TRIES && (tries % 1024 != 0 || start.elapsed() < patience) {
            tries = tries.saturating_add(1);
            refused = refused.saturating_add(u32::from(!tree.pair(0, MIB)));
        }
        is_over.store(true, Ordering::Relaxed);
        (refused, tries, asked.load(Ordering::Relaxed))
    })
}

fn refusals() -> Vec<Value> {
    println!("\nrefusals of what always fits, beside one that never does");
    let ours = OURS.map(|(name, make)| (name, make, Duration::MAX));
    let peers = PEERS.map(|(name, make)| (name, make, PATIENCE));
    let mut rows = Vec::new();
    for barrier in BARRIERS {
        for (name, make, patience) in ours.into_iter().chain(peers) {
            let (refused, tries, asked) = contest(make, barrier, patience);
            let share = 100.0 * f64::from(refused) / f64::from(tries);
            println!(
                "{:<36} {name:<32} {refused:>9} of {tries:>9} ({share:.3} %), beside {asked} that never fit",
                barrier.name
            );
            rows.push(json!({"design": name, "limit": barrier.name, "refused": refused, "tries": tries, "never": asked}));
            let is_ours = patience == Duration::MAX;
            assert!(!is_ours || (refused == 0 && asked > 0), "{name} refused what fits");
        }
    }
    rows
}
