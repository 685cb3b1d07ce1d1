#![expect(
    clippy::arithmetic_side_effects,
    clippy::float_cmp,
    reason = "small numbers, and bits that must be equal"
)]
use proptest::prelude::*;

use super::super::tests::{Laid, data, encoded, numbers, random_blocks, scheme, values};
use super::*;

const TEXTS: [&str; 16] = [
    "linear:8",
    "linear:8,affine",
    "linear:8,tensor",
    "linear:8,block=32",
    "linear:8,affine,block=32",
    "linear:8,affine,block=128",
    "linear:8,block=5",
    "linear:4",
    "linear:4,affine",
    "linear:4,tensor",
    "linear:4,block=32",
    "linear:4,affine,block=32",
    "linear:4,block=64",
    "linear:4,affine,block=256",
    "linear:4,affine,block=512",
    "linear:4,affine,block=7",
];
const BLOCKS: [&str; 4] = ["gguf:q4_0", "gguf:q8_0", "gguf:q4_k", "gguf:q6_k"];

/// Products of `rows`; what is no number is one and the same.
fn product(matrix: &Matrix<'_>, rows: Range<usize>, x: &Rounded, isa: Isa) -> Vec<u32> {
    let mut y = vec![f32::INFINITY; rows.len() * x.batch()];
    matrix.gemv_rounded(rows, x, &mut y, isa).unwrap();
    y.iter().map(|y| if y.is_nan() { f32::NAN.to_bits() } else { y.to_bits() }).collect()
}

/// Every processor's instructions give the same, and a vector the same as in any batch.
fn check(matrix: &Matrix<'_>, rows: Range<usize>, batch: usize, seed: u64) {
    let x = values(seed, matrix.cols() * batch);
    let rounded = matrix.round(&x, batch).unwrap();
    let expected = product(matrix, rows.clone(), &rounded, Isa::Portable);
    for isa in Isa::available() {
        let found = product(matrix, rows.clone(), &rounded, isa);
        assert_eq!(found, expected, "{} {isa} {rows:?} of {} x {batch}", matrix.scheme(), matrix.cols());
    }
    if batch > 1 {
        let last = matrix.round(&x[(batch - 1) * matrix.cols()..], 1).unwrap();
        let found = product(matrix, rows.clone(), &last, Isa::detect());
        assert_eq!(found, expected[(batch - 1) * rows.len()..]);
    }
}

/// The sum of `w * x` and of `|w| * |x|`, for what the weight is decoded to and each of the numbers.
fn exact(weights: &[f32], x: impl Iterator<Item = f32>) -> (f64, f64) {
    weights.iter().zip(x).fold((0.0, 0.0), |(sum, size), (&w, x)| {
        let product = f64::from(w) * f64::from(x);
        (sum + product, size + product.abs())
    })
}

/// A product is that of the decoded weight and of what the numbers were rounded to, but for what 32 bits round; and is as
/// near to the exact one as half a step of each number allows.
fn check_against_decoded(matrix: &Matrix<'_>, batch: usize) {
    let (rows, cols) = (matrix.rows(), matrix.cols());
    let mut weights = vec![0.0; rows * cols];
    matrix
        .decode_all(
            crate::codec::kernel::Out::F32(&mut weights),
            Isa::Portable,
            crate::codec::kernel::Store::Cached,
            1,
        )
        .unwrap();
    let x = values(8, cols * batch);
    let rounded = matrix.round(&x, batch).unwrap();
    let mut y = vec![f32::NAN; rows * batch];
    matrix.gemv_rounded_all(&rounded, &mut y, Isa::detect(), 2).unwrap();
    for (place, &found) in y.iter().enumerate() {
        let (row, vector) = (place % rows, place / rows);
        let weights = &weights[row * cols..][..cols];
        let (sum, size) = exact(weights, (0..cols).map(|column| rounded.value(vector, column)));
        let off = (f64::from(found) - sum).abs();
        assert!(off <= size * 2e-6 + 1e-9, "{} {place}: {found} {sum}", matrix.scheme());
        let x = &x[vector * cols..][..cols];
        let (sum, size) = exact(weights, x.iter().copied());
        let bound: f64 = weights
            .chunks(rounded.block())
            .zip(x.chunks(rounded.block()))
            .map(|(weights, x)| {
                let largest = x.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                let weights: f64 = weights.iter().map(|&w| f64::from(w.abs())).sum();
                weights * f64::from(largest) / 127.0 * 0.5001
            })
            .sum();
        assert!((f64::from(found) - sum).abs() <= bound + size * 2e-6, "{} {place}", matrix.scheme());
    }
}

#[test]
fn products_are_those_of_what_was_rounded() {
    for text in TEXTS {
        for cols in [1, 31, 256, 640, 1500] {
            let coded = encoded(text, 19, cols, 5);
            check_against_decoded(&Matrix::of(coded.view()).unwrap(), 2);
        }
    }
    for text in BLOCKS {
        let elements = if text.ends_with('k') { 256 } else { 32 };
        for count in [1, 3, 5] {
            let coded =
                encoded(if text.ends_with("_k") { "gguf:q8_0" } else { text }, 5, elements * count, 5);
            check_against_decoded(&Matrix::of(coded.view()).unwrap(), 3);
            let mut bytes = random_blocks(text, 5, elements * count, 3);
            tame(text, &mut bytes);
            let shape = [5, (elements * count) as u64];
            check_against_decoded(&Matrix::new(scheme(text), &shape, &[&bytes]).unwrap(), 3);
        }
    }
}

/// Gives random blocks scales that are small numbers.
fn tame(text: &str, bytes: &mut [u8]) {
    let (size, places): (usize, &[usize]) = match text {
        "gguf:q4_0" => (18, &[0]),
        "gguf:q8_0" => (34, &[0]),
        "gguf:q4_k" => (144, &[0, 2]),
        _ => (210, &[208]),
    };
    for block in bytes.chunks_exact_mut(size) {
        for &place in places {
            block[place + 1] = 0x20 | block[place + 1] & 0x83;
        }
    }
}

#[test]
fn every_offset_of_data_gives_the_same() {
    for text in TEXTS {
        for cols in [150, 512, 704] {
            let coded = encoded(text, 3, cols, 2);
            for offset in (0..64).step_by(if cols == 150 { 1 } else { 7 }) {
                let laid = Laid::at(offset, &data(&coded));
                let matrix = Matrix::new(scheme(text), &[3, cols as u64], &laid.parts()).unwrap();
                check(&matrix, 1..3, 1, 4);
            }
        }
    }
}

/// Every pattern is a block, with scales that are no numbers among them.
#[test]
fn blocks_agree_on_every_processor() {
    for text in BLOCKS {
        for (rows, cols) in [(1, 256), (3, 512), (2, 1280), (3, 768)] {
            for seed in 0..4 {
                let mut bytes = random_blocks(text, rows, cols, seed);
                if seed % 2 == 1 {
                    tame(text, &mut bytes);
                }
                for offset in [0, 1, 17, 63] {
                    let laid = Laid::at(offset, &[&bytes]);
                    let shape = [rows as u64, cols as u64];
                    let matrix = Matrix::new(scheme(text), &shape, &laid.parts()).unwrap();
                    check(&matrix, rows - 1..rows, 1, seed);
                    check(&matrix, 0..rows, 3, seed);
                }
            }
        }
        if !text.ends_with('k') {
            for cols in [32, 96, 544] {
                let bytes = random_blocks(text, 2, cols, 9);
                check(&Matrix::new(scheme(text), &[2, cols as u64], &[&bytes]).unwrap(), 0..2, 2, 1);
            }
        }
    }
}

/// Random bits of every piece: integers and zero points of all values, scales that are no numbers.
#[test]
fn what_is_no_number_agrees_too() {
    for text in TEXTS {
        for cols in [64, 257, 1024] {
            let coded = encoded(text, 6, cols, 11);
            let mut parts: Vec<Vec<u8>> = data(&coded).iter().map(|part| part.to_vec()).collect();
            let mut next = numbers(12);
            parts.iter_mut().flatten().for_each(|byte| *byte = next().to_le_bytes()[0]);
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            check(&Matrix::new(scheme(text), &[6, cols as u64], &parts).unwrap(), 0..6, 2, 3);
        }
    }
}

/// The largest codes there are times the largest integers: no sum overflows, and none saturates.
#[test]
fn the_largest_sums_are_exact() {
    let one = 0x3C00_u16.to_le_bytes();
    for (code, level) in [(0x80_u8, -128.0), (0x7F, 127.0)] {
        let cols = 1024;
        let (codes, scales) = (vec![code; cols], one.to_vec());
        let matrix = Matrix::new(scheme("linear:8"), &[1, 1024], &[&codes, &scales]).unwrap();
        for sign in [1.0_f32, -1.0] {
            let rounded = matrix.round(&vec![127.0 * sign; cols], 1).unwrap();
            for isa in Isa::available() {
                let mut y = [0.0];
                matrix.gemv_rounded(0..1, &rounded, &mut y, isa).unwrap();
                assert_eq!(y[0], level * 127.0 * sign * 1024.0, "{isa}");
            }
        }
    }
    let (codes, scales, zeros) = (vec![0xFF_u8; 1024], one.repeat(32), vec![0_u8; 32]);
    let parts: [&[u8]; 3] = [&codes, &scales, &zeros];
    let matrix = Matrix::new(scheme("linear:8,affine,block=32"), &[1, 1024], &parts).unwrap();
    let rounded = matrix.round(&vec![-127.0; 1024], 1).unwrap();
    for isa in Isa::available() {
        let mut y = [0.0];
        matrix.gemv_rounded(0..1, &rounded, &mut y, isa).unwrap();
        assert_eq!(y[0], -255.0 * 127.0 * 1024.0, "{isa}");
    }
}

#[test]
fn numbers_are_rounded_to_the_nearest() {
    let coded = encoded("linear:4,block=32", 1, 96, 1);
    let matrix = Matrix::of(coded.view()).unwrap();
    let mut x = vec![0.0_f32; 96];
    x[..6].copy_from_slice(&[127.0, 0.5, 1.5, -2.5, -0.51, 126.4]);
    x[32] = 1e-44;
    x[64..67].copy_from_slice(&[f32::MAX, -f32::MAX, 1e30]);
    let rounded = matrix.round(&x, 1).unwrap();
    let found: Vec<f32> = (0..6).map(|column| rounded.value(0, column)).collect();
    assert_eq!(found, [127.0, 0.0, 2.0, -2.0, -1.0, 126.0], "ties go to even numbers");
    assert_eq!(rounded.value(0, 32), 0.0, "too small for a scale");
    assert_eq!(rounded.value(0, 64), f32::MAX / 127.0 * 127.0);
    assert_eq!(rounded.value(0, 65), -(f32::MAX / 127.0 * 127.0));
    assert_eq!((rounded.value(0, 66), rounded.value(0, 96), rounded.value(1, 0)), (0.0, 0.0, 0.0));
    assert_eq!((rounded.batch(), rounded.cols(), rounded.block()), (1, 96, 32));
}

#[test]
fn what_does_not_fit_is_refused() {
    let name = |outcome: Result<()>| match outcome {
        Err(Error::Argument { name, reason }) => (name, reason),
        other => panic!("{other:?}"),
    };
    let coded = encoded("linear:8", 4, 40, 1);
    let matrix = Matrix::of(coded.view()).unwrap();
    assert!(matrix.takes_rounded());
    let isa = Isa::Portable;
    assert_eq!(name(matrix.round(&[0.0; 39], 1).map(drop)).0, "x");
    assert_eq!(name(matrix.round(&[], 0).map(drop)).0, "batch");
    assert_eq!(name(matrix.round(&[0.0; 17 * 40], 17).map(drop)).0, "batch");
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = [1.0; 80];
        x[77] = wrong;
        let (name, reason) = name(matrix.round(&x, 2).map(drop));
        assert!(name == "x" && reason.starts_with("number 37 of vector 1 is "), "{reason}");
    }
    let rounded = matrix.round(&[1.0; 80], 2).unwrap();
    assert_eq!(name(matrix.gemv_rounded(0..4, &rounded, &mut [0.0; 7], isa)).0, "y");
    assert_eq!(name(matrix.gemv_rounded_all(&rounded, &mut [0.0; 9], isa, 2)).0, "y");
    assert_eq!(name(matrix.gemv_rounded(3..5, &rounded, &mut [0.0; 4], isa)).0, "rows");
    let missing = Isa::ALL.into_iter().find(|isa| !isa.is_available()).unwrap();
    assert_eq!(name(matrix.gemv_rounded(0..4, &rounded, &mut [0.0; 8], missing)).0, "isa");
    for (text, cols) in [("linear:4", 40), ("linear:8,block=8", 40), ("linear:8", 41)] {
        let other = encoded(text, 4, cols, 1);
        let other = Matrix::of(other.view()).unwrap();
        assert_eq!(name(other.gemv_rounded(0..4, &rounded, &mut [0.0; 8], isa)).0, "x", "{text}");
    }
    for text in ["palettized:4", "dense:f16", "sparse:0.5"] {
        let other = encoded(text, 4, 40, 1);
        let other = Matrix::of(other.view()).unwrap();
        assert!(!other.takes_rounded());
        assert_eq!(name(other.round(&[0.0; 40], 1).map(drop)).0, "activations");
        assert_eq!(name(other.gemv_rounded(0..4, &rounded, &mut [0.0; 8], isa)).0, "activations");
    }
}

#[test]
fn nothing_is_multiplied_too() {
    for text in TEXTS {
        for shape in [[0_u64, 4], [4, 0]] {
            let weight = super::super::super::weight::Weight::new(&shape).unwrap();
            let pieces = scheme(text).stored(&weight, crate::model::Dtype::F32).unwrap().unwrap();
            let bytes = pieces.iter().map(|piece| usize::try_from(piece.bytes().unwrap().get()).unwrap());
            let data: Vec<Vec<u8>> = bytes.map(|bytes| vec![0; bytes]).collect();
            let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
            let matrix = Matrix::new(scheme(text), &shape, &data).unwrap();
            let rounded = matrix.round(&vec![1.0; matrix.cols()], 1).unwrap();
            let mut y = vec![f32::NAN; matrix.rows()];
            for isa in Isa::available() {
                matrix.gemv_rounded_all(&rounded, &mut y, isa, 2).unwrap();
                assert!(y.iter().all(|&y| y == 0.0), "{text} {shape:?} {y:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn all_processors_agree_bit_for_bit(
        rows in 1..6_usize,
        cols in prop_oneof![1..200_usize, (1..40_usize).prop_map(|blocks| blocks * 32), 1000..1100_usize],
        text in 0..TEXTS.len(),
        (first, last) in (0..6_usize, 0..6_usize),
        batch in 1..=ROUNDED_BATCH,
        offset in 0..64_usize,
        seed in any::<u64>(),
    ) {
        let coded = encoded(TEXTS[text], rows, cols, seed);
        let laid = Laid::at(offset, &data(&coded));
        let matrix = Matrix::new(scheme(TEXTS[text]), &[rows as u64, cols as u64], &laid.parts()).unwrap();
        let (first, last) = (first.min(rows), last.min(rows));
        check(&matrix, first.min(last)..first.max(last), batch, seed);
        let x = values(seed, cols * batch);
        let rounded = matrix.round(&x, batch).unwrap();
        for isa in Isa::available() {
            let (mut one, mut three) = (vec![0.0; rows * batch], vec![0.0; rows * batch]);
            matrix.gemv_rounded_all(&rounded, &mut one, isa, 1).unwrap();
            matrix.gemv_rounded_all(&rounded, &mut three, isa, 3).unwrap();
            prop_assert_eq!(one, three);
        }
    }
}
