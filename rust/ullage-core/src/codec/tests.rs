use proptest::prelude::*;

use super::*;
use crate::error::Error;
use crate::model::{Dtype, Model, Tensor};
use crate::units::Bytes;

fn tensor(dtype: Dtype, shape: &[u64]) -> Tensor {
    let bytes = dtype.bytes_of(shape.iter().product()).unwrap();
    Tensor::plain("w".to_owned(), dtype, shape.to_vec(), 0, bytes)
}

fn scheme(text: &str) -> Scheme {
    text.parse().unwrap()
}

#[test]
fn sizes_are_exact_block_by_block() {
    for (text, shape, expected) in [
        ("gguf:q4_k", &[10, 512][..], 10 * 2 * 144),
        ("gguf:q4_k", &[10, 96], 10 * 3 * 34), // divides by 32 alone
        ("gguf:q4_k", &[10, 30], 10 * 30 * 4), // divides by nothing
        ("gguf:q4_k", &[512], 2048),           // a vector
        ("dense:f16", &[512], 1024),
        ("palettized:4", &[64, 64], 64 * 64 / 2 + 16 * 2),
        ("palettized:4,group=16", &[64, 64], 64 * 64 / 2 + 4 * 16 * 2),
        ("palettized:3", &[7, 5], 14 + 8 * 2),
        ("linear:8", &[64, 32, 3, 3], 64 * 288 + 64 * 2),
        ("linear:8,affine", &[64, 32], 64 * 32 + 64 * 2 + 64),
        ("linear:4,block=32", &[8, 64], 8 * 32 + 8 * 2 * 2),
        ("linear:4,block=32", &[8, 33], 132 + 8 * 2 * 2), // the last block is smaller
        ("linear:4,block=32", &[8, 64, 3, 3], 8 * 64 * 9 / 2 + 8 * 2 * 2), // a kernel's positions share a scale
        ("linear:8,tensor", &[8, 64], 8 * 64 + 2),
        ("palettized:4,group=16", &[20, 64], 20 * 32 + 2 * 16 * 2),
        ("palettized:4,group=8,vector=2", &[16, 64], 16 * 64 / 2 / 2 + 2 * 16 * 2 * 2),
        ("palettized:4,scale", &[64, 64], 64 * 32 + 32 + 64 * 2),
        ("palettized:8,lut=int8", &[64, 64], 64 * 64 + 256 + 2),
        ("sparse:0.75", &[64, 64], 64 * 8 + 64 * 16 * 2),
        ("sparse:0.5", &[3, 3], 2 + 5 * 2), // zeros are rounded down
        ("sparse:2:4", &[8, 10], 10 + 8 * (4 + 2) * 2), // the last two are filled up with two zeros, which go first
        ("sparse:0.5+palettized:4", &[64, 64], 512 + 1024 + 32),
        ("sparse:0.5+linear:8,affine", &[64, 64], 512 + 2048 + 128 + 64),
        ("lossless", &[64, 4096], 64 * 4096 * 3 + (64 * 4096 * 265_u64).div_ceil(800) + 64 * 4),
        ("lossless:fixed", &[64, 4096], 64 * 4096 * 3 + 64 * 4096 / 2),
    ] {
        let size = scheme(text).tensor_bytes(&tensor(Dtype::F32, shape)).unwrap();
        assert_eq!(size, Bytes::new(expected), "{text} {shape:?}");
    }
    let indices = tensor(Dtype::I64, &[1, 512]);
    assert_eq!(scheme("gguf:q4_k").tensor_bytes(&indices).unwrap(), indices.bytes);
    let small = tensor(Dtype::F4, &[1, 512]);
    assert_eq!(scheme("gguf:q4_k").tensor_bytes(&small).unwrap(), small.bytes);
    let lump = Model::of_size("lump", Bytes::new(2 * 1_000)).unwrap();
    assert_eq!(scheme("gguf:q4_k").model_bytes(&lump).unwrap(), Bytes::new(4 * 144));
}

#[test]
fn a_gguf_type_may_stand_alone() {
    assert_eq!(scheme("q4_k"), scheme("gguf:q4_k"));
    assert_eq!(scheme("Q8_0").to_string(), "gguf:q8_0");
}

#[test]
fn what_is_no_scheme_is_said() {
    for text in [
        "",
        "q4",
        "gguf:",
        "gguf:q4_k,x",
        "gguf:f99",
        "palettized:0",
        "palettized:5",
        "palettized:17",
        "palettized:4,group=0",
        "palettized:4,group=-1",
        "palettized:4,group=99999999999999999999",
        "palettized:4,group=6,vector=4",
        "palettized:4,sale",
        "linear:3",
        "linear:8,block=0",
        "dense:f12",
        "dense:f16,x",
        "sparse",
        "sparse:",
        "sparse:.",
        "sparse:1.5",
        "sparse:-0.5",
        "sparse:NaN",
        "sparse:1e-3",
        "sparse:0.1234567",
        "sparse:4:2",
        "sparse:0:4",
        "sparse:0.5+gguf:q4_k",
        "sparse:0.5+palettized:4,scale",
        "palettized:4+linear:8",
        "sparse:0.5+palettized:4+linear:8",
        "lossless:entropy=9",
        "lossless:entropy=",
        "lossless:x",
        "gguf:f32",
        "nonsense:4",
    ] {
        match text.parse::<Scheme>() {
            Err(Error::Argument { name: "scheme", reason }) => {
                assert!(reason.contains("palettized:4"), "{reason}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

const TEXTS: [&str; 18] = [
    "dense:f16",
    "dense:bf16",
    "gguf:q6_k",
    "gguf:q2_k",
    "palettized:1",
    "palettized:8,group=3",
    "palettized:4,group=4,vector=2",
    "palettized:2,group=8,scale,lut=int8",
    "linear:4",
    "linear:4,tensor",
    "linear:8,affine,block=16",
    "sparse:0.75",
    "sparse:1",
    "sparse:0.000001+linear:8,tensor",
    "sparse:2:4+palettized:6,group=2",
    "lossless",
    "lossless:fixed",
    "lossless:entropy=2.7",
];

proptest! {
    #[test]
    fn no_shape_and_no_text_panics(
        shape in prop::collection::vec(any::<u64>(), 0..5),
        small in prop::collection::vec(0..5_u64, 0..5),
        index in 0..TEXTS.len(),
        text in "[a-z0-9:,=.+]{0,40}",
    ) {
        let scheme = scheme(TEXTS[index]);
        for shape in [&shape, &small] {
            match scheme.compressed_bytes(shape, Dtype::F16) {
                Ok(_) | Err(Error::Overflow { .. }) => {}
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
        if let Ok(read) = text.parse::<Scheme>() {
            prop_assert_eq!(read.to_string().parse::<Scheme>().unwrap(), read);
        }
    }

    /// Every element has its bits, and what stands beside them is counted once: sizes lie between these two.
    #[test]
    fn sizes_lie_between_bounds(rows in 1..200_u64, columns in 1..200_u64, index in 0..TEXTS.len()) {
        let scheme = scheme(TEXTS[index]);
        let Some(size) = scheme.compressed_bytes(&[rows, columns], Dtype::F32).unwrap() else { return Ok(()) };
        let least = rows.saturating_mul(columns).saturating_mul(scheme.bits()).div_euclid(8);
        prop_assert!(size.get() >= least);
        let more = scheme.compressed_bytes(&[rows.saturating_mul(2), columns], Dtype::F32).unwrap();
        prop_assert!(more.is_none_or(|more| more >= size), "twice the rows take no less");
    }

    #[test]
    fn patterns_match_as_by_recursion(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
        fn naive(pattern: &[u8], name: &[u8]) -> bool {
            match (pattern.first(), name.first()) {
                (None, None) => true,
                (Some(b'*'), _) => {
                    naive(&pattern[1..], name) || !name.is_empty() && naive(pattern, &name[1..])
                }
                (Some(b'?'), Some(_)) => naive(&pattern[1..], &name[1..]),
                (Some(x), Some(y)) if x == y => naive(&pattern[1..], &name[1..]),
                _ => false,
            }
        }
        let dense = scheme("dense:f16");
        let plan = Plan { overrides: vec![(pattern.clone(), dense)], ..Plan::new(scheme("lossless")) };
        prop_assert_eq!(plan.scheme_of(&name) == dense, naive(pattern.as_bytes(), name.as_bytes()));
    }

    #[test]
    fn a_scheme_reads_what_it_writes_and_never_grows(
        shape in prop::collection::vec(1..300_u64, 1..4),
        index in 0..TEXTS.len(),
    ) {
        let text = TEXTS[index];
        let scheme = scheme(text);
        prop_assert_eq!(scheme.to_string(), text);
        let tensor = tensor(Dtype::F32, &shape);
        prop_assert!(scheme.tensor_bytes(&tensor).unwrap() <= tensor.bytes);
    }
}
