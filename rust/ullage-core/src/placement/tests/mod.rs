//! The solvers against the definitions: brute force written for the tests, and the validator in every test.

#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

mod brute;
mod outcomes;
mod properties;
mod violations;

use proptest::prelude::{Just, any, prop_oneof};
use proptest::strategy::Strategy as Generator;

use super::*;

/// A resource that is called by its number.
fn resources(count: usize) -> Vec<Resource> {
    (0..count).map(|index| Resource { name: format!("r{index}"), is_bytes: index == 0 }).collect()
}

fn item(name: &str, demand: &[u64]) -> Item {
    Item { name: name.to_owned(), demand: demand.to_vec(), value: 1, replicas: 1 }
}

fn kind(name: &str, capacity: &[u64], count: Option<u64>) -> Kind {
    Kind {
        name: name.to_owned(),
        capacity: capacity.iter().copied().map(Some).collect(),
        reserve: vec![0; capacity.len()],
        cost: 1,
        count,
    }
}

/// Solves, and validates.
fn solved(problem: &Problem, strategy: Strategy) -> Placement {
    let placement = solve(problem, strategy, 7, &Limits::default());
    validate(problem, &placement)
        .unwrap_or_else(|error| panic!("{strategy}: {error}\n{problem:?}\n{placement:?}"));
    placement
}

/// Small problems with everything in them: at most `items` items on at most four devices.
fn small(items: usize) -> impl Generator<Value = Problem> {
    let width = 1..=2_usize;
    (width, 1..=items, 1..=3_usize, any::<bool>()).prop_flat_map(|(width, items, kinds, all)| {
        let amounts = |most: u64| proptest::collection::vec(0..=most, width);
        let item = (amounts(9), 1..=5_u64, prop_oneof![4 => Just(1_u32), 1 => Just(2_u32)]);
        let capacity =
            proptest::collection::vec(prop_oneof![9 => (1..=14_u64).prop_map(Some), 1 => Just(None)], width);
        let kind = (capacity, amounts(2), 0..=4_u64, prop_oneof![3 => Just(1_u64), 1 => Just(2_u64)]);
        let spot = (0..kinds, proptest::option::weighted(0.3, 0..2_u64));
        let rule = (
            0..3_u8,
            proptest::sample::subsequence((0..items).collect::<Vec<_>>(), 1..=items.min(3)),
            proptest::collection::vec(spot, 1..=2),
        );
        let list = (
            proptest::collection::vec(item, items),
            proptest::collection::vec(kind, kinds),
            proptest::collection::vec(rule, 0..=3),
        );
        list.prop_map(move |(items, kinds, rules)| assembled(width, items, kinds, rules, all))
    })
}

type ItemDraw = (Vec<u64>, u64, u32);
type KindDraw = (Vec<Option<u64>>, Vec<u64>, u64, u64);
type RuleDraw = (u8, Vec<usize>, Vec<(usize, Option<u64>)>);

fn assembled(
    width: usize,
    items: Vec<ItemDraw>,
    kinds: Vec<KindDraw>,
    rules: Vec<RuleDraw>,
    all: bool,
) -> Problem {
    let mut items: Vec<Item> = items
        .into_iter()
        .enumerate()
        .map(|(index, (demand, value, replicas))| Item { name: format!("i{index}"), demand, value, replicas })
        .collect();
    let kinds: Vec<Kind> = kinds
        .into_iter()
        .enumerate()
        .map(|(index, (capacity, reserve, cost, count))| {
            let reserve = reserve.iter().zip(&capacity).map(|(r, c)| c.map_or(*r, |c| c.min(*r))).collect();
            Kind { name: format!("k{index}"), capacity, reserve, cost, count: Some(count) }
        })
        .collect();
    let mut made = Vec::new();
    for (sort, members, spots) in rules {
        made.push(match sort {
            0 => {
                let spots = spots.into_iter().map(|(kind, copy)| {
                    let count = kinds[kind].count.unwrap_or(1);
                    Spot { kind, copy: copy.map(|copy| copy % count) }
                });
                Rule::Only { item: members[0], spots: spots.collect() }
            }
            1 => {
                let replicas = items[members[0]].replicas;
                for &member in &members {
                    items[member].replicas = replicas;
                }
                Rule::Together(members)
            }
            _ => Rule::Apart(members),
        });
    }
    let leaders: Vec<Vec<usize>> = made
        .iter()
        .filter_map(|rule| if let Rule::Together(members) = rule { Some(members.clone()) } else { None })
        .collect();
    // Overlapping groups must agree on their replicas.
    for _ in 0..leaders.len() {
        for members in &leaders {
            let least = members.iter().map(|&member| items[member].replicas).min().unwrap_or(1);
            for &member in members {
                items[member].replicas = least;
            }
        }
    }
    let keep = if all { Keep::All } else { Keep::BestValue };
    Problem::new(resources(width), items, kinds, made, keep).unwrap()
}
