//! Random worlds around the pool: one domain or several, every policy and one that says anything, loads that fail, lag, lie about their size or run
//! out of memory, unloads that leave something behind or never end, workers that die, clients that vanish, clocks that
//! jump, pressure, a neighbour in the same ledger.
//!
//! `ULLAGE_SEEDS=n` runs n worlds instead of the usual number, `ULLAGE_SEED=s` the one that failed.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "test arithmetic on small numbers"
)]

mod hostile;
mod world;

use std::time::Duration;

use self::hostile::Hostile;
use self::world::{At, Spot, World};
use super::policy::{NAMES, Policy, by_name};
use super::*;
use crate::solving::Random;
use crate::units::Bytes;

/// Draws what happens.
struct Dice(Random);

impl Dice {
    fn of(seed: u64) -> Self {
        Self(Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0.below(most)
    }

    /// True once in so many throws.
    fn once_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn nanos(&mut self, most: u64) -> Duration {
        Duration::from_nanos(self.below(most))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        from.get(self.0.position(from.len())).copied()
    }

    fn demand(&mut self, domains: u64, most: u64) -> Demand {
        let parts = 1 + u64::from(domains > 1 && self.once_in(4));
        let part = |_| (DomainId::new(self.below(domains) as u16), Bytes::new(self.below(most)));
        Demand::of((0..parts).map(part))
    }

    fn registration(&mut self, number: u64, domains: u64) -> Registration {
        let places: Vec<Place> = (0..=self.below(domains))
            .map(|_| Place::new(self.demand(domains, 70), self.demand(domains, 12)))
            .collect();
        let compressed = self
            .once_in(3)
            .then(|| Compressed { bytes: self.demand(domains, 15), promote_time: self.nanos(5) });
        Registration {
            instances: 1 + self.0.position(places.len()),
            estimated: Bytes::new(self.below(70)),
            is_pinned: self.once_in(10),
            max_concurrency: self.once_in(3).then(|| 1 + self.below(2)),
            load_time: Some(self.nanos(30)),
            retries: self.below(4) as u32,
            compressed,
            places,
            ..Registration::new(format!("m{number}"), Place::default())
        }
    }

    fn options(&mut self) -> Options {
        Options {
            group_wait: self.nanos(30),
            age_step: self.nanos(50),
            min_residency: if self.once_in(3) { self.nanos(20) } else { Duration::ZERO },
            release_deadline: Duration::from_nanos(5 + self.below(60)),
            backoff: Duration::from_nanos(1 + self.below(20)),
            backoff_most: Duration::from_nanos(20 + self.below(50)),
            pressure_retry: self.nanos(50),
        }
    }

    fn world(&mut self, seed: u64) -> World {
        let domains = 1 + self.below(3);
        let limits: Vec<u64> = (0..domains).map(|_| 60 + self.below(60)).collect();
        let policy: Box<dyn Policy> = match NAMES.get(self.0.position(NAMES.len() + 2)) {
            Some(name) => by_name(name).unwrap(),
            None => Box::new(Hostile::new(seed)),
        };
        let models = 1 + self.below(7);
        let registrations = (0..models).map(|number| self.registration(number, domains)).collect();
        World::new(seed, &limits, policy, self.options(), registrations)
    }

    /// One thing that happens.
    fn happen(&mut self, world: &mut World) {
        let domains = world.accounts.len() as u64;
        let model = ModelId(self.0.position(world.registrations.len()));
        let spot =
            (model, PlaceId::new(self.0.position(world.registrations[model.index()].places.len()) as u16));
        match self.below(49) {
            0..=9 => {
                let patience = self.once_in(3).then(|| self.below(60));
                let priority = if self.once_in(3) { self.below(5) as i32 - 2 } else { 0 };
                let workspace = self.once_in(5).then(|| self.below(30));
                world.ask(model, patience, priority, workspace);
            }
            10..=19 => self.finish_move(world),
            20..=26 => {
                let leases: Vec<RequestId> = world.leases.keys().copied().collect();
                if let Some(request) = self.pick(&leases) {
                    world.release(request);
                }
            }
            27 | 28 => {
                let everyone: Vec<_> = world.waiting.keys().chain(world.leases.keys()).copied().collect();
                if let Some(request) = self.pick(&everyone) {
                    world.waiting.remove(&request);
                    world.leases.remove(&request);
                    world.tell(Event::Cancel { request });
                }
            }
            29 => {
                let bytes = self.demand(domains, 60);
                world.tell(Event::Measured { model: spot.0, place: spot.1, bytes });
            }
            30 | 31 => {
                let at = self.0.position(world.accounts.len());
                let bytes = Bytes::new(self.below(60));
                let reserved = world.accounts[at].reserve(bytes, "neighbour");
                world.neighbours.extend(reserved);
                world.tell(Event::Tick);
            }
            32 | 33 => {
                world.neighbours.pop();
                world.tell(Event::Tick);
            }
            34..=37 => {
                world.now += self.below(20);
                world.tell(Event::Tick);
            }
            38 => {
                world.now /= 2;
                world.tell(Event::Tick);
            }
            39 | 40 => self.press(world),
            41 => {
                let states = [At::Ready, At::Compressing, At::Compressed, At::Promoting];
                let spots: Vec<Spot> = states.iter().flat_map(|&at| world.spots_at(at)).collect();
                if let Some(spot) = self.pick(&spots) {
                    world.lose(spot);
                }
            }
            42 => {
                if world.tell(Event::Pin { model }) {
                    world.pinned.insert(model);
                }
            }
            43 | 44 => {
                // Before, so that what goes in this very event may go.
                world.pinned.remove(&model);
                world.tell(Event::Unpin { model });
            }
            45 => self.come_or_go(world, model),
            _ => self.give_back(world, spot),
        }
    }

    fn come_or_go(&mut self, world: &mut World, model: ModelId) {
        let domains = world.accounts.len() as u64;
        match self.below(8) {
            0 if domains < 6 => world.join(60 + self.below(60)),
            1 | 2 => world.retire(DomainId::new(self.below(domains) as u16), self.once_in(2)),
            _ => {
                let place = Place::new(self.demand(domains, 70), self.demand(domains, 12));
                world.add_place(model, place);
                let most = world.registrations[model.index()].places.len();
                let instances = 1 + self.0.position(most);
                world.pool.set_instances(model, instances).unwrap();
                world.registrations[model.index()].instances = instances;
            }
        }
    }

    fn press(&mut self, world: &mut World) {
        let domain = DomainId::new(self.0.position(world.accounts.len()) as u16);
        let level = [Level::None, Level::Soft, Level::Hard][self.0.position(3)];
        world.tell(Event::Pressure { domain, level, shed: Bytes::new(self.below(60)) });
    }

    fn give_back(&mut self, world: &mut World, (model, place): Spot) {
        let row = world.pool.status_of(model).instances[place.index()].clone();
        let is_stuck = row.state == "stuck";
        let mut bytes =
            if self.once_in(2) { row.residue.clone() } else { self.demand(world.accounts.len() as u64, 9) };
        if is_stuck && self.once_in(2) {
            bytes = row.booked.plus(&row.residue);
        }
        if is_stuck && bytes.covers(&row.booked) {
            world.spots.remove(&(model, place));
        }
        world.tell(Event::Returned { model, place, bytes });
    }

    fn finish_move(&mut self, world: &mut World) {
        let moving = [At::Loading, At::Promoting, At::Unloading, At::Lost, At::Compressing];
        let spots: Vec<Spot> = moving.iter().flat_map(|&at| world.spots_at(at)).collect();
        let Some(spot) = self.pick(&spots) else { return };
        let domains = world.accounts.len() as u64;
        match world.spots[&spot] {
            At::Loading | At::Promoting => {
                let failure = self.once_in(5).then(|| (self.once_in(2), !self.once_in(4)));
                world.finish_load(spot, failure);
            }
            At::Unloading | At::Lost if self.once_in(25) => world.fail_unload(spot),
            At::Unloading | At::Lost => {
                let left = if self.once_in(12) { self.demand(domains, 6) } else { Demand::ZERO };
                world.finish_unload(spot, left);
            }
            _ => {
                let bytes = (!self.once_in(6)).then(|| self.demand(domains, 15));
                world.finish_compression(spot, bytes);
            }
        }
    }
}

/// A whole life of a pool; gives its log.
fn live(seed: u64) -> String {
    let mut dice = Dice::of(seed);
    let mut world = dice.world(seed);
    for _ in 0..dice.below(160) {
        dice.happen(&mut world);
    }
    world.settle();
    world.close();
    std::mem::take(&mut world.log)
}

fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("ULLAGE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ULLAGE_SEEDS").unwrap_or(usual),
    }
}

#[test]
fn whatever_happens_the_promises_hold() {
    for seed in seeds(3_000) {
        live(seed);
    }
}

/// The log of events is the whole truth: played again, it gives the same actions.
#[test]
fn a_run_repeats_from_its_events() {
    for seed in seeds(200) {
        assert_eq!(live(seed), live(seed), "seed {seed}");
    }
}

/// How long a request waits depends on how many are ahead of it by rank, not on how many come after.
#[test]
fn a_steady_load_on_some_models_does_not_starve_the_others() {
    for seed in seeds(60) {
        let mut dice = Dice::of(seed);
        let options = dice.options();
        let (load, lease, unload) = (1 + dice.below(12), 1 + dice.below(12), 1 + dice.below(6));
        let nanos = |duration: Duration| duration.as_nanos() as u64;
        let waits = nanos(options.group_wait) + nanos(options.min_residency);
        // A load under way and its leases, the grouping, an unload and a load; each of these is seen to end up
        // to four ticks late, because each event takes one.
        let turn = 2 * (load + lease) + waits + unload + 6 * 4;
        let models = 3 + dice.below(3);
        let model = |number| {
            let place = Place::new(Bytes::new(30 + dice.below(30)), Bytes::ZERO);
            Registration {
                max_concurrency: dice.once_in(2).then_some(1),
                ..Registration::new(format!("m{number}"), place)
            }
        };
        let registrations: Vec<Registration> = (0..models).map(model).collect();
        let options = Options { release_deadline: Duration::from_secs(1), ..options };
        let mut world = World::new(seed, &[100], by_name("value").unwrap(), options, registrations);
        let mut since = std::collections::BTreeMap::new();
        for _ in 0..400 {
            // Most ask for the first two models, so that these would stay in use for ever if they could.
            let number = if dice.once_in(8) { dice.below(models) } else { dice.below(2) };
            let priority = if dice.once_in(6) { dice.below(4) as i32 } else { 0 };
            world.ask(ModelId(number as usize), None, priority, None);
            for _ in 0..2 {
                world.tell(Event::Tick);
                pass(&mut world, &mut since, [load, lease, unload]);
            }
        }
        for &(waited, ahead) in &world.waits {
            assert!(waited <= turn * (ahead + 1), "waited {waited} behind {ahead}, a turn is {turn}");
        }
        for wish in world.waiting.values() {
            let waited = world.now.saturating_sub(wish.since);
            assert!(
                waited <= turn * (wish.ahead + 1),
                "{wish:?} still waits after {waited}, a turn is {turn}"
            );
        }
    }
}

/// Ends what has taken its time.
fn pass(
    world: &mut World,
    since: &mut std::collections::BTreeMap<(Option<Spot>, Option<RequestId>), u64>,
    [load, lease, unload]: [u64; 3],
) {
    for (spot, at) in world.spots.clone() {
        let takes = match at {
            At::Loading => load,
            At::Unloading => unload,
            _ => {
                since.remove(&(Some(spot), None));
                continue;
            }
        };
        let began = *since.entry((Some(spot), None)).or_insert(world.now);
        if world.now - began >= takes {
            since.remove(&(Some(spot), None));
            if at == At::Loading {
                world.finish_load(spot, None);
            } else {
                world.finish_unload(spot, Demand::ZERO);
            }
        }
    }
    for request in world.leases.keys().copied().collect::<Vec<_>>() {
        let began = *since.entry((None, Some(request))).or_insert(world.now);
        if world.now - began >= lease {
            since.remove(&(None, Some(request)));
            world.release(request);
        }
    }
}
