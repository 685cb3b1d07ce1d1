#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use proptest::prelude::*;

use super::*;
use crate::codec::half;
use crate::model::Dtype;

const TEXTS: [&str; 30] = [
    "dense:f16",
    "dense:f32",
    "dense:f64",
    "dense:bf16",
    "dense:f8_e4m3",
    "dense:f8_e5m2",
    "linear:8",
    "linear:8,affine",
    "linear:4,tensor",
    "linear:4,affine,block=3",
    "linear:8,block=16",
    "palettized:1",
    "palettized:3,group=2",
    "palettized:4",
    "palettized:8,group=3",
    "palettized:2,vector=2",
    "palettized:4,group=6,vector=3",
    "palettized:4,scale",
    "palettized:6,group=2,lut=int8",
    "palettized:3,group=2,scale,lut=int8",
    "sparse:0.5",
    "sparse:0.9",
    "sparse:1",
    "sparse:0.3+palettized:2",
    "sparse:0.5+palettized:4,group=2",
    "sparse:0.5+linear:8",
    "sparse:0.6+linear:4,affine,block=2",
    "sparse:1:2",
    "sparse:1:3+linear:8",
    "sparse:2:3+palettized:2",
];

fn scheme(text: &str) -> Scheme {
    text.parse().unwrap()
}

fn round_trip(values: &[f32], shape: &[u64], scheme: Scheme) -> (Coded, Vec<f32>) {
    let coded = Coded::encode(values, shape, scheme).unwrap();
    let mut decoded = vec![f32::NAN; values.len()];
    coded.decode_into(&mut decoded).unwrap();
    (coded, decoded)
}

fn weights() -> impl Strategy<Value = (Vec<u64>, Vec<f32>)> {
    prop::collection::vec(1..7_u64, 2..5).prop_flat_map(|shape| {
        let count = usize::try_from(shape.iter().product::<u64>()).unwrap();
        (Just(shape), prop::collection::vec(-100.0_f32..100.0, count))
    })
}

#[test]
fn every_half_survives_and_every_number_is_rounded_to_the_nearest() {
    for half in 0..=u16::MAX {
        let value = half::from_half(half);
        if value.is_nan() {
            assert!(half::from_half(half::to_half(value)).is_nan());
            continue;
        }
        assert_eq!(half::to_half(value), half);
        let above = half::from_half(half.saturating_add(1));
        if half & 0x7FFF < 0x7BFF {
            let middle = f32::midpoint(value, above);
            let even = if half & 1 == 0 { half } else { half.saturating_add(1) };
            assert_eq!(half::to_half(middle), even, "{middle}");
            assert_eq!(half::to_half(f32::midpoint(value, middle)), half);
            assert_eq!(half::to_half(f32::midpoint(middle, above)), half.saturating_add(1));
        }
    }
    assert_eq!(half::to_half(65_520.0), 0x7C00);
    assert_eq!(half::to_half(65_519.0), 0x7BFF);
    assert_eq!(half::to_half(-1e-30), 0x8000);
}

#[test]
fn few_values_are_kept_as_they_are() {
    let values = [0.5, -0.25, 3.0, 0.5, -0.25, 0.0, 3.0, 3.0];
    for text in ["palettized:2", "palettized:8", "dense:f16", "palettized:2,group=1"] {
        assert_eq!(round_trip(&values, &[2, 4], scheme(text)).1, values, "{text}");
    }
    let (_, pruned) = round_trip(&values, &[2, 4], scheme("sparse:0.5"));
    assert_eq!(pruned, [0.0, 0.0, 3.0, 0.5, 0.0, 0.0, 3.0, 3.0], "of equal ones the earlier go");
    assert!(Distortion::of(&values, &values).unwrap().snr_db.is_infinite());
}

#[test]
fn what_is_not_a_weight_is_refused() {
    let argument = |outcome: Result<Coded>, expected: &str| match outcome {
        Err(Error::Argument { name, .. }) => assert_eq!(name, expected),
        other => panic!("{other:?}"),
    };
    let damaged = |outcome: Result<Coded>, expected: &str| match outcome {
        Err(Error::Damaged { piece, .. }) => assert_eq!(piece, expected),
        other => panic!("{other:?}"),
    };
    argument(Coded::encode(&[1.0], &[2], scheme("linear:8")), "weights");
    argument(Coded::encode(&[1.0, f32::NAN], &[2, 1], scheme("linear:8")), "weights");
    argument(Coded::encode(&[1.0, f32::MAX], &[2, 1], scheme("linear:8")), "weights");
    argument(Coded::encode(&[1.0, 2.0], &[2, 1], scheme("gguf:q4_k")), "scheme");
    argument(Coded::encode(&[1.0, 2.0], &[2, 1], scheme("sparse:2:4")), "scheme");
    argument(Coded::encode(&[1.0, 2.0], &[2, 1], scheme("lossless")), "scheme");
    let choices = Choices { quantile: 0.4, ..Choices::default() };
    argument(Coded::encode_with(&[1.0, 2.0], &[2, 1], scheme("linear:8"), choices), "quantile");
    damaged(Coded::from_data(vec![vec![0; 2]], &[2, 1], scheme("linear:8")), "pieces");
    damaged(Coded::from_data(vec![vec![0; 3], vec![0; 4]], &[2, 1], scheme("linear:8")), "integers");
    let coded = Coded::from_data(vec![vec![0; 2], vec![0b11]], &[2, 1], scheme("sparse:0.5")).unwrap();
    assert!(matches!(coded.decode_into(&mut [0.0; 2]), Err(Error::Damaged { .. })));
    assert!(matches!(coded.decode_into(&mut [0.0; 3]), Err(Error::Argument { name: "out", .. })));
    assert!(Coded::encode(&[], &[u64::MAX, u64::MAX], scheme("linear:8")).is_err());
    for text in TEXTS {
        for shape in [[0, 4], [4, 0]] {
            let outcome = Coded::encode(&[], &shape, scheme(text));
            let is_untouched = matches!(outcome, Err(Error::Argument { name: "scheme", .. }));
            assert!(outcome.is_ok() || is_untouched && text.contains("sparse:"), "{text}");
        }
    }
}

/// The least cost of so many runs, by trying all.
fn least(run: &[f32], count: usize, cost: &dyn Fn(&[f32]) -> f64) -> f64 {
    if count == 1 || run.len() <= 1 {
        return if run.is_empty() { 0.0 } else { cost(run) };
    }
    let cut = |end: usize| cost(&run[..end]) + least(&run[end..], count.saturating_sub(1), cost);
    (1..=run.len()).map(cut).fold(f64::INFINITY, f64::min)
}

/// Many numbers are joined first, which costs little: 16 levels of a normal distribution keep 20 dB (Max, 1960: 20.22).
#[test]
fn a_table_for_many_numbers_is_nearly_as_good() {
    let mut state = 1_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(state >> 32).unwrap()) / f64::from(u32::MAX)
    };
    let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
    #[expect(clippy::cast_possible_truncation, reason = "weights have 32 bits")]
    let values: Vec<f32> = (0..20_000).map(|_| normal() as f32).collect();
    let decoded = round_trip(&values, &[100, 200], scheme("palettized:4")).1;
    let found = Distortion::of(&values, &decoded).unwrap();
    assert!(found.snr_db > 19.5 && found.snr_db < 30.0, "{found:?}");
}

#[test]
fn small_numbers_are_rounded_to_the_nearest() {
    // Value, and bits of it as ml_dtypes 0.6 casts it to float8_e4m3fn and float8_e5m2.
    for (value, four, five) in [
        (448.0, 0x7E, 0x5F),
        (464.0, 0x7E, 0x5F),
        (465.0, 0x7F, 0x5F),
        (57_344.0, 0x7F, 0x7B),
        (61_440.0, 0x7F, 0x7C),
        (61_439.0, 0x7F, 0x7B),
        (-1.0625, 0xB8, 0xBC),
        (1.1875, 0x3A, 0x3D),
        (0.001, 0x01, 0x14),
        (-1e-9, 0x80, 0x80),
        (0.000_976_562_5, 0x00, 0x14),
    ] {
        let bits = |text| Coded::encode(&[value], &[1], scheme(text)).unwrap().parts()[0].1[0];
        assert_eq!((bits("dense:f8_e4m3"), bits("dense:f8_e5m2")), (four, five), "{value}");
    }
    for text in ["dense:f8_e4m3", "dense:f8_e5m2"] {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let coded = Coded::from_data(vec![all.clone()], &[256], scheme(text)).unwrap();
        let mut decoded = vec![0.0; 256];
        coded.decode_into(&mut decoded).unwrap();
        let again = Coded::encode(&decoded, &[256], scheme(text)).unwrap();
        for (bits, value) in all.iter().zip(&decoded) {
            let same = again.parts()[0].1[usize::from(*bits)];
            assert!(same == *bits || value.is_nan(), "{bits} {value}");
        }
    }
}

#[test]
fn a_pattern_keeps_the_largest_of_each_few() {
    let values = [4.0, -1.0, 2.0, 3.0, 0.5, 8.0, -9.0, 7.0];
    let (_, pruned) = round_trip(&values, &[1, 8], scheme("sparse:2:4"));
    assert_eq!(pruned, [4.0, 0.0, 0.0, 3.0, 0.0, 8.0, -9.0, 0.0]);
    let (_, joint) = round_trip(&values, &[1, 8], scheme("sparse:2:4+palettized:2"));
    assert_eq!(joint, pruned, "four numbers are left, and a table of four holds them");
    // Along the input channels, for each position of a kernel alone; the last group is filled up with two zeros.
    let kernels: Vec<f32> = (1..=12_u8).map(f32::from).collect();
    let (_, pruned) = round_trip(&kernels, &[1, 6, 2], scheme("sparse:2:3"));
    assert_eq!(pruned, [0.0, 0.0, 0.0, 0.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0, 11.0, 12.0]);
}

#[test]
fn a_quantile_clips_what_lies_far_out() {
    let mut values: Vec<f32> = (0..1000_i16).map(|place| f32::from(place - 500) / 500.0).collect();
    values[0] = 100.0;
    let choices = Choices { quantile: 0.999, ..Choices::default() };
    for text in ["linear:8,tensor", "linear:4,tensor,affine"] {
        let rms = |choices| {
            let coded = Coded::encode_with(&values, &[10, 100], scheme(text), choices).unwrap();
            let mut decoded = vec![0.0; 1000];
            coded.decode_into(&mut decoded).unwrap();
            assert!(choices.quantile < 1.0 || (decoded[0] - 100.0).abs() < 4.0);
            Distortion::of(&values[1..], &decoded[1..]).unwrap().rms
        };
        assert!(rms(choices) * 10.0 < rms(Choices::default()), "{text}");
    }
}

#[test]
fn vectors_are_found_again_and_equal_seeds_give_equal_bytes() {
    let corners = [[1.0, -2.0], [3.0, 0.5], [-1.0, -1.0], [8.0, 4.0]];
    let values: Vec<f32> =
        (0..2).flat_map(|half| (0..64_usize).map(move |at| corners[at * 7 % 4][half])).collect();
    let (_, decoded) = round_trip(&values, &[2, 64], scheme("palettized:2,vector=2"));
    assert_eq!(decoded, values);
    let noise: Vec<f32> = (0..4096_u16).map(|at| f32::from(at.wrapping_mul(40_503) % 1009)).collect();
    let with = |seed| {
        let choices = Choices { seed, ..Choices::default() };
        Coded::encode_with(&noise, &[64, 64], scheme("palettized:4,vector=4,group=32"), choices).unwrap()
    };
    assert_eq!(with(3), with(3));
    let quality = |text: &str| {
        let decoded = round_trip(&noise, &[64, 64], scheme(text)).1;
        Distortion::of(&noise, &decoded).unwrap().snr_db
    };
    assert!(quality("palettized:8,vector=2") > quality("palettized:4,vector=2") + 6.0);
}

proptest! {
    #[test]
    fn what_is_stored_has_the_size_that_was_said((shape, values) in weights(), index in 0..TEXTS.len()) {
        let scheme = scheme(TEXTS[index]);
        let Some(size) = scheme.compressed_bytes(&shape, Dtype::F32).unwrap() else {
            prop_assert!(Coded::encode(&values, &shape, scheme).is_err());
            return Ok(());
        };
        let (coded, decoded) = round_trip(&values, &shape, scheme);
        prop_assert_eq!(coded.bytes().unwrap(), size);
        let bytes: usize = coded.parts().iter().map(|(_, bytes)| bytes.len()).sum();
        prop_assert_eq!(coded.bytes().unwrap().get(), u64::try_from(bytes).unwrap());
        prop_assert!(decoded.iter().all(|value| value.is_finite()));
        let is_settled = !["linear", "scale", "int8", "vector"].iter().any(|word| TEXTS[index].contains(word));
        if is_settled {
            prop_assert_eq!(round_trip(&decoded, &shape, scheme).1, decoded, "a second time loses nothing more");
        }
    }

    /// Half a step of the scale, and what rounding the scale to 16 bits moves the outermost level by.
    #[test]
    fn integers_are_off_by_half_a_step((shape, values) in weights(), affine in any::<bool>(), bits in 0..2_usize) {
        let bits = [4_u32, 8][bits];
        let text = format!("linear:{bits},tensor{}", if affine { ",affine" } else { "" });
        let decoded = round_trip(&values, &shape, scheme(&text)).1;
        let (least, most) = values.iter().fold((0.0_f32, 0.0_f32), |(a, b), &value| (a.min(value), b.max(value)));
        let levels = 2.0_f32.powi(i32::try_from(bits).unwrap()) - 1.0;
        let step = if affine { (most - least) / levels } else { 2.0 * most.max(-least) / (levels - 1.0) };
        let off = Distortion::of(&values, &decoded).unwrap().max;
        // A zero point that is rounded too may cost half a step more at the ends.
        let allowed = if affine { 1.2 } else { 0.6 };
        prop_assert!(off <= f64::from(step) * allowed + 1e-6, "{off} of {step}");
    }

    /// Against every way to cut a few sorted numbers into runs.
    #[test]
    fn no_table_is_better(values in prop::collection::vec(-100.0_f32..100.0, 5..11)) {
        let mut sorted = values.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let cost = |run: &[f32]| -> f64 {
            let count = f64::from(u32::try_from(run.len()).unwrap());
            let mean = run.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
            run.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum()
        };
        let length = u64::try_from(values.len()).unwrap();
        let decoded = round_trip(&values, &[length, 1], scheme("palettized:2")).1;
        let off = Distortion::of(&values, &decoded).unwrap();
        let best = (least(&sorted, 4, &cost) / f64::from(u32::try_from(length).unwrap())).sqrt();
        // Entries are rounded to 16 bits: by at most 1/32 below 128.
        prop_assert!(off.rms <= best + 0.04, "{off:?} {best}");
    }

    #[test]
    fn damaged_data_is_an_error_or_a_weight(
        (shape, values) in weights(),
        index in 0..TEXTS.len(),
        flip in any::<(usize, usize, u8)>(),
        cut in any::<(usize, usize)>(),
    ) {
        let scheme = scheme(TEXTS[index]);
        if scheme.compressed_bytes(&shape, Dtype::F32).unwrap().is_none() {
            return Ok(());
        }
        let (coded, mut out) = round_trip(&values, &shape, scheme);
        let data: Vec<Vec<u8>> = coded.parts().iter().map(|(_, bytes)| bytes.clone()).collect();
        let mut flipped = data.clone();
        let piece = flip.0.rem_euclid(data.len());
        if let Some(byte) = flip.1.checked_rem(data[piece].len()).and_then(|at| flipped[piece].get_mut(at)) {
            *byte ^= flip.2;
        }
        match Coded::from_data(flipped, &shape, scheme).unwrap().decode_into(&mut out) {
            Ok(()) | Err(Error::Damaged { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
        let mut shorter = data;
        let piece = cut.0.rem_euclid(shorter.len());
        let Some(keep) = cut.1.checked_rem(shorter[piece].len()) else { return Ok(()) };
        shorter[piece].truncate(keep);
        let is_damaged = matches!(Coded::from_data(shorter, &shape, scheme), Err(Error::Damaged { .. }));
        prop_assert!(is_damaged);
    }
}

/// Rows of inputs that go together, and one that is much larger than the others.
fn rows(width: usize, count: usize, seed: u64) -> Vec<f32> {
    let noise = numbers_of(width * count + count, seed);
    let common = &noise[width * count..];
    let row = |row: usize| {
        let own = &noise[row * width..][..width];
        own.iter().enumerate().map(move |(place, &value)| {
            let size = if place == 3 { 8.0 } else { 1.0 };
            size * (0.5 * value + common[row])
        })
    };
    (0..count).flat_map(row).collect()
}

fn numbers_of(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        #[expect(clippy::cast_precision_loss, reason = "a random number")]
        let unit = (state >> 40) as f32 / 16_777_216.0;
        unit - 0.5
    };
    (0..count).map(|_| next() + next() + next()).collect()
}

/// The squares of what a layer gives otherwise.
fn off(values: &[f32], coded: &Coded, rows: &[f32], width: usize) -> f64 {
    let mut decoded = vec![0.0; values.len()];
    coded.decode_into(&mut decoded).unwrap();
    let mut sum = 0.0;
    for (before, after) in values.chunks_exact(width).zip(decoded.chunks_exact(width)) {
        for row in rows.chunks_exact(width) {
            let pairs = before.iter().zip(after).zip(row);
            let product: f64 = pairs.map(|((w, q), x)| (f64::from(*w) - f64::from(*q)) * f64::from(*x)).sum();
            sum += product * product;
        }
    }
    sum
}

#[test]
fn palettes_made_for_inputs_change_products_less() {
    for (text, shape) in [
        ("palettized:4,group=16", vec![40_u64, 48]),
        ("palettized:4", vec![40, 48]),
        ("palettized:3,group=5", vec![17, 12, 2, 2]),
        ("palettized:8,group=16", vec![16, 48]),
        ("palettized:4,group=16,scale", vec![32, 48]),
        ("palettized:4,lut=int8", vec![32, 48]),
        ("palettized:1", vec![1, 48]),
    ] {
        let scheme: Scheme = text.parse().unwrap();
        let values = numbers_of(usize::try_from(shape.iter().product::<u64>()).unwrap(), 7);
        let given = rows(48, 200, 3);
        let inputs = Inputs::of(&given, 48).unwrap();
        let plain = Coded::encode(&values, &shape, scheme).unwrap();
        let made = Coded::encode_for(&values, &shape, scheme, Choices::default(), Some(&inputs)).unwrap();
        assert_eq!(made.bytes().unwrap(), plain.bytes().unwrap());
        let (made, plain) = (off(&values, &made, &given, 48), off(&values, &plain, &given, 48));
        let share = if shape[0] == 1 { 1.0 } else { 0.6 };
        assert!(made < share * plain, "{text}: {made} of {plain}");
    }
}

#[test]
fn inputs_that_say_nothing_leave_the_plain_tables() {
    let values = numbers_of(24 * 16, 1);
    let scheme: Scheme = "palettized:4,group=8".parse().unwrap();
    let encode = |inputs: &Inputs, scheme| {
        Coded::encode_for(&values, &[24, 16], scheme, Choices::default(), Some(inputs))
    };
    let nothing = Inputs::of(&[0.0; 32], 16).unwrap();
    assert_eq!(encode(&nothing, scheme).unwrap(), Coded::encode(&values, &[24, 16], scheme).unwrap());
    // One row for many inputs, and numbers at the ends of what there is.
    for row in [[1.0; 16], [1e-30; 16], [3e38; 16]] {
        let distortion = |coded: &Coded| {
            let mut decoded = vec![0.0; values.len()];
            coded.decode_into(&mut decoded).unwrap();
            Distortion::of(&values, &decoded).unwrap()
        };
        assert!(distortion(&encode(&Inputs::of(&row, 16).unwrap(), scheme).unwrap()).snr_db > 10.0);
    }
    for text in ["linear:8", "palettized:4,vector=2", "sparse:0.5+palettized:4", "gguf:q4_k"] {
        let refused = encode(&nothing, text.parse().unwrap());
        assert!(matches!(refused, Err(Error::Argument { name: "inputs", .. })), "{text}");
    }
    let narrow = Inputs::of(&[1.0; 30], 15).unwrap();
    assert!(matches!(encode(&narrow, scheme), Err(Error::Argument { name: "inputs", .. })));
}

proptest! {
    #[test]
    fn any_inputs_give_pieces_of_the_same_size(
        channels in 1_u64..40, width in 1_u64..24, count in 1_usize..8, group in 1_u64..20, seed in 0_u64..1000,
    ) {
        let size = usize::try_from(width).unwrap();
        let values = numbers_of(usize::try_from(channels).unwrap() * size, seed);
        let inputs = Inputs::of(&rows(size.max(4), count, seed)[..size * count], size).unwrap();
        let scheme: Scheme = format!("palettized:2,group={group}").parse().unwrap();
        let made = Coded::encode_for(&values, &[channels, width], scheme, Choices::default(), Some(&inputs)).unwrap();
        let mut decoded = vec![0.0; values.len()];
        made.decode_into(&mut decoded).unwrap();
        prop_assert!(decoded.iter().all(|value| value.is_finite() && value.abs() < 4.0));
    }
}
