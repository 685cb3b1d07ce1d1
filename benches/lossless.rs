//! Weights without loss: bytes of decoded output a second, on one thread, in each form and scheme, beside a fill of as much.
#![allow(clippy::arithmetic_side_effects, reason = "sizes chosen here")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ullage_core::codec::{Lossless, Method, Packed, Reading};
use ullage_core::model::Dtype;

/// Elements of the weight: 32 Mi of them lie far outside the caches.
const COLD: usize = 1 << 25;
/// 64 Ki stay in the second one.
const WARM: usize = 1 << 16;

const DTYPES: [(Dtype, usize); 3] = [(Dtype::BF16, 2), (Dtype::F16, 2), (Dtype::F32, 4)];
const METHODS: [Method; 3] = [Method::Fixed, Method::Entropy, Method::Lz4];

/// Normal numbers, as weights nearly are.
fn weights(dtype: Dtype, count: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (f64::from(u32::try_from(state >> 32).unwrap_or(0)) + 0.5) / 4_294_967_296.0
    };
    let mut bytes = Vec::with_capacity(count * 4);
    for _ in 0..count {
        let value = (-2.0 * next().ln()).sqrt() * (std::f64::consts::TAU * next()).cos() * 0.02;
        #[expect(clippy::cast_possible_truncation, reason = "to the precision that is measured")]
        let word = (value as f32).to_bits();
        match dtype {
            Dtype::BF16 => bytes.extend_from_slice(&word.to_le_bytes()[2..]),
            // Near enough: the exponent moved, ten bits of the mantissa.
            Dtype::F16 => {
                let exponent = (word >> 23 & 0xFF).saturating_sub(112).min(30);
                let half = word >> 16 & 0x8000 | exponent << 10 | word >> 13 & 0x3FF;
                bytes.extend_from_slice(&half.to_le_bytes()[..2]);
            }
            _ => bytes.extend_from_slice(&word.to_le_bytes()),
        }
    }
    bytes
}

fn decode(c: &mut Criterion) {
    for (size, count) in [("cold", COLD), ("warm", WARM)] {
        for (dtype, width) in DTYPES {
            let bytes = weights(dtype, count);
            let mut out = vec![0_u8; count * width];
            let mut group = c.benchmark_group(format!("lossless/decode/{size}/{dtype}"));
            group.sample_size(10).throughput(Throughput::Bytes((count * width) as u64));
            group.bench_function("fill", |b| b.iter(|| black_box(&mut out).fill(black_box(7))));
            for method in METHODS {
                let scheme = Lossless { exponent_millibits: 2650, method };
                let Ok(packed) = Packed::flat(&bytes, dtype, scheme, 2) else { continue };
                let Ok(reader) = packed.reader() else { continue };
                group.bench_function(BenchmarkId::from_parameter(scheme), |b| {
                    b.iter(|| reader.read(0..count, black_box(&mut out), Reading::of(count * width, 1)));
                });
            }
            group.finish();
        }
    }
}

fn encode(c: &mut Criterion) {
    let bytes = weights(Dtype::BF16, COLD / 8);
    let mut group = c.benchmark_group("lossless/encode");
    group.sample_size(10).throughput(Throughput::Bytes(bytes.len() as u64));
    for method in METHODS {
        let scheme = Lossless { exponent_millibits: 2650, method };
        group.bench_function(BenchmarkId::from_parameter(scheme), |b| {
            b.iter(|| Packed::flat(black_box(&bytes), Dtype::BF16, scheme, 1));
        });
    }
    group.finish();
}

criterion_group!(lossless, decode, encode);
criterion_main!(lossless);
