//! Random histories of several processes that die in the middle, beside a ledger that is a map and a sum.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::machine::{Held, Machine, assert_books, with_stores};
use crate::error::Error;
use crate::ledger::shared::{SharedLedger, SharedReservation};
use crate::units::Bytes;

const PATHS: [&str; 4] = ["/", "a", "a/b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Reserve { process: usize, path: usize, bytes: u64 },
    Resize { process: usize, which: usize, bytes: u64 },
    Release { process: usize, which: usize },
    Limit { process: usize, path: usize, limit: Option<u64> },
    Close { process: usize },
    Die { process: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (process, path) = (0..3_usize, 0..PATHS.len());
    let bytes = prop_oneof![8 => 0..40_u64, 1 => any::<u64>()];
    prop_oneof![
        6 => (process.clone(), path.clone(), bytes.clone())
            .prop_map(|(process, path, bytes)| Step::Reserve { process, path, bytes }),
        3 => (process.clone(), any::<usize>(), bytes)
            .prop_map(|(process, which, bytes)| Step::Resize { process, which, bytes }),
        3 => (process.clone(), any::<usize>()).prop_map(|(process, which)| Step::Release { process, which }),
        1 => (process.clone(), path, prop::option::of(0..100_u64))
            .prop_map(|(process, path, limit)| Step::Limit { process, path, limit }),
        1 => process.clone().prop_map(|process| Step::Close { process }),
        1 => process.prop_map(|process| Step::Die { process }),
    ]
}

struct Process {
    id: u32,
    ledger: SharedLedger,
    reservations: Vec<(usize, SharedReservation)>,
}

/// What ought to be true, computed the plain way.
#[derive(Default)]
struct Naive {
    /// Process, path, bytes of every reservation of the living.
    held: Vec<(u32, usize, u64)>,
    limits: BTreeMap<usize, u64>,
}

fn is_above(path: usize, below: usize) -> bool {
    PATHS[path] == "/"
        || PATHS[path] == PATHS[below]
        || PATHS[below].starts_with(&format!("{}/", PATHS[path]))
}

impl Naive {
    fn used(&self, path: usize) -> u128 {
        self.held.iter().filter(|held| is_above(path, held.1)).map(|held| u128::from(held.2)).sum()
    }

    fn fits(&self, path: usize, bytes: u64) -> bool {
        (0..PATHS.len()).filter(|&level| is_above(level, path)).all(|level| {
            let limit = u128::from(*self.limits.get(&level).unwrap_or(&u64::MAX));
            bytes == 0 || self.used(level) + u128::from(bytes) <= limit
        })
    }

    fn books(&self) -> Held {
        let mut books = Held::new();
        for &(id, path, bytes) in &self.held {
            *books.entry(PATHS[path].to_owned()).or_default().entry(id).or_default() += bytes;
        }
        books
    }
}

struct World {
    machine: Machine,
    processes: Vec<Process>,
    naive: Naive,
    next_id: u32,
}

impl World {
    fn new() -> Self {
        let mut world =
            Self { machine: Machine::new(), processes: Vec::new(), naive: Naive::default(), next_id: 1 };
        for _ in 0..3 {
            let process = world.start();
            world.processes.push(process);
        }
        world
    }

    fn start(&mut self) -> Process {
        let id = self.next_id;
        self.next_id += 1;
        let ledger = self.machine.process(id);
        for path in PATHS {
            ledger.account(path, None).unwrap();
        }
        Process { id, ledger, reservations: Vec::new() }
    }

    fn replace(&mut self, process: usize) {
        let id = self.processes[process].id;
        self.naive.held.retain(|held| held.0 != id);
        let fresh = self.start();
        drop(std::mem::replace(&mut self.processes[process], fresh));
    }

    fn die(&mut self, process: usize) {
        let Process { id, ledger, .. } = &self.processes[process];
        self.machine.kill(*id, ledger);
        self.replace(process);
    }

    /// Does one step; with `stores`, its process dies after so many. What a limit became is asked for afterwards.
    fn take(&mut self, step: &Step, stores: u64) {
        let (Step::Reserve { process, .. }
        | Step::Resize { process, .. }
        | Step::Release { process, .. }
        | Step::Limit { process, .. }
        | Step::Close { process }
        | Step::Die { process }) = *step;
        match *step {
            Step::Reserve { path, bytes, .. } => {
                let fits = self.naive.fits(path, bytes);
                let actor = &mut self.processes[process];
                let account = actor.ledger.account(PATHS[path], None).unwrap();
                match with_stores(stores, || account.reserve(Bytes::new(bytes), "x")) {
                    None => self.die(process),
                    Some(Ok(reservation)) => {
                        assert!(fits, "{bytes} on {}", PATHS[path]);
                        actor.reservations.push((path, reservation));
                        self.naive.held.push((actor.id, path, bytes));
                    }
                    Some(Err(Error::BudgetExceeded(_))) => assert!(!fits, "{bytes} on {}", PATHS[path]),
                    Some(Err(other)) => panic!("{other}"),
                }
            }
            Step::Resize { which, bytes, .. } => self.resize(process, which, bytes, stores),
            Step::Release { which, .. } => self.release(process, which, stores),
            Step::Limit { path, limit, .. } => {
                let account = self.processes[process].ledger.account(PATHS[path], None).unwrap();
                let done = with_stores(stores, || account.set_limit(limit.map(Bytes::new)).unwrap());
                if done.is_none() {
                    self.die(process);
                }
                let rows = self.processes[process].ledger.snapshot().unwrap().accounts;
                let row = rows.iter().find(|row| row.path == PATHS[path]).unwrap();
                assert!(done.is_none() || row.limit.map(Bytes::get) == limit);
                match row.limit {
                    Some(limit) => self.naive.limits.insert(path, limit.get()),
                    None => self.naive.limits.remove(&path),
                };
            }
            Step::Close { .. } => {
                match with_stores(stores, || self.processes[process].ledger.close().unwrap()) {
                    None => self.die(process),
                    Some(_) => self.replace(process),
                }
            }
            Step::Die { .. } => self.die(process),
        }
    }

    fn resize(&mut self, process: usize, which: usize, bytes: u64, stores: u64) {
        let Process { id, reservations, .. } = &self.processes[process];
        let Some((path, reservation)) = reservations.get(which % reservations.len().max(1)) else { return };
        let (path, held) = (*path, reservation.bytes().get());
        let fits = self.naive.fits(path, bytes.saturating_sub(held)) || bytes <= held;
        match with_stores(stores, || reservation.resize(Bytes::new(bytes))) {
            None => self.die(process),
            Some(outcome) => {
                assert_eq!(outcome.is_ok(), fits, "{held} to {bytes} on {}", PATHS[path]);
                let row = self.naive.held.iter_mut().find(|row| **row == (*id, path, held)).unwrap();
                row.2 = if fits { bytes } else { held };
            }
        }
    }

    fn release(&mut self, process: usize, which: usize, stores: u64) {
        let Process { id, reservations, .. } = &mut self.processes[process];
        if reservations.is_empty() {
            return;
        }
        let (path, reservation) = reservations.swap_remove(which % reservations.len());
        let released = (*id, path, reservation.bytes().get());
        match with_stores(stores, || reservation.release()) {
            None => self.die(process),
            Some(outcome) => {
                assert!(outcome.unwrap());
                let row = self.naive.held.iter().position(|row| *row == released).unwrap();
                self.naive.held.remove(row);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Half of the steps may use any number of stores, the others die in the middle.
    #[test]
    fn the_books_are_the_sum_of_the_living_after_every_step(
        steps in prop::collection::vec((step(), prop_oneof![Just(u64::MAX), 0..40_u64]), 1..60),
    ) {
        let mut world = World::new();
        for (step, stores) in steps {
            world.take(&step, stores);
            world.machine.pass(1);
            let mut living: Vec<u32> = world.processes.iter().map(|process| process.id).collect();
            living.sort_unstable();
            assert_books(&world.processes[0].ledger, &living, &world.naive.books());
        }
    }
}
