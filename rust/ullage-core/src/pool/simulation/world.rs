//! A world around the pool that keeps its own books, and holds every action against them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::super::*;
use crate::ledger::{Account, Ledger, Reservation};
use crate::units::{Bytes, Time};

/// A model at one of its places.
pub(super) type Spot = (ModelId, PlaceId);

/// What a spot is in this world's own books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    Loading,
    Ready,
    Unloading,
    Lost,
    Stuck,
    Compressing,
    Compressed,
    Promoting,
}

impl At {
    fn is_held(self) -> bool {
        !matches!(self, Self::Unloading | Self::Lost | Self::Stuck)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) spot: Spot,
    /// Whether the instance it was given is still the one that is there.
    pub(super) is_live: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) model: ModelId,
    pub(super) since: u64,
    pub(super) rank: i128,
    pub(super) deadline: Option<u64>,
    /// Wishes that waited when this one came, and those of an older rank that came later.
    pub(super) ahead: u64,
}

/// What is really the case, as far as the pool has been told and has asked.
pub(super) struct World {
    pub(super) pool: Pool,
    pub(super) accounts: Vec<Account>,
    pub(super) registrations: Vec<Registration>,
    pub(super) pinned: BTreeSet<ModelId>,
    pub(super) now: u64,
    /// The latest time told: the pool's clock never runs backwards.
    latest: u64,
    pub(super) requests: u64,
    pub(super) waiting: BTreeMap<RequestId, Wish>,
    pub(super) leases: BTreeMap<RequestId, Lease>,
    pub(super) spots: BTreeMap<Spot, At>,
    overdue: BTreeSet<Spot>,
    /// What the pool owes a model there: what was registered, or what was measured where that is less.
    owed: BTreeMap<Spot, Demand>,
    /// The most that was measured.
    measured: BTreeMap<Spot, Demand>,
    pub(super) neighbours: Vec<Reservation>,
    pub(super) pressed: BTreeSet<DomainId>,
    retired: BTreeSet<DomainId>,
    failed: BTreeSet<ModelId>,
    pub(super) is_closed: bool,
    /// How long each granted request had waited, with how many ahead of it.
    pub(super) waits: Vec<(u64, u64)>,
    seed: u64,
    pub(super) log: String,
}

impl World {
    pub(super) fn new(
        seed: u64,
        limits: &[u64],
        policy: Box<dyn policy::Policy>,
        options: Options,
        registrations: Vec<Registration>,
    ) -> Self {
        let ledgers = limits.iter().map(|&limit| Ledger::new(Some(Bytes::new(limit))));
        let roots: Vec<Account> = ledgers.map(|ledger| ledger.root()).collect();
        let inner = Pool::of_domains(roots.clone(), policy).unwrap();
        let mut world = Self {
            pool: inner.with_options(options),
            accounts: roots,
            registrations: Vec::new(),
            pinned: BTreeSet::new(),
            now: 0,
            latest: 0,
            requests: 0,
            waiting: BTreeMap::new(),
            leases: BTreeMap::new(),
            spots: BTreeMap::new(),
            overdue: BTreeSet::new(),
            owed: BTreeMap::new(),
            measured: BTreeMap::new(),
            neighbours: Vec::new(),
            pressed: BTreeSet::new(),
            retired: BTreeSet::new(),
            failed: BTreeSet::new(),
            is_closed: false,
            waits: Vec::new(),
            seed,
            log: String::new(),
        };
        for mut registration in registrations {
            if world.pool.register(registration.clone()).is_err() {
                registration.is_pinned = false;
                world.pool.register(registration.clone()).unwrap();
            }
            if registration.is_pinned {
                world.pinned.insert(ModelId(world.registrations.len()));
            }
            let _ = writeln!(world.log, "register {registration:?}");
            world.registrations.push(registration);
        }
        world
    }

    /// Tells the pool, checks what it answers; false if it refused a pin.
    #[allow(clippy::needless_pass_by_value, reason = "events are made for the call")]
    pub(super) fn tell(&mut self, event: Event) -> bool {
        self.now += 1;
        self.latest = self.latest.max(self.now);
        let _ = writeln!(self.log, "{} {event:?}", self.now);
        if let Event::Measured { model, place, ref bytes } = event {
            let most = self.measured.entry((model, place)).or_default();
            *most = most.max(bytes);
            let owed = self.owes((model, place));
            self.owed.entry((model, place)).and_modify(|before| *before = before.min(&owed));
        }
        if let Event::Pressure { domain, level, .. } = event {
            self.pressed.remove(&domain);
            self.pressed.extend((level == Level::Hard).then_some(domain));
        }
        let actions = match self.pool.handle(Time::from_nanos(self.now), event.clone()) {
            Ok(actions) => actions,
            Err(error) => {
                assert!(matches!(event, Event::Pin { .. }), "{error}");
                return false;
            }
        };
        for action in actions {
            let _ = writeln!(self.log, "    {action:?}");
            self.check_and_apply(&action);
        }
        self.check();
        true
    }

    pub(super) fn spots_at(&self, at: At) -> Vec<Spot> {
        self.spots.iter().filter(|(_, is)| **is == at).map(|(spot, _)| *spot).collect()
    }

    fn is_used(&self, spot: Spot) -> bool {
        self.leases.values().any(|lease| lease.spot == spot && lease.is_live)
    }

    fn check_leaving(&self, (model, place): Spot, from: At) {
        assert_eq!(self.spots.get(&(model, place)), Some(&from), "{model:?} sent away");
        assert!(!self.is_used((model, place)), "{model:?} sent away in use");
        let may = !self.pinned.contains(&model) || self.is_closed || self.must_go((model, place), from);
        assert!(may, "{model:?} sent away though pinned");
    }

    /// Whether a place needs a domain that is retired.
    fn is_retired(&self, (model, place): Spot) -> bool {
        let place = &self.registrations[model.index()].places[place.index()];
        let parts = place.weights.parts().iter().chain(place.workspace.parts());
        parts.clone().any(|(domain, _)| self.retired.contains(domain))
    }

    fn must_go(&self, spot: Spot, at: At) -> bool {
        // A compressed form may stand where its model does not.
        self.is_retired(spot) || (at == At::Compressed && !self.retired.is_empty())
    }

    fn check_coming(&self, (model, place): Spot) {
        assert!(!self.is_closed, "{model:?} loaded after the close");
        assert!(!self.is_retired((model, place)), "{model:?} loaded on what is retired");
        let own = || self.spots.iter().filter(|(spot, _)| spot.0 == model && !self.is_retired(**spot));
        assert!(
            !own().any(|(_, at)| matches!(at, At::Loading | At::Promoting)),
            "{model:?} loaded twice at once"
        );
        let held = own().filter(|(_, at)| at.is_held() && **at != At::Compressed).count();
        assert!(held < self.registrations[model.index()].instances, "{model:?} has too many instances");
    }

    /// What a load books there at the least. Where nothing was measured, what was registered stands.
    fn owes(&self, spot: Spot) -> Demand {
        let promised = &self.registrations[spot.0.index()].places[spot.1.index()].weights;
        let Some(measured) = self.measured.get(&spot) else { return promised.clone() };
        Demand::of(promised.parts().iter().map(|&(domain, bytes)| {
            let most = measured.bytes_in(domain);
            (domain, if most.is_zero() { bytes } else { bytes.min(most) })
        }))
    }

    fn check_and_apply(&mut self, action: &Action) {
        if let Action::Load { model, place } | Action::Promote { model, place } = *action {
            let owed = self.owes((model, place));
            self.owed.insert((model, place), owed);
        }
        match *action {
            Action::Load { model, place } => {
                assert!(!self.spots.contains_key(&(model, place)), "{model:?} loaded where it is");
                self.check_coming((model, place));
                self.spots.insert((model, place), At::Loading);
            }
            Action::Promote { model, place } => {
                assert_eq!(self.spots.get(&(model, place)), Some(&At::Compressed), "{model:?} promoted");
                self.check_coming((model, place));
                self.spots.insert((model, place), At::Promoting);
            }
            Action::Unload { model, place } => {
                self.check_leaving((model, place), At::Ready);
                self.spots.insert((model, place), At::Unloading);
            }
            Action::Drop { model, place } => {
                // Pinned or not: after a promotion that failed, and for its own model's sake.
                if !self.failed.contains(&model) && !self.waiting.values().any(|wish| wish.model == model) {
                    self.check_leaving((model, place), At::Compressed);
                }
                self.spots.insert((model, place), At::Unloading);
            }
            Action::Compress { model, place } => {
                self.check_leaving((model, place), At::Ready);
                assert!(self.registrations[model.index()].compressed.is_some());
                self.spots.insert((model, place), At::Compressing);
            }
            Action::Grant { request, model, place } => self.granted(request, (model, place)),
            Action::Queue { request, .. } => assert!(self.waiting.contains_key(&request)),
            Action::Refuse { request, ref denial } => self.refused(request, denial),
            Action::Overdue { model, place, .. } => {
                assert!(matches!(self.spots.get(&(model, place)), Some(At::Unloading | At::Lost)));
                assert!(self.overdue.insert((model, place)), "said twice");
            }
        }
    }

    fn granted(&mut self, request: RequestId, spot: Spot) {
        let wish = self.waiting.remove(&request).expect("granted what nobody waits for");
        assert_eq!(wish.model, spot.0);
        assert_eq!(self.spots.get(&spot), Some(&At::Ready), "{spot:?} granted but not ready");
        self.leases.insert(request, Lease { spot, is_live: true });
        let live = self.leases.values().filter(|lease| lease.spot == spot && lease.is_live).count() as u64;
        let most = self.registrations[spot.0.index()].max_concurrency;
        assert!(most.is_none_or(|most| live <= most), "too many leases");
        self.waits.push((self.latest.saturating_sub(wish.since), wish.ahead));
    }

    fn refused(&mut self, request: RequestId, denial: &Denial) {
        let wish = self.waiting.remove(&request).expect("refused what nobody waits for");
        match denial {
            Denial::TooLarge { requested, limit, nearest } => {
                assert!(requested > limit && nearest.short_by > Bytes::ZERO);
            }
            Denial::Pinned { requested, available, limit, blocked_by, nearest } => {
                assert!(requested <= limit && requested > available && !blocked_by.is_empty());
                assert_eq!(nearest.short_by, requested.saturating_sub(*available));
            }
            Denial::Timeout { .. } => assert!(wish.deadline.is_some_and(|deadline| deadline <= self.latest)),
            Denial::LoadFailed { attempts, .. } => {
                assert!(*attempts > 0 && self.failed.contains(&wish.model));
            }
            Denial::Stuck => {
                assert!(self.spots.iter().any(|(spot, at)| spot.0 == wish.model && *at == At::Stuck));
            }
            Denial::NoPlace => {
                let places =
                    (0..).map(PlaceId::new).take(self.registrations[wish.model.index()].places.len());
                assert!(places.into_iter().all(|place| self.is_retired((wish.model, place))));
            }
            Denial::Pressure { .. } => assert!(!self.pressed.is_empty()),
            Denial::Closed => assert!(self.is_closed),
        }
    }

    /// Facts that hold after every event.
    fn check(&self) {
        let status = self.pool.status();
        let mut used = 0;
        for account in &self.accounts {
            let limit = account.limit().unwrap();
            assert!(account.used() <= limit && account.peak() <= limit, "overcommitted");
            used += account.used().get();
        }
        let held: u64 = status.iter().map(|status| status.booked.get()).sum();
        let neighbours: u64 = self.neighbours.iter().map(|reservation| reservation.bytes().get()).sum();
        assert_eq!(used, held + neighbours, "the ledger and the pool disagree");
        for (index, status) in status.iter().enumerate() {
            let model = ModelId(index);
            for row in &status.instances {
                let at = self.spots.get(&(model, row.place));
                let name = at.map_or("cold".to_owned(), |at| format!("{at:?}").to_lowercase());
                let told = if row.state == "draining" { "ready" } else { row.state };
                assert_eq!(told, name, "{model:?} at {:?}", row.place);
                let live =
                    self.leases.values().filter(|lease| lease.spot == (model, row.place) && lease.is_live);
                assert_eq!(row.leases, live.count() as u64);
                if matches!(at, Some(At::Ready | At::Loading | At::Promoting)) {
                    let owed = &self.owed[&(model, row.place)];
                    assert!(row.booked.covers(owed), "booked less than promised");
                }
            }
            let waiting = self.waiting.values().filter(|wish| wish.model == model).count();
            assert_eq!(status.waiting, waiting as u64);
        }
        let plan = self.pool.plan(ModelId(usize::try_from(self.now).unwrap_or(0) % status.len()));
        assert!(matches!(plan.step, Step::Refuse(_)) == plan.eta.is_none());
    }

    pub(super) fn ask(
        &mut self,
        model: ModelId,
        patience: Option<u64>,
        priority: i32,
        workspace: Option<u64>,
    ) {
        self.requests += 1;
        let request = RequestId(self.requests);
        let deadline = patience.map(|nanos| self.now + nanos);
        let step = i128::try_from(self.pool.options().age_step.as_nanos()).unwrap();
        let since = self.latest.max(self.now + 1);
        let rank = i128::from(since) - i128::from(priority) * step;
        let ahead = self.waiting.values().filter(|wish| wish.rank <= rank).count() as u64;
        for wish in self.waiting.values_mut().filter(|wish| wish.rank > rank) {
            wish.ahead += 1;
        }
        self.waiting.insert(request, Wish { model, since, rank, deadline, ahead });
        let (deadline, workspace) = (deadline.map(Time::from_nanos), workspace.map(Bytes::new));
        self.tell(Event::Request { request, model, deadline, priority, workspace });
    }

    /// A machine joins.
    pub(super) fn join(&mut self, limit: u64) {
        let root = Ledger::new(Some(Bytes::new(limit))).root();
        let _ = writeln!(self.log, "join {limit}");
        let domain = self.pool.add_domain(root.clone()).unwrap();
        assert_eq!(domain.index(), self.accounts.len());
        self.accounts.push(root);
        self.tell(Event::Tick);
    }

    /// A model gets one more place, unless that is on what is retired.
    pub(super) fn add_place(&mut self, model: ModelId, place: Place) {
        let _ = writeln!(self.log, "add {place:?} of {model:?}");
        let parts = place.weights.parts().iter().chain(place.workspace.parts());
        let is_refused = parts.clone().any(|(domain, _)| self.retired.contains(domain));
        let added = self.pool.add_place(model, place.clone());
        assert_eq!(added.is_err(), is_refused);
        if !is_refused {
            self.registrations[model.index()].places.push(place);
            self.tell(Event::Tick);
        }
    }

    /// A machine leaves: in good order, or at once with all that is on it.
    pub(super) fn retire(&mut self, domain: DomainId, is_sudden: bool) {
        self.retired.insert(domain);
        self.tell(Event::Retire { domain });
        for (spot, at) in self.spots.clone() {
            let is_resident = matches!(at, At::Ready | At::Compressing | At::Compressed | At::Promoting);
            if is_sudden && is_resident && self.is_retired(spot) {
                self.lose(spot);
                self.finish_unload(spot, Demand::ZERO);
            }
        }
    }

    pub(super) fn release(&mut self, request: RequestId) {
        if self.leases.remove(&request).is_some() {
            self.tell(Event::Released { request });
        }
    }

    pub(super) fn finish_load(&mut self, (model, place): Spot, failure: Option<(bool, bool)>) {
        let at = self.spots.remove(&(model, place));
        if let Some((is_out_of_memory, may_retry)) = failure {
            self.failed.insert(model);
            if at == Some(At::Promoting) {
                self.spots.insert((model, place), At::Compressed);
            }
            let out_of_memory = is_out_of_memory.then_some(Demand::ZERO);
            self.tell(Event::LoadFailed { model, place, out_of_memory, may_retry });
            return;
        }
        self.spots.insert((model, place), At::Ready);
        let event = if at == Some(At::Promoting) {
            Event::Promoted { model, place }
        } else {
            Event::Loaded { model, place }
        };
        self.tell(event);
    }

    pub(super) fn finish_unload(&mut self, (model, place): Spot, left: Demand) {
        self.spots.remove(&(model, place));
        self.overdue.remove(&(model, place));
        self.tell(Event::Unloaded { model, place, left });
    }

    pub(super) fn fail_unload(&mut self, (model, place): Spot) {
        self.spots.insert((model, place), At::Stuck);
        self.overdue.remove(&(model, place));
        self.tell(Event::UnloadFailed { model, place });
    }

    pub(super) fn finish_compression(&mut self, (model, place): Spot, bytes: Option<Demand>) {
        let at = if bytes.is_some() { At::Compressed } else { At::Ready };
        self.spots.insert((model, place), at);
        self.tell(match bytes {
            Some(bytes) => Event::Compressed { model, place, bytes },
            None => Event::CompressFailed { model, place },
        });
    }

    pub(super) fn lose(&mut self, (model, place): Spot) {
        self.spots.insert((model, place), At::Lost);
        for lease in self.leases.values_mut().filter(|lease| lease.spot == (model, place)) {
            lease.is_live = false;
        }
        self.tell(Event::Lost { model, place });
    }

    /// Lets everything under way end well, as often as it takes.
    pub(super) fn settle(&mut self) {
        self.neighbours.clear();
        for domain in (0..).map(DomainId::new).take(self.accounts.len()) {
            self.tell(Event::Pressure { domain, level: Level::None, shed: Bytes::ZERO });
        }
        for _ in 0..20_000 {
            let moving: Vec<(Spot, At)> = self.spots.iter().map(|(spot, at)| (*spot, *at)).collect();
            let mut is_quiet = self.leases.is_empty();
            for (spot, at) in moving {
                is_quiet &=
                    !matches!(at, At::Loading | At::Promoting | At::Unloading | At::Lost | At::Compressing);
                match at {
                    At::Loading | At::Promoting => self.finish_load(spot, None),
                    At::Unloading | At::Lost => self.finish_unload(spot, Demand::ZERO),
                    At::Compressing => self.finish_compression(spot, None),
                    At::Ready | At::Stuck | At::Compressed => {}
                }
            }
            let leases: Vec<RequestId> = self.leases.keys().copied().collect();
            for request in leases {
                self.release(request);
            }
            if is_quiet && self.leases.is_empty() {
                if self.waiting.is_empty() {
                    return;
                }
                let next = self.pool.next_deadline().map(Time::as_nanos);
                assert!(next.is_some(), "{:?} wait for nothing in {:#?}", self.waiting, self.pool.status());
                self.now = self.now.max(next.unwrap_or(0));
                self.tell(Event::Tick);
            }
        }
        panic!("the pool does not come to rest");
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.tell(Event::Close);
        self.settle();
        for status in self.pool.status() {
            assert!(matches!(status.state, "cold" | "failed" | "stuck"), "{status:?}");
        }
        let kept: u64 = self.pool.status().iter().map(|status| status.booked.get()).sum();
        let used: u64 = self.accounts.iter().map(|account| account.used().get()).sum();
        assert_eq!(used, kept, "the ledger holds what nobody admits to");
        // What was left behind comes back at last.
        for (index, status) in self.pool.status().into_iter().enumerate() {
            for row in status.instances {
                let (model, place) = (ModelId(index), row.place);
                self.spots.remove(&(model, place));
                self.tell(Event::Returned { model, place, bytes: row.residue.plus(&row.booked) });
            }
        }
        assert!(self.accounts.iter().all(|account| account.used().is_zero()), "the ledger is not empty");
    }
}

impl Drop for World {
    #[allow(clippy::print_stderr, reason = "what failed has to be seen")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "seed {} fails; ULLAGE_SEED={} runs it alone. Its log:\n{}",
                self.seed, self.seed, self.log
            );
        }
    }
}
