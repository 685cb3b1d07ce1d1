//! Reading the header of a model: safetensors beside parsing the same JSON into a tree, and GGUF.

#![allow(clippy::arithmetic_side_effects, reason = "bench arithmetic on small numbers")]

use std::fmt::Write;
use std::hint::black_box;
use std::io::Cursor;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ullage_core::model::safetensors::read_header;
use ullage_core::model::{Source, gguf};

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

/// A GGUF without data: a vocabulary and so many tensors.
fn gguf_header(tensors: u64) -> Vec<u8> {
    let wide = |length: usize| u64::try_from(length).expect("a length").to_le_bytes();
    let mut file = [&b"GGUF\x03\0\0\0"[..], &tensors.to_le_bytes(), &1_u64.to_le_bytes()].concat();
    let key = "tokenizer.ggml.tokens";
    let array = [9_u32.to_le_bytes(), 8_u32.to_le_bytes()].concat();
    file.extend([&wide(key.len())[..], key.as_bytes(), &array, &32_000_u64.to_le_bytes()].concat());
    for token in 0..32_000 {
        let token = format!("token {token}");
        file.extend([&wide(token.len())[..], token.as_bytes()].concat());
    }
    for tensor in 0..tensors {
        let name = format!("blk.{}.block_{}.weight", tensor / 9, tensor % 9);
        file.extend([&wide(name.len())[..], name.as_bytes(), &2_u32.to_le_bytes()].concat());
        file.extend([64_u64.to_le_bytes(), 64_u64.to_le_bytes()].concat());
        file.extend([&1_u32.to_le_bytes()[..], &(tensor * 8192).to_le_bytes()].concat());
    }
    file
}

fn gguf_headers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("model/gguf");
    group.sample_size(20);
    for tensors in [1_000, 50_000] {
        group.throughput(Throughput::Elements(tensors));
        let file = gguf_header(tensors);
        let length = u64::try_from(file.len()).expect("a length");
        group.bench_function(BenchmarkId::new("ours", tensors), |bencher| {
            bencher.iter(|| {
                let mut source = Source::new(Cursor::new(black_box(&file[..])), length);
                gguf::read(&mut source).map(|contents| contents.tensors.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, headers, gguf_headers);
criterion_main!(benches);
