#![expect(
    clippy::arithmetic_side_effects,
    clippy::float_cmp,
    reason = "small numbers, and bits that must be equal"
)]
use std::sync::Arc;

use proptest::prelude::*;

use super::super::coded::Coded;
use super::super::weight::Weight;
use super::*;
use crate::model::Dtype;

const TEXTS: [&str; 20] = [
    "palettized:4",
    "palettized:4,group=3",
    "palettized:1",
    "palettized:2,group=1",
    "palettized:3",
    "palettized:6,group=2",
    "palettized:8",
    "linear:8",
    "linear:8,affine",
    "linear:8,tensor",
    "linear:8,affine,block=32",
    "linear:8,block=5",
    "linear:4",
    "linear:4,block=32",
    "linear:4,affine,block=7",
    "sparse:0.5",
    "sparse:0.75",
    "sparse:0.99",
    "dense:f16",
    "dense:f32",
];

pub(super) fn scheme(text: &str) -> Scheme {
    text.parse().unwrap()
}

/// Numbers that look random, from a seed.
pub(super) fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers for a test")]
pub(super) fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut next = numbers(seed);
    (0..count).map(|_| (next() >> 40) as f32 / 4_194_304.0 - 2.0).collect()
}

/// Pieces that begin at an address `offset` bytes after a multiple of 64.
pub(super) struct Laid {
    parts: Vec<(Vec<u8>, Range<usize>)>,
}

impl Laid {
    pub(super) fn at(offset: usize, parts: &[&[u8]]) -> Self {
        let lay = |part: &&[u8]| {
            let mut bytes = vec![0xA5; part.len() + 128];
            let start = bytes.as_ptr().align_offset(64) + offset;
            bytes[start..start + part.len()].copy_from_slice(part);
            (bytes, start..start + part.len())
        };
        Self { parts: parts.iter().map(lay).collect() }
    }

    pub(super) fn parts(&self) -> Vec<&[u8]> {
        self.parts.iter().map(|(bytes, range)| &bytes[range.clone()]).collect()
    }
}

pub(super) fn encoded(text: &str, rows: usize, cols: usize, seed: u64) -> Coded {
    Coded::encode(&values(seed, rows * cols), &[rows as u64, cols as u64], scheme(text)).unwrap()
}

pub(super) fn data(coded: &Coded) -> Vec<&[u8]> {
    coded.parts().iter().map(|(_, bytes)| bytes.as_slice()).collect()
}

/// Room for `count` numbers that begins `offset` numbers after a multiple of 64 bytes.
fn room<T: Copy>(count: usize, offset: usize, fill: T) -> (Vec<T>, usize) {
    let room = vec![fill; count + 64 + offset];
    let start = room.as_ptr().align_offset(64) + offset;
    (room, start)
}

fn decoded(
    matrix: &Matrix<'_>,
    rows: Range<usize>,
    offset: usize,
    isa: Isa,
    store: Store,
) -> (Vec<u32>, Vec<u16>, Vec<u16>) {
    let count = rows.len() * matrix.cols();
    let (mut wide, start) = room(count, offset, f32::NAN);
    matrix.decode_rows(rows.clone(), Out::F32(&mut wide[start..start + count]), isa, store).unwrap();
    let wide_bits = wide[start..start + count].iter().map(|value| value.to_bits()).collect();
    assert!(
        wide[..start].iter().chain(&wide[start + count..]).all(|value| value.is_nan()),
        "nothing beside is written"
    );
    let halves = |is_half: bool| {
        let (mut words, start) = room(count, offset, 0xABCD_u16);
        let out = &mut words[start..start + count];
        let out = if is_half { Out::F16(out) } else { Out::Bf16(out) };
        matrix.decode_rows(rows.clone(), out, isa, store).unwrap();
        assert!(words[..start].iter().chain(&words[start + count..]).all(|&word| word == 0xABCD));
        words[start..start + count].to_vec()
    };
    (wide_bits, halves(true), halves(false))
}

fn check(matrix: &Matrix<'_>, rows: Range<usize>, offset: usize) {
    let expected = decoded(matrix, rows.clone(), 0, Isa::Portable, Store::Cached);
    for isa in Isa::available() {
        for store in [Store::Cached, Store::Streamed] {
            let found = decoded(matrix, rows.clone(), offset, isa, store);
            assert_eq!(found, expected, "{} {isa} {store:?} {rows:?} of {}", matrix.scheme(), matrix.cols());
        }
    }
    for batch in [1, 3] {
        let x = values(7, matrix.cols() * batch);
        let product = |isa: Isa| {
            let mut y = vec![f32::NAN; rows.len() * batch];
            matrix.gemv(rows.clone(), &x, batch, &mut y, isa).unwrap();
            y.iter().map(|y| y.to_bits()).collect::<Vec<u32>>()
        };
        let expected = product(Isa::Portable);
        for isa in Isa::available() {
            assert_eq!(product(isa), expected, "{} {isa} {rows:?} of {}", matrix.scheme(), matrix.cols());
        }
    }
}

#[test]
fn halves_are_what_they_stand_for() {
    for half in 0..=u16::MAX {
        let value = format::from_half(half);
        if half & 0x7C00 == 0x7C00 {
            assert_eq!(value.is_nan(), half & 0x03FF != 0);
            continue;
        }
        let exponent = i32::from(half >> 10 & 31);
        let fraction = f64::from(half & 0x03FF) / 1024.0;
        let size = if exponent == 0 {
            fraction * 2.0_f64.powi(-14)
        } else {
            (1.0 + fraction) * 2.0_f64.powi(exponent - 15)
        };
        assert_eq!(f64::from(value.abs()), size);
        assert_eq!(format::to_half(value), half);
        let above = format::from_half(half.wrapping_add(1));
        if half & 0x7FFF < 0x7BFF {
            let middle = f32::midpoint(value, above);
            assert_eq!(format::to_half(middle), half + (half & 1), "{middle}");
        }
    }
    assert_eq!(format::to_half(65_520.0), 0x7C00);
    assert_eq!(format::to_half(-65_519.0), 0xFBFF);
    assert_eq!(format::to_half(f32::MAX), 0x7C00);
    assert_eq!(format::to_bf16(1.0 + 1.0 / 256.0), 0x3F80);
    assert_eq!(format::to_bf16(1.0 + 3.0 / 256.0), 0x3F82);
    assert_eq!(format::to_bf16(f32::from_bits(0x7F80_0001)), 0x7FC0);
}

#[test]
fn decoding_is_that_of_the_plain_form() {
    for text in TEXTS {
        for cols in [1, 3, 64, 131] {
            let coded = encoded(text, 5, cols, 3);
            let mut plain = vec![0.0; 5 * cols];
            coded.decode_into(&mut plain).unwrap();
            let matrix = Matrix::of(coded.view()).unwrap();
            let mut found = vec![f32::NAN; 5 * cols];
            matrix.decode_all(Out::F32(&mut found), Isa::Portable, Store::Cached, 2).unwrap();
            assert_eq!(found, plain, "{text} {cols}");
        }
    }
}

#[test]
fn products_are_near_the_exact_ones() {
    for text in TEXTS {
        let coded = encoded(text, 33, 1500, 5);
        let mut weights = vec![0.0; 33 * 1500];
        coded.decode_into(&mut weights).unwrap();
        let x = values(6, 1500 * 2);
        let matrix = Matrix::of(coded.view()).unwrap();
        for threads in [1, 2, 5] {
            let mut y = vec![f32::NAN; 66];
            matrix.gemv_all(&x, 2, &mut y, Isa::detect(), threads).unwrap();
            for (place, &found) in y.iter().enumerate() {
                let (row, vector) = (place % 33, place / 33);
                let products = weights[row * 1500..][..1500].iter().zip(&x[vector * 1500..]);
                let exact: f64 = products.map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
                assert!((f64::from(found) - exact).abs() < 1e-3, "{text} {place}: {found} {exact}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let coded = encoded("palettized:4", 4, 6, 1);
    let matrix = Matrix::of(coded.view()).unwrap();
    let name = |outcome: Result<()>| match outcome {
        Err(Error::Argument { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    let (isa, store) = (Isa::Portable, Store::Cached);
    assert_eq!(name(matrix.decode_rows(0..4, Out::F32(&mut [0.0; 23]), isa, store)), "out");
    assert_eq!(name(matrix.decode_all(Out::F16(&mut [0; 25]), isa, store, 2)), "out");
    assert_eq!(name(matrix.decode_rows(3..5, Out::F32(&mut [0.0; 12]), isa, store)), "rows");
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    let reversed = 3..2;
    assert_eq!(name(matrix.decode_rows(reversed, Out::F32(&mut []), isa, store)), "rows");
    assert_eq!(name(matrix.gemv(0..1, &[0.0; 5], 1, &mut [0.0], isa)), "x");
    assert_eq!(name(matrix.gemv(0..1, &[0.0; 6], 1, &mut [0.0; 2], isa)), "y");
    assert_eq!(name(matrix.gemv(0..1, &[], 0, &mut [], isa)), "batch");
    assert_eq!(name(matrix.gemv(0..1, &[0.0; 54], 9, &mut [0.0; 9], isa)), "batch");
    let missing = Isa::ALL.into_iter().find(|isa| !isa.is_available());
    assert_eq!(name(matrix.gemv(0..1, &[0.0; 6], 1, &mut [0.0], missing.unwrap())), "isa");
    let fault = Matrix::new(scheme("sparse:0.5"), &[2, 1], &[&[0, 0], &[0b11]]);
    assert!(matches!(fault, Err(Error::Damaged { piece: "mask", .. })), "{fault:?}");
    assert!(Matrix::new(scheme("linear:8"), &[2, 1], &[&[0], &[0; 4]]).is_err());
}

#[test]
fn nothing_is_a_matrix_too() {
    for text in TEXTS {
        for shape in [[0_u64, 4], [4, 0]] {
            let weight = Weight::new(&shape).unwrap();
            let pieces = scheme(text).stored(&weight, Dtype::F32).unwrap().unwrap();
            let data: Vec<Vec<u8>> = pieces
                .iter()
                .map(|piece| vec![0; usize::try_from(piece.bytes().unwrap().get()).unwrap()])
                .collect();
            let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
            let matrix = Matrix::new(scheme(text), &shape, &data).unwrap();
            let mut y = vec![f32::NAN; matrix.rows()];
            for isa in Isa::available() {
                matrix.decode_all(Out::F16(&mut []), isa, Store::Streamed, 3).unwrap();
                matrix.gemv_all(&vec![1.0; matrix.cols()], 1, &mut y, isa, 2).unwrap();
                assert!(y.iter().all(|&y| y == 0.0), "{text} {shape:?} {y:?}");
            }
        }
    }
}

#[test]
fn threads_share_all_rows() {
    for (threads, rows, multiple) in [(1, 7, 1), (3, 7, 1), (8, 3, 1), (2, 100, 16), (0, 5, 0), (4, 0, 2)] {
        let ranges = splits(threads, rows, multiple);
        assert!(ranges.len() <= threads.max(1));
        let mut next = 0;
        for range in ranges {
            assert_eq!(range.start, next);
            assert!(range.end > range.start && range.start.is_multiple_of(multiple.max(1)));
            next = range.end;
        }
        assert_eq!(next, rows);
    }
    let seen = Arc::new(std::sync::Mutex::new(vec![0; 50]));
    parallel(3, 50, |range| {
        seen.lock().unwrap()[range].iter_mut().for_each(|count| *count += 1);
        Ok(())
    })
    .unwrap();
    assert!(seen.lock().unwrap().iter().all(|&count| count == 1));
    assert!(
        parallel(4, 4, |range| if range.start == 2 { Err(wrong_length("x", 1, 2)) } else { Ok(()) }).is_err()
    );
}

/// Blocks as random bytes: every pattern is a block.
pub(super) fn random_blocks(text: &str, rows: usize, cols: usize, seed: u64) -> Vec<u8> {
    let bytes = scheme(text).compressed_bytes(&[rows as u64, cols as u64], Dtype::F32).unwrap().unwrap();
    let mut next = numbers(seed);
    (0..bytes.get()).map(|_| next().to_le_bytes()[0]).collect()
}

#[test]
fn blocks_agree_on_every_processor() {
    for text in ["gguf:q4_0", "gguf:q8_0", "gguf:q4_k", "gguf:q6_k"] {
        for (rows, cols) in [(1, 256), (3, 512), (2, 1280)] {
            let bytes = random_blocks(text, rows, cols, 9);
            for offset in [0, 1, 17, 63] {
                let laid = Laid::at(offset, &[&bytes]);
                let matrix = Matrix::new(scheme(text), &[rows as u64, cols as u64], &laid.parts()).unwrap();
                check(&matrix, rows - 1..rows, offset % 9);
                check(&matrix, 0..rows, offset % 9);
            }
        }
    }
}

/// Random bits of every piece but the mask: indices and integers of all values, tables and scales that are no numbers.
#[test]
fn what_is_no_number_agrees_too() {
    for text in TEXTS {
        for cols in [64, 257] {
            let coded = encoded(text, 6, cols, 11);
            let mut parts: Vec<Vec<u8>> = data(&coded).iter().map(|part| part.to_vec()).collect();
            let mut next = numbers(12);
            let kept = if text.starts_with("sparse") { 1 } else { parts.len() };
            parts.iter_mut().take(kept).flatten().for_each(|byte| *byte = next().to_le_bytes()[0]);
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let matrix = Matrix::new(scheme(text), &[6, cols as u64], &parts).unwrap();
            let expected = decoded(&matrix, 0..6, 0, Isa::Portable, Store::Cached);
            for isa in Isa::available() {
                assert_eq!(decoded(&matrix, 0..6, 3, isa, Store::Streamed), expected, "{text} {isa}");
            }
        }
    }
}

#[test]
fn every_offset_of_data_and_of_results_gives_the_same() {
    for (text, cols) in TEXTS.into_iter().flat_map(|text| [(text, 150), (text, 192)]) {
        let coded = encoded(text, 3, cols, 2);
        for offset in 0..64 {
            let laid = Laid::at(offset, &data(&coded));
            let matrix = Matrix::new(scheme(text), &[3, cols as u64], &laid.parts()).unwrap();
            check(&matrix, 1..3, offset);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn all_processors_agree_bit_for_bit(
        rows in 1..6_usize,
        cols in prop_oneof![1..200_usize, 1000..1100_usize],
        text in 0..TEXTS.len(),
        (first, last) in (0..6_usize, 0..6_usize),
        offset in 0..64_usize,
        seed in any::<u64>(),
    ) {
        let coded = encoded(TEXTS[text], rows, cols, seed);
        let laid = Laid::at(offset, &data(&coded));
        let matrix = Matrix::new(scheme(TEXTS[text]), &[rows as u64, cols as u64], &laid.parts()).unwrap();
        let (first, last) = (first.min(rows), last.min(rows));
        check(&matrix, first.min(last)..first.max(last), offset);
    }
}
