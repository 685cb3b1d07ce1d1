//! Reading the header of a model, beside parsing the same JSON into a tree.

#![allow(clippy::arithmetic_side_effects, reason = "bench arithmetic on small numbers")]

use std::fmt::Write;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ullage_core::model::safetensors::read_header;

/// A header of so many tensors with the names of a transformer, and the length of the file it describes.
fn header(tensors: u64) -> (Vec<u8>, u64) {
    let mut json = String::from("{");
    for tensor in 0..tensors {
        let (comma, layer, place) = (if tensor == 0 { "" } else { "," }, tensor / 9, tensor % 9);
        let (start, end) = (tensor * 8192, tensor * 8192 + 8192);
        write!(
            json,
            r#"{comma}"model.layers.{layer}.block.{place}.weight":{{"dtype":"BF16","shape":[64,64],"data_offsets":[{start},{end}]}}"#
        )
        .expect("a String takes everything");
    }
    json.push('}');
    let length = u64::try_from(json.len()).expect("a length");
    ([&length.to_le_bytes()[..], json.as_bytes()].concat(), 8 + length + tensors * 8192)
}

fn headers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("model/header");
    group.sample_size(20);
    for tensors in [1_000, 50_000] {
        group.throughput(Throughput::Elements(tensors));
        let (file, length) = header(tensors);
        group.bench_function(BenchmarkId::new("ours", tensors), |bencher| {
            bencher.iter(|| read_header(black_box(&file[..]), length).map(|header| header.tensors.len()));
        });
        group.bench_function(BenchmarkId::new("serde_json::Value", tensors), |bencher| {
            bencher.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(&file[8..])));
        });
    }
    group.finish();
}

criterion_group!(benches, headers);
criterion_main!(benches);
