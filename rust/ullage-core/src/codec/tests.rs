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
        "palettized:5",
        "palettized:4,group=0",
        "linear:3",
        "dense:f32",
    ] {
        match text.parse::<Scheme>() {
            Err(Error::Argument { name: "scheme", reason }) => {
                assert!(reason.contains("palettized:4"), "{reason}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn a_scheme_reads_what_it_writes_and_never_grows(
        shape in prop::collection::vec(1..300_u64, 1..4),
        index in 0..7_usize,
    ) {
        let text = ["dense:f16", "gguf:q6_k", "gguf:q2_k", "palettized:1", "palettized:8,group=3", "linear:4", "linear:8,affine,block=16"][index];
        let scheme = scheme(text);
        prop_assert_eq!(scheme.to_string(), text);
        let tensor = tensor(Dtype::F32, &shape);
        prop_assert!(scheme.tensor_bytes(&tensor).unwrap() <= tensor.bytes);
    }
}
