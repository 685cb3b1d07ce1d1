//! Random problems, small enough for brute force.

use crate::solving::Random;
use crate::split::{Chain, Link, Links, Objective, Order, Piece, Place, Problem, Shared};
use crate::units::Bytes;

fn rate(random: &mut Random) -> Option<u64> {
    (random.below(6) > 0).then(|| random.below(9) + 1)
}

fn link(random: &mut Random) -> Link {
    Link { bandwidth: rate(random), latency: random.below(3) * 1_000_000_000_000 }
}

pub(super) fn chain(random: &mut Random, most: u64) -> Chain {
    let count = random.below(most) + 1;
    let uniform = random.below(3) == 0;
    let first = piece(random, 0);
    let pieces: Vec<Piece> =
        (0..count)
            .map(|index| {
                if uniform {
                    Piece { name: index.to_string(), ..first.clone() }
                } else {
                    piece(random, index)
                }
            })
            .collect();
    let mut shared = Vec::new();
    if count > 1 && random.below(2) == 0 {
        for _ in 0..=random.below(2) {
            let mut users: Vec<usize> = (0..pieces.len()).filter(|_| random.below(3) == 0).collect();
            if users.len() < 2 {
                users = vec![0, pieces.len() - 1];
            }
            shared.push(Shared { bytes: Bytes::new(random.below(7)), pieces: users });
        }
    }
    Chain::new(pieces, shared, 0).expect("small")
}

fn piece(random: &mut Random, index: u64) -> Piece {
    let weights = Bytes::new(random.below(8));
    Piece {
        state: Bytes::new(random.below(3)),
        traffic: Bytes::new(random.below(weights.get() + 1)),
        flops: random.below(12),
        output: Bytes::new(random.below(5)),
        workspace: Bytes::new(random.below(3)),
        fixed: random.below(2) * 500_000_000_000,
        ..Piece::plain(index.to_string(), weights)
    }
}

pub(super) fn problem(random: &mut Random, objective: Objective) -> Problem {
    let chain = chain(random, 8);
    let count = random.below(4) + 1;
    let alike = random.below(2) == 0;
    let total = chain.bytes().get();
    let one = place(random, 0, total, count);
    let places: Vec<Place> = (0..count)
        .map(|index| {
            if alike && random.below(4) > 0 {
                Place { name: index.to_string(), node: usize::from(index > 1), ..one.clone() }
            } else {
                place(random, index, total, count)
            }
        })
        .collect();
    let order = if random.below(2) == 0 { Order::Given } else { Order::Any };
    let links = match random.below(3) {
        0 => Links::Alike(link(random)),
        1 => Links::Nodes { inside: link(random), between: link(random) },
        _ if order == Order::Any => Links::Alike(link(random)),
        _ => Links::Neighbours((1..places.len()).map(|_| link(random)).collect()),
    };
    Problem::new(chain, places, links, order, objective).expect("sound")
}

fn place(random: &mut Random, index: u64, total: u64, count: u64) -> Place {
    let share = total * (random.below(16) + 4) / (8 * count) + random.below(6);
    Place {
        name: index.to_string(),
        capacity: Bytes::new(share + 2),
        reserve: Bytes::new(2),
        bandwidth: rate(random),
        flops: rate(random),
        node: usize::from(index > 1),
    }
}
