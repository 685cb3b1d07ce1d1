//! The dynamic program over places.

use super::{naive, problems};
use crate::solving::{Limits, Random, Status};
use crate::split::{
    Chain, Infeasibility, Link, Links, Objective, Order, Piece, Place, Problem, solve, validate,
};
use crate::units::Bytes;

#[test]
fn every_objective_is_met_as_brute_force_meets_it() {
    let mut random = Random(7);
    let (mut met, mut impossible) = (0, 0);
    for round in 0..6000 {
        let objective = Objective::ALL[round % 4];
        let problem = problems::problem(&mut random, objective);
        let split = solve(&problem, &Limits::default());
        validate(&problem, &split).unwrap_or_else(|error| panic!("{error}: {problem:?} {split:?}"));
        let Some((value, second)) = naive::best(&problem) else {
            impossible += 1;
            assert_eq!(split.status, Status::Infeasible, "{problem:?}");
            continue;
        };
        met += 1;
        assert_eq!((split.status, split.value), (Status::Optimal, value), "{problem:?}");
        let other = if objective == Objective::Latency { split.stages.len() as u64 } else { split.latency };
        assert_eq!(other, second, "{problem:?}");
    }
    assert!(met > 2000 && impossible > 500, "{met} met, {impossible} impossible");
}

#[test]
fn stopped_at_once_a_split_still_fits_and_claims_no_more_than_it_knows() {
    let mut random = Random(11);
    let limits = Limits { interrupted: Some(&|| true), ..Limits::default() };
    for round in 0..2000 {
        let problem = problems::problem(&mut random, Objective::ALL[round % 4]);
        let stopped = solve(&problem, &limits);
        validate(&problem, &stopped).unwrap_or_else(|error| panic!("{error}: {problem:?} {stopped:?}"));
        let best = naive::best(&problem);
        match stopped.status {
            Status::Infeasible => assert_eq!(best, None),
            Status::Timeout => {}
            _ => {
                let (value, _) = best.expect("one was found");
                assert!(stopped.lower_bound <= value && value <= stopped.value, "{problem:?} {stopped:?}");
            }
        }
    }
}

fn large(layers: u64, places: Vec<Place>, order: Order) -> Problem {
    let piece = |layer: u64| Piece {
        output: Bytes::new(1 << 14),
        ..Piece::plain(layer.to_string(), Bytes::new((1 << 30) + (layer % 5) * 1000))
    };
    let chain = Chain::new((0..layers).map(piece).collect(), Vec::new(), 0).expect("sound");
    let link = Link { bandwidth: Some(50_000_000_000), latency: 5_000_000 };
    Problem::new(chain, places, Links::Alike(link), order, Objective::Latency).expect("sound")
}

fn place(name: u64, gigabytes: u64, bandwidth: u64) -> Place {
    Place {
        name: name.to_string(),
        capacity: Bytes::new(gigabytes << 30),
        reserve: Bytes::ZERO,
        bandwidth: Some(bandwidth),
        flops: None,
        node: 0,
    }
}

#[test]
fn unlike_devices_in_any_order_are_filled_fastest_first() {
    let places =
        (0..6).map(|index| place(index, 20, if index % 2 == 0 { 1 << 40 } else { 1 << 38 })).collect();
    let problem = large(60, places, Order::Any);
    let split = solve(&problem, &Limits::default());
    validate(&problem, &split).expect("valid");
    assert_eq!(split.status, Status::Optimal);
    let slow: usize =
        split.stages.iter().filter(|stage| stage.place % 2 == 1).map(|stage| stage.end - stage.first).sum();
    assert_eq!((slow, split.stages.len()), (60 - 3 * 19, 4));
}

#[test]
fn among_equals_places_are_filled_evenly() {
    let places = vec![place(0, 50, 1 << 40), place(1, 50, 1 << 40)];
    for order in [Order::Given, Order::Any] {
        let split = solve(&large(60, places.clone(), order), &Limits::default());
        let counts: Vec<usize> = split.stages.iter().map(|stage| stage.end - stage.first).collect();
        assert_eq!(counts, [30, 30]);
    }
}

#[test]
fn places_of_too_many_kinds_for_a_proof_are_tried_in_a_few_orders() {
    let places = (0..30).map(|index| place(index, 10 + index, (index + 1) << 36)).collect();
    let problem = large(100, places, Order::Any);
    let split = solve(&problem, &Limits::default());
    validate(&problem, &split).expect("valid");
    assert_eq!(split.status, Status::Feasible);
    assert!(split.lower_bound > 0 && split.gap() < split.value);
}

#[test]
fn the_pieces_to_blame_are_a_smallest_run_that_cannot_be_cut() {
    let pieces = [3, 6, 6, 6, 1].into_iter().enumerate();
    let pieces = pieces.map(|(index, size)| Piece::plain(index.to_string(), Bytes::new(size)));
    let chain = Chain::new(pieces.collect(), Vec::new(), 0).expect("sound");
    let places = |room: u64| {
        (0..2).map(|index| Place { capacity: Bytes::new(room), ..place(index, 1, 1) }).collect::<Vec<_>>()
    };
    let of = |room| {
        let links = Links::Alike(Link::default());
        let problem = Problem::new(chain.clone(), places(room), links, Order::Given, Objective::Balance);
        let problem = problem.expect("sound");
        let split = solve(&problem, &Limits::default());
        validate(&problem, &split).expect("valid");
        split.reason
    };
    assert_eq!(of(5), Some(Infeasibility::PieceTooLarge { piece: 1, needed: 6, largest: 5 }));
    assert_eq!(of(10), Some(Infeasibility::TooLittleMemory { needed: 22, available: 20 }));
    assert_eq!(of(11), Some(Infeasibility::NoCut { first: 1, end: 4 }));
    assert_eq!(of(13), None);
}

#[test]
fn a_problem_that_makes_no_sense_is_refused_with_the_part_at_fault() {
    let chain =
        || Chain::new(vec![Piece::plain("a".to_owned(), Bytes::new(1))], Vec::new(), 0).expect("sound");
    let of = |places, links, order| {
        Problem::new(chain(), places, links, order, Objective::Latency)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let alike = || Links::Alike(Link::default());
    let refused =
        |outcome: Result<(), String>, text: &str| assert!(outcome.is_err_and(|it| it.contains(text)));
    refused(of(vec![], alike(), Order::Given), "devices: 0 are not");
    refused(of(vec![place(0, 1, 0)], alike(), Order::Given), "devices[0]");
    refused(of(vec![place(0, 1, 1), place(0, 1, 1)], alike(), Order::Given), "devices[1]");
    refused(of(vec![place(0, 1, 1)], Links::Neighbours(vec![Link::default()]), Order::Given), "links");
    refused(of(vec![place(0, 1, 1)], Links::Neighbours(vec![]), Order::Any), "given order");
    let nothing = Link { bandwidth: Some(0), latency: 0 };
    refused(of(vec![place(0, 1, 1)], Links::Alike(nothing), Order::Any), "links[0]");
    let endless = Link { bandwidth: None, latency: u64::MAX };
    refused(of(vec![place(0, 1, 1)], Links::Alike(endless), Order::Any), "53 days");
    let huge = vec![Piece::plain("a".to_owned(), Bytes::new(u64::MAX))];
    assert!(Chain::new(huge, Vec::new(), 0).is_err());
}
