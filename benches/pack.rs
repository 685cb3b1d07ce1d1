//! The packing heuristics beside a sort of the same sizes, which is what they must keep up with.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ullage_core::Bytes;
use ullage_core::pack::{BinKind, Limits, Problem, Strategy, solve};

/// Bytes of a bin.
const CAPACITY: u64 = 80 << 30;

/// Sizes spread evenly below two fifths of a bin, the same in every run (splitmix64).
fn sizes(count: u64) -> Vec<u64> {
    let mix = |seed: u64| {
        let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (1..=count).map(|seed| mix(seed) % (CAPACITY / 5 * 2)).collect()
}

fn heuristics(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pack");
    group.sample_size(20);
    for count in [10_000, 1_000_000] {
        group.throughput(Throughput::Elements(count));
        let sizes = sizes(count);
        group.bench_function(BenchmarkId::new("sort_unstable", count), |bencher| {
            bencher.iter_batched_ref(|| sizes.clone(), |sizes| sizes.sort_unstable(), BatchSize::LargeInput);
        });
        let kind = BinKind { name: "gpu".into(), capacity: Bytes::new(CAPACITY), count: None };
        let problem = Problem::from_sizes(sizes.iter().copied().map(Bytes::new).collect(), vec![kind])
            .expect("the problem makes sense");
        for strategy in [Strategy::FirstFitDecreasing, Strategy::BestFitDecreasing] {
            group.bench_function(BenchmarkId::new(strategy.name(), count), |bencher| {
                bencher.iter(|| solve(black_box(&problem), strategy, 0, &Limits::default()));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, heuristics);
criterion_main!(benches);
