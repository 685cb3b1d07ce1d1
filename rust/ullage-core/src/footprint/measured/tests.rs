#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use proptest::prelude::*;

use super::*;

fn interval([a, b, c]: [u64; 3], origin: Origin) -> Interval {
    Interval::new(Bytes::new(a), Bytes::new(b), Bytes::new(c), origin, "estimated")
}

fn exact(bytes: u64) -> Interval {
    Interval::exact(Bytes::new(bytes), Origin::Header, "exact")
}

fn estimated() -> Footprint {
    let activations = interval([10, 20, 50], Origin::Formula);
    let overhead = interval([0, 30, 100], Origin::Assumed);
    finish(exact(1_000), exact(200), exact(0), activations, overhead).unwrap()
}

fn measured(total: [u64; 3], extent: Extent) -> Footprint {
    let [lo, best, hi] = total.map(Bytes::new);
    estimated().measured(lo, best, hi, extent, "measured in 3 runs").unwrap()
}

fn figures(part: &Interval) -> [u64; 3] {
    [part.lo, part.best, part.hi].map(Bytes::get)
}

#[test]
fn the_exact_parts_stay_and_the_overhead_takes_what_is_left() {
    let found = measured([1_240, 1_260, 1_700], Extent::Run);
    assert_eq!((figures(&found.weights), figures(&found.kv_cache)), ([1_000; 3], [200; 3]));
    assert_eq!(found.weights.origin, Origin::Header);
    assert_eq!(figures(&found.activations), [20, 20, 50]);
    assert_eq!(figures(&found.overhead), [20, 40, 450]);
    assert_eq!((found.overhead.origin, figures(&found.total)), (Origin::Measured, [1_240, 1_260, 1_700]));
    assert_eq!((found.total.origin, &*found.total.formula), (Origin::Measured, "measured in 3 runs"));
}

#[test]
fn weights_that_nobody_touched_go_down_and_say_so() {
    let found = measured([700, 900, 1_230], Extent::Run);
    assert_eq!(figures(&found.weights), [500, 700, 1_000]);
    assert!(found.weights.formula.contains("not all of it was touched"), "{}", found.weights.formula);
    assert_eq!((figures(&found.kv_cache), found.kv_cache.origin), ([200; 3], Origin::Header));
    assert_eq!((figures(&found.activations), figures(&found.overhead)), ([0, 0, 20], [0, 0, 10]));
}

#[test]
fn a_load_says_nothing_of_what_comes_after_it() {
    let found = measured([1_005, 1_005, 1_005], Extent::Load);
    let before = estimated();
    assert_eq!((&found.kv_cache, &found.activations), (&before.kv_cache, &before.activations));
    assert_eq!((figures(&found.weights), figures(&found.overhead)), ([1_000; 3], [5; 3]));
    assert_eq!((figures(&found.total), found.total.origin), ([1_215, 1_225, 1_255], Origin::Formula));
    assert_eq!(found.total.formula, "sum of parts, measured in 3 runs");
}

#[test]
fn a_change_saves_what_the_estimates_say() {
    let correction = Correction::new(interval([50, 100, 300], Origin::Assumed), exact(400));
    let halved = correction.apply(&interval([25, 50, 150], Origin::Assumed));
    assert_eq!(figures(&halved), [250, 350, 375]);
    let below = Correction::new(interval([50, 100, 300], Origin::Assumed), exact(40));
    assert_eq!(figures(&below.apply(&exact(30))), [20, 20, 20], "10 were not seen before either");
}

prop_compose! {
    fn any_part()(figures: [u32; 3]) -> Interval {
        interval(figures.map(u64::from), Origin::Formula)
    }
}

prop_compose! {
    fn any_footprint()(
        weights in any_part(), kv in any_part(), state in any_part(), activations in any_part(), overhead in any_part(),
    ) -> Footprint {
        finish(weights, kv, state, activations, overhead).unwrap()
    }
}

proptest! {
    #[test]
    fn whatever_was_measured_the_parts_add_up(
        before in any_footprint(),
        total: [u64; 3],
        scale in 0..40_u32,
        is_load: bool,
    ) {
        let extent = if is_load { Extent::Load } else { Extent::Run };
        let [lo, best, hi] = total.map(|total| Bytes::new(total >> (24 + scale)));
        let found = before.clone().measured(lo, best, hi, extent, "test").unwrap();
        for bound in [|it: &Interval| it.lo.get(), |it: &Interval| it.best.get(), |it: &Interval| it.hi.get()] {
            prop_assert_eq!(found.parts().iter().map(|(_, part)| bound(part)).sum::<u64>(), bound(&found.total));
        }
        for (_, part) in found.parts() {
            prop_assert!(part.lo <= part.best && part.best <= part.hi);
        }
        let again = before.clone().measured(before.total.lo, before.total.best, before.total.hi, Extent::Run, "").unwrap();
        prop_assert_eq!(figures(&again.total), figures(&before.total));
    }

    #[test]
    fn a_correction_never_jumps(before in any_part(), seen in any_part(), cuts: [u16; 3]) {
        let correction = Correction::new(before.clone(), seen.clone());
        prop_assert_eq!(figures(&correction.apply(&before)), figures(&seen));
        let mut cut = figures(&before);
        for (figure, by) in cut.iter_mut().zip(cuts) {
            *figure = u64::try_from(u128::from(*figure) * u128::from(by) / 65_536).unwrap();
        }
        let changed = correction.apply(&interval(cut, Origin::Formula));
        if figures(&interval(cut, Origin::Formula)).iter().zip(figures(&before)).all(|(after, before)| *after <= before) {
            for (after, before) in figures(&changed).iter().zip(figures(&seen)) {
                prop_assert!(*after <= before);
            }
        }
    }
}
