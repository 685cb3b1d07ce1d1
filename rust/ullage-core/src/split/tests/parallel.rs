//! Tensor-parallel groups.

use super::naive;
use crate::solving::{Limits, Random, Status};
use crate::split::parallel::Rack;
use crate::split::{Chain, Link, Objective, Piece, Place, validate};
use crate::units::Bytes;

const GIB: u64 = 1 << 30;

fn rack(nodes: usize, per_node: usize, capacity: u64) -> Rack {
    let device = Place {
        name: "gpu".to_owned(),
        capacity: Bytes::new(capacity),
        reserve: Bytes::ZERO,
        bandwidth: Some(3_000_000_000_000),
        flops: None,
        node: 0,
    };
    let inside = Link { bandwidth: Some(450_000_000_000), latency: 3_000_000 };
    let between = Link { bandwidth: Some(50_000_000_000), latency: 10_000_000 };
    Rack { device, nodes, per_node, inside, between }
}

fn chain(layers: usize, weights: u64) -> Chain {
    let piece = |layer: usize| Piece {
        replicated: Bytes::new(1 << 16),
        state: Bytes::new(GIB / 8),
        state_ways: 8,
        output: Bytes::new(32 << 10),
        reductions: 2,
        ..Piece::plain(layer.to_string(), Bytes::new(weights))
    };
    Chain::new((0..layers).map(piece).collect(), Vec::new(), 128).expect("sound")
}

#[test]
fn a_ring_moves_each_byte_twice_but_for_one_share() {
    let link = Link { bandwidth: Some(100), latency: 7 };
    assert_eq!(link.all_reduce(800, 1), 0);
    assert_eq!(link.all_reduce(800, 4), 6 * (7 + 2_000_000_000_000));
}

#[test]
fn norms_are_held_whole_and_heads_are_copied_where_there_are_too_few() {
    let whole = chain(1, 1 << 20);
    let shares = |degree: u64| {
        let share = whole.sharded(degree, Link::default()).expect("divides");
        let piece = &share.pieces()[0];
        (piece.weights.get(), piece.state.get())
    };
    let (norms, rest) = (1 << 16, (1 << 20) - (1 << 16));
    assert_eq!(shares(1), (norms + rest, GIB / 8));
    assert_eq!(shares(4), (norms + rest / 4, GIB / 32));
    assert_eq!(shares(16), (norms + rest / 16, GIB / 64));
    assert!(whole.sharded(3, Link::default()).is_err());
    assert!(whole.sharded(0, Link::default()).is_err());
}

#[test]
fn a_large_model_goes_over_a_rack_as_every_objective_wants_it() {
    let (chain, rack) = (chain(126, 715 * 1_000_000_000 / 126), rack(4, 8, 76 * GIB));
    assert_eq!(rack.degrees(&chain), [1, 2, 4, 8]);
    for objective in Objective::ALL {
        let plans = rack.plans(&chain, None, objective, &Limits::default()).expect("sound");
        assert_eq!(plans.len(), 4);
        for plan in &plans {
            validate(&plan.problem, &plan.split).expect("valid");
            assert_eq!(plan.split.status, Status::Optimal);
        }
        let degree = plans[0].degree;
        match objective {
            Objective::Latency => assert_eq!(degree, 8),
            Objective::Devices => assert!(plans.iter().all(|plan| plan.devices() >= plans[0].devices())),
            Objective::Throughput | Objective::Balance => {}
        }
    }
}

#[test]
fn small_racks_are_split_as_brute_force_splits_them() {
    let mut random = Random(13);
    for round in 0..300 {
        let objective = Objective::ALL[round % 4];
        let layers = usize::try_from(random.below(6) + 1).expect("small");
        let (chain, rack) =
            (chain(layers, (random.below(9) + 1) * GIB), rack(2, 2, (random.below(20) + 3) * GIB));
        for plan in rack.plans(&chain, None, objective, &Limits::default()).expect("sound") {
            validate(&plan.problem, &plan.split).expect("valid");
            let best = naive::best(&plan.problem).map(|(value, _)| value);
            let found = (plan.split.status == Status::Optimal).then_some(plan.split.value);
            assert_eq!(found, best);
        }
    }
}
