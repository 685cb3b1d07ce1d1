//! Decisions of the scheduler at a thousand models: a hit, one that evicts, and either behind ten thousand that wait.

#![allow(clippy::arithmetic_side_effects, reason = "bench arithmetic on small numbers")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use ullage_core::pool::policy::by_name;
use ullage_core::pool::{Action, Demand, Event, ModelId, Place, PlaceId, Pool, Registration, RequestId};
use ullage_core::{Bytes, Ledger, Time};

const SIZE: u64 = 1 << 30;

/// A pool on a clock that moves on by `step` nanoseconds an event.
struct Driver {
    pool: Pool,
    models: Vec<ModelId>,
    nanos: u64,
    step: u64,
    requests: u64,
}

impl Driver {
    /// `models` cold models of equal size where `fit` of them fit.
    fn new(models: u64, fit: u64) -> Self {
        let account = Ledger::new(Some(Bytes::new(fit * SIZE))).root();
        let mut pool = Pool::new(account, by_name("value").expect("a known policy"));
        let models = (0..models)
            .map(|number| {
                let place = Place::new(Bytes::new(SIZE), Bytes::ZERO);
                pool.register(Registration::new(format!("model-{number}"), place)).expect("a new name")
            })
            .collect();
        Self { pool, models, nanos: 0, step: 1_000, requests: 0 }
    }

    fn tell(&mut self, event: Event) -> Vec<Action> {
        self.nanos += self.step;
        self.pool.handle(Time::from_nanos(self.nanos), event).expect("an event that can be")
    }

    fn request(&mut self, model: ModelId) -> (RequestId, Vec<Action>) {
        self.requests += 1;
        let request = RequestId(self.requests);
        (request, self.tell(Event::Request { request, model, deadline: None, priority: 0, workspace: None }))
    }

    /// A request and everything that follows from it, to its release.
    fn serve(&mut self, index: usize) {
        let (request, actions) = self.request(self.models[index]);
        self.finish(request, actions);
    }

    fn finish(&mut self, request: RequestId, mut actions: Vec<Action>) {
        while !actions.iter().any(|action| matches!(action, Action::Grant { .. })) {
            let done = actions.iter().find_map(|action| match *action {
                Action::Load { model, place } => Some(Event::Loaded { model, place }),
                Action::Unload { model, place } => Some(Event::Unloaded { model, place, left: Demand::ZERO }),
                _ => None,
            });
            actions = self.tell(done.expect("something is under way"));
        }
        black_box(self.tell(Event::Released { request }));
    }
}

fn warm(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool/warm request and release");
    for models in [10, 1_000] {
        let mut driver = Driver::new(models, models);
        (0..driver.models.len()).for_each(|index| driver.serve(index));
        group.bench_function(BenchmarkId::new("models", models), |bencher| bencher.iter(|| driver.serve(3)));
    }
    group.finish();
}

/// Round and round through one model more than fits, so that each request evicts.
fn evicting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool/evict, load, release");
    for models in [10, 1_000] {
        let mut driver = Driver::new(models, models - 1);
        let mut next = (0..driver.models.len()).cycle();
        (0..2 * models).for_each(|_| driver.serve(next.next().unwrap_or(0)));
        group.bench_function(BenchmarkId::new("models", models), |bencher| {
            bencher.iter(|| driver.serve(next.next().unwrap_or(0)));
        });
    }
    group.finish();
}

/// A thousand models, a hundred of which fit.
fn deciding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool/1000 models, 100 fit");
    let mut driver = Driver::new(1_000, 100);
    (0..2_000).for_each(|number| driver.serve(number % 1_000));
    let mut next = (0..1_000).cycle();
    // The decision alone: who goes for the sake of a request.
    group.bench_function("request that evicts", |bencher| {
        bencher.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                let model = driver.models[next.next().unwrap_or(0)];
                let start = Instant::now();
                let (request, actions) = black_box(driver.request(model));
                spent += start.elapsed();
                driver.finish(request, actions);
            }
            spent
        });
    });
    group.finish();
}

/// Half of the models that fit are in use, and so many requests wait for others.
fn queued(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool/1000 models, 100 in use");
    for waiting in [100, 1_000, 10_000] {
        let mut driver = Driver::new(1_000, 100);
        for index in 0..100 {
            let (_, actions) = driver.request(driver.models[index]);
            for action in actions {
                if let Action::Load { model, place } = action {
                    driver.tell(Event::Loaded { model, place });
                }
            }
        }
        // However many are measured, within the time for which those in use go on serving.
        driver.step = 1;
        (0..waiting).for_each(|number| drop(driver.request(driver.models[100 + number % 900])));
        group.bench_function(BenchmarkId::new("tick, waiting", waiting), |bencher| {
            bencher.iter(|| driver.tell(Event::Tick));
        });
        group.bench_function(BenchmarkId::new("hit and release, waiting", waiting), |bencher| {
            bencher.iter(|| driver.serve(3));
        });
        group.bench_function(BenchmarkId::new("hit, waiting", waiting), |bencher| {
            bencher.iter_custom(|times| {
                let mut spent = Duration::ZERO;
                for _ in 0..times {
                    let start = Instant::now();
                    let (request, actions) = black_box(driver.request(driver.models[3]));
                    spent += start.elapsed();
                    drop(actions);
                    driver.tell(Event::Released { request });
                }
                spent
            });
        });
    }
    group.finish();
}

/// Ten thousand wait for one model that comes.
fn storm(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool/10000 wait for one model");
    group.bench_function("loaded: all are granted", |bencher| {
        bencher.iter_batched(
            || {
                let mut driver = Driver::new(1_000, 100);
                (0..10_000).for_each(|_| drop(driver.request(driver.models[0])));
                driver
            },
            |mut driver| {
                let loaded = Event::Loaded { model: driver.models[0], place: PlaceId::FIRST };
                let actions = driver.tell(loaded);
                (driver, actions)
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, warm, evicting, deciding, queued, storm);
criterion_main!(benches);
