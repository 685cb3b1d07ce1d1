//! Decisions of the scheduler: a warm request with its release, one that evicts, and one behind a long queue.

#![allow(clippy::arithmetic_side_effects, reason = "bench arithmetic on small numbers")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ullage_core::pool::policy::by_name;
use ullage_core::pool::{Action, Event, ModelId, Pool, Registration, RequestId};
use ullage_core::{Bytes, Ledger, Time};

const SIZE: u64 = 1 << 30;

/// A pool on a clock that moves on by a microsecond an event.
struct Driver {
    pool: Pool,
    models: Vec<ModelId>,
    micros: u64,
    requests: u64,
}

impl Driver {
    /// `models` cold models of equal size where `fit` of them fit.
    fn new(models: u64, fit: u64) -> Self {
        let account = Ledger::new(Some(Bytes::new(fit * SIZE))).root();
        let mut pool = Pool::new(account, by_name("value").expect("a known policy"));
        let models = (0..models)
            .map(|number| {
                let registration = Registration {
                    name: format!("model-{number}"),
                    estimated: Bytes::new(SIZE),
                    booked: Bytes::new(SIZE),
                    workspace: Bytes::ZERO,
                    is_pinned: false,
                    max_concurrency: None,
                    load_time: None,
                };
                pool.register(registration).expect("a new name")
            })
            .collect();
        Self { pool, models, micros: 0, requests: 0 }
    }

    fn tell(&mut self, event: Event) -> Vec<Action> {
        self.micros += 1;
        self.pool.handle(Time::from_nanos(self.micros * 1_000), event).expect("an event that can be")
    }

    fn request(&mut self, model: ModelId) -> (RequestId, Vec<Action>) {
        self.requests += 1;
        let request = RequestId(self.requests);
        (request, self.tell(Event::Request { request, model, deadline: None }))
    }

    /// A request and everything that follows from it, to its release.
    fn serve(&mut self, index: usize) {
        let (request, mut actions) = self.request(self.models[index]);
        while !actions.iter().any(|action| matches!(action, Action::Grant { .. })) {
            let done = actions.iter().find_map(|action| match *action {
                Action::Load { model } => Some(Event::Loaded { model }),
                Action::Unload { model } => Some(Event::Unloaded { model }),
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

/// A tick while so many requests wait for models that do not fit, every resident model being in use.
fn queued(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool/tick with 100 models, 50 of them in use");
    for waiting in [10, 100, 1_000] {
        let mut driver = Driver::new(100, 50);
        for index in 0..50 {
            let (_, actions) = driver.request(driver.models[index]);
            for action in actions {
                if let Action::Load { model } = action {
                    driver.tell(Event::Loaded { model });
                }
            }
        }
        (0..waiting).for_each(|number| drop(driver.request(driver.models[50 + number % 50])));
        group.bench_function(BenchmarkId::new("waiting", waiting), |bencher| {
            bencher.iter(|| driver.tell(Event::Tick));
        });
    }
    group.finish();
}

criterion_group!(benches, warm, evicting, queued);
criterion_main!(benches);
