//! What goes wrong: loads, workers, unloads.

use super::*;

fn patient(name: &str, size: u64, retries: u32) -> Registration {
    Registration { retries, ..model(name, size) }
}

const MILLI: u64 = 1_000_000;

#[test]
fn a_failed_load_is_tried_again_for_those_who_wait_and_then_they_are_told() {
    let mut bench = Bench::new(10, &[patient("a", 6, 1), model("b", 4)]);
    let a = bench.id("a");
    let (first, _) = bench.ask("a");
    bench.warm("b");
    assert!(bench.tell(load_failed(a)).is_empty(), "who waits goes on waiting, and b stays");
    assert_eq!((bench.used(), bench.state("a"), bench.state("b")), (4, "failed", "ready"));
    let (second, actions) = bench.ask("a");
    assert_eq!(actions, [Action::Queue { request: second, behind: WaitFor::Backoff }]);
    let Step::Wait { behind: WaitFor::Backoff, .. } = bench.pool.plan(a).step else { panic!("a pause") };
    bench.now = bench.pool.next_deadline().unwrap().as_nanos() - 1;
    assert_eq!(bench.tell(Event::Tick), [load(a)]);
    let refused = [first, second].map(|request| Action::Refuse { request, denial: failed(2, 200) });
    assert_eq!(bench.tell(load_failed(a)), refused);
    let (third, actions) = bench.ask("a");
    let Action::Refuse { request, denial } = &actions[0] else { panic!("{actions:?}") };
    assert!(*request == third && denial.retry_after().unwrap() < Duration::from_millis(200));
    bench.now += 200 * MILLI;
    bench.ask("a");
    bench.loaded("a");
    assert_eq!(bench.pool.status()[0].failures, 0, "all is forgotten");
}

#[test]
fn memory_that_ran_out_is_booked_the_next_time() {
    let mut bench = Bench::new(10, &[patient("a", 4, 5)]);
    let a = bench.id("a");
    bench.ask("a");
    let ran_out = |seen: u64| Event::LoadFailed {
        model: a,
        place: PlaceId::FIRST,
        out_of_memory: Some(bytes(seen).into()),
        may_retry: true,
    };
    bench.tell(ran_out(0));
    bench.now += 1_000 * MILLI;
    bench.tell(Event::Tick);
    assert_eq!(bench.used(), 5, "a quarter more");
    bench.tell(ran_out(9));
    bench.now += 1_000 * MILLI;
    bench.tell(Event::Tick);
    assert_eq!(bench.used(), 9, "what was seen");
    let actions = bench.tell(ran_out(11));
    assert!(matches!(actions[..], [Action::Refuse { denial: Denial::TooLarge { .. }, .. }]), "{actions:?}");
}

#[test]
fn a_lost_model_is_loaded_again_once_its_memory_is_back() {
    let mut bench = Bench::new(10, &[model("a", 6)]);
    let (lease, place) = (bench.ask("a").0, PlaceId::FIRST);
    let a = bench.id("a");
    bench.loaded("a");
    assert!(bench.tell(Event::Lost { model: a, place }).is_empty());
    assert_eq!((bench.state("a"), bench.used(), bench.pool.status()[0].leases), ("lost", 6, 1));
    let (second, actions) = bench.ask("a");
    assert_eq!(actions, [Action::Queue { request: second, behind: WaitFor::Memory }]);
    assert_eq!(bench.unloaded("a"), [load(a)]);
    assert_eq!(bench.loaded("a"), [grant(second, a)]);
    assert!(bench.release(lease).is_empty(), "a lease of the one that is gone");
    assert_eq!(bench.pool.status()[0].leases, 1);
}

#[test]
fn what_an_unload_leaves_behind_stays_booked_until_it_comes_back() {
    let mut bench = Bench::new(10, &[model("a", 6), model("b", 6)]);
    bench.warm("a");
    let (a, place) = (bench.id("a"), PlaceId::FIRST);
    let (request, _) = bench.ask("b");
    let actions = bench.tell(Event::Unloaded { model: a, place, left: bytes(5).into() });
    let blocked_by = vec![a];
    let denial = Denial::Pinned {
        requested: bytes(6),
        available: bytes(5),
        limit: bytes(10),
        blocked_by,
        nearest: nearest(1, None),
    };
    assert_eq!(actions, [Action::Refuse { request, denial }]);
    let status = bench.pool.status_of(a);
    assert_eq!((status.state, status.residue, bench.used()), ("cold", bytes(5), 5));
    bench.tell(Event::Returned { model: a, place, bytes: bytes(5).into() });
    assert_eq!(bench.used(), 0);
    let (_, actions) = bench.ask("b");
    assert!(actions.contains(&load(bench.id("b"))));
}

#[test]
fn an_unload_that_takes_too_long_is_said_once_and_counted_on_no_more() {
    let mut bench = Bench::new(10, &[model("a", 6), model("b", 6)]);
    bench.warm("a");
    let (a, place) = (bench.id("a"), PlaceId::FIRST);
    let (request, _) = bench.ask("b");
    bench.now += 30_000 * MILLI;
    let actions = bench.tell(Event::Tick);
    assert_eq!(actions[0], Action::Overdue { model: a, place, bytes: bytes(6).into() });
    assert!(
        matches!(&actions[1], Action::Refuse { request: refused, denial: Denial::Pinned { .. } } if *refused == request)
    );
    bench.now += 30_000 * MILLI;
    assert!(bench.tell(Event::Tick).is_empty());
    assert_eq!(bench.used(), 6);
    bench.unloaded("a");
    assert_eq!(bench.used(), 0, "better late than never");
}

#[test]
fn what_is_stuck_can_come_back() {
    let mut bench = Bench::new(10, &[model("a", 6), model("b", 6)]);
    bench.warm("a");
    let (a, place) = (bench.id("a"), PlaceId::FIRST);
    bench.ask("b");
    bench.tell(Event::UnloadFailed { model: a, place });
    assert_eq!((bench.state("a"), bench.used()), ("stuck", 6));
    bench.tell(Event::Returned { model: a, place, bytes: bytes(6).into() });
    assert_eq!((bench.state("a"), bench.used()), ("cold", 0));
}
