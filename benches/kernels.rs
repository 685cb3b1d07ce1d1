//! Kernels on a tile that stays in the second cache: decoding and multiplying 64 rows of 4096.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run has nothing to say")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ullage_core::Scheme;
use ullage_core::codec::Weight;
use ullage_core::codec::kernel::{Isa, Matrix, Out, Store};
use ullage_core::codec::{Piece, Remainder};
use ullage_core::model::Dtype;

const SHAPE: [u64; 2] = [64, 4096];
const SCHEMES: [&str; 11] = [
    "dense:f16",
    "palettized:4",
    "palettized:6",
    "palettized:8",
    "linear:8",
    "linear:4",
    "linear:4,block=32",
    "gguf:q4_0",
    "gguf:q8_0",
    "gguf:q4_k",
    "gguf:q6_k",
];

/// Bytes that look random, and are no infinities as halves.
fn bytes(piece: &Piece) -> Vec<u8> {
    let count = usize::try_from(piece.bytes().unwrap().get()).unwrap();
    (0..count).map(|place| place.wrapping_mul(0x9E37_79B1).to_le_bytes()[2] & 0x3F).collect()
}

fn kernels(bench: &mut Criterion) {
    let mut out = vec![0_u16; 64 * 4096];
    let x = vec![0.5_f32; 8 * 4096];
    let mut y = vec![0.0_f32; 8 * 64];
    for text in SCHEMES {
        let scheme: Scheme = text.parse().unwrap();
        let weight = Weight::new(&SHAPE).unwrap();
        let pieces = scheme.pieces(&weight, Dtype::F32, Remainder::Smaller).unwrap().unwrap();
        let data: Vec<Vec<u8>> = pieces.iter().map(bytes).collect();
        let parts: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let matrix = Matrix::new(scheme, &SHAPE, &parts).unwrap();
        let mut group = bench.benchmark_group(text);
        group.throughput(Throughput::Elements(64 * 4096));
        for isa in Isa::available() {
            group.bench_function(BenchmarkId::new("f16", isa), |bench| {
                bench.iter(|| matrix.decode_rows(0..64, Out::F16(&mut out), isa, Store::Cached).unwrap());
            });
            group.bench_function(BenchmarkId::new("multiply", isa), |bench| {
                bench.iter(|| matrix.gemv(0..64, &x[..4096], 1, &mut y[..64], isa).unwrap());
            });
            for (batch, numbers, results) in [(1, 4096, 64), (8, 8 * 4096, 8 * 64)] {
                if let Ok(rounded) = matrix.round(&x[..numbers], batch) {
                    let y = &mut y[..results];
                    group.bench_function(BenchmarkId::new(format!("rounded x {batch}"), isa), |bench| {
                        bench.iter(|| matrix.gemv_rounded(0..64, &rounded, y, isa).unwrap());
                    });
                }
            }
        }
        group.finish();
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
