//! Any sequence of events keeps the pool's promises, and what cannot have happened is a `Protocol` error that changes
//! nothing. Unlike the simulation in the core, events come in any order, true or not.
#![no_main]
#![allow(clippy::arithmetic_side_effects, reason = "an overflow is a panic, which is what fuzzing looks for")]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use ullage_core::pool::policy::by_name;
use ullage_core::pool::{Action, Demand, Event, ModelId, Place, PlaceId, Pool, Registration, RequestId};
use ullage_core::{Bytes, Error, Ledger, Reservation, Time};

const LIMIT: u64 = 100;
const REQUESTS: u8 = 24;

fuzz_target!(|input: &[u8]| {
    let Some((&models, rest)) = input.split_first() else { return };
    let models = usize::from(models % 6) + 1;
    let Some((registrations, events)) = rest.split_at_checked(models * 3) else { return };
    let mut world = World::new(registrations);
    for event in events.chunks_exact(3) {
        world.happen([event[0], event[1], event[2]]);
    }
    world.settle();
});

struct World {
    pool: Pool,
    ledger: Ledger,
    models: Vec<ModelId>,
    pinned: BTreeSet<ModelId>,
    most: BTreeMap<ModelId, u64>,
    now: u64,
    waiting: BTreeMap<RequestId, ModelId>,
    leases: BTreeMap<RequestId, ModelId>,
    loading: BTreeSet<ModelId>,
    ready: BTreeSet<ModelId>,
    unloading: BTreeSet<ModelId>,
    lost: BTreeSet<ModelId>,
    /// Leases of models that were lost.
    orphans: BTreeMap<RequestId, ModelId>,
    neighbour: Vec<Reservation>,
    is_closed: bool,
}

impl World {
    fn new(registrations: &[u8]) -> Self {
        let ledger = Ledger::new(Some(Bytes::new(LIMIT)));
        let account = ledger.account("pool", None).expect("a good path");
        let mut pool = Pool::new(account, by_name("lru").expect("a known policy"));
        let (mut models, mut pinned, mut most) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        for (index, bytes) in registrations.chunks_exact(3).enumerate() {
            let size = Bytes::new(u64::from(bytes[0] % 110));
            let is_pinned = bytes[2] & 7 == 7;
            let max_concurrency = (bytes[2] & 8 != 0).then(|| u64::from(bytes[2] >> 6) + 1);
            let registration = |is_pinned| Registration {
                is_pinned,
                max_concurrency,
                ..Registration::new(index.to_string(), Place::new(size, Bytes::new(u64::from(bytes[1] % 20))))
            };
            let pin = pool.register(registration(is_pinned));
            if is_pinned && let Ok(id) = &pin {
                pinned.insert(*id);
            }
            let id = pin
                .or_else(|_| pool.register(registration(false)))
                .expect("a model that is not pinned may wait");
            most.extend(max_concurrency.map(|most| (id, most)));
            models.push(id);
        }
        Self {
            pool,
            ledger,
            models,
            pinned,
            most,
            now: 0,
            waiting: BTreeMap::new(),
            leases: BTreeMap::new(),
            loading: BTreeSet::new(),
            ready: BTreeSet::new(),
            unloading: BTreeSet::new(),
            lost: BTreeSet::new(),
            orphans: BTreeMap::new(),
            neighbour: Vec::new(),
            is_closed: false,
        }
    }

    fn happen(&mut self, [kind, which, number]: [u8; 3]) {
        let model = self.models[usize::from(which) % self.models.len()];
        let request = RequestId(u64::from(which % REQUESTS));
        let (bytes, place) = (Bytes::new(u64::from(number)), PlaceId::FIRST);
        match kind % 14 {
            0..=2 => {
                let model = self.models[usize::from(number & 7) % self.models.len()];
                let deadline = (number & 8 != 0).then(|| Time::from_nanos(self.now + u64::from(number >> 4)));
                let workspace = (number == 255).then(|| Bytes::new(9));
                self.tell(&Event::Request {
                    request,
                    model,
                    deadline,
                    priority: i32::from(number >> 6),
                    workspace,
                });
            }
            3 | 4 => self.tell(&Event::Loaded { model, place }),
            5 => {
                let out_of_memory = (number & 1 != 0).then_some(Demand::ZERO);
                self.tell(&Event::LoadFailed { model, place, out_of_memory, may_retry: number & 2 != 0 });
            }
            6 | 7 => {
                let left = if number == 255 { Bytes::new(1).into() } else { Demand::ZERO };
                self.tell(&Event::Unloaded { model, place, left });
            }
            8 if number == 0 => self.tell(&Event::UnloadFailed { model, place }),
            8 if number == 1 => self.tell(&Event::Lost { model, place }),
            8 | 9 => self.tell(&Event::Released { request }),
            10 => self.tell(&Event::Cancel { request }),
            11 => self.tell(&Event::Measured { model, place, bytes: bytes.into() }),
            12 => {
                let reserved = self.ledger.root().reserve(bytes, "neighbour");
                if which & 1 == 0 {
                    self.neighbour.clear();
                }
                self.neighbour.extend(reserved);
                self.now = (self.now + u64::from(which)).saturating_sub(u64::from(number));
                self.tell(&Event::Tick);
            }
            _ if number == 0 => self.tell(&Event::Close),
            _ => self.tell(&Event::Tick),
        }
    }

    /// Tells the pool; what this world knows to be untrue must be refused, all else taken.
    fn tell(&mut self, event: &Event) {
        self.now += 1;
        let before = (self.pool.status(), self.ledger.snapshot());
        let can_be = self.can_be(event);
        match self.pool.handle(Time::from_nanos(self.now), event.clone()) {
            Ok(actions) => {
                assert!(can_be, "took {event:?}");
                self.note(event);
                for action in actions {
                    self.apply(&action);
                }
            }
            Err(Error::Protocol { .. }) => {
                assert!(!can_be, "refused {event:?}");
                assert!(before == (self.pool.status(), self.ledger.snapshot()), "{event:?} left a trace");
            }
            Err(other) => panic!("{event:?} gave {other:?}"),
        }
        self.check();
    }

    fn can_be(&self, event: &Event) -> bool {
        match *event {
            Event::Request { request, .. } => {
                let is_leased = self.leases.contains_key(&request) || self.orphans.contains_key(&request);
                !self.waiting.contains_key(&request) && !is_leased
            }
            Event::Released { request } => {
                self.leases.contains_key(&request) || self.orphans.contains_key(&request)
            }
            Event::Loaded { model, .. } | Event::LoadFailed { model, .. } => self.loading.contains(&model),
            Event::Unloaded { model, .. } => self.unloading.contains(&model) || self.lost.contains(&model),
            Event::UnloadFailed { model, .. } => {
                self.unloading.contains(&model) || self.lost.contains(&model)
            }
            Event::Lost { model, .. } => self.ready.contains(&model),
            // Not told here: the simulation in the core does that.
            Event::Compressed { .. } | Event::CompressFailed { .. } | Event::Promoted { .. } => false,
            Event::Cancel { .. }
            | Event::Measured { .. }
            | Event::Returned { .. }
            | Event::Pin { .. }
            | Event::Unpin { .. }
            | Event::Pressure { .. }
            | Event::Tick
            | Event::Retire { .. }
            | Event::Close => true,
        }
    }

    fn note(&mut self, event: &Event) {
        match *event {
            Event::Request { request, model, .. } => {
                self.waiting.insert(request, model);
            }
            Event::Released { request } => {
                self.leases.remove(&request);
                self.orphans.remove(&request);
            }
            Event::Cancel { request } => {
                self.waiting.remove(&request);
                self.leases.remove(&request);
                self.orphans.remove(&request);
            }
            Event::Loaded { model, .. } => {
                self.loading.remove(&model);
                self.ready.insert(model);
            }
            Event::LoadFailed { model, .. } => {
                self.loading.remove(&model);
            }
            Event::Unloaded { model, .. } | Event::UnloadFailed { model, .. } => {
                self.unloading.remove(&model);
                self.lost.remove(&model);
            }
            Event::Lost { model, .. } => {
                self.ready.remove(&model);
                self.lost.insert(model);
                self.orphans.extend(self.leases.extract_if(.., |_, leased| *leased == model));
            }
            Event::Close => self.is_closed = true,
            _ => {}
        }
    }

    fn apply(&mut self, action: &Action) {
        match *action {
            Action::Load { model, .. } => {
                assert!(!self.is_closed, "loads after the close");
                assert!(
                    !self.ready.contains(&model) && !self.unloading.contains(&model),
                    "loads what is there"
                );
                assert!(self.loading.insert(model), "loads twice");
            }
            Action::Unload { model, .. } => {
                assert!(!self.leases.values().any(|leased| *leased == model), "unloads what is leased");
                assert!(self.is_closed || !self.pinned.contains(&model), "unloads what is pinned");
                assert!(
                    self.ready.remove(&model) && self.unloading.insert(model),
                    "unloads what is not ready"
                );
            }
            Action::Grant { request, model, .. } => {
                assert_eq!(self.waiting.remove(&request), Some(model), "grants what nobody waits for");
                assert!(self.ready.contains(&model), "grants what is not ready");
                self.leases.insert(request, model);
                let leases = self.leases.values().filter(|leased| **leased == model).count();
                assert!(self.most.get(&model).is_none_or(|&most| leases as u64 <= most), "grants too many");
            }
            Action::Overdue { model, .. } => {
                assert!(
                    self.unloading.contains(&model) || self.lost.contains(&model),
                    "overdue though there"
                );
            }
            Action::Compress { .. } | Action::Promote { .. } | Action::Drop { .. } => {
                panic!("nobody told of a smaller form");
            }
            Action::Queue { request, .. } => assert!(self.waiting.contains_key(&request), "queues nobody"),
            Action::Refuse { request, .. } => {
                assert!(self.waiting.remove(&request).is_some(), "refuses nobody");
            }
        }
    }

    fn check(&self) {
        let root = self.ledger.root();
        assert!(root.peak().get() <= LIMIT, "over the limit");
        let held: u64 = self.pool.status().iter().map(|status| status.booked.get()).sum();
        let neighbour: u64 = self.neighbour.iter().map(|reservation| reservation.bytes().get()).sum();
        assert_eq!(root.used().get(), held + neighbour, "the ledger and the pool disagree");
        for &model in &self.models {
            let _ = self.pool.plan(model);
        }
    }

    /// Everything under way ends well; nobody may be left waiting.
    fn settle(&mut self) {
        self.neighbour.clear();
        self.tell(&Event::Tick);
        for _ in 0..1_000 {
            let place = PlaceId::FIRST;
            if let Some(&model) = self.loading.first() {
                self.tell(&Event::Loaded { model, place });
            } else if let Some(&model) = self.unloading.first().or(self.lost.first()) {
                self.tell(&Event::Unloaded { model, place, left: Demand::ZERO });
            } else if let Some((&request, _)) =
                self.leases.first_key_value().or(self.orphans.first_key_value())
            {
                self.tell(&Event::Released { request });
            } else {
                if self.waiting.is_empty() {
                    return;
                }
                // A pause after a failed load, or whatever else has a time of its own.
                let next = self.pool.next_deadline();
                assert!(next.is_some(), "{:?} wait for nothing", self.waiting);
                self.now = self.now.max(next.map_or(0, Time::as_nanos));
                self.tell(&Event::Tick);
            }
        }
        panic!("the pool does not come to rest");
    }
}
