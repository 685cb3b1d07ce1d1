//! Held against all combinations, each simulated.

#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "limits and sums that tests compare to a few digits"
)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::jit::{Figure, Layer, Options, Origin, Policy, Profile, Unit, simulate};
use crate::solving::{Limits, Status};
use crate::units::Bytes;

/// A phone whose fused kernels are slow, so that no single policy is best at every limit.
fn device() -> Profile {
    let rate = |value| Figure::new(value, Unit::BytesPerSecond, Origin::Assumed);
    let mut profile = Profile::roofline("a phone", 40e9, 500e9, Origin::Assumed);
    profile.decompression.insert("palettized".to_owned(), rate(60e9));
    profile.decompression.insert("sparse".to_owned(), rate(9e9));
    profile.decompression.insert("linear".to_owned(), rate(30e9));
    profile.storage = Some(rate(4e9));
    profile
}

fn layer(name: &str, rows: u64, scheme: &str) -> Layer {
    Layer::new(name, &[rows, 1024], scheme.parse().unwrap()).unwrap()
}

fn variants(layers: Vec<Layer>) -> Vec<Vec<Variant>> {
    let one = |layer: Layer| {
        let snr_db = assumed_snr_db(&layer.shape, layer.scheme).unwrap();
        vec![Variant { layer, snr_db }]
    };
    layers.into_iter().map(one).collect()
}

/// Every combination within the bounds, as (seconds, bytes).
fn brute(problem: &Problem<'_>) -> Vec<(f64, u64)> {
    let mut all: Vec<Vec<Choice>> = vec![Vec::new()];
    for variants in problem.layers {
        let with = |known: &Vec<Choice>| {
            let mut more = Vec::new();
            for variant in 0..variants.len() {
                for &policy in problem.policies {
                    more.push([known.clone(), vec![Choice { variant, policy }]].concat());
                }
            }
            more
        };
        all = all.iter().flat_map(with).collect();
    }
    let measured = |choices: &Vec<Choice>| {
        let pick = |(variants, choice): (&Vec<Variant>, &Choice)| variants[choice.variant].clone();
        let picked: Vec<Variant> = problem.layers.iter().zip(choices).map(pick).collect();
        let layers: Vec<Layer> = picked.iter().map(|variant| variant.layer.clone()).collect();
        let policies: Vec<Policy> = choices.iter().map(|choice| choice.policy).collect();
        let simulation = simulate(&layers, &policies, problem.profile, problem.options).unwrap();
        let weights: f64 = layers.iter().map(|layer| layer.elements() as f64).sum();
        let noise: Option<f64> = picked
            .iter()
            .map(|variant| {
                variant.snr_db.map(|ratio| variant.layer.elements() as f64 * 10_f64.powf(-ratio / 10.0))
            })
            .sum();
        let ratio = noise.map(|noise| 10.0 * (weights / noise).log10());
        let bounds = &problem.bounds;
        let is_allowed = bounds.memory.is_none_or(|most| simulation.peak <= most)
            && bounds.latency_s.is_none_or(|most| simulation.latency_s <= most)
            && bounds.snr_db.is_none_or(|least| ratio.is_some_and(|ratio| ratio >= least - 1e-9));
        is_allowed.then_some((simulation.latency_s, simulation.peak.get()))
    };
    all.iter().filter_map(measured).collect()
}

fn least(of: &[(f64, u64)], goal: Goal) -> Option<f64> {
    let value = |&(seconds, bytes): &(f64, u64)| if goal == Goal::Latency { seconds } else { bytes as f64 };
    of.iter().map(value).reduce(f64::min)
}

fn value(goal: Goal, best: &Candidate) -> f64 {
    if goal == Goal::Latency { best.latency_s } else { best.peak.get() as f64 }
}

/// Whether two figures are the same but for the order of sums.
fn is_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

fn check(problem: &Problem<'_>) {
    let all = brute(problem);
    let answer = optimize(problem, &Limits::default()).unwrap();
    match (least(&all, problem.goal), &answer.best) {
        (Some(least), Some(best)) => {
            let found = value(problem.goal, best);
            assert!(
                answer.lower_bound <= least * (1.0 + 1e-9),
                "a bound of {} above {least}",
                answer.lower_bound
            );
            assert!(found >= least * (1.0 - 1e-9));
            if answer.status == Status::Optimal {
                assert!(is_near(found, least), "{found} for {least}");
            }
            let simulation = answer.simulation.as_ref().unwrap();
            assert!(is_near(simulation.latency_s, best.latency_s) && simulation.peak == best.peak);
        }
        (None, None) => assert_eq!(answer.status, Status::Infeasible),
        other => panic!("{other:?}, {:?}", answer.status),
    }
}

const FEW: [Policy; 4] = [Policy::LoadTime, Policy::TILED, Policy::PREFETCHED, Policy::Fused];

#[test]
fn a_mix_beats_every_policy_for_all() {
    let layers: Vec<Layer> = (0..12)
        .map(|place| {
            layer(&format!("{place}"), 2048, if place % 2 == 0 { "sparse:0.75" } else { "palettized:4" })
        })
        .collect();
    let layers = variants(layers);
    let (profile, options) = (device(), Options::default());
    let bounds = Bounds { memory: Some(Bytes::new(45_000_000)), ..Bounds::default() };
    let problem = Problem {
        layers: &layers,
        policies: &Policy::ALL,
        profile: &profile,
        options: &options,
        bounds,
        goal: Goal::Latency,
    };
    let answer = optimize(&problem, &Limits::default()).unwrap();
    let best = answer.best.as_ref().unwrap();
    assert_eq!(answer.status, Status::Optimal);
    assert!(best.peak <= Bytes::new(45_000_000));
    assert!(best.policies().len() > 1, "{:?}", best.policies());
    assert_eq!(answer.uniform.len(), Policy::ALL.len());
    let allowed: Vec<&Uniform> = answer.uniform.iter().filter(|one| one.is_allowed).collect();
    assert!(!allowed.is_empty());
    for one in allowed {
        assert!(best.latency_s < one.latency_s * 0.95, "{} takes {} s", one.policy, one.latency_s);
    }
}

#[test]
fn the_least_memory_under_a_limit_of_latency_is_found_too() {
    let layers =
        variants((0..4).map(|place| layer(&format!("{place}"), 512 << place, "sparse:0.75")).collect());
    let (profile, options) = (device(), Options::default());
    for share in [1.0, 1.3, 2.0, 4.0] {
        let free = Problem {
            layers: &layers,
            policies: &FEW,
            profile: &profile,
            options: &options,
            bounds: Bounds::default(),
            goal: Goal::Latency,
        };
        let fastest = optimize(&free, &Limits::default()).unwrap().best.unwrap().latency_s;
        let bounds = Bounds { latency_s: Some(fastest * share), ..Bounds::default() };
        check(&Problem { bounds, goal: Goal::Peak, ..free });
    }
}

#[test]
fn what_is_asked_for_in_vain_is_infeasible_and_says_why() {
    let layers = variants(vec![layer("a", 512, "palettized:4"), layer("b", 512, "palettized:4")]);
    let (profile, options) = (device(), Options::default());
    let problem = |bounds| Problem {
        layers: &layers,
        policies: &FEW,
        profile: &profile,
        options: &options,
        bounds,
        goal: Goal::Latency,
    };
    let reason = |bounds| {
        let answer = optimize(&problem(bounds), &Limits::default()).unwrap();
        assert_eq!((answer.status, answer.best), (Status::Infeasible, None));
        answer.reason.unwrap()
    };
    let memory = Bounds { memory: Some(Bytes::new(1000)), ..Bounds::default() };
    assert!(reason(memory).contains("are needed at least"));
    let latency = Bounds { latency_s: Some(1e-9), ..Bounds::default() };
    assert!(reason(latency).contains("a pass takes"));
    let quality = Bounds { snr_db: Some(90.0), ..Bounds::default() };
    assert!(reason(quality).contains("short of the quality"));
}

#[test]
fn schemes_are_chosen_within_a_budget_of_noise() {
    let stored = |name: &str, rows: u64| {
        let schemes = ["dense:f16", "linear:8", "palettized:4", "palettized:2"];
        let of = |scheme: &&str| {
            let layer = layer(name, rows, scheme);
            let snr_db = assumed_snr_db(&layer.shape, layer.scheme).unwrap();
            Variant { layer, snr_db }
        };
        schemes.iter().map(of).collect::<Vec<_>>()
    };
    let layers: Vec<Vec<Variant>> = vec![stored("a", 256), stored("b", 1024), stored("c", 512)];
    let (profile, options) = (device(), Options::default());
    let mut last = 0.0;
    for snr_db in [None, Some(15.0), Some(25.0), Some(60.0)] {
        let bounds = Bounds { snr_db, memory: None, latency_s: None };
        let policies = [Policy::LoadTime, Policy::Fused];
        let problem = Problem {
            layers: &layers,
            policies: &policies,
            profile: &profile,
            options: &options,
            bounds,
            goal: Goal::Peak,
        };
        check(&problem);
        let best = optimize(&problem, &Limits::default()).unwrap().best.unwrap();
        let peak = best.peak.get() as f64;
        assert!(peak >= last, "better quality in less memory");
        assert!(snr_db.is_none_or(|least| best.snr_db.unwrap() >= least - 1e-6));
        last = peak;
    }
}

#[test]
fn normal_weights_come_out_of_each_scheme_as_theory_says() {
    let ratio = |scheme: &str| assumed_snr_db(&[64, 1024], scheme.parse().unwrap()).unwrap();
    // Lloyd and Max: 9.30 dB for 2 bits, 20.22 for 4, of a whole normal distribution.
    assert!((ratio("palettized:2").unwrap() - 9.3).abs() < 0.3, "{:?}", ratio("palettized:2"));
    assert!((ratio("palettized:4").unwrap() - 20.2).abs() < 0.5, "{:?}", ratio("palettized:4"));
    assert!(ratio("linear:8").unwrap() > 35.0);
    assert!(ratio("dense:f16").unwrap() > 60.0);
    assert_eq!(ratio("lossless"), Some(f64::INFINITY));
}

#[test]
fn the_end_of_the_time_leaves_an_answer_and_a_bound() {
    let schemes = ["sparse:0.75", "palettized:4", "linear:8"];
    let layers: Vec<Layer> = (0..60)
        .map(|place| layer(&format!("{place}"), 256 + 64 * (place * 7 % 13), schemes[place as usize % 3]))
        .collect();
    let dense: u64 = layers.iter().map(|layer| layer.dense.get()).sum();
    let layers = variants(layers);
    let (profile, options) = (device(), Options::default());
    let bounds = Bounds { memory: Some(Bytes::new(dense / 2)), ..Bounds::default() };
    let problem = Problem {
        layers: &layers,
        policies: &Policy::ALL,
        profile: &profile,
        options: &options,
        bounds,
        goal: Goal::Latency,
    };
    let limits = Limits { time: Some(Duration::ZERO), ..Limits::default() };
    let hasty = optimize(&problem, &limits).unwrap();
    let patient = optimize(&problem, &Limits::default()).unwrap();
    let of = |answer: &Answer| answer.best.as_ref().unwrap().latency_s;
    assert!(hasty.lower_bound <= of(&patient) * (1.0 + 1e-9) && of(&patient) <= of(&hasty));
    assert!(patient.gap(of(&patient)) < 0.25, "{} above {}", of(&patient), patient.lower_bound);
    let in_turn = [Policy::LoadTime, Policy::BY_LAYER, Policy::TILED, Policy::Fused];
    let problem = Problem { policies: &in_turn, ..problem };
    let answer = optimize(&problem, &Limits::default()).unwrap();
    assert!(answer.gap(of(&answer)) < 0.01, "{} above {}", of(&answer), answer.lower_bound);
    assert_eq!(answer, optimize(&problem, &Limits::default()).unwrap());
}

#[test]
fn a_problem_that_is_none_is_refused() {
    let layers = variants(vec![layer("a", 64, "palettized:4")]);
    let (profile, options) = (device(), Options::default());
    let fine = Problem {
        layers: &layers,
        policies: &FEW,
        profile: &profile,
        options: &options,
        bounds: Bounds::default(),
        goal: Goal::Latency,
    };
    let refused = |problem: Problem<'_>, word: &str| {
        let error = optimize(&problem, &Limits::default()).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    refused(Problem { layers: &[], ..fine }, "layers");
    refused(Problem { layers: &[Vec::new()], ..fine }, "no variant");
    refused(Problem { policies: &[], ..fine }, "none to choose");
    refused(Problem { policies: &[Policy::Stream { prefetch: 9 }], ..fine }, "ahead");
    let limited = Options { memory_limit: Some(Bytes::new(1)), ..options };
    refused(Problem { options: &limited, ..fine }, "belongs to the bounds");
    refused(
        Problem { bounds: Bounds { latency_s: Some(f64::NAN), ..Bounds::default() }, ..fine },
        "latency_limit",
    );
    let mixed =
        vec![vec![layers[0][0].clone(), Variant { layer: layer("a", 65, "palettized:4"), snr_db: None }]];
    refused(Problem { layers: &mixed, ..fine }, "several shapes");
    let unknown = vec![vec![Variant { layer: layer("a", 64, "palettized:4"), snr_db: None }]];
    refused(
        Problem { layers: &unknown, bounds: Bounds { snr_db: Some(9.0), ..Bounds::default() }, ..fine },
        "signal",
    );
}

fn any_profile() -> impl Strategy<Value = Profile> {
    (10e9..80e9_f64, 1e11..2e12_f64, 2e9..90e9_f64, 2e9..90e9_f64, any::<bool>()).prop_map(
        |(memory, compute, palettized, sparse, has_decompressor)| {
            let mut profile = device();
            profile.read = Some(Figure::new(memory, Unit::BytesPerSecond, Origin::Assumed));
            profile
                .compute
                .insert("f16".to_owned(), Figure::new(compute, Unit::FlopsPerSecond, Origin::Assumed));
            let rate = |value| Figure::new(value, Unit::BytesPerSecond, Origin::Assumed);
            profile.decompression.insert("palettized".to_owned(), rate(palettized));
            profile.decompression.insert("sparse".to_owned(), rate(sparse));
            profile.has_decompressor = has_decompressor;
            profile
        },
    )
}

fn any_layers(most: usize) -> impl Strategy<Value = Vec<Layer>> {
    let schemes = prop::sample::select(vec!["palettized:4", "sparse:0.75", "linear:8", "dense:f16"]);
    let one = (16..3000_u64, schemes).prop_map(|(rows, scheme)| layer("one", rows, scheme));
    prop::collection::vec(one, 1..=most)
}

const DEEP: [Policy; 5] = [
    Policy::LoadTime,
    Policy::BY_LAYER,
    Policy::JustInTime { scratch: crate::jit::Scratch::Layer, prefetch: 2 },
    Policy::Fused,
    Policy::Stream { prefetch: 1 },
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn few_layers_are_solved_as_all_combinations_are(
        layers in any_layers(4), profile in any_profile(), share in 0.0..1.2_f64, is_peak: bool, is_deep: bool,
    ) {
        let policies: &[Policy] = if is_deep { &DEEP } else { &FEW };
        let options = Options::default();
        let dense: u64 = layers.iter().map(|layer| layer.dense.get() + layer.compressed.get()).sum();
        let layers = variants(layers);
        let free = Problem {
            layers: &layers, policies, profile: &profile, options: &options,
            bounds: Bounds::default(), goal: Goal::Latency,
        };
        let all = brute(&free);
        let times: Vec<f64> = all.iter().map(|pair| pair.0).collect();
        let (low, high) = (times.iter().copied().fold(f64::INFINITY, f64::min), times.iter().copied().fold(0.0, f64::max));
        if is_peak {
            let bounds = Bounds { latency_s: Some(low + (high - low) * share - 1e-15), ..Bounds::default() };
            check(&Problem { bounds, goal: Goal::Peak, ..free });
        } else {
            let bounds = Bounds { memory: Some(Bytes::new((dense as f64 * share) as u64)), ..Bounds::default() };
            check(&Problem { bounds, ..free });
        }
    }

    /// The search itself, not the enumeration that few combinations fall to: its bound holds, and where nothing works
    /// ahead of compute it leaves no gap.
    #[test]
    fn the_search_alone_has_bounds_that_hold(
        layers in any_layers(4), profile in any_profile(), share in 0.1..1.2_f64, is_deep: bool,
    ) {
        let policies: &[Policy] = if is_deep { &DEEP } else { &FEW };
        let options = Options::default();
        let dense: u64 = layers.iter().map(|layer| layer.dense.get() + layer.compressed.get()).sum();
        let layers = variants(layers);
        let bounds = Bounds { memory: Some(Bytes::new((dense as f64 * share) as u64)), ..Bounds::default() };
        let problem =
            Problem { layers: &layers, policies, profile: &profile, options: &options, bounds, goal: Goal::Latency };
        let all = brute(&problem);
        let least = least(&all, Goal::Latency);
        let table = super::table::Table::new(&problem, super::table::At::Best).unwrap();
        let prices = super::prices::Prices::new(&table, problem.bounds.memory.unwrap().get() as f64);
        let room = super::search::Room {
            bytes: problem.bounds.memory.unwrap().get() as f64, seconds: f64::INFINITY, noise: f64::INFINITY,
        };
        for (width, is_relaxed) in [(1, false), (3, false), (500, false), (1, true), (3, true), (8, true)] {
            let search = super::search::Search {
                table: &table, prices: &prices, room, goal: Goal::Latency, known: f64::INFINITY, width, is_relaxed,
            };
            let limits = Limits::default();
            let found = search.run(&mut crate::solving::Watch::start(&limits)).unwrap();
            let bound = found.plans.iter().map(|plan| plan.value).fold(found.dropped, f64::min);
            if let Some(least) = least {
                prop_assert!(bound <= least * (1.0 + 1e-9), "width {}: {} above {}", width, bound, least);
                if !table.is_overlapped && width == 500 {
                    prop_assert!(is_near(bound, least), "{} below {}", bound, least);
                }
            }
        }
    }
}
