//! Fixed offsets, groups, gaps and hints, against brute force.

use proptest::prelude::{Just, ProptestConfig, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;

use super::*;
use crate::error::Error;

fn quick() -> Limits<'static> {
    Limits { time: Some(std::time::Duration::from_secs(20)), interrupted: None, progress: None }
}

/// A buffer, its alignment, where it is fixed, its group and a gap in its life.
type Piece = (Row, u64, Option<u64>, Option<u32>, Vec<(i64, i64)>);

/// Changes conditions.
type Tell = Box<dyn FnOnce(&mut Conditions)>;

fn piece() -> impl Generator<Value = Piece> {
    let life = (-4_i64..4, 1_i64..7, 0_u64..6);
    let alignment = prop_oneof![4 => Just(1_u64), 1 => Just(2), 1 => Just(3)];
    let fixed = prop_oneof![5 => Just(None), 1 => (0_u64..8).prop_map(Some)];
    let group = prop_oneof![3 => Just(None), 1 => (0_u32..2).prop_map(Some)];
    (life, alignment, fixed, group, 1_i64..4, 1_i64..3, prop::bool::weighted(0.3)).prop_map(
        |((lower, length, size), alignment, fixed, group, after, long, has_gap)| {
            let upper = lower + length;
            let gap = (lower + after, lower + after + long);
            let gaps = if has_gap && gap.1 < upper { vec![gap] } else { Vec::new() };
            ((lower, upper, size), alignment, fixed.map(|offset| offset * alignment), group, gaps)
        },
    )
}

fn with(pieces: &[Piece], capacity: Option<u64>) -> crate::error::Result<Problem> {
    let buffers = pieces.iter().map(|piece| buffer(piece.0, piece.1)).collect();
    Problem::new(buffers, None, capacity.map(Bytes::new))?.with(Conditions {
        fixed: pieces.iter().map(|piece| piece.2.map(Bytes::new)).collect(),
        hints: Vec::new(),
        groups: pieces.iter().map(|piece| piece.3).collect(),
        gaps: pieces.iter().map(|piece| piece.4.clone()).collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_least_height_is_found_and_proven(pieces in prop::collection::vec(piece(), 0..6)) {
        let Ok(problem) = with(&pieces, None) else { return Ok(()) };
        let least = naive::Blocks::of(&problem).least_height();
        for strategy in [Strategy::Auto, Strategy::Exact] {
            let layout = solve(&problem, strategy, 0, &quick());
            validate(&problem, &layout).unwrap();
            prop_assert_eq!((layout.status, layout.height.get()), (Status::Optimal, least));
        }
        for capacity in [least.saturating_sub(1), least] {
            let problem = with(&pieces, Some(capacity)).unwrap();
            let layout = solve(&problem, Strategy::Auto, 0, &quick());
            validate(&problem, &layout).unwrap();
            prop_assert_eq!(layout.status == Status::Infeasible, capacity < least, "{:?}", layout);
        }
        for strategy in Strategy::ALL {
            let layout = solved(&problem, strategy);
            prop_assert!(layout.lower_bound.get() <= least && least <= layout.height.get());
        }
    }

    #[test]
    fn what_is_refused_clashes(pieces in prop::collection::vec(piece(), 0..6)) {
        if let Err(error) = with(&pieces, None) {
            let Error::Problem { field, .. } = error else { panic!("{error}") };
            prop_assert!(field.starts_with("fixed["), "{}", field);
            prop_assert!(pieces.iter().any(|piece| piece.2.is_some()));
        }
    }
}

/// What lies above a fixed buffer may do so only because others took the room below it.
#[test]
fn a_fixed_buffer_does_not_hide_who_is_to_blame() {
    let free = |size, alignment| ((0, 1, size), alignment, None, None, Vec::new());
    let pieces = [free(1, 3), ((0, 1, 2), 1, Some(5), None, Vec::new()), free(3, 1), free(2, 1)];
    let layout = solve(&with(&pieces, None).unwrap(), Strategy::Exact, 0, &quick());
    assert_eq!((layout.status, layout.height.get()), (Status::Optimal, 9));
}

fn conditions(tell: impl FnOnce(&mut Conditions)) -> Result<Layout, String> {
    let rows = [(0, 4, 8), (2, 6, 16), (4, 9, 8)];
    let mut conditions = Conditions::default();
    tell(&mut conditions);
    match problem(&rows, 8, Some(64)).with(conditions) {
        Ok(problem) => Ok(solved(&problem, Strategy::Auto)),
        Err(Error::Problem { field, reason }) => Err(format!("{field}: {reason}")),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn hints_are_kept_within_the_capacity() {
    let hint = |offset| vec![None, Some(Bytes::new(offset)), None];
    assert_eq!(conditions(|c| c.hints = hint(48)).unwrap().offsets[1].get(), 48);
    assert!(conditions(|c| c.hints = hint(56)).unwrap().height.get() <= 64, "too high to be kept");
    assert!(conditions(|c| c.hints = hint(u64::MAX)).is_ok());
}

#[test]
fn what_makes_no_sense_is_named() {
    let fixed = |a: Option<u64>, b: Option<u64>| vec![a.map(Bytes::new), b.map(Bytes::new), None];
    let lies: [(&str, Tell); 8] = [
        ("fixed: 1 entries for 3", Box::new(|c| c.fixed = vec![None])),
        ("fixed[0]: 4 is no multiple", Box::new(move |c| c.fixed = fixed(Some(4), None))),
        ("fixed[1]: it shares bytes with buffer 0", Box::new(move |c| c.fixed = fixed(Some(8), Some(0)))),
        ("fixed[1]: it ends above", Box::new(move |c| c.fixed = fixed(None, Some(u64::MAX - 7)))),
        (
            "fixed[1]: 24 is not 0",
            Box::new(move |c| {
                c.fixed = fixed(Some(0), Some(24));
                c.groups = vec![Some(7), Some(7), None];
            }),
        ),
        ("gaps[0]: the gap [0, 1)", Box::new(|c| c.gaps = vec![vec![(0, 1)], vec![], vec![]])),
        ("gaps[0]: the gap [1, 4)", Box::new(|c| c.gaps = vec![vec![(1, 4)], vec![], vec![]])),
        ("gaps[1]: the gap [4, 5)", Box::new(|c| c.gaps = vec![vec![], vec![(3, 4), (4, 5)], vec![]])),
    ];
    for (told, tell) in lies {
        let found = conditions(tell).unwrap_err();
        assert!(found.contains(told), "{told:?} is not in {found:?}");
    }
}

#[test]
fn a_group_needs_a_common_alignment() {
    let buffers = vec![buffer((0, 1, 8), 1 << 40), buffer((2, 3, 8), (1 << 40) - 1)];
    let groups = vec![Some(0), Some(0)];
    let found =
        Problem::new(buffers, None, None).unwrap().with(Conditions { groups, ..Conditions::default() });
    assert!(matches!(found, Err(Error::Problem { .. })), "{found:?}");
}

#[test]
fn a_fixed_buffer_above_the_capacity_says_so() {
    let fixed = vec![Some(Bytes::new(24)), None];
    let problem = problem(&[(0, 4, 8), (0, 4, 8)], 1, Some(31));
    let layout =
        solved(&problem.with(Conditions { fixed, ..Conditions::default() }).unwrap(), Strategy::Auto);
    assert_eq!(layout.status, Status::Infeasible);
    assert_eq!(layout.reason.unwrap().to_string(), "a fixed buffer ends at 32, the capacity is 31");
}
