#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

mod failures;
mod membership;
mod places;
mod queueing;
mod sizes;
mod tiers;

use std::time::Duration;

use super::*;
use crate::ledger::Ledger;
use crate::units::{Bytes, Time};
use crate::{Error, pool::policy::by_name};

fn bytes(count: u64) -> Bytes {
    Bytes::new(count)
}

fn model(name: &str, size: u64) -> Registration {
    Registration { retries: 0, ..Registration::new(name, Place::new(bytes(size), Bytes::ZERO)) }
}

fn load(model: ModelId) -> Action {
    Action::Load { model, place: PlaceId::FIRST }
}

fn unload(model: ModelId) -> Action {
    Action::Unload { model, place: PlaceId::FIRST }
}

fn grant(request: RequestId, model: ModelId) -> Action {
    Action::Grant { request, model, place: PlaceId::FIRST }
}

fn load_failed(model: ModelId) -> Event {
    Event::LoadFailed { model, place: PlaceId::FIRST, out_of_memory: None, may_retry: true }
}

/// A refusal after so many failures, to be tried again after so many milliseconds.
fn failed(attempts: u32, millis: u64) -> Denial {
    Denial::LoadFailed { attempts, retry_after: Duration::from_millis(millis) }
}

fn nearest(short_by: u64, workspace: Option<u64>) -> Nearest {
    Nearest {
        place: PlaceId::FIRST,
        domain: DomainId::FIRST,
        short_by: bytes(short_by),
        workspace: workspace.map(Bytes::new),
    }
}

/// A pool with a clock that a test moves by hand.
struct Bench {
    pool: Pool,
    ledger: Ledger,
    now: u64,
    requests: u64,
}

impl Bench {
    fn new(limit: u64, models: &[Registration]) -> Self {
        Self::of("lru", limit, models)
    }

    fn of(policy: &str, limit: u64, models: &[Registration]) -> Self {
        let ledger = Ledger::new(Some(bytes(limit)));
        // Whoever wants a model gone has it drained at once, so that a test need not wait.
        let options = Options { group_wait: Duration::ZERO, ..Options::default() };
        let mut pool = Pool::new(ledger.root(), by_name(policy).unwrap()).with_options(options);
        for model in models {
            pool.register(model.clone()).unwrap();
        }
        Self { pool, ledger, now: 0, requests: 0 }
    }

    fn id(&self, name: &str) -> ModelId {
        self.pool.model(name).unwrap()
    }

    fn tell(&mut self, event: Event) -> Vec<Action> {
        self.now += 1;
        self.pool.handle(Time::from_nanos(self.now), event).unwrap()
    }

    fn ask(&mut self, name: &str) -> (RequestId, Vec<Action>) {
        self.requests += 1;
        let request = RequestId(self.requests);
        (
            request,
            self.tell(Event::Request {
                request,
                model: self.id(name),
                deadline: None,
                priority: 0,
                workspace: None,
            }),
        )
    }

    fn loaded(&mut self, name: &str) -> Vec<Action> {
        self.tell(Event::Loaded { model: self.id(name), place: PlaceId::FIRST })
    }

    fn unloaded(&mut self, name: &str) -> Vec<Action> {
        self.tell(Event::Unloaded { model: self.id(name), place: PlaceId::FIRST, left: Demand::ZERO })
    }

    fn release(&mut self, request: RequestId) -> Vec<Action> {
        self.tell(Event::Released { request })
    }

    /// Asks, loads and releases: leaves the model ready and idle.
    fn warm(&mut self, name: &str) {
        let (request, _) = self.ask(name);
        self.loaded(name);
        self.release(request);
    }

    fn used(&self) -> u64 {
        self.ledger.root().used().get()
    }

    fn state(&self, name: &str) -> &'static str {
        self.pool.status()[self.id(name).index()].state
    }
}

#[test]
fn a_cold_model_is_booked_loaded_once_and_granted_to_all() {
    let mut bench = Bench::new(10, &[model("a", 6)]);
    let a = bench.id("a");
    let (first, actions) = bench.ask("a");
    assert_eq!(actions, [Action::Queue { request: first, behind: WaitFor::Load }, load(a)]);
    assert_eq!(bench.used(), 6, "booked before the load");
    let (second, actions) = bench.ask("a");
    assert_eq!(actions, [Action::Queue { request: second, behind: WaitFor::Load }]);
    let granted = [first, second].map(|request| grant(request, a));
    assert_eq!(bench.loaded("a"), granted);
    let (third, actions) = bench.ask("a");
    assert_eq!(actions, [grant(third, a)], "a hit is granted at once");
}

#[test]
fn the_least_recently_used_goes_and_its_bytes_stay_booked_until_they_are_free() {
    let mut bench = Bench::new(10, &[model("a", 4), model("b", 4), model("c", 5)]);
    for name in ["a", "b", "a"] {
        bench.warm_or_hit(name);
    }
    let (request, actions) = bench.ask("c");
    assert_eq!(actions[1], unload(bench.id("b")));
    assert_eq!((bench.used(), bench.state("b")), (8, "unloading"));
    assert!(bench.tell(Event::Tick).is_empty());
    let actions = bench.unloaded("b");
    assert_eq!(actions, [load(bench.id("c"))]);
    assert_eq!(bench.used(), 9);
    assert_eq!(bench.loaded("c"), [grant(request, bench.id("c"))]);
}

impl Bench {
    fn warm_or_hit(&mut self, name: &str) {
        if self.state(name) == "ready" {
            let (request, _) = self.ask(name);
            self.release(request);
        } else {
            self.warm(name);
        }
    }
}

#[test]
fn no_more_is_evicted_than_needed() {
    let mut bench = Bench::of("value", 10, &[model("small", 1), model("large", 8), model("new", 9)]);
    bench.warm("small");
    bench.warm("large");
    let (_, actions) = bench.ask("new");
    let unloads: Vec<_> =
        actions.into_iter().filter(|action| matches!(action, Action::Unload { .. })).collect();
    assert_eq!(unloads, [unload(bench.id("large"))], "the small one, though older, is spared");
}

#[test]
fn a_model_in_use_is_drained_not_destroyed_and_takes_no_new_lease() {
    let mut bench = Bench::new(10, &[model("a", 6), model("b", 6)]);
    let (first, _) = bench.ask("a");
    bench.loaded("a");
    let (for_b, actions) = bench.ask("b");
    assert_eq!(actions, [Action::Queue { request: for_b, behind: WaitFor::Memory }]);
    let (late, actions) = bench.ask("a");
    assert_eq!(actions, [Action::Queue { request: late, behind: WaitFor::Memory }], "hits cannot starve b");
    let actions = bench.release(first);
    assert_eq!(actions, [unload(bench.id("a"))]);
    assert_eq!(bench.unloaded("a"), [load(bench.id("b"))]);
    assert_eq!(bench.loaded("b"), [grant(for_b, bench.id("b"))]);
    assert_eq!(bench.release(for_b), [unload(bench.id("b"))]);
    assert_eq!(bench.unloaded("b"), [load(bench.id("a"))]);
    assert_eq!(bench.loaded("a"), [grant(late, bench.id("a"))]);
}

#[test]
fn a_cancelled_request_leaves_nothing_behind() {
    let mut bench = Bench::new(10, &[model("a", 6), model("b", 6)]);
    let (first, _) = bench.ask("a");
    bench.loaded("a");
    let (for_b, _) = bench.ask("b");
    let (late, _) = bench.ask("a");
    let actions = bench.tell(Event::Cancel { request: for_b });
    assert_eq!(actions, [grant(late, bench.id("a"))], "a drains no longer");
    bench.tell(Event::Cancel { request: first });
    bench.tell(Event::Cancel { request: RequestId(999) });
    assert_eq!(bench.pool.status()[0].leases, 1, "a cancelled grant is a released lease");
}

#[test]
fn a_load_that_nobody_waits_for_any_more_ends_idle() {
    let mut roomy = model("a", 6);
    roomy.places[0].workspace = bytes(2).into();
    let mut bench = Bench::new(10, &[roomy]);
    let (request, _) = bench.ask("a");
    assert_eq!(bench.used(), 8);
    bench.tell(Event::Cancel { request });
    assert!(bench.loaded("a").is_empty());
    assert_eq!((bench.used(), bench.state("a")), (8, "ready"), "with the workspace of a lease to come");
}

#[test]
fn a_hit_is_not_held_up_by_an_older_request_that_waits_for_memory() {
    let mut resident = model("resident", 4);
    resident.places[0].workspace = bytes(1).into();
    resident.is_pinned = true;
    let mut bench = Bench::new(10, &[resident, model("busy", 3), model("large", 5)]);
    bench.warm("resident");
    bench.ask("busy");
    bench.loaded("busy");
    let (large, actions) = bench.ask("large");
    assert_eq!(actions, [Action::Queue { request: large, behind: WaitFor::Memory }]);
    let (first, actions) = bench.ask("resident");
    assert_eq!(actions, [grant(first, bench.id("resident"))]);
    let (second, actions) = bench.ask("resident");
    assert_eq!(
        actions,
        [Action::Queue { request: second, behind: WaitFor::Memory }],
        "more is for the older one"
    );
    assert_eq!(bench.release(first), [grant(second, bench.id("resident"))]);
}

#[test]
fn workspace_is_booked_by_the_lease_and_bounds_concurrency() {
    let mut bounded = model("a", 4);
    bounded.places[0].workspace = bytes(3).into();
    let mut bench = Bench::new(10, &[bounded]);
    let (first, _) = bench.ask("a");
    bench.loaded("a");
    let (_, actions) = bench.ask("a");
    assert!(matches!(actions[..], [Action::Grant { .. }]));
    assert_eq!(bench.used(), 10);
    let (third, actions) = bench.ask("a");
    assert_eq!(actions, [Action::Queue { request: third, behind: WaitFor::Memory }]);
    assert_eq!(bench.release(first), [grant(third, bench.id("a"))]);

    let mut single = model("b", 1);
    single.max_concurrency = Some(1);
    let mut bench = Bench::new(10, &[single]);
    let (first, _) = bench.ask("b");
    bench.loaded("b");
    let (second, actions) = bench.ask("b");
    assert_eq!(actions, [Action::Queue { request: second, behind: WaitFor::Concurrency }]);
    assert_eq!(bench.release(first), [grant(second, bench.id("b"))]);
}

#[test]
fn a_younger_request_may_pass_only_with_bytes_the_older_does_not_need() {
    let mut bench = Bench::new(10, &[model("a", 6), model("b", 9), model("tiny", 1), model("small", 3)]);
    let (_, _) = bench.ask("a");
    bench.loaded("a");
    bench.ask("b");
    let (_, actions) = bench.ask("small");
    assert_eq!(actions.len(), 1, "3 of the 4 free bytes are spoken for");
    let (_, actions) = bench.ask("tiny");
    assert!(!actions.contains(&load(bench.id("tiny"))), "small is ahead of it");
    bench.tell(Event::Cancel { request: RequestId(3) });
    assert_eq!(bench.state("tiny"), "loading");
}

#[test]
fn what_can_never_fit_is_refused_with_the_numbers() {
    let mut pinned = model("pinned", 4);
    pinned.is_pinned = true;
    let mut bench = Bench::new(10, &[pinned, model("huge", 11), model("big", 7)]);
    let (request, actions) = bench.ask("huge");
    let denial = Denial::TooLarge { requested: bytes(11), limit: bytes(10), nearest: nearest(1, None) };
    assert_eq!(actions, [Action::Refuse { request, denial }]);
    bench.warm("pinned");
    let (request, actions) = bench.ask("big");
    let blocked_by = vec![bench.id("pinned")];
    let denial = Denial::Pinned {
        requested: bytes(7),
        available: bytes(6),
        limit: bytes(10),
        blocked_by,
        nearest: nearest(1, None),
    };
    assert_eq!(actions, [Action::Refuse { request, denial }]);

    let mut second = model("also pinned", 7);
    second.is_pinned = true;
    assert!(
        matches!(bench.pool.register(second), Err(Error::BudgetExceeded(_))),
        "impossible pins fail early"
    );
}

#[test]
fn a_failed_load_refuses_its_waiters_and_frees_its_bytes() {
    let mut bench = Bench::new(10, &[model("a", 6)]);
    let (first, _) = bench.ask("a");
    let (second, _) = bench.ask("a");
    let refused = [first, second].map(|request| Action::Refuse { request, denial: failed(1, 100) });
    assert_eq!(bench.tell(load_failed(bench.id("a"))), refused);
    assert_eq!(bench.used(), 0);
    let (early, actions) = bench.ask("a");
    assert!(
        matches!(&actions[..], [Action::Refuse { request, denial: Denial::LoadFailed { .. } }] if *request == early)
    );
    bench.now += 100_000_000;
    let (_, actions) = bench.ask("a");
    assert!(actions.contains(&load(bench.id("a"))), "after a pause the next request tries again");
}

#[test]
fn a_failed_unload_keeps_its_bytes_booked_and_says_so() {
    let mut bench = Bench::new(10, &[model("a", 6), model("b", 6)]);
    bench.warm("a");
    let (request, _) = bench.ask("b");
    let actions = bench.tell(Event::UnloadFailed { model: bench.id("a"), place: PlaceId::FIRST });
    let blocked_by = vec![bench.id("a")];
    let denial = Denial::Pinned {
        requested: bytes(6),
        available: bytes(4),
        limit: bytes(10),
        blocked_by,
        nearest: nearest(2, None),
    };
    assert_eq!(actions, [Action::Refuse { request, denial }]);
    assert_eq!((bench.used(), bench.state("a")), (6, "stuck"));
    let (request, actions) = bench.ask("a");
    assert_eq!(actions, [Action::Refuse { request, denial: Denial::Stuck }]);
}

#[test]
fn a_deadline_ends_a_wait() {
    let mut bench = Bench::new(10, &[model("a", 6), model("b", 6)]);
    bench.ask("a");
    bench.loaded("a");
    let (request, deadline) = (RequestId(50), Some(Time::from_nanos(100)));
    let model = bench.id("b");
    bench.tell(Event::Request { request, model, deadline, priority: 0, workspace: None });
    assert_eq!(bench.pool.next_deadline(), deadline);
    bench.now = 98;
    assert!(bench.tell(Event::Tick).is_empty());
    let actions = bench.tell(Event::Tick);
    assert!(matches!(actions[..], [Action::Refuse { denial: Denial::Timeout { .. }, .. }]));
    assert_eq!(bench.pool.next_deadline(), None);
}

#[test]
fn a_plan_says_what_would_happen_and_changes_nothing() {
    let mut bench = Bench::new(10, &[model("a", 6), model("b", 6), model("c", 20)]);
    bench.warm("a");
    let before = bench.pool.status();
    let step = |bench: &Bench, name| bench.pool.plan(bench.id(name)).step;
    assert_eq!(step(&bench, "a"), Step::Grant);
    let evict = vec![bench.id("a")];
    let whom = evict.clone();
    let wait = Step::Wait { behind: WaitFor::Memory, whom, evict, demote: vec![], drain: vec![] };
    assert_eq!(step(&bench, "b"), wait);
    assert!(matches!(step(&bench, "c"), Step::Refuse(Denial::TooLarge { .. })));
    assert_eq!(bench.pool.status(), before);
}

#[test]
fn a_closing_pool_refuses_drains_and_empties_the_ledger() {
    let mut pinned = model("p", 2);
    pinned.is_pinned = true;
    let mut bench = Bench::new(10, &[model("a", 6), model("b", 6), pinned]);
    bench.warm("p");
    let (lease, _) = bench.ask("a");
    bench.loaded("a");
    let (waiting, _) = bench.ask("b");
    let actions = bench.tell(Event::Close);
    let refused = Action::Refuse { request: waiting, denial: Denial::Closed };
    assert_eq!(actions, [refused, unload(bench.id("p"))]);
    let (request, actions) = bench.ask("a");
    assert_eq!(actions, [Action::Refuse { request, denial: Denial::Closed }]);
    assert_eq!(bench.release(lease), [unload(bench.id("a"))]);
    bench.unloaded("a");
    bench.unloaded("p");
    assert_eq!(bench.used(), 0);
}

#[test]
fn events_that_cannot_have_happened_are_errors_and_change_nothing() {
    let mut bench = Bench::new(10, &[model("a", 6)]);
    let a = bench.id("a");
    let before = bench.pool.status();
    for event in [
        Event::Loaded { model: a, place: PlaceId::FIRST },
        load_failed(a),
        Event::Unloaded { model: a, place: PlaceId::FIRST, left: Demand::ZERO },
        Event::UnloadFailed { model: a, place: PlaceId::FIRST },
        Event::Released { request: RequestId(1) },
        Event::Measured { model: ModelId(7), place: PlaceId::FIRST, bytes: bytes(1).into() },
        Event::Loaded { model: ModelId(7), place: PlaceId::FIRST },
        Event::Request {
            request: RequestId(1),
            model: ModelId(7),
            deadline: None,
            priority: 0,
            workspace: None,
        },
    ] {
        assert!(
            matches!(bench.pool.handle(Time::ZERO, event.clone()), Err(Error::Protocol { .. })),
            "{event:?}"
        );
    }
    bench.ask("a");
    let twice =
        Event::Request { request: RequestId(1), model: a, deadline: None, priority: 0, workspace: None };
    assert!(matches!(bench.pool.handle(Time::ZERO, twice), Err(Error::Protocol { .. })));
    assert_ne!(bench.pool.status(), before);
    assert!(matches!(bench.pool.model("z"), Err(Error::UnknownModel { .. })));
    assert!(matches!(bench.pool.register(model("a", 1)), Err(Error::Argument { .. })));
    assert!(by_name("magic").is_err());
}
