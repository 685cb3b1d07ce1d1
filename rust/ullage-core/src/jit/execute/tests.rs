use std::time::Duration;

use super::*;
use crate::jit::{Options, Origin, Profile, simulate};

const OUTPUTS: Wanted = Wanted { outputs: true };

fn layers() -> Vec<Layer> {
    let rows =
        [("palettized:4", 130, 257), ("linear:8", 64, 300), ("dense:f16", 40, 96), ("sparse:0.75", 100, 128)];
    let all = rows.iter().chain(&rows);
    all.map(|&(scheme, rows, row)| Layer::new(scheme, &[rows, row], scheme.parse().unwrap()).unwrap())
        .collect()
}

fn quick(threads: u32) -> Conduct {
    Conduct { threads, passes: 3, time: Duration::ZERO, ..Conduct::default() }
}

#[test]
fn every_policy_computes_the_same() {
    let layers = layers();
    let run = |policy, threads| {
        measure(&layers, &vec![policy; layers.len()], Source::Made, &quick(threads), OUTPUTS).unwrap().outputs
    };
    let expected = run(Policy::LoadTime, 1);
    assert!(expected.iter().all(|layer| layer.iter().any(|&value| value != 0.0)));
    let deep = Policy::PREFETCHED.with_prefetch(2);
    let small = Policy::JustInTime { scratch: crate::jit::Scratch::Tile(Bytes::new(2000)), prefetch: 0 };
    for policy in Policy::ALL.into_iter().chain([deep, small, Policy::Stream { prefetch: 0 }]) {
        for threads in [1, 2, 3] {
            for (layer, (found, expected)) in run(policy, threads).iter().zip(&expected).enumerate() {
                assert_eq!(found.len(), expected.len(), "{policy} layer {layer}");
                let scale = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                for (a, b) in found.iter().zip(expected) {
                    // Decoding rounds to 16 bits, fused multiplication does not.
                    assert!(
                        (a - b).abs() <= 2e-3 * scale,
                        "{policy} layer {layer} threads {threads}: {a} {b}"
                    );
                }
            }
        }
    }
}

#[test]
fn peaks_and_timelines_are_those_of_the_simulation() {
    let layers = layers();
    let device = Profile::roofline("any", 1e10, 1e10, Origin::Assumed);
    let device = Profile { storage: device.read, ..device };
    for policy in Policy::ALL {
        let policies = vec![policy; layers.len()];
        let found = execute(&layers, &policies, None, &quick(2)).unwrap();
        let options = Options { threads: Some(2), ..Options::default() };
        let said = simulate(&layers, &policies, &device, &options).unwrap();
        let apart = found.peak.get().abs_diff(said.peak.get());
        assert!(apart < 4096, "{policy}: {:?} {:?}, padding and indices aside", found.peak, said.peak);
        assert_eq!(found.scratch, said.scratch);
        assert_eq!((found.layers.len(), found.passes >= 3), (layers.len(), true));
        assert!(found.latency_s > 0.0 && found.first_output_s >= found.load_s);
        assert!(found.timeline.iter().all(|event| event.start_s <= event.end_s));
    }
}

#[test]
fn given_weights_must_be_those_of_the_scheme() {
    let layer = Layer::new("l", &[4, 8], "linear:8".parse().unwrap()).unwrap();
    let (integers, scales) = ([3_u8; 32], [0_u8, 0x3c].repeat(4));
    let weights = [vec![&integers[..], &scales[..]]];
    let run =
        measure(std::slice::from_ref(&layer), &[Policy::Fused], Source::Given(&weights), &quick(1), OUTPUTS)
            .unwrap();
    let sum: f32 = [0.25_f32, -0.5, 0.125, 1.0, -0.75, 0.375, -0.0625, 0.25].iter().sum();
    assert_eq!(run.outputs[0], vec![sum * 3.0; 4]);
    let short = [vec![&integers[..3], &scales[..]]];
    assert!(execute(&[layer], &[Policy::Fused], Some(&short), &quick(1)).is_err());
}

#[test]
fn weights_that_are_kept_are_gone_through_by_several_runs() {
    let layers = layers();
    let kept = Kept::make(&layers).unwrap();
    for policy in [Policy::LoadTime, Policy::Fused, Policy::PREFETCHED] {
        let policies = vec![policy; layers.len()];
        let run = |source, wanted| measure(&layers, &policies, source, &quick(2), wanted).unwrap();
        let own = run(Source::Made, OUTPUTS);
        let shared = run(Source::Kept(&kept), OUTPUTS);
        assert_eq!(shared.outputs, own.outputs, "{policy}");
        // Plain numbers are not dropped with those that are decoded at load, and lie in the same block.
        assert_eq!(shared.peak == own.peak, policy != Policy::LoadTime, "{policy}");
        let pieces = kept.pieces();
        assert_eq!(run(Source::Given(&pieces), OUTPUTS).outputs, own.outputs, "{policy}");
    }
    let streams = vec![Policy::Stream { prefetch: 0 }; layers.len()];
    assert!(measure(&layers, &streams, Source::Kept(&kept), &quick(1), OUTPUTS).is_err());
}
