//! A tree of accounts four levels deep, built in every way that others build theirs, each at its best: fixed paths, a cache
//! line pair for each level, peaks from the values that the updates returned. And ours, behind the same trait.
//!
//! ```text
//!        root
//!         │
//!        host           no limit of its own
//!         │
//!       shared
//!      ┌──┴───┐
//!   leaf 0  leaf 1
//! ```

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ullage_core::ledger::{LedgerOptions, OriginPolicy};
use ullage_core::{Account, Bytes, Ledger};

const NONE: u64 = u64::MAX >> 1;

/// Limits of the tree; what has none has room for more than anybody asks.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) root: u64,
    pub(crate) shared: u64,
    pub(crate) leaves: [u64; 2],
}

impl Limits {
    pub(crate) const NONE: Self = Self { root: NONE, shared: NONE, leaves: [NONE; 2] };

    fn of_nodes(self) -> [u64; 5] {
        [self.root, NONE, self.shared, self.leaves[0], self.leaves[1]]
    }
}

/// The nodes from a leaf to the root.
const fn path(leaf: usize) -> [usize; 4] {
    [if leaf == 0 { 3 } else { 4 }, 2, 1, 0]
}

/// One way to build the tree.
pub(crate) trait Design: Sync {
    /// Reserves on a leaf and all above it and gives back at once; false if refused.
    fn pair(&self, leaf: usize, bytes: u64) -> bool;

    /// As many pairs, without a dynamic call for each.
    fn pairs(&self, leaf: usize, bytes: u64, count: u64) {
        for _ in 0..count {
            black_box(self.pair(leaf, black_box(bytes)));
        }
    }
}

/// Makes a tree with the limits given.
pub(crate) type Maker = fn(Limits) -> Box<dyn Design>;

/// Ours, in the forms that cost differently.
pub(crate) const OURS: [(&str, Maker); 8] = [
    ("ours, exact", |limits| Box::new(Owned { accounts: exact(limits, QUIET), label: "weights" })),
    ("ours, exact, held", |limits| Box::new(Held { accounts: exact(limits, QUIET), label: "weights" })),
    ("ours, exact, drawn", |limits| Box::new(Drawn { accounts: exact(limits, QUIET) })),
    ("ours, exact, timeline", |limits| Box::new(Owned { accounts: exact(limits, TIMED), label: "weights" })),
    ("ours, exact, timeline, origins", |limits| {
        Box::new(Owned { accounts: exact(limits, LedgerOptions::default()), label: "weights" })
    }),
    ("ours, credit, drawn", |limits| Box::new(Drawn { accounts: credit(limits) })),
    ("ours, credit, held", |limits| Box::new(Held { accounts: credit(limits), label: "" })),
    ("ours, credit", |limits| Box::new(Owned { accounts: credit(limits), label: "" })),
];

/// What others build.
pub(crate) const PEERS: [(&str, Maker); 7] = [
    ("add, roll back", |limits| Box::new(AddThenRollBack(levels(limits)))),
    ("CAS, leaf first", |limits| Box::new(CasLeafFirst(levels(limits)))),
    ("CAS, root first", |limits| Box::new(CasRootFirst(levels(limits)))),
    ("check, CAS, arbiter", |limits| {
        Box::new(CheckThenCas { tree: CasLeafFirst(levels(limits)), arbiter: Mutex::new(()) })
    }),
    ("mutex per node", |limits| {
        Box::new(MutexPerNode(limits.of_nodes().map(|limit| Apart(Mutex::new(Plain::new(limit))))))
    }),
    ("one mutex", |limits| Box::new(OneMutex::new(limits))),
    ("leaf credit", |limits| {
        Box::new(LeafCredit { tree: OneMutex::new(limits), credits: Default::default() })
    }),
];

/// No ledgers, but the atomic updates that one cannot do without, and no ledger that locks nothing gets below.
pub(crate) const FLOORS: [(&str, Maker); 2] = [
    ("8 atomic updates", |limits| Box::new(EightUpdates(levels(limits)))),
    ("2 atomic updates", |limits| Box::new(TwoUpdates(levels(limits)))),
];

const QUIET: LedgerOptions = LedgerOptions { limit: None, timeline: 0, origins: OriginPolicy::Off };
const TIMED: LedgerOptions = LedgerOptions { timeline: ullage_core::ledger::TIMELINE_EVENTS, ..QUIET };

fn tree(limits: Limits, options: LedgerOptions) -> Ledger {
    let ledger = Ledger::with_options(LedgerOptions { limit: Some(Bytes::new(limits.root)), ..options });
    ledger.account("host/shared", Some(Bytes::new(limits.shared))).expect("a good path");
    ledger
}

fn exact(limits: Limits, options: LedgerOptions) -> [Account; 2] {
    let ledger = tree(limits, options);
    let open = |name: &str, limit| ledger.account(name, Some(Bytes::new(limit))).expect("a good path");
    [open("host/shared/a", limits.leaves[0]), open("host/shared/b", limits.leaves[1])]
}

fn credit(limits: Limits) -> [Account; 2] {
    let ledger = tree(limits, QUIET);
    let open =
        |name: &str, limit| ledger.credit_account(name, Some(Bytes::new(limit)), None).expect("a good path");
    [open("host/shared/a", limits.leaves[0]), open("host/shared/b", limits.leaves[1])]
}

struct Owned {
    accounts: [Account; 2],
    label: &'static str,
}

impl Design for Owned {
    #[inline]
    fn pair(&self, leaf: usize, bytes: u64) -> bool {
        let reservation = self.accounts[leaf].reserve(Bytes::new(bytes), black_box(self.label));
        black_box(&reservation).is_ok()
    }
}

/// Ours, for as long as the account is borrowed: label, age, size and all, without a count of owners.
struct Held {
    accounts: [Account; 2],
    label: &'static str,
}

impl Design for Held {
    #[inline]
    fn pair(&self, leaf: usize, bytes: u64) -> bool {
        let reservation = self.accounts[leaf].hold(Bytes::new(bytes), black_box(self.label));
        black_box(&reservation).is_ok()
    }
}

struct Drawn {
    accounts: [Account; 2],
}

impl Design for Drawn {
    #[inline]
    fn pair(&self, leaf: usize, bytes: u64) -> bool {
        let draw = self.accounts[leaf].draw(Bytes::new(bytes));
        black_box(&draw).is_ok()
    }
}

/// Two cache lines, so that neighbours share neither a line nor a prefetched pair.
#[repr(align(128))]
#[derive(Default)]
struct Apart<T>(T);

struct Level {
    charged: AtomicU64,
    peak: AtomicU64,
    limit: u64,
}

type Levels = [Apart<Level>; 5];

fn levels(limits: Limits) -> Levels {
    limits.of_nodes().map(|limit| Apart(Level { charged: AtomicU64::new(0), peak: AtomicU64::new(0), limit }))
}

impl Level {
    /// One compare-and-swap that never passes the limit; gives what is charged then.
    #[inline]
    fn charge(&self, bytes: u64) -> Option<u64> {
        let mut charged = self.charged.load(Ordering::Relaxed);
        loop {
            let next = charged.wrapping_add(bytes);
            if next > self.limit {
                return None;
            }
            match self.charged.compare_exchange_weak(charged, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(next),
                Err(seen) => charged = seen,
            }
        }
    }

    #[inline]
    fn discharge(&self, bytes: u64) {
        self.charged.fetch_sub(bytes, Ordering::Release);
    }

    #[inline]
    fn raise_peak(&self, charged: u64) {
        if charged > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(charged, Ordering::Relaxed);
        }
    }
}

/// Gives back on every level and raises the peaks, which only a whole walk may do.
#[inline]
fn finish(levels: &Levels, path: [usize; 4], charged: [u64; 4], bytes: u64) {
    for (node, charged) in path.into_iter().zip(charged) {
        levels[node].0.raise_peak(charged);
    }
    for node in path {
        levels[node].0.discharge(bytes);
    }
}

/// One on each level each way.
struct EightUpdates(Levels);

impl Design for EightUpdates {
    #[inline]
    fn pair(&self, leaf: usize, bytes: u64) -> bool {
        for node in path(leaf) {
            self.0[node].0.charged.fetch_add(bytes, Ordering::AcqRel);
        }
        for node in path(leaf) {
            self.0[node].0.discharge(bytes);
        }
        true
    }
}

/// One on the leaf each way.
struct TwoUpdates(Levels);

impl Design for TwoUpdates {
    #[inline]
    fn pair(&self, leaf: usize, bytes: u64) -> bool {
        let [node, ..] = path(leaf);
        self.0[node].0.charged.fetch_add(bytes, Ordering::AcqRel);
        self.0[node].0.discharge(bytes);
        true
    }
}

/// The kernel's page counter, `ClickHouse`, RMM's limiting adaptor.
struct AddThenRollBack(Levels);

impl Design for AddThenRollBack {
    #[inline]
    fn pair(&self, leaf: usize, bytes: u64) -> bool {
        let (path, mut charged) = (path(leaf), [0; 4]);
        for (depth, &node) in path.iter().enumerate() {
            let level = &self.0[node].0;
            charged[depth] = level.charged.fetch_add(bytes, Ordering::AcqRel).wrapping_add(bytes);
            if charged[depth] > level.limit {
                for &node in &path[..=depth] {
                    self.0[node].0.discharge(bytes);
                }
                return false;
            }
        }
        finish(&self.0, path, charged, bytes);
        true
    }
}

#[inline]
fn cas_walk(levels: &Levels, path: [usize; 4], bytes: u64) -> bool {
    let mut all = [0; 4];
    for (depth, &node) in path.iter().enumerate() {
        let Some(charged) = levels[node].0.charge(bytes) else {
            for &node in &path[..depth] {
                levels[node].0.discharge(bytes);
            }
            return false;
        };
        all[depth] = charged;
    }
    finish(levels, path, all, bytes);
    true
}

struct CasLeafFirst(Levels);

impl Design for CasLeafFirst {
    #[inline]
    fn pair(&self, leaf: usize, bytes: u64) -> bool {
        cas_walk(&self.0, path(leaf), bytes)
    }
}

struct CasRootFirst(Levels);

impl Design for CasRootFirst {
    #[inline]
    fn pair(&self, leaf: usize, bytes: u64) -> bool {
        let [leaf, shared, host, root] = path(leaf);
        cas_walk(&self.0, [root, host, shared, leaf], bytes)
    }
}

/// A read-only check of the whole path, then the walk; a refusal is tried again six times with growing pauses, then once
/// under a lock.
struct CheckThenCas {
    tree: CasLeafFirst,
    arbiter: Mutex<()>,
}

impl CheckThenCas {
    #[inline]
    fn attempt(&self, leaf: usize, bytes: u64) -> bool {
        let fits = |&node: &usize| {
            let level = &self.tree.0[node].0;
            level.charged.load(Ordering::Relaxed).wrapping_add(bytes) <= level.limit
        };
        path(leaf).iter().all(fits) && self.tree.pair(leaf, bytes)
    }

    #[cold]
    fn confirm(&self, leaf: usize, bytes: u64) -> bool {
        for tries in 0..6_u32 {
            (0..16_u32 << tries).for_each(|_| spin_loop());
            if self.attempt(leaf, bytes) {
                return true;
            }
        }
        let _arbiter = self.arbiter.lock().unwrap_or_else(PoisonError::into_inner);
        self.attempt(leaf, bytes)
    }
}

impl Design for CheckThenCas {
    #[inline]
    fn pair(&self, leaf: usize, bytes: u64) -> bool {
        self.attempt(leaf, bytes) || self.confirm(leaf, bytes)
    }
}

struct Plain {
    charged: u64,
    peak: u64,
    limit: u64,
}

impl Plain {
    const fn new(limit: u64) -> Self {
        Self { charged: 0, peak: 0, limit }
    }

    #[inline]
    fn fits(&self, bytes: u64) -> bool {
        bytes <= self.limit.saturating_sub(self.charged)
    }

    #[inline]
    fn charge(&mut self, bytes: u64) {
        self.charged = self.charged.wrapping_add(bytes);
        self.peak = self.peak.max(self.charged);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A lock on each account, all of a path held at once while the decision is made.
struct MutexPerNode([Apart<Mutex<Plain>>; 5]);

impl Design for MutexPerNode {
    #[inline]
    fn pair(&self, leaf: usize, bytes: u64) -> bool {
        {
            let mut path = path(leaf).map(|node| lock(&self.0[node].0));
            if !path.iter().all(|level| level.fits(bytes)) {
                return false;
            }
            for level in &mut path {
                level.charge(bytes);
            }
        }
        for node in path(leaf) {
            let mut level = lock(&self.0[node].0);
            level.charged = level.charged.wrapping_sub(bytes);
        }
        true
    }
}

/// One lock round the whole tree, and nothing else: no labels, no identities, no owners.
struct OneMutex(Mutex<[Plain; 5]>);

impl OneMutex {
    fn new(limits: Limits) -> Self {
        Self(Mutex::new(limits.of_nodes().map(Plain::new)))
    }

    #[inline]
    fn charge(&self, leaf: usize, bytes: u64) -> bool {
        let mut levels = lock(&self.0);
        let fits = path(leaf).iter().all(|&node| levels[node].fits(bytes));
        if fits {
            for node in path(leaf) {
                levels[node].charge(bytes);
            }
        }
        fits
    }

    #[inline]
    fn discharge(&self, leaf: usize, bytes: u64) {
        let mut levels = lock(&self.0);
        for node in path(leaf) {
            levels[node].charged = levels[node].charged.wrapping_sub(bytes);
        }
    }
}

impl Design for OneMutex {
    #[inline]
    fn pair(&self, leaf: usize, bytes: u64) -> bool {
        let fits = self.charge(leaf, bytes);
        if fits {
            self.discharge(leaf, bytes);
        }
        fits
    }
}

const QUANTUM: u64 = 8 << 20;

/// Velox's quanta, the kernel's stock: bytes bought in advance, one update each way. Credit that a sibling leaf holds
/// idle is not taken back before a refusal, and no leaf knows its own peak.
struct LeafCredit {
    tree: OneMutex,
    credits: [Apart<AtomicU64>; 2],
}

impl LeafCredit {
    #[inline]
    fn take(&self, leaf: usize, bytes: u64) -> bool {
        let credit = &self.credits[leaf].0;
        let mut left = credit.load(Ordering::Relaxed);
        while let Some(next) = left.checked_sub(bytes) {
            match credit.compare_exchange_weak(left, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => left = seen,
            }
        }
        self.buy(leaf, bytes)
    }

    #[cold]
    fn buy(&self, leaf: usize, bytes: u64) -> bool {
        if self.tree.charge(leaf, bytes.saturating_add(QUANTUM)) {
            self.credits[leaf].0.fetch_add(QUANTUM, Ordering::AcqRel);
            return true;
        }
        self.tree.charge(leaf, bytes)
    }

    #[inline]
    fn put(&self, leaf: usize, bytes: u64) {
        let credit = self.credits[leaf].0.fetch_add(bytes, Ordering::AcqRel).wrapping_add(bytes);
        if credit > 2 * QUANTUM {
            self.sell(leaf);
        }
    }

    #[cold]
    fn sell(&self, leaf: usize) {
        let credit = self.credits[leaf].0.swap(0, Ordering::AcqRel);
        self.tree.discharge(leaf, credit);
    }
}

impl Design for LeafCredit {
    #[inline]
    fn pair(&self, leaf: usize, bytes: u64) -> bool {
        let fits = self.take(leaf, bytes);
        if fits {
            self.put(leaf, bytes);
        }
        fits
    }
}
