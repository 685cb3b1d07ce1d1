//! The validator finds every lie.

use super::*;
use crate::error::Error;

fn told(problem: &Problem, layout: &Layout) -> String {
    match validate(problem, layout) {
        Err(Error::Violation { fact }) => fact,
        other => panic!("{other:?}"),
    }
}

/// A problem with its layout, and a lie told of it.
fn lie(capacity: Option<u64>, tell: impl FnOnce(&mut Layout)) -> String {
    let problem = problem(&[(0, 4, 8), (2, 6, 16), (4, 9, 8), (0, 9, 0)], 8, capacity);
    let mut layout = solved(&problem, Strategy::Auto);
    assert_eq!(layout.height.get(), 24);
    tell(&mut layout);
    told(&problem, &layout)
}

#[test]
fn every_lie_is_found() {
    let lies: [(&str, String); 11] = [
        ("3 offsets are given for 4 buffers", lie(None, |layout| layout.offsets.truncate(3))),
        ("no multiple of its alignment", lie(None, |layout| layout.offsets[0] = Bytes::new(4))),
        (
            "buffers 0 and 1 share bytes at 2",
            lie(None, |layout| {
                layout.offsets[0] = Bytes::new(8);
                layout.offsets[1] = Bytes::new(8);
            }),
        ),
        (
            "share bytes",
            lie(None, |layout| {
                layout.offsets[0] = Bytes::new(16);
                layout.offsets[1] = Bytes::new(8);
            }),
        ),
        ("the highest buffer ends at 24", lie(None, |layout| layout.height = Bytes::new(16))),
        ("only 24 bytes are needed", lie(None, |layout| layout.lower_bound = Bytes::new(25))),
        ("only 8 bytes are needed", lie(None, |layout| layout.proof = Proof::Load { at: 0 })),
        ("feasible with a height of 24", lie(None, |layout| layout.status = Status::Feasible)),
        ("timeout with a height of 24", lie(Some(24), |layout| layout.status = Status::Timeout)),
        ("optimal with a height of 24", lie(Some(23), |layout| layout.status = Status::Optimal)),
        ("the reason for infeasibility is None", lie(Some(23), |layout| layout.reason = None)),
    ];
    for (expected, found) in lies {
        assert!(found.contains(expected), "{expected:?} is not in {found:?}");
    }
}

#[test]
fn a_reason_must_be_true() {
    let wrong = |at, load, capacity| {
        lie(Some(23), |layout| {
            let (load, capacity) = (Bytes::new(load), Bytes::new(capacity));
            layout.reason = Some(Infeasibility::LoadTooHigh { at, load, capacity });
        })
    };
    for text in [wrong(0, 24, 23), wrong(2, 25, 23), wrong(2, 24, 22), wrong(2, 23, 23)] {
        assert!(text.contains("is not true"), "{text}");
    }
}

#[test]
fn an_unknown_height_beyond_64_bits_is_only_a_number() {
    let problem = problem(&[(0, 1, 8)], 1, None);
    let mut layout = solved(&problem, Strategy::Auto);
    layout.offsets[0] = Bytes::new(u64::MAX);
    assert!(told(&problem, &layout).contains("ends at 18446744073709551623"));
}
