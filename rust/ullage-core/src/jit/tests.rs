//! Properties of simulations, and small pipelines against what can be computed by hand.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers in tests")]

use proptest::prelude::*;

use super::*;
use crate::codec::Scheme;
use crate::units::Bytes;

fn device(read: f64, flops: f64) -> Profile {
    let mut profile = Profile::roofline("d", read, flops, Origin::Assumed);
    profile.storage = Some(Figure::new(read / 8.0, Unit::BytesPerSecond, Origin::Assumed));
    profile.dispatch = Some(Figure::new(1e-6, Unit::Seconds, Origin::Assumed));
    let rate = Figure::new(read * 0.9, Unit::BytesPerSecond, Origin::Assumed);
    profile.decompression.insert("palettized".to_owned(), rate);
    profile
}

fn layer(rows: u64, row: u64, scheme: &str) -> Layer {
    Layer::new("l", &[rows, row], scheme.parse().unwrap()).unwrap()
}

/// A device whose every operation was timed so that a weight takes so many nanoseconds.
fn timed(decode: f64, compute: f64) -> Profile {
    let timing = |operation, ns: f64| Timing {
        operation,
        scheme: "palettized:4".parse().unwrap(),
        threads: 1,
        working_set: 1,
        points: vec![Point { weights: 1000, row: 10, seconds: ns * 1e-6, spread: None }],
    };
    let mut profile = device(1e9, 1e12);
    profile.timings = vec![
        timing(Operation::DecodeBeside, decode),
        timing(Operation::ScratchBeside, compute),
        timing(Operation::Decode, decode),
        timing(Operation::Scratch, compute),
    ];
    profile
}

#[test]
fn without_prefetch_times_add_up() {
    let layers = [layer(10, 100, "palettized:4"), layer(20, 100, "palettized:4")];
    let found = simulate(&layers, &[Policy::BY_LAYER; 2], &timed(3.0, 2.0), &Options::default()).unwrap();
    assert!((found.latency_s - 15e-6).abs() < 1e-12, "{found:?}");
    assert_eq!(found.basis(), Basis::Timed);
}

#[test]
fn memory_limit_keeps_what_saves_most_and_refuses_what_cannot_be() {
    let layers = vec![layer(512, 512, "palettized:4"); 4];
    let profile = device(1e10, 1e12);
    let simulate_under = |limit| {
        let options = Options { memory_limit: Some(limit), ..Options::default() };
        simulate(&layers, &[Policy::KeepHot; 4], &profile, &options)
    };
    let all = simulate(&layers, &[Policy::KeepHot; 4], &profile, &Options::default()).unwrap();
    assert_eq!(simulate_under(all.peak.saturating_add(Bytes::new(1 << 20))).unwrap().layers, all.layers);
    let half = simulate_under(Bytes::new(1_900_000)).unwrap();
    let kept = half.layers.iter().filter(|layer| layer.policy == Policy::KeepHot).count();
    assert!((1..4).contains(&kept), "{kept}");
    assert!(half.peak <= Bytes::new(1_900_000) && half.latency_s > all.latency_s);
    assert!(simulate_under(Bytes::new(1000)).unwrap_err().to_string().contains("memory_limit"));
}

#[test]
fn streaming_overlaps_reading_and_computing() {
    let layers = vec![layer(1024, 1024, "palettized:4"); 8];
    let profile = device(1e10, 1e9);
    let of = |prefetch| {
        let policies = [Policy::Stream { prefetch }; 8];
        simulate(&layers, &policies, &profile, &Options::default()).unwrap()
    };
    let (alone, ahead) = (of(0), of(1));
    assert!(ahead.latency_s < alone.latency_s * 0.9, "{} {}", ahead.latency_s, alone.latency_s);
    assert!(ahead.scratch.get() >= alone.scratch.get() * 2, "two buffers");
    assert!(ahead.resident.is_zero());
}

#[test]
fn policies_and_profiles_are_read_back() {
    for text in [
        "load_time",
        "just_in_time",
        "just_in_time,tile=64KiB",
        "just_in_time,tile=1000",
        "just_in_time,prefetch=2",
        "fused",
    ] {
        assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "fused,prefetch=1",
        "just_in_time,tile=0",
        "just_in_time,tile=1KiB,prefetch=1",
        "stream,prefetch=65",
    ] {
        assert!(text.parse::<Policy>().is_err(), "{text}");
    }
    let profile = timed(1.0, 2.0);
    assert_eq!(Profile::from_json(&profile.to_json()).unwrap(), profile);
    assert!(
        Profile::from_json("{\"read\":{\"value\":-1,\"unit\":\"seconds\",\"origin\":\"measured\"}}").is_err()
    );
    assert!(Profile::from_json("[").is_err());
}

#[test]
fn timings_meet_their_points_and_grow_between() {
    let point = |weights, row, seconds| Point { weights, row, seconds, spread: None };
    let timing = Timing {
        operation: Operation::Fused,
        scheme: Scheme::F16,
        threads: 1,
        working_set: 1,
        points: vec![point(1000, 10, 2e-6), point(10_000, 10, 11e-6), point(10_000, 5, 13e-6)],
    };
    assert!((timing.seconds(1000, 10) - 2e-6).abs() < 1e-15);
    assert!((timing.seconds(10_000, 5) - 13e-6).abs() < 1e-15);
    assert!((timing.seconds(20_000, 10) - 22e-6).abs() < 1e-15);
    assert!(
        (timing.seconds(100, 10) - 1.1e-6).abs() < 1e-15,
        "a microsecond of floor, a nanosecond a weight"
    );
    assert!((2e-6..11e-6).contains(&timing.seconds(5000, 10)));
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::LoadTime),
        (0_u32..4).prop_map(|prefetch| Policy::BY_LAYER.with_prefetch(prefetch)),
        Just(Policy::TILED),
        Just(Policy::Fused),
        Just(Policy::KeepHot),
        (0_u32..4).prop_map(|prefetch| Policy::Stream { prefetch }),
    ]
}

fn any_plan() -> impl Strategy<Value = (Vec<Layer>, Vec<Policy>)> {
    let scheme = prop_oneof![Just("palettized:4"), Just("dense:f16"), Just("sparse:0.75"), Just("linear:8")];
    let layer = (1_u64..400, 1_u64..400, scheme).prop_map(|(rows, row, scheme)| layer(rows, row, scheme));
    proptest::collection::vec((layer, any_policy()), 1..12).prop_map(|rows| rows.into_iter().unzip())
}

/// What must hold of any timeline: engines do one thing at a time and in order, a layer is computed after it was decoded
/// and read, buffers that share bytes do not live at once, and nothing is busy for longer than the pass.
fn check_timeline(layers: &[Layer], policies: &[Policy], found: &Simulation) {
    for resource in Resource::ALL {
        let mut own: Vec<&Event> = found.timeline.iter().filter(|event| event.resource == resource).collect();
        own.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
        assert!(own.windows(2).all(|pair| pair[0].end_s <= pair[1].start_s && pair[0].layer < pair[1].layer));
        assert!(found.busy_s(resource) <= found.latency_s * (1.0 + 1e-9));
    }
    let of = |layer: usize, resource| {
        found.timeline.iter().find(|event| event.layer as usize == layer && event.resource == resource)
    };
    let mut lives = Vec::new();
    let plan = super::memory::plan(layers, policies, 1).unwrap();
    for place in 0..layers.len() {
        let computed = of(place, Resource::Compute).expect("every layer is computed");
        let mut begun = computed.start_s;
        for earlier in [Resource::Storage, Resource::Decompressor] {
            if let Some(event) = of(place, earlier) {
                assert!(event.end_s <= computed.start_s);
                begun = begun.min(event.start_s);
            }
        }
        if let Some((offset, bytes)) = plan.places[place] {
            assert!(offset + bytes <= plan.height);
            lives.push((begun, computed.end_s, offset, offset + bytes));
        }
    }
    for (place, a) in lives.iter().enumerate() {
        for b in &lives[..place] {
            let is_apart = a.1 <= b.0 || b.1 <= a.0 || a.3 <= b.2 || b.3 <= a.2;
            assert!(is_apart, "{a:?} {b:?}");
        }
    }
}

proptest! {
    #[test]
    fn simulations_hold_what_they_promise((layers, policies) in any_plan(), batch in 1_u64..4, own in any::<bool>()) {
        let mut profile = device(1e9, 1e10);
        profile.has_decompressor = own;
        let options = Options { batch, from_storage: true, ..Options::default() };
        let found = simulate(&layers, &policies, &profile, &options).unwrap();
        prop_assert_eq!(&found, &simulate(&layers, &policies, &profile, &options).unwrap());
        check_timeline(&layers, &policies, &found);
        prop_assert!(found.peak >= found.resident && found.first_output_s >= found.latency_s);
        prop_assert!(found.memory.iter().all(|level| level.bytes <= found.peak));
        prop_assert_eq!(found.memory.last().unwrap().bytes, found.resident);
        let sum: f64 = found.layers.iter().map(|layer| layer.seconds).sum();
        prop_assert!((sum - found.latency_s).abs() <= 1e-9 * found.latency_s);
        // No bus carries more than it can.
        let least = super::float(found.bytes_moved.get()) / 1e9;
        prop_assert!(found.latency_s >= least * 0.999, "{} {least}", found.latency_s);
    }

    /// Against the recurrence T = d1 + Σ max(c_i, d_{i+1}) of one layer ahead, and that of k slots in general.
    #[test]
    fn prefetch_follows_the_recurrence(
        sizes in proptest::collection::vec(1_u64..50, 1..9), depth in 1_u32..4, decode in 0.1_f64..9.0, compute in 0.1_f64..9.0,
    ) {
        let layers: Vec<Layer> = sizes.iter().map(|&rows| layer(rows, 100, "palettized:4")).collect();
        let policies = vec![Policy::BY_LAYER.with_prefetch(depth); layers.len()];
        let found = simulate(&layers, &policies, &timed(decode, compute), &Options::default()).unwrap();
        let seconds = |rate: f64, rows: u64| rate * 1e-9 * super::float(rows * 100);
        let (mut decoded, mut computed): (Vec<f64>, Vec<f64>) = (vec![], vec![]);
        for (place, &rows) in sizes.iter().enumerate() {
            let free = place.checked_sub(depth as usize + 1).map_or(0.0, |slot| computed[slot]);
            let start = decoded.last().copied().unwrap_or(0.0).max(free);
            decoded.push(start + seconds(decode, rows));
            computed.push(decoded[place].max(computed.last().copied().unwrap_or(0.0)) + seconds(compute, rows));
        }
        let naive = computed.last().unwrap();
        prop_assert!((found.latency_s - naive).abs() < 1e-9 * naive, "{} {naive}", found.latency_s);
        if depth == 1 {
            let rest: f64 = sizes.iter().enumerate()
                .map(|(place, &rows)| seconds(compute, rows).max(sizes.get(place + 1).map_or(0.0, |&next| seconds(decode, next))))
                .sum();
            let formula = seconds(decode, sizes[0]) + rest;
            prop_assert!((found.latency_s - formula).abs() < 1e-9 * formula, "{} {formula}", found.latency_s);
        }
    }

    #[test]
    fn prefetch_with_a_free_buffer_is_never_slower(
        sizes in proptest::collection::vec(1_u64..300, 1..9), rate in 1e8_f64..1e10,
    ) {
        let layers: Vec<Layer> = sizes.iter().map(|&rows| layer(rows, 200, "palettized:4")).collect();
        let mut profile = device(rate, 1e9);
        profile.has_decompressor = true;
        let of = |depth| {
            let policies = vec![Policy::BY_LAYER.with_prefetch(depth); layers.len()];
            simulate(&layers, &policies, &profile, &Options::default()).unwrap().latency_s
        };
        for depth in 0..3 {
            prop_assert!(of(depth + 1) <= of(depth) * (1.0 + 1e-9));
        }
    }
}
