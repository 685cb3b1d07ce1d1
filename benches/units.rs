//! Reading and showing byte counts: called per event by whoever logs.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ullage_core::Bytes;

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("units/parse");
    for text in ["1500", "1.5GB", "24 GiB"] {
        group.bench_function(text, |b| b.iter(|| black_box(text).parse::<Bytes>()));
    }
    group.finish();
}

fn show(c: &mut Criterion) {
    let mut group = c.benchmark_group("units/format");
    for count in [999, 90_868_376, u64::MAX] {
        let bytes = Bytes::new(count);
        group.bench_function(count.to_string(), |b| b.iter(|| black_box(bytes).to_string()));
    }
    group.finish();
}

criterion_group!(units, read, show);
criterion_main!(units);
