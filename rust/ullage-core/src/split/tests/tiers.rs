//! The knapsack of tiers and its cuts.

use super::problems;
use crate::solving::{Limits, Random, Status};
use crate::split::tiers::{Cut, Infeasibility, Problem, Tier, solve, validate};
use crate::split::{Chain, Link, Piece};
use crate::units::Bytes;

pub(super) fn problem(random: &mut Random, most_pieces: u64) -> Problem {
    let chain = problems::chain(random, most_pieces);
    let count = random.below(3) + 1;
    let total = chain.bytes().get();
    let first_fetched = random.below(count) + 1;
    let tiers: Vec<Tier> = (0..count)
        .map(|index| {
            let worker = match random.below(3) {
                0 if index >= first_fetched => 0,
                _ => index,
            };
            Tier {
                name: index.to_string(),
                capacity: Bytes::new(total * (random.below(10) + 1) / 8 + random.below(8)),
                reserve: Bytes::new(random.below(2)),
                bandwidth: (random.below(8) > 0).then(|| random.below(9) + 1),
                flops: (random.below(2) > 0).then(|| random.below(9) + 1),
                worker: usize::try_from(worker).expect("small"),
                link: Link { bandwidth: Some(random.below(5) + 1), latency: random.below(2) },
            }
        })
        .collect();
    let cut = if random.below(2) == 0 { Cut::Anywhere } else { Cut::LastFirst };
    Problem::new(&chain, tiers, random.below(2) + 1, cut).expect("sound")
}

/// The time of the fastest placement, all of them counted.
fn naive(problem: &Problem) -> Option<u64> {
    let (tiers, pieces) = (problem.tiers().len(), problem.pieces().len());
    let mut best = None;
    for code in 0..tiers.pow(u32::try_from(pieces).expect("few")) {
        let assignment: Vec<usize> =
            (0..pieces).map(|piece| code / tiers.pow(u32::try_from(piece).expect("few")) % tiers).collect();
        if problem.cut() == Cut::LastFirst && assignment.windows(2).any(|pair| pair[0] < pair[1]) {
            continue;
        }
        let mut loads = vec![0; tiers];
        let (mut time, mut largest, mut at) = (0, 0, 0);
        let workspace = problem.pieces().iter().map(|piece| piece.workspace.get()).max().unwrap_or(0);
        for (piece, &tier) in problem.pieces().iter().zip(&assignment) {
            let worker = problem.tiers()[tier].worker;
            loads[tier] += piece.weights.get();
            loads[worker] += piece.state.get();
            let (slow, peak) = (problem.tiers()[worker].bandwidth, problem.tiers()[worker].flops);
            let seconds = |amount: u64, rate: Option<u64>| {
                rate.map_or(0, |rate| (amount * 1_000_000_000_000).div_ceil(rate))
            };
            let computed = seconds(piece.traffic.get() + piece.state.get(), slow)
                .max(seconds(piece.flops, peak))
                + piece.fixed;
            let mut fetch = 0;
            if worker != tier {
                (largest, at) = (piece.weights.get().max(largest), worker);
                if piece.moved.get() > 0 {
                    let link = problem.tiers()[tier].link;
                    fetch = link.latency + seconds(piece.moved.get(), link.bandwidth);
                }
            }
            time += if problem.buffers() == 2 { fetch.max(computed) } else { fetch + computed };
        }
        for (tier, load) in loads.iter_mut().enumerate() {
            if assignment.iter().any(|&lies| problem.tiers()[lies].worker == tier) {
                *load += workspace;
            }
        }
        loads[at] += largest * problem.buffers();
        let fits = loads.iter().zip(problem.tiers()).all(|(load, tier)| *load <= tier.usable());
        if fits && best.is_none_or(|known| time < known) {
            best = Some(time);
        }
    }
    best
}

#[test]
fn the_fastest_placement_is_that_of_brute_force() {
    let mut random = Random(5);
    let (mut met, mut impossible) = (0, 0);
    for _ in 0..2500 {
        let problem = problem(&mut random, 6);
        let placement = solve(&problem, &Limits::default());
        validate(&problem, &placement).unwrap_or_else(|error| panic!("{error}: {problem:?} {placement:?}"));
        let best = naive(&problem);
        if let Some(best) = best {
            met += 1;
            assert_eq!((placement.status, placement.latency), (Status::Optimal, best), "{problem:?}");
        } else {
            impossible += 1;
            assert_eq!(placement.status, Status::Infeasible, "{problem:?}");
            blame_holds(&problem, placement.reason.as_ref());
        }
    }
    assert!(met > 900 && impossible > 150, "{met} met, {impossible} impossible");
}

/// With the limit of any tier that is blamed lifted, and of those that are not, there is a placement.
fn blame_holds(problem: &Problem, reason: Option<&Infeasibility>) {
    let Some(Infeasibility::Limits { tiers }) = reason else { return };
    for lifted in (0..tiers.len()).filter(|&tier| tiers[tier]) {
        let free: Vec<bool> =
            tiers.iter().enumerate().map(|(tier, blamed)| !blamed || tier == lifted).collect();
        assert!(naive(&problem.lifted(&free)).is_some(), "{problem:?}");
    }
    let others: Vec<bool> = tiers.iter().map(|blamed| !blamed).collect();
    assert!(naive(&problem.lifted(&others)).is_none(), "{problem:?}");
}

#[test]
fn stopped_at_once_a_placement_claims_no_more_than_it_knows() {
    let mut random = Random(6);
    let limits = Limits { interrupted: Some(&|| true), ..Limits::default() };
    for _ in 0..1500 {
        let problem = problem(&mut random, 5);
        let stopped = solve(&problem, &limits);
        validate(&problem, &stopped).unwrap_or_else(|error| panic!("{error}: {problem:?} {stopped:?}"));
        match (stopped.status, naive(&problem)) {
            (Status::Infeasible, best) => assert_eq!(best, None, "{problem:?}"),
            (Status::Timeout, _) => {}
            (_, best) => {
                let best = best.expect("one was found");
                assert!(stopped.lower_bound <= best && best <= stopped.latency, "{problem:?} {stopped:?}");
            }
        }
    }
}

fn tier(name: &str, gib: u64, bandwidth: u64, worker: usize) -> Tier {
    Tier {
        name: name.to_owned(),
        capacity: Bytes::new(gib << 30),
        reserve: Bytes::ZERO,
        bandwidth: Some(bandwidth),
        flops: None,
        worker,
        link: Link { bandwidth: Some(25_000_000_000), latency: 10_000_000 },
    }
}

/// A mixture: 61 layers whose experts are large and hardly read, with attention that is small and read whole.
fn mixture() -> Chain {
    let mut pieces = Vec::new();
    for layer in 0..61 {
        let attention = Piece {
            state: Bytes::new(64 << 20),
            ..Piece::plain(format!("{layer}.a"), Bytes::new(200 << 20))
        };
        let experts = Piece::plain(format!("{layer}.e"), Bytes::new(6 << 30));
        pieces.push(attention);
        pieces.push(Piece { traffic: Bytes::new(200 << 20), moved: Bytes::new(200 << 20), ..experts });
    }
    Chain::new(pieces, Vec::new(), 0).expect("sound")
}

#[test]
fn of_a_mixture_the_experts_of_the_first_layers_lie_in_the_host() {
    let tiers = vec![tier("gpu", 80, 3_000_000_000_000, 0), tier("host", 512, 200_000_000_000, 1)];
    let problem = Problem::new(&mixture(), tiers, 1, Cut::Anywhere).expect("sound");
    let placement = solve(&problem, &Limits::default());
    validate(&problem, &placement).expect("valid");
    assert_eq!(placement.status, Status::Optimal);
    let of = |part: usize| placement.assignment.iter().skip(part).step_by(2).copied().collect::<Vec<_>>();
    assert_eq!(of(0), [0; 61]);
    assert!(of(1).is_sorted_by(|a, b| a >= b) && of(1).contains(&0));
}

#[test]
fn three_tiers_with_fetching_are_proven_in_a_moment() {
    let mut tiers = vec![
        tier("gpu", 48, 1_000_000_000_000, 0),
        tier("host", 128, 50_000_000_000, 0),
        tier("disk", 2000, 5_000_000_000, 0),
    ];
    tiers[2].link = Link { bandwidth: Some(5_000_000_000), latency: 100_000_000 };
    for buffers in [1, 2] {
        let problem = Problem::new(&mixture(), tiers.clone(), buffers, Cut::Anywhere).expect("sound");
        let placement = solve(&problem, &Limits::default());
        validate(&problem, &placement).expect("valid");
        assert_eq!(placement.status, Status::Optimal);
        assert!(placement.buffer >= Bytes::new((6 << 30) * buffers));
    }
}

#[test]
fn pieces_that_are_all_unlike_are_bounded_where_they_are_not_proven() {
    let mut random = Random(9);
    let piece = |index: u64, random: &mut Random| {
        Piece::plain(index.to_string(), Bytes::new((1 << 20) + random.below(1 << 20)))
    };
    let pieces = (0..120).map(|index| piece(index, &mut random)).collect();
    let chain = Chain::new(pieces, Vec::new(), 0).expect("sound");
    let mut tiers = vec![tier("gpu", 0, 900_000, 0), tier("host", 0, 90_000, 1), tier("disk", 1, 9_000, 2)];
    tiers[0].capacity = Bytes::new(50 << 20);
    tiers[1].capacity = Bytes::new(60 << 20);
    let problem = Problem::new(&chain, tiers, 1, Cut::Anywhere).expect("sound");
    let limits = Limits { time: Some(std::time::Duration::from_secs(2)), ..Limits::default() };
    let placement = solve(&problem, &limits);
    validate(&problem, &placement).expect("valid");
    assert!(placement.latency - placement.lower_bound <= placement.latency / 50, "{placement:?}");
}
