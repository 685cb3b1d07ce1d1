use super::*;
use crate::codec::{Coded, Distortion, Scheme};

/// Type, FNV-1a of what gguf-py 0.19 decodes 64 blocks of random bytes to, and of the bytes it encodes random numbers as
/// where it does. A number that is none counts as `7FC00000`.
#[expect(clippy::unreadable_literal, reason = "hashes")]
const REFERENCE: [(&str, u64, Option<u64>); 23] = [
    ("q4_0", 0xE7A4C39A56AB3149, Some(0x02D10D42A4BBA058)),
    ("q4_1", 0x2274C0BBEEEE0052, Some(0x20ABD9435565532D)),
    ("q5_0", 0x699519684B253B2F, Some(0x630EF1B312175BF6)),
    ("q5_1", 0x98DAF63E37EDACDF, Some(0x3E224A14FE04406C)),
    ("q8_0", 0xEEAAF6292FD768F7, Some(0x998D1D12BBD0AF96)),
    ("tq1_0", 0x98AA9B423AFECA84, Some(0xBCA0B5D24FDB6427)),
    ("tq2_0", 0xA03F75F451AB4E25, Some(0x9CCEA2650E53B213)),
    ("mxfp4", 0x1CEAC5D24992523A, Some(0xA2D0CEBAF1DAD5E8)),
    ("nvfp4", 0x197C1BC3E376BE1C, None),
    ("iq4_nl", 0x8EA923A8E457D39A, None),
    ("q2_k", 0xB1A7F4E207869EFA, None),
    ("q3_k", 0xBAF6C0524AF8B3A7, None),
    ("q4_k", 0x08716B190EEF6555, None),
    ("q5_k", 0x12E9933EE3035DC4, None),
    ("q6_k", 0xE75562E7A829B612, None),
    ("iq4_xs", 0x6FD208EC0DA541EE, None),
    ("iq1_s", 0x18608A7F67BE9FE9, None),
    ("iq1_m", 0x6453551569FD8327, None),
    ("iq2_xxs", 0x24E3E7B302E92BC9, None),
    ("iq2_xs", 0x07C6DFF660655780, None),
    ("iq2_s", 0xEF26C30AAECD91AF, None),
    ("iq3_xxs", 0x0A9E57F38986FAF2, None),
    ("iq3_s", 0x782DF3042BC56ECE, None),
];

fn random(count: usize, mut state: u64) -> impl Iterator<Item = u32> {
    (0..count).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(state >> 32).unwrap()
    })
}

fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

#[expect(clippy::cast_precision_loss, reason = "24 bits are exact")]
fn numbers(count: usize) -> Vec<f32> {
    random(count, 2).map(|bits| ((bits >> 8) as f32 / 16_777_216.0 - 0.5) * 4.0).collect()
}

fn scheme(text: &str) -> Scheme {
    text.parse().unwrap()
}

#[test]
fn blocks_are_those_of_the_reference() {
    for (name, decoded, encoded) in REFERENCE {
        let dtype = scheme(name);
        let Scheme::Gguf(gguf) = dtype else { panic!("{name}") };
        let (elements, bits) = gguf.dtype().block();
        let shape = [64 * elements];
        let bytes: Vec<u8> =
            random(usize::try_from(8 * bits).unwrap(), 1).map(|bits| bits.to_be_bytes()[0]).collect();
        let coded = Coded::from_data(vec![bytes], &shape, dtype).unwrap();
        let mut values = vec![0.0; usize::try_from(shape[0]).unwrap()];
        coded.decode_into(&mut values).unwrap();
        let canonical = |value: &f32| if value.is_nan() { 0x7FC0_0000 } else { value.to_bits() };
        assert_eq!(hash(values.iter().flat_map(|value| canonical(value).to_le_bytes())), decoded, "{name}");
        if let Some(expected) = encoded {
            let values = numbers(values.len());
            let coded = Coded::encode(&values, &shape, dtype).unwrap();
            assert_eq!(hash(coded.parts()[0].1.iter().copied()), expected, "{name}");
        }
    }
}

/// Decibels that the formats reach for normal numbers when every block has its best scale, less a small margin.
#[test]
fn scales_are_found_that_lose_little() {
    for (name, least) in [
        ("q1_0", 4.0),
        ("q2_0", 2.0),
        ("tq2_0", 2.0),
        ("q2_k", 11.0),
        ("q3_k", 16.0),
        ("q4_k", 22.0),
        ("q5_k", 28.0),
        ("q6_k", 34.0),
        ("q8_k", 40.0),
        ("q8_1", 40.0),
        ("iq4_nl", 20.0),
        ("iq4_xs", 20.0),
        ("mxfp4", 17.0),
        ("nvfp4", 19.0),
    ] {
        let mut uniform = numbers(12 * 256 * 16).into_iter();
        let mut normal = || (0..12).map(|_| uniform.next().unwrap() / 4.0).sum::<f32>();
        let values: Vec<f32> = (0..256 * 16).map(|_| normal()).collect();
        let coded = Coded::encode(&values, &[16, 256], scheme(name)).unwrap();
        let mut decoded = vec![0.0; values.len()];
        coded.decode_into(&mut decoded).unwrap();
        let found = Distortion::of(&values, &decoded).unwrap();
        assert!(found.snr_db >= least, "{name}: {found:?}");
        for special in [0.0, 1.0, -3e-8, 1e-30, 6e4, -6e4] {
            let coded = Coded::encode(&vec![special; 256], &[1, 256], scheme(name)).unwrap();
            coded.decode_into(&mut decoded[..256]).unwrap();
            assert!(decoded[..256].iter().all(|value| value.is_finite()), "{name} {special}");
        }
    }
}

#[test]
fn what_is_not_encoded_is_said() {
    for name in ["iq1_s", "iq2_xxs", "iq3_s"] {
        let refused = Coded::encode(&[1.0; 256], &[256], scheme(name));
        assert!(matches!(refused, Err(Error::Argument { name: "scheme", .. })), "{name}");
    }
    let refused = Coded::encode(&[1e9; 32], &[32], scheme("q8_0"));
    assert!(matches!(refused, Err(Error::Argument { name: "weights", .. })));
    let narrow = Coded::encode(&[1.0; 30], &[30], scheme("q8_0"));
    assert!(matches!(narrow, Err(Error::Argument { name: "scheme", .. })));
    let fallback = Coded::encode(&[1.0; 96], &[96], scheme("q4_k")).unwrap();
    assert_eq!(fallback.parts()[0].1.len(), 3 * 34, "rows that blocks of 256 do not divide are Q8_0");
}
