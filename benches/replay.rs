//! Requests replayed one after another, in requests a second: `value` beside the cheapest rule.

#![allow(clippy::arithmetic_side_effects, reason = "bench arithmetic on small numbers")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ullage_core::Bytes;
use ullage_core::replay::{Trace, policy, serial, synthetic};

const GB: u64 = 1_000_000_000;

/// The traces of `ULLAGE_DATA` where that is set, and two made up: each with capacities that hold a tenth and a half.
fn traces() -> Vec<(String, Trace, u64)> {
    let mut traces = Vec::new();
    for family in ["zipf", "sessions"] {
        let trace = synthetic(family, 1, 20_000).expect("a known family");
        let footprint: u64 = trace.models().iter().map(|model| model.bytes.get()).sum();
        traces.push((format!("{family}/tenth"), trace.clone(), footprint / 10));
        traces.push((format!("{family}/half"), trace, footprint / 2));
    }
    let Ok(folder) = std::env::var("ULLAGE_DATA") else { return traces };
    for (name, capacities) in [("azure200", [16, 64]), ("gentd26-first12d", [24, 80])] {
        let read = |kind: &str| std::fs::read(format!("{folder}/traces/{name}.{kind}.csv"));
        let (Ok(models), Ok(requests)) = (read("models"), read("requests")) else { continue };
        let trace = Trace::parse(&models, &requests).expect("a trace");
        traces.extend(capacities.map(|gb| (format!("{name}/{gb} GB"), trace.clone(), gb * GB)));
    }
    traces
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replay/serial");
    group.sample_size(10);
    for (name, trace, capacity) in traces() {
        group.throughput(Throughput::Elements(trace.requests().len() as u64));
        for rule in ["lru", "value"] {
            group.bench_with_input(BenchmarkId::new(rule, &name), &trace, |bencher, trace| {
                bencher.iter(|| {
                    serial(trace, Bytes::new(capacity), policy(rule, trace).expect("a known rule"), None)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, requests);
criterion_main!(benches);
