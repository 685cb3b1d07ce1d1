//! Whatever bytes go in come back; what was damaged gives an error or other bytes, and never a panic.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "numbers of tests, all small"
)]

use proptest::prelude::*;

use super::super::super::lossless::{Lossless, Method};
use super::{BLOCK, Isa, Packed, RawReader, Reading};
use crate::error::{Error, Result};
use crate::model::Dtype;

const FLOATS: [Dtype; 3] = [Dtype::BF16, Dtype::F16, Dtype::F32];
const METHODS: [Method; 3] = [Method::Entropy, Method::Fixed, Method::Lz4];

fn best() -> Isa {
    Isa::detect()
}

fn scheme(method: Method) -> Lossless {
    Lossless { exponent_millibits: 2650, method }
}

fn width(dtype: Dtype) -> usize {
    usize::try_from(dtype.block().1 / 8).unwrap()
}

/// Numbers as weights have them: a bell around zero, a few far out, and what no weight should be.
fn weights(dtype: Dtype, count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    };
    let mut bytes = Vec::new();
    for _ in 0..count {
        let sum: f32 = (0..6).map(|_| (next() % 2001) as f32 / 1000.0 - 1.0).sum();
        let value = match next() % 4096 {
            0 => f32::from_bits(u32::try_from(next() % (1 << 32)).unwrap()),
            1 => 0.0,
            _ => sum * 0.02,
        };
        match dtype {
            Dtype::BF16 => bytes.extend_from_slice(&value.to_le_bytes()[2..]),
            Dtype::F16 => bytes.extend_from_slice(&crate::codec::half::to_half(value).to_le_bytes()),
            _ => bytes.extend_from_slice(&value.to_le_bytes()),
        }
    }
    bytes
}

fn packed(bytes: &[u8], dtype: Dtype, method: Method, threads: usize) -> Packed {
    let count = u64::try_from(bytes.len() / width(dtype)).unwrap();
    Packed::encode(bytes, dtype, &[count], scheme(method), threads).unwrap()
}

fn reading(isa: Isa, threads: usize, streamed: bool) -> Reading {
    Reading { isa, threads, streamed }
}

fn assert_comes_back(bytes: &[u8], dtype: Dtype, method: Method) {
    let packed = packed(bytes, dtype, method, 1);
    let reader = packed.reader().unwrap();
    for isa in Isa::available() {
        for (threads, streamed) in [(1, false), (1, true), (3, true)] {
            let mut out = vec![0xA5; bytes.len()];
            reader.read(0..reader.elements(), &mut out, reading(isa, threads, streamed)).unwrap();
            assert!(out == bytes, "{dtype} {method:?} {isa} {threads} {streamed}: {} bytes", bytes.len());
        }
    }
}

#[test]
fn weights_of_awkward_sizes_come_back_in_every_form() {
    for dtype in FLOATS {
        for count in
            [0, 1, 2, 7, 63, 64, 65, BLOCK - 1, BLOCK, BLOCK + 1, 4 * BLOCK, 5 * BLOCK + 33, 70 * BLOCK + 9]
        {
            let bytes = weights(dtype, count, 7);
            for method in METHODS {
                assert_comes_back(&bytes, dtype, method);
            }
        }
    }
}

#[test]
fn every_pattern_of_bits_comes_back() {
    let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for (dtype, method) in FLOATS.into_iter().flat_map(|dtype| METHODS.map(|method| (dtype, method))) {
        assert_comes_back(&bytes, dtype, method);
        assert_comes_back(&vec![0x3F; 6 * BLOCK], dtype, method);
        assert_comes_back(&vec![0; 3 * BLOCK], dtype, method);
    }
}

#[test]
fn every_dtype_of_whole_bytes_comes_back_from_planes() {
    for &dtype in Dtype::ALL {
        let (elements, bits) = dtype.block();
        let bytes = vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16].repeat(9000);
        let encoded = |count| Packed::encode(&bytes, dtype, &[count], scheme(Method::Lz4), 2);
        if elements != 1 || bits == 0 || bits % 8 != 0 {
            assert!(matches!(encoded(1), Err(Error::Argument { name: "dtype", .. })), "{dtype}");
            continue;
        }
        let count = u64::try_from(bytes.len()).unwrap() * 8 / bits;
        let packed = encoded(count).unwrap();
        assert!(packed.bytes().unwrap().get() < 20_000, "{dtype}: what repeats is found");
        let (reader, mut out) = (packed.reader().unwrap(), vec![0; bytes.len()]);
        reader.read(0..reader.elements(), &mut out, reading(best(), 1, false)).unwrap();
        assert_eq!(out, bytes, "{dtype}");
    }
}

#[test]
fn threads_change_nothing_that_is_stored() {
    for (dtype, method) in FLOATS.into_iter().flat_map(|dtype| METHODS.map(|method| (dtype, method))) {
        let bytes = weights(dtype, 150 * BLOCK + 5, 3);
        assert_eq!(packed(&bytes, dtype, method, 1), packed(&bytes, dtype, method, 4));
    }
}

#[test]
fn exponents_take_about_their_entropy() {
    let count = 64 * BLOCK;
    let bytes = weights(Dtype::BF16, count, 11);
    let mut counts = [0_u32; 256];
    bytes
        .chunks_exact(2)
        .for_each(|word| counts[usize::from(u16::from_le_bytes([word[0], word[1]]) >> 7 & 0xFF)] += 1);
    let share = |&count: &u32| f64::from(count) / (64.0 * 4096.0);
    let entropy: f64 =
        counts.iter().filter(|&&count| count > 0).map(|count| -share(count) * share(count).log2()).sum();
    let bound = (8.0 + entropy) / 8.0 * 64.0 * 4096.0;
    let stored = packed(&bytes, Dtype::BF16, Method::Entropy, 1).bytes().unwrap().get() as f64;
    assert!(bound < stored && stored < bound * 1.01, "{stored} bytes, where the bound is {bound}");
}

#[test]
fn what_is_stored_is_what_the_scheme_says_and_what_stands_beside() {
    let count = 10 * BLOCK + 3;
    for dtype in FLOATS {
        let shape = [u64::try_from(count).unwrap()];
        let fixed = packed(&weights(dtype, count, 5), dtype, Method::Fixed, 1);
        let named = super::super::super::Scheme::Lossless(scheme(Method::Fixed));
        let named = named.compressed_bytes(&shape, dtype).unwrap().unwrap().get();
        let escapes = fixed.parts()[3].0.elements;
        assert_eq!(fixed.bytes().unwrap().get(), named + 11 * 4 + escapes + 15);
        for (piece, bytes) in fixed.parts() {
            assert_eq!(piece.bytes().unwrap().get(), u64::try_from(bytes.len()).unwrap(), "{:?}", piece.part);
        }
    }
}

fn parts(packed: &Packed) -> Vec<Vec<u8>> {
    packed.parts().iter().map(|(_, bytes)| bytes.clone()).collect()
}

/// Reads all of `parts`, which may be damaged.
fn read(packed: &Packed, parts: &[Vec<u8>], isa: Isa) -> Result<Vec<u8>> {
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let reader = RawReader::new(packed.scheme(), packed.dtype(), packed.shape(), &parts)?;
    let mut out = vec![0; reader.elements() * reader.width()];
    reader.read(0..reader.elements(), &mut out, reading(isa, 1, false))?;
    Ok(out)
}

#[test]
fn a_piece_cut_anywhere_is_damaged() {
    for (dtype, method) in FLOATS.into_iter().flat_map(|dtype| METHODS.map(|method| (dtype, method))) {
        let packed = packed(&weights(dtype, 700, 9), dtype, method, 1);
        let whole = parts(&packed);
        for piece in 0..whole.len() {
            for length in 0..whole[piece].len() {
                let mut cut = whole.clone();
                cut[piece].truncate(length);
                let outcome = read(&packed, &cut, best());
                assert!(
                    matches!(outcome, Err(Error::Damaged { .. })),
                    "{dtype} {method:?} piece {piece} of {length}"
                );
            }
        }
        let mut longer = whole.clone();
        longer.push(Vec::new());
        assert!(matches!(read(&packed, &longer, best()), Err(Error::Damaged { piece: "pieces", .. })));
    }
}

#[test]
fn bad_arguments_are_refused() {
    let entropy = scheme(Method::Entropy);
    let refused = |outcome: Result<Packed>, expected: &str| match outcome {
        Err(Error::Argument { name, .. }) => assert_eq!(name, expected),
        other => panic!("{other:?}"),
    };
    refused(Packed::encode(&[0; 5], Dtype::BF16, &[2], entropy, 1), "weights");
    refused(Packed::encode(&[0; 8], Dtype::F64, &[1], entropy, 1), "dtype");
    refused(Packed::encode(&[0; 18], Dtype::Q4_0, &[32], scheme(Method::Lz4), 1), "dtype");
    assert!(Packed::encode(&[], Dtype::BF16, &[u64::MAX, 2], entropy, 1).is_err());
    let packed = packed(&[0; 8], Dtype::BF16, Method::Fixed, 1);
    let reader = packed.reader().unwrap();
    let portable = reading(Isa::Portable, 1, false);
    assert!(matches!(reader.read(0..5, &mut [0; 10], portable), Err(Error::Argument { name: "range", .. })));
    assert!(matches!(reader.read(0..4, &mut [0; 9], portable), Err(Error::Argument { name: "out", .. })));
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    let backwards = 3..1;
    assert!(matches!(reader.read(backwards, &mut [], portable), Err(Error::Argument { name: "range", .. })));
}

#[test]
fn escapes_that_codes_do_not_ask_for_are_damaged() {
    let bytes: Vec<u8> = (0..3000_u16).flat_map(|word| (word << 5).to_le_bytes()).collect();
    let packed = packed(&bytes, Dtype::BF16, Method::Fixed, 1);
    let mut changed = parts(&packed);
    changed[1].iter_mut().for_each(|codes| *codes = 0);
    for isa in Isa::available() {
        assert!(matches!(read(&packed, &changed, isa), Err(Error::Damaged { piece: "escapes", .. })));
    }
}

fn any_dtype() -> impl Strategy<Value = Dtype> {
    prop::sample::select(FLOATS.to_vec())
}

fn any_method() -> impl Strategy<Value = Method> {
    prop::sample::select(METHODS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_range_is_the_same_part_of_the_whole(
        dtype in any_dtype(), method in any_method(), count in 1..3 * BLOCK + 50, seed: u64, ends in (0.0..1.0, 0.0..1.0),
        offset in 0..64_usize, streamed: bool,
    ) {
        let bytes = weights(dtype, count, seed);
        let packed = packed(&bytes, dtype, method, 1);
        let place = |share: f64| (share * count as f64) as usize;
        let (start, end) = (place(ends.0).min(place(ends.1)), place(ends.0).max(place(ends.1)));
        let expected = &bytes[start * width(dtype)..end * width(dtype)];
        let reader = packed.reader().unwrap();
        for isa in Isa::available() {
            let mut room = vec![0x5A; expected.len() + offset + 9];
            let out = &mut room[offset..offset + expected.len()];
            reader.read(start..end, out, reading(isa, 1, streamed)).unwrap();
            prop_assert!(out == expected, "{} {:?} {}", dtype, method, isa);
            prop_assert!(room[offset + expected.len()..].iter().all(|&byte| byte == 0x5A), "nothing is written behind");
        }
    }

    #[test]
    fn any_bytes_come_back(
        dtype in any_dtype(), method in any_method(), bytes in prop::collection::vec(any::<u8>(), 0..40_000)
    ) {
        assert_comes_back(&bytes[..bytes.len() / width(dtype) * width(dtype)], dtype, method);
    }

    #[test]
    fn flipped_bits_give_an_error_or_other_bytes_the_same_in_every_form(
        dtype in any_dtype(), method in any_method(), seed: u64,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..8_u32), 1..6),
    ) {
        let packed = packed(&weights(dtype, 5 * BLOCK, seed), dtype, method, 1);
        let mut damaged = parts(&packed);
        for (piece, place, bit) in flips {
            let piece = piece.index(damaged.len());
            if !damaged[piece].is_empty() {
                let place = place.index(damaged[piece].len());
                damaged[piece][place] ^= 1 << bit;
            }
        }
        let first = read(&packed, &damaged, Isa::Portable);
        let is_typed = matches!(first, Ok(_) | Err(Error::Damaged { .. } | Error::Overflow { .. }));
        prop_assert!(is_typed);
        for isa in Isa::available() {
            match (&first, read(&packed, &damaged, isa)) {
                (Ok(one), Ok(other)) => prop_assert!(*one == other, "{}", isa),
                (Err(_), Err(_)) => {}
                (one, other) => prop_assert!(false, "{}: {} {}", isa, one.is_ok(), other.is_ok()),
            }
        }
    }
}
