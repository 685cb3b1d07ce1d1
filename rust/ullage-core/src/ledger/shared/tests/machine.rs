//! Processes that are simulated: each has its own view of words on the heap, and dies at a store that the test chooses.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::super::book::{Book, View};
use super::super::header::make;
use super::super::identity::{Surroundings, World, identity};
use super::super::layout::Layout;
use super::super::place::Place;
use super::super::words::{Memory, Words};
use super::super::{SharedLedger, SharedSnapshot};
use crate::error::Result;

/// Lets a process die, for ever.
#[derive(Default)]
pub(in super::super) struct Fuse {
    is_blown: AtomicBool,
}

/// What a process unwinds with when it dies.
struct Died;

thread_local! {
    /// Stores that are still granted to this thread; without a number, all are.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

impl Fuse {
    /// Whether a store has an effect. The first one too many ends the process: what it does on the way out has none, as
    /// nothing is done by a process that is killed.
    pub(in super::super) fn allows(&self) -> bool {
        if self.is_blown.load(Ordering::Relaxed) {
            return false;
        }
        match LEFT.get() {
            None => true,
            Some(0) => {
                LEFT.set(None);
                self.is_blown.store(true, Ordering::Relaxed);
                resume_unwind(Box::new(Died))
            }
            Some(left) => {
                LEFT.set(Some(left - 1));
                true
            }
        }
    }
}

/// Does `work` with `stores` stores; `None` if the process died of it.
pub(super) fn with_stores<T>(stores: u64, work: impl FnOnce() -> T) -> Option<T> {
    LEFT.set(Some(stores));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    LEFT.set(None);
    match outcome {
        Ok(done) => Some(done),
        Err(cause) if cause.is::<Died>() => None,
        Err(cause) => resume_unwind(cause),
    }
}

struct Simulated {
    own: u64,
    dead: Arc<Mutex<HashSet<u64>>>,
    clock: Arc<AtomicU64>,
}

impl World for Simulated {
    fn own_identity(&self) -> Result<u64> {
        Ok(self.own)
    }

    fn is_alive(&self, identity: u64) -> bool {
        identity != 0 && !self.dead.lock().unwrap().contains(&identity)
    }

    fn now_ns(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }
}

pub(super) const SURROUNDINGS: Surroundings = Surroundings { boot: [1, 2], namespaces: [3, 4] };
pub(super) const SMALL: Layout = Layout { members: 4, accounts: 8, waiters: 3 };

pub(super) struct Machine {
    words: Arc<[AtomicU64]>,
    dead: Arc<Mutex<HashSet<u64>>>,
    clock: Arc<AtomicU64>,
}

/// Words on the heap with an empty ledger.
pub(super) fn heap(layout: Layout) -> Arc<[AtomicU64]> {
    let words: Arc<[AtomicU64]> = (0..layout.words()).map(|_| AtomicU64::new(0)).collect();
    make(&Words::new(Memory::Heap(words.clone())), layout, &SURROUNDINGS);
    words
}

impl Machine {
    pub(super) fn new() -> Self {
        Self { words: heap(SMALL), dead: Arc::default(), clock: Arc::new(AtomicU64::new(1)) }
    }

    /// A view of process `id` that has no place yet.
    pub(super) fn book(&self, id: u32) -> Book {
        let words = Words::new(Memory::Heap(self.words.clone()));
        let place = Place::Simulated(AtomicU64::new(0), AtomicU64::new(0));
        let own = identity(id, 1);
        let world = Simulated { own, dead: self.dead.clone(), clock: self.clock.clone() };
        let view = View { words, layout: SMALL, place };
        let mut book = Book::new(view, Box::new(world), PathBuf::from("heap"), |wait| wait());
        book.patience = std::time::Duration::from_millis(100);
        book
    }

    pub(super) fn process(&self, id: u32) -> SharedLedger {
        let book = self.book(id);
        book.open().unwrap();
        SharedLedger::of(book, None).unwrap()
    }

    /// The process is gone, whether it died by the test's hand before or dies now.
    pub(super) fn kill(&self, id: u32, ledger: &SharedLedger) {
        ledger.book.words.fuse.is_blown.store(true, Ordering::Relaxed);
        self.bury(id);
    }

    /// For a process whose view is gone already.
    pub(super) fn bury(&self, id: u32) {
        self.dead.lock().unwrap().insert(identity(id, 1));
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.clock.fetch_add(seconds * 1_000_000_000, Ordering::Relaxed);
    }

    pub(super) fn word(&self, at: usize) -> &AtomicU64 {
        &self.words[at]
    }
}

/// What stands on an account, by process: the naive ledger.
pub(super) type Held = BTreeMap<String, BTreeMap<u32, u64>>;

/// Checks a whole snapshot against what the living know that they hold.
pub(super) fn assert_books(view: &SharedLedger, living: &[u32], held: &Held) {
    let SharedSnapshot { accounts, processes } = view.snapshot().unwrap();
    let pids: Vec<u32> = processes.iter().map(|process| process.pid).collect();
    assert_eq!(pids, living);
    for process in &processes {
        let expected: u64 = held.values().filter_map(|row| row.get(&process.pid)).sum();
        assert_eq!(process.bytes.get(), expected, "pid {}", process.pid);
    }
    let own = |path: &str| held.get(path).map_or(0, |row| row.values().sum::<u64>());
    for row in &accounts {
        let is_below =
            |path: &str| row.path == "/" || path == row.path || path.starts_with(&format!("{}/", row.path));
        let used: u64 = held.keys().filter(|path| is_below(path)).map(|path| own(path)).sum();
        assert_eq!((row.used.get(), row.own.get()), (used, own(&row.path)), "{}", row.path);
        assert!(row.peak >= row.used, "{}", row.path);
        let expected: BTreeMap<u32, u64> = held
            .get(&row.path)
            .into_iter()
            .flatten()
            .map(|(&pid, &bytes)| (pid, bytes))
            .filter(|row| row.1 > 0)
            .collect();
        let shown: BTreeMap<u32, u64> =
            row.processes.iter().map(|(pid, bytes)| (*pid, bytes.get())).collect();
        assert_eq!(shown, expected, "{}", row.path);
        assert_eq!(view.account(&row.path, None).unwrap().used().unwrap(), row.used);
    }
}
