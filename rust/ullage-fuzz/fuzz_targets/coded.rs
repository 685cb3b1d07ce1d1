//! Any pieces of any scheme and shape decode or are an error, and no more is allocated than the pieces account for; what
//! is encoded has the size that was said, and comes back within the scheme's error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ullage_core::codec::{Choices, Coded, Distortion, Scheme, View, Weight};
use ullage_core::model::Dtype;

/// Schemes by number, a few of each kind.
const SCHEMES: [&str; 24] = [
    "dense:f16",
    "dense:bf16",
    "dense:f64",
    "dense:f8_e4m3",
    "dense:f8_e5m2",
    "linear:8",
    "linear:4,affine,block=3",
    "linear:8,tensor,affine",
    "palettized:1",
    "palettized:3,group=2",
    "palettized:8",
    "palettized:2,vector=2",
    "palettized:4,scale,lut=int8",
    "sparse:0.5",
    "sparse:2:4",
    "sparse:0.5+palettized:4,group=2",
    "sparse:1:3+linear:4,affine",
    "gguf:q4_0",
    "gguf:q5_1",
    "gguf:q4_k",
    "gguf:q6_k",
    "gguf:iq2_xs",
    "gguf:tq1_0",
    "gguf:mxfp4",
];

/// Elements that are decoded at most: a shape claims nothing that its pieces do not hold.
const MOST: u64 = 1 << 16;

fuzz_target!(|input: (u8, Vec<u16>, Vec<u8>, u64)| {
    let (number, shape, bytes, seed) = input;
    let Ok(scheme) = SCHEMES[usize::from(number) % SCHEMES.len()].parse::<Scheme>() else {
        panic!("no scheme")
    };
    let shape: Vec<u64> = shape.into_iter().take(4).map(u64::from).collect();
    let Ok(weight) = Weight::new(&shape) else { return };
    let Ok(Some(pieces)) = scheme.stored(&weight, Dtype::F32) else { return };
    if weight.elements() > MOST {
        return;
    }
    decode(
        scheme,
        &shape,
        &pieces.iter().map(|piece| piece.bytes().map_or(0, ullage_core::Bytes::get)).collect::<Vec<_>>(),
        &bytes,
    );
    encode(scheme, &shape, weight.elements(), &bytes, seed);
});

fn decode(scheme: Scheme, shape: &[u64], sizes: &[u64], bytes: &[u8]) {
    let mut bytes = bytes.iter().copied().cycle().take(1 << 24).chain(std::iter::repeat(0));
    let data: Vec<Vec<u8>> =
        sizes.iter().map(|&size| bytes.by_ref().take(usize::try_from(size).unwrap_or(0)).collect()).collect();
    let parts: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let Ok(view) = View::new(scheme, shape, &parts) else { panic!("pieces of the sizes that were said") };
    let mut out = vec![0.0; usize::try_from(view.weight().elements()).unwrap_or(0)];
    let _ = view.decode_into(&mut out);
}

fn encode(scheme: Scheme, shape: &[u64], elements: u64, bytes: &[u8], seed: u64) {
    let mut numbers =
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).cycle();
    let values: Vec<f32> = (0..elements).map(|_| numbers.next().unwrap_or(0.0)).collect();
    let Ok(coded) = Coded::encode_with(&values, shape, scheme, Choices { seed, quantile: 1.0 }) else {
        return;
    };
    let said = scheme.compressed_bytes(shape, Dtype::F32).ok().flatten();
    assert_eq!(coded.bytes().ok(), said, "{scheme} {shape:?}");
    let mut decoded = vec![0.0; values.len()];
    assert!(coded.decode_into(&mut decoded).is_ok(), "{scheme} {shape:?}");
    // 8-bit integers are off by half a step, and what rounding their scale to 16 bits moves them by.
    if scheme.to_string() == "linear:8" {
        let most = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let off = Distortion::of(&values, &decoded).map_or(f64::INFINITY, |found| found.max);
        assert!(off <= f64::from(most) / 200.0 + 1e-4, "{off} of {most}");
    }
}
