//! What the outcome is called, on problems worked out by hand.

use super::*;
use crate::error::Error;

/// Buffers that no simple heuristic lays out perfectly.
fn crowded() -> Vec<Row> {
    let mut state = 7_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut row = |_| {
        let (lower, length) = (i64::try_from(next(50)).unwrap(), i64::try_from(next(30)).unwrap());
        (lower, lower + 1 + length, 1 + next(100))
    };
    (0..60).map(&mut row).collect()
}

#[test]
fn nothing_takes_nothing() {
    for rows in [&[][..], &[(0, 5, 0), (0, 5, 0)]] {
        for strategy in Strategy::ALL {
            let layout = solved(&problem(rows, 64, None), strategy);
            assert_eq!((layout.status, layout.height, layout.steps), (Status::Optimal, Bytes::ZERO, 0));
        }
    }
}

#[test]
fn lives_that_touch_share_bytes() {
    let layout = solved(&problem(&[(0, 5, 8), (5, 9, 8), (-3, 0, 8)], 1, None), Strategy::Auto);
    assert_eq!((layout.status, layout.height.get()), (Status::Optimal, 8));
    assert_eq!(layout.offsets, [Bytes::ZERO; 3]);
}

#[test]
fn a_capacity_below_the_load_is_hopeless_with_its_reason() {
    let layout = solved(&problem(&[(0, 5, 8), (4, 9, 8), (6, 9, 1)], 1, Some(15)), Strategy::Auto);
    assert_eq!((layout.status, layout.height.get()), (Status::Infeasible, 16));
    let (load, capacity) = (Bytes::new(16), Bytes::new(15));
    assert_eq!(layout.reason, Some(Infeasibility::LoadTooHigh { at: 4, load, capacity }));
    assert_eq!(layout.reason.unwrap().to_string(), "what is alive at 4 takes 16 bytes, the capacity is 15");
}

#[test]
fn work_ends_within_the_capacity() {
    let rows = crowded();
    let greedy = solved(&problem(&rows, 1, None), Strategy::BestFit);
    assert_eq!(greedy.status, Status::Feasible);
    let layout = solved(&problem(&rows, 1, Some(greedy.height.get())), Strategy::Auto);
    assert_eq!((layout.steps, layout.status), (0, Status::Feasible));
    assert!(layout.height <= greedy.height);
    let limits = Limits { time: Some(std::time::Duration::from_secs(2)), interrupted: None, progress: None };
    let whole = problem(&rows, 1, None);
    let searched = solve(&whole, Strategy::Auto, 0, &limits);
    validate(&whole, &searched).unwrap();
    assert!(searched.height < layout.height);
}

#[test]
fn no_time_leaves_a_layout_often_above_the_capacity() {
    let rows = crowded();
    let problem = problem(&rows, 1, Some(naive::highest_load(&rows)));
    let mut above = 0;
    for limits in [
        Limits { time: Some(std::time::Duration::ZERO), interrupted: None, progress: None },
        Limits { time: None, interrupted: Some(&|| true), progress: None },
    ] {
        for strategy in Strategy::ALL {
            let layout = solve(&problem, strategy, 0, &limits);
            validate(&problem, &layout).unwrap();
            let is_above = Some(layout.height) > problem.capacity();
            assert_eq!((layout.status == Status::Timeout, layout.steps), (is_above, 0));
            above += usize::from(is_above);
        }
    }
    assert!(above > 0);
}

#[test]
fn alignments_raise_the_bound_but_for_the_topmost() {
    let layout = solved(&problem(&[(0, 5, 3), (0, 5, 5), (0, 5, 8)], 8, None), Strategy::Auto);
    assert_eq!((layout.status, layout.height.get(), layout.lower_bound.get()), (Status::Optimal, 19, 19));
    let mixed = [buffer((0, 5, 3), 4), buffer((0, 5, 3), 6)];
    let mixed = Problem::new(mixed.to_vec(), None, None).unwrap();
    let layout = solved(&mixed, Strategy::Auto);
    assert_eq!((layout.status, layout.height.get(), layout.lower_bound.get()), (Status::Optimal, 7, 7));
}

#[test]
fn problems_name_what_is_wrong() {
    let field = |buffers: &[Buffer], ids: Option<Vec<String>>| match Problem::new(buffers.to_vec(), ids, None)
    {
        Err(Error::Problem { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let fine = buffer((0, 1, 1), 1);
    assert_eq!(field(&[fine, buffer((3, 3, 1), 1)], None), "buffers[1]");
    assert_eq!(field(&[buffer((3, 2, 1), 1)], None), "buffers[0]");
    assert_eq!(field(&[buffer((0, 2, 1), 0)], None), "buffers[0]");
    assert_eq!(field(&[fine, buffer((0, 2, u64::MAX >> 1), 1)], None), "buffers[1]");
    assert_eq!(field(&[buffer((0, 2, 1), u64::MAX)], None), "buffers[0]");
    assert_eq!(field(&[fine, fine], Some(vec!["a".to_owned(), "a".to_owned()])), "ids[1]");
    assert_eq!(field(&[fine], Some(Vec::new())), "ids");
    let largest = [fine, buffer((i64::MIN, i64::MAX, (u64::MAX >> 1) - 1), 1)];
    let layout = solved(&Problem::new(largest.to_vec(), None, None).unwrap(), Strategy::Auto);
    assert_eq!((layout.status, layout.height.get()), (Status::Optimal, u64::MAX >> 1));
}

#[test]
fn strategies_are_known_by_name() {
    for strategy in Strategy::ALL {
        assert_eq!(strategy.to_string().parse::<Strategy>().unwrap(), strategy);
    }
    assert!(matches!("fastest".parse::<Strategy>(), Err(Error::Argument { name: "strategy", .. })));
}

#[test]
fn many_buffers_are_laid_out_in_time() {
    let rows: Vec<Row> =
        (0..200_000).map(|i: i64| (i, i + 1 + i * 31 % 50, 64 + i.unsigned_abs() * 97 % 4096)).collect();
    let limits =
        Limits { time: Some(std::time::Duration::from_millis(300)), interrupted: None, progress: None };
    let problem = problem(&rows, 1, None);
    let started = std::time::Instant::now();
    let layout = solve(&problem, Strategy::Auto, 0, &limits);
    validate(&problem, &layout).unwrap();
    assert!(started.elapsed() < std::time::Duration::from_mins(1), "{:?}", started.elapsed());
    assert!(layout.height.get() < layout.lower_bound.get() * 2);
}
