//! Random worlds around the pool: loads that fail, clients that vanish, sizes that lie, a neighbour in the same ledger.
//! Every action is checked against a world that keeps its own books.

#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::ledger::{Ledger, Reservation};
use crate::pool::policy::by_name;
use crate::units::{Bytes, Time};

const LIMIT: u64 = 100;

#[derive(Clone, Debug)]
enum Happening {
    Ask { model: usize, patience: Option<u64> },
    FinishLoad { which: usize, succeeds: bool },
    FinishUnload { which: usize, succeeds: bool },
    Release { which: usize },
    Vanish { which: usize },
    Measure { model: usize, size: u64 },
    Neighbour { size: u64 },
    NeighbourLeaves,
    Wait { nanos: u64 },
    ClockJumpsBack,
}

fn happening() -> impl Strategy<Value = Happening> {
    let which = 0..8_usize;
    prop_oneof![
        8 => (0..6_usize, prop::option::of(0..60_u64)).prop_map(|(model, patience)| Happening::Ask { model, patience }),
        6 => (which.clone(), prop::bool::weighted(0.85))
            .prop_map(|(which, succeeds)| Happening::FinishLoad { which, succeeds }),
        6 => (which.clone(), prop::bool::weighted(0.97))
            .prop_map(|(which, succeeds)| Happening::FinishUnload { which, succeeds }),
        7 => which.clone().prop_map(|which| Happening::Release { which }),
        2 => which.prop_map(|which| Happening::Vanish { which }),
        1 => (0..6_usize, 0..60_u64).prop_map(|(model, size)| Happening::Measure { model, size }),
        1 => (0..60_u64).prop_map(|size| Happening::Neighbour { size }),
        1 => Just(Happening::NeighbourLeaves),
        3 => (0..20_u64).prop_map(|nanos| Happening::Wait { nanos }),
        1 => Just(Happening::ClockJumpsBack),
    ]
}

fn registration() -> impl Strategy<Value = Registration> {
    (1..110_u64, 0..20_u64, prop::bool::weighted(0.1), prop::option::weighted(0.3, 1..3_u64)).prop_map(
        |(size, workspace, is_pinned, max_concurrency)| Registration {
            name: String::new(),
            estimated: Bytes::new(size),
            booked: Bytes::new(size),
            workspace: Bytes::new(workspace),
            is_pinned,
            max_concurrency,
            load_time: None,
        },
    )
}

/// What is really the case, as far as the pool has been told and has asked.
struct World {
    pool: Pool,
    ledger: Ledger,
    registrations: Vec<Registration>,
    now: u64,
    requests: u64,
    waiting: BTreeMap<RequestId, ModelId>,
    leases: BTreeMap<RequestId, ModelId>,
    loading: BTreeSet<ModelId>,
    ready: BTreeSet<ModelId>,
    unloading: BTreeSet<ModelId>,
    stuck: BTreeSet<ModelId>,
    neighbour: Vec<Reservation>,
    is_closed: bool,
}

impl World {
    fn new(registrations: Vec<Registration>) -> Self {
        let ledger = Ledger::new(Some(Bytes::new(LIMIT)));
        let account = ledger.account("pool", None).unwrap();
        let mut pool = Pool::new(account, by_name("lru").unwrap());
        let mut accepted = Vec::new();
        for (index, registration) in registrations.into_iter().enumerate() {
            let mut registration = Registration { name: format!("m{index}"), ..registration };
            if pool.register(registration.clone()).is_err() {
                registration.is_pinned = false;
                pool.register(registration.clone()).unwrap();
            }
            accepted.push(registration);
        }
        Self {
            pool,
            ledger,
            registrations: accepted,
            now: 0,
            requests: 0,
            waiting: BTreeMap::new(),
            leases: BTreeMap::new(),
            loading: BTreeSet::new(),
            ready: BTreeSet::new(),
            unloading: BTreeSet::new(),
            stuck: BTreeSet::new(),
            neighbour: Vec::new(),
            is_closed: false,
        }
    }

    fn tell(&mut self, event: Event) {
        self.now += 1;
        let actions = self.pool.handle(Time::from_nanos(self.now), event).unwrap();
        for action in actions {
            self.check_and_apply(&action);
        }
        self.check();
    }

    fn check_and_apply(&mut self, action: &Action) {
        match *action {
            Action::Load { model } => {
                let is_elsewhere = self.ready.contains(&model) || self.unloading.contains(&model);
                assert!(self.loading.insert(model) && !is_elsewhere, "{model:?} loaded twice");
            }
            Action::Unload { model } => {
                assert!(self.ready.remove(&model), "{model:?} unloaded but not ready");
                assert!(!self.leases.values().any(|leased| *leased == model), "{model:?} unloaded in use");
                let is_pinned = self.registrations[model.index()].is_pinned;
                assert!(!is_pinned || self.is_closed, "{model:?} unloaded though pinned");
                self.unloading.insert(model);
            }
            Action::Grant { request, model } => {
                assert_eq!(self.waiting.remove(&request), Some(model), "granted what nobody waits for");
                assert!(self.ready.contains(&model), "{model:?} granted but not ready");
                self.leases.insert(request, model);
                let leases = self.leases.values().filter(|leased| **leased == model).count();
                let most = self.registrations[model.index()].max_concurrency;
                assert!(most.is_none_or(|most| u64::try_from(leases).unwrap() <= most), "too many leases");
            }
            Action::Queue { request, .. } => assert!(self.waiting.contains_key(&request)),
            Action::Refuse { request, .. } => {
                assert!(self.waiting.remove(&request).is_some(), "refused what nobody waits for");
            }
        }
    }

    /// Facts that hold after every event.
    fn check(&self) {
        let root = self.ledger.root();
        assert!(root.used().get() <= LIMIT && root.peak().get() <= LIMIT, "overcommitted");
        let held: u64 = self.pool.status().iter().map(|status| status.booked.get()).sum();
        let neighbour: u64 = self.neighbour.iter().map(|reservation| reservation.bytes().get()).sum();
        assert_eq!(root.used().get(), held + neighbour, "the ledger and the pool disagree");
        for (index, status) in self.pool.status().iter().enumerate() {
            let id = ModelId(index);
            let expected = match status.state {
                "cold" => {
                    !(self.loading.contains(&id) || self.ready.contains(&id) || self.unloading.contains(&id))
                }
                "loading" => self.loading.contains(&id),
                "ready" | "draining" => self.ready.contains(&id),
                "unloading" => self.unloading.contains(&id),
                _ => self.stuck.contains(&id),
            };
            assert!(expected, "{id:?} is not {}", status.state);
            let leases = self.leases.values().filter(|leased| **leased == id).count();
            assert_eq!(status.leases, u64::try_from(leases).unwrap());
            let waiting = self.waiting.values().filter(|wanted| **wanted == id).count();
            assert_eq!(status.waiting, u64::try_from(waiting).unwrap());
            if matches!(status.state, "ready" | "draining" | "unloading") {
                assert!(status.booked >= self.registrations[index].booked, "booked less than promised");
            }
        }
    }

    fn happen(&mut self, happening: &Happening) {
        match *happening {
            Happening::Ask { model, patience } => {
                let model = ModelId(model % self.registrations.len());
                self.requests += 1;
                let request = RequestId(self.requests);
                self.waiting.insert(request, model);
                let deadline = patience.map(|nanos| Time::from_nanos(self.now + nanos));
                self.tell(Event::Request { request, model, deadline });
            }
            Happening::FinishLoad { which, succeeds } => {
                if let Some(model) = pick(&self.loading, which) {
                    self.loading.remove(&model);
                    if succeeds {
                        self.ready.insert(model);
                        self.tell(Event::Loaded { model });
                    } else {
                        self.tell(Event::LoadFailed { model });
                    }
                }
            }
            Happening::FinishUnload { which, succeeds } => {
                if let Some(model) = pick(&self.unloading, which) {
                    self.unloading.remove(&model);
                    if succeeds {
                        self.tell(Event::Unloaded { model });
                    } else {
                        self.stuck.insert(model);
                        self.tell(Event::UnloadFailed { model });
                    }
                }
            }
            Happening::Release { which } => {
                if let Some(request) = pick(&self.leases.keys().copied().collect(), which) {
                    self.leases.remove(&request);
                    self.tell(Event::Released { request });
                }
            }
            Happening::Vanish { which } => {
                let everyone = self.waiting.keys().chain(self.leases.keys()).copied().collect();
                if let Some(request) = pick(&everyone, which) {
                    self.waiting.remove(&request);
                    self.leases.remove(&request);
                    self.tell(Event::Cancel { request });
                }
            }
            Happening::Measure { model, size } => {
                let model = ModelId(model % self.registrations.len());
                self.tell(Event::Measured { model, bytes: Bytes::new(size) });
            }
            Happening::Neighbour { size } => {
                let reserved =
                    self.ledger.account("neighbour", None).unwrap().reserve(Bytes::new(size), "co-tenant");
                self.neighbour.extend(reserved);
                self.tell(Event::Tick);
            }
            Happening::NeighbourLeaves => {
                self.neighbour.pop();
                self.tell(Event::Tick);
            }
            Happening::Wait { nanos } => {
                self.now += nanos;
                self.tell(Event::Tick);
            }
            Happening::ClockJumpsBack => {
                self.now /= 2;
                self.tell(Event::Tick);
            }
        }
    }

    /// Lets everything under way end well, as often as it takes.
    fn settle(&mut self) {
        self.neighbour.clear();
        self.tell(Event::Tick);
        for _ in 0..10_000 {
            let is_quiet = self.loading.is_empty() && self.unloading.is_empty() && self.leases.is_empty();
            if is_quiet && self.waiting.is_empty() {
                return;
            }
            assert!(!is_quiet, "{:?} wait for nothing in {:#?}", self.waiting, self.pool.status());
            self.happen(&Happening::FinishLoad { which: 0, succeeds: true });
            self.happen(&Happening::FinishUnload { which: 0, succeeds: true });
            self.happen(&Happening::Release { which: 0 });
        }
        panic!("the pool does not come to rest");
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.tell(Event::Close);
        self.settle();
        let stuck: u64 = self.pool.status().iter().map(|status| status.booked.get()).sum();
        assert_eq!(self.ledger.root().used().get(), stuck);
        assert!(self.pool.status().iter().all(|status| matches!(status.state, "cold" | "stuck")));
    }
}

fn pick<T: Copy + Ord>(set: &BTreeSet<T>, which: usize) -> Option<T> {
    set.iter().nth(which % set.len().max(1)).copied()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn whatever_happens_the_promises_hold(
        registrations in prop::collection::vec(registration(), 1..6),
        happenings in prop::collection::vec(happening(), 1..150),
    ) {
        let mut world = World::new(registrations);
        for happening in &happenings {
            world.happen(happening);
        }
        world.settle();
        world.close();
    }

    /// The log of events is the whole truth: played again, it gives the same actions.
    #[test]
    fn a_run_repeats_from_its_events(
        registrations in prop::collection::vec(registration(), 1..6),
        happenings in prop::collection::vec(happening(), 1..60),
    ) {
        let run = || {
            let mut world = World::new(registrations.clone());
            for happening in &happenings {
                world.happen(happening);
            }
            (world.pool.status(), world.waiting, world.leases)
        };
        prop_assert_eq!(run(), run());
    }

    /// How long a request waits depends on how many were there before it, not on how many come after.
    #[test]
    fn a_steady_load_on_one_model_does_not_starve_another(
        sizes in prop::collection::vec(30..60_u64, 3..6),
        hits in prop::collection::vec((0..6_usize, 0..6_usize), 300),
    ) {
        const LEASE: usize = 6;
        // A load under way ends and its leases run out; then those of the models that drain, an unload and a load.
        const TURN: usize = 2 * LEASE + 6;
        let mut world = World::new(sizes.iter().map(|&size| plain(size)).collect());
        let mut arrived: BTreeMap<RequestId, (usize, usize)> = BTreeMap::new();
        let mut granted: BTreeMap<RequestId, usize> = BTreeMap::new();
        for (step, (often, seldom)) in hits.into_iter().enumerate() {
            // Most ask for the first two models, so that these would stay in use for ever if they could.
            let model = if seldom == 0 { often } else { often % 2 };
            let older = world.waiting.len();
            world.happen(&Happening::Ask { model, patience: None });
            arrived.insert(RequestId(world.requests), (step, older));
            let ended: Vec<RequestId> =
                granted.iter().filter(|(_, since)| step >= **since + LEASE).map(|(request, _)| *request).collect();
            for request in ended {
                granted.remove(&request);
                world.leases.remove(&request);
                world.tell(Event::Released { request });
            }
            for which in 0..sizes.len() {
                world.happen(&Happening::FinishUnload { which, succeeds: true });
                world.happen(&Happening::FinishLoad { which, succeeds: true });
            }
            for request in world.leases.keys() {
                if let Some((since, older)) = arrived.remove(request) {
                    granted.insert(*request, step);
                    let waited = step - since;
                    prop_assert!(waited <= TURN * (older + 1), "{waited} steps behind {older} older requests");
                }
            }
        }
        for (request, (since, older)) in arrived {
            let waited = 300 - since;
            prop_assert!(waited <= TURN * (older + 1), "{request:?} still waits, {waited} steps behind {older}");
        }
    }
}

fn plain(size: u64) -> Registration {
    Registration {
        name: String::new(),
        estimated: Bytes::new(size),
        booked: Bytes::new(size),
        workspace: Bytes::ZERO,
        is_pinned: false,
        max_concurrency: None,
        load_time: None,
    }
}
