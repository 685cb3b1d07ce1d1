//! How many events of layers a simulation goes through in a second.

#![allow(clippy::arithmetic_side_effects, reason = "bench arithmetic on small numbers")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ullage_core::jit::{Layer, Options, Origin, Policy, Profile, simulate};

const LAYERS: usize = 10_000;

fn layers() -> Vec<Layer> {
    let shapes = [[4096, 4096], [1024, 4096], [14_336, 4096], [4096, 14_336]];
    let of = |place: usize| {
        let scheme = "palettized:4".parse().expect("a scheme");
        Layer::new("layer", &shapes[place % shapes.len()], scheme).expect("a layer")
    };
    (0..LAYERS).map(of).collect()
}

fn events(criterion: &mut Criterion) {
    let (layers, options) = (layers(), Options::default());
    let device = Profile::roofline("any", 4e10, 1e12, Origin::Assumed);
    let mut group = criterion.benchmark_group("simulate");
    for policy in [Policy::Fused, Policy::BY_LAYER, Policy::PREFETCHED] {
        let policies = vec![policy; layers.len()];
        let run = || simulate(&layers, &policies, &device, &options).expect("a simulation");
        group.throughput(Throughput::Elements(run().timeline.len() as u64));
        group.bench_function(policy.to_string(), |bencher| bencher.iter(|| black_box(run())));
    }
}

criterion_group!(benches, events);
criterion_main!(benches);
