//! Every operation dies at every store, and so does whoever repairs what it left.

use super::machine::{Held, Machine, assert_books, with_stores};
use crate::ledger::shared::{SharedLedger, SharedReservation, SharedWaiter};
use crate::units::Bytes;

const LIMIT: u64 = 100;

fn bytes(count: u64) -> Bytes {
    Bytes::new(count)
}

/// The victim, with what it holds before the operation.
struct Victim {
    ledger: SharedLedger,
    reservation: SharedReservation,
    waiter: SharedWaiter,
}

impl Victim {
    fn new(machine: &Machine, id: u32) -> Self {
        let ledger = machine.process(id);
        let account = ledger.account("a/b", None).unwrap();
        let reservation = account.reserve(bytes(20), "held").unwrap();
        let waiter = account.wait(bytes(90), "too much for now").unwrap();
        assert!(waiter.poll().unwrap().is_none());
        Self { ledger, reservation, waiter }
    }
}

type Operation = (&'static str, fn(&Victim));

const OPERATIONS: [Operation; 12] = [
    ("reserve", |victim| {
        std::mem::forget(victim.ledger.account("a/b", None).unwrap().reserve(bytes(30), "x"));
    }),
    ("reserve and drop", |victim| drop(victim.ledger.account("a/b", None).unwrap().reserve(bytes(30), "x"))),
    ("refused", |victim| assert!(victim.ledger.root().reserve(bytes(61), "x").is_err())),
    ("grow", |victim| victim.reservation.resize(bytes(50)).unwrap()),
    ("shrink", |victim| victim.reservation.resize(bytes(1)).unwrap()),
    ("release", |victim| assert!(victim.reservation.release().unwrap())),
    ("new accounts", |victim| {
        drop(victim.ledger.account("c/a long name of several words/d", Some(bytes(9))).unwrap());
    }),
    ("set a limit", |victim| victim.ledger.account("a", None).unwrap().set_limit(Some(bytes(70))).unwrap()),
    ("wait", |victim| {
        let waiter = victim.ledger.root().wait(bytes(95), "x").unwrap();
        assert!(waiter.poll().unwrap().is_none());
        drop(waiter);
    }),
    ("wait on", |victim| assert!(victim.waiter.poll().unwrap().is_none())),
    ("give up", |victim| assert!(victim.waiter.give_up().is_err())),
    ("close", |victim| assert!(victim.ledger.close().unwrap())),
];

/// What the bystander holds, and nobody else after the victim's death.
fn held_by_bystander() -> Held {
    [("a".to_owned(), [(2, 15)].into()), ("a/b".to_owned(), [(2, 25)].into())].into()
}

struct Scene {
    machine: Machine,
    victim: Victim,
    bystander: SharedLedger,
    _held: [SharedReservation; 2],
}

fn scene() -> Scene {
    let machine = Machine::new();
    let bystander = machine.process(2);
    bystander.root().set_limit(Some(bytes(LIMIT))).unwrap();
    let held = [("a", 15), ("a/b", 25)]
        .map(|(path, size)| bystander.account(path, None).unwrap().reserve(bytes(size), "held").unwrap());
    let victim = Victim::new(&machine, 1);
    Scene { machine, victim, bystander, _held: held }
}

/// Lets `operation` die after `stores` stores; none if it needs fewer.
fn died(operation: fn(&Victim), stores: u64) -> Option<Scene> {
    let scene = scene();
    let outcome = with_stores(stores, || operation(&scene.victim));
    if outcome.is_some() {
        return None;
    }
    scene.machine.kill(1, &scene.victim.ledger);
    scene.machine.pass(1);
    Some(scene)
}

/// Runs `check` for the deaths of each operation at each of its stores; at least `least` in all.
fn at_every_store(least: u64, check: impl Fn(Operation, u64)) {
    let mut deaths = 0;
    for operation in OPERATIONS {
        for stores in 0.. {
            if died(operation.1, stores).is_none() {
                assert!(stores > 1, "{} stores nothing", operation.0);
                break;
            }
            check(operation, stores);
            deaths += 1;
        }
    }
    assert!(deaths >= least, "{deaths} deaths");
}

/// Everything that is not the bystander's can be booked, and not a byte more.
fn assert_room(view: &SharedLedger) {
    let free = LIMIT - 40;
    assert!(view.root().reserve(bytes(free + 1), "too much").is_err());
    drop(view.root().reserve(bytes(free), "the rest").unwrap());
}

#[test]
fn whoever_dies_at_any_store_leaves_the_sum_of_the_living_to_the_next_reader() {
    at_every_store(120, |(_, operation), stores| {
        let scene = died(operation, stores).unwrap();
        assert_books(&scene.bystander, &[2], &held_by_bystander());
        assert_room(&scene.bystander);
    });
}

#[test]
fn whoever_dies_at_any_store_never_makes_the_next_request_refused() {
    at_every_store(120, |(_, operation), stores| {
        let scene = died(operation, stores).unwrap();
        assert_room(&scene.bystander); // no reader came before, and no time passed for one
        assert_books(&scene.bystander, &[2], &held_by_bystander());
    });
}

#[test]
fn whoever_dies_at_any_store_is_no_bar_to_a_newcomer() {
    at_every_store(120, |(_, operation), stores| {
        let scene = died(operation, stores).unwrap();
        let newcomer = scene.machine.process(3);
        assert_books(&newcomer, &[2, 3], &held_by_bystander());
    });
}

#[test]
fn whoever_dies_while_repairing_leaves_the_repair_to_the_next() {
    for (name, operation) in OPERATIONS {
        let mut deaths = 0;
        for stores in 0.. {
            if died(operation, stores).is_none() {
                break;
            }
            for repaired in 0.. {
                let scene = died(operation, stores).unwrap();
                let repairer = scene.machine.process(3);
                if with_stores(repaired, || repairer.root().reserve(bytes(1), "x").map(drop)).is_some() {
                    break;
                }
                scene.machine.kill(3, &repairer);
                scene.machine.pass(1);
                assert_books(&scene.bystander, &[2], &held_by_bystander());
                deaths += 1;
            }
        }
        assert!(deaths > 0, "{name}");
    }
}

#[test]
fn whoever_dies_while_opening_leaves_nothing() {
    let mut deaths = 0;
    for stores in 0.. {
        let scene = scene();
        scene.machine.kill(1, &scene.victim.ledger);
        let opened = with_stores(stores, || {
            let book = scene.machine.book(3);
            book.open().unwrap();
        });
        if opened.is_some() {
            break;
        }
        scene.machine.bury(3);
        scene.machine.pass(1);
        assert_books(&scene.bystander, &[2], &held_by_bystander());
        deaths += 1;
    }
    assert!(deaths > 10, "{deaths} deaths");
}
