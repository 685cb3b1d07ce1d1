//! The exact search: what was cut out of a block is put together again, and what does not fit is known not to.

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::solving::Random;

fn limits(seconds: u64) -> Limits<'static> {
    Limits { time: Some(std::time::Duration::from_secs(seconds)), interrupted: None, progress: None }
}

/// A block of memory and time, cut at random into `count` pieces, of which `kept` in a hundred are left.
fn cut(seed: u64, count: usize, kept: usize, capacity: u64) -> Vec<Row> {
    let mut random = Random(seed);
    let mut pieces = vec![(0_u64, 1000_u64, 0_u64, capacity)];
    let mut tries = 0;
    while pieces.len() < count && tries < 50 * count {
        tries += 1;
        let at = random.position(pieces.len());
        let (lower, upper, low, high) = pieces[at];
        if random.below(2) == 0 && upper - lower > 1 {
            let middle = lower + 1 + random.below(upper - lower - 1);
            pieces[at] = (lower, middle, low, high);
            pieces.push((middle, upper, low, high));
        } else if high - low > 1 {
            let middle = low + 1 + random.below(high - low - 1);
            pieces[at] = (lower, upper, low, middle);
            pieces.push((lower, upper, middle, high));
        }
    }
    for at in (1..pieces.len()).rev() {
        pieces.swap(at, random.position(at + 1));
    }
    pieces.truncate(pieces.len() * kept / 100);
    let row = |(lower, upper, low, high): (u64, u64, u64, u64)| {
        (i64::try_from(lower).unwrap(), i64::try_from(upper).unwrap(), high - low)
    };
    pieces.into_iter().map(row).collect()
}

#[test]
fn cut_blocks_are_put_together_again() {
    for (seed, count, kept) in [(1, 40, 100), (2, 80, 100), (3, 120, 100), (4, 100, 80), (5, 60, 90)] {
        let problem = problem(&cut(seed, count, kept, 1 << 20), 1, Some(1 << 20));
        let layout = solve(&problem, Strategy::Exact, 0, &limits(60));
        validate(&problem, &layout).unwrap();
        assert!(layout.height.get() <= 1 << 20, "{seed}: {layout:?}");
    }
}

#[test]
fn parts_without_a_common_instant_are_settled_one_by_one() {
    let mut rows = cut(1, 40, 100, 1 << 10);
    rows.extend(
        cut(2, 40, 100, 1 << 10).into_iter().map(|(lower, upper, size)| (lower + 1000, upper + 1000, size)),
    );
    let layout = solve(&problem(&rows, 1, Some(1 << 10)), Strategy::Exact, 0, &limits(60));
    assert_eq!((layout.status, layout.height.get()), (Status::Optimal, 1 << 10));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn proofs_agree_with_brute_force(
        rows in prop::collection::vec((-4_i64..4, 1_i64..6, 1_u64..5), 1..7),
        seed in any::<u64>(),
    ) {
        let rows: Vec<Row> = rows.into_iter().map(|(lower, length, size)| (lower, lower + length, size)).collect();
        let least = naive::least_height(&rows, &vec![1; rows.len()]);
        let load = naive::highest_load(&rows);
        for capacity in load..=least {
            let problem = problem(&rows, 1, Some(capacity));
            let layout = solve(&problem, Strategy::Exact, seed, &limits(60));
            validate(&problem, &layout).unwrap();
            prop_assert_eq!(layout.status == Status::Infeasible, capacity < least);
            if capacity < least {
                prop_assert_eq!(layout.reason, Some(Infeasibility::Exhausted { capacity: Bytes::new(capacity) }));
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_layout(seed in any::<u64>(), cut_seed in any::<u64>()) {
        let problem = problem(&cut(cut_seed, 25, 90, 64), 1, None);
        let solve = || solve(&problem, Strategy::Exact, seed, &limits(60));
        let layout = solve();
        validate(&problem, &layout).unwrap();
        prop_assert!(layout.height.get() <= 64 || layout.status != Status::Optimal);
        prop_assert_eq!(layout, solve());
    }
}
