//! What shrinks, and what goes for others' sake: the compressed tier, pins, residency, pressure.

use super::*;

const PLACE: PlaceId = PlaceId::FIRST;

fn shrinking(name: &str, size: u64, form: u64) -> Registration {
    let compressed = Compressed { bytes: bytes(form).into(), promote_time: Duration::from_millis(1) };
    Registration { compressed: Some(compressed), ..model(name, size) }
}

#[test]
fn a_victim_with_a_smaller_form_shrinks_and_comes_back_for_less_than_a_load() {
    let mut bench = Bench::new(12, &[shrinking("a", 6, 2), model("b", 6)]);
    let (a, b) = (bench.id("a"), bench.id("b"));
    bench.warm("a");
    // 6 are free; b needs 7 once it is measured.
    bench.tell(Event::Measured { model: b, place: PLACE, bytes: bytes(8).into() });
    let (for_b, actions) = bench.ask("b");
    assert!(actions.contains(&Action::Compress { model: a, place: PLACE }), "{actions:?}");
    assert_eq!((bench.state("a"), bench.used()), ("compressing", 8), "both forms");
    let actions = bench.tell(Event::Compressed { model: a, place: PLACE, bytes: bytes(2).into() });
    assert_eq!((actions, bench.used()), (vec![load(b)], 10));
    bench.loaded("b");
    bench.release(for_b);
    let (for_a, actions) = bench.ask("a");
    assert!(actions.contains(&unload(b)), "6 beside the form and b do not fit");
    assert_eq!(bench.unloaded("b"), [Action::Promote { model: a, place: PLACE }]);
    assert_eq!(bench.used(), 8, "both forms");
    assert_eq!(bench.tell(Event::Promoted { model: a, place: PLACE }), [grant(for_a, a)]);
    assert_eq!((bench.state("a"), bench.used()), ("ready", 6));
    assert_eq!((bench.pool.status_of(a).loads, bench.pool.status_of(a).promotions), (1, 1));
}

/// As [`Bench::warm`], where the load takes so many seconds.
fn warm_slowly(bench: &mut Bench, name: &str, load_s: u64) {
    let (request, _) = bench.ask(name);
    bench.now += load_s * 1_000_000_000;
    bench.loaded(name);
    bench.release(request);
}

#[test]
fn two_shrink_where_one_would_not_free_enough() {
    let shapes = [shrinking("a", 6, 2), shrinking("b", 6, 2), model("c", 11), model("d", 1)];
    let mut bench = Bench::of("value", 19, &shapes);
    let (a, b) = (bench.id("a"), bench.id("b"));
    for name in ["a", "b", "d"] {
        warm_slowly(&mut bench, name, 9);
    }
    let (_, actions) = bench.ask("c");
    let compress = |model| Action::Compress { model, place: PLACE };
    assert!(actions.contains(&compress(a)) && actions.contains(&compress(b)), "{actions:?}");
    assert_eq!(bench.used(), 17, "both with both forms");
    assert!(bench.tell(Event::Tick).is_empty(), "what is on its way counts: nobody else goes");
    bench.tell(Event::Compressed { model: a, place: PLACE, bytes: bytes(2).into() });
    let actions = bench.tell(Event::Compressed { model: b, place: PLACE, bytes: bytes(2).into() });
    assert_eq!((actions, bench.used()), (vec![load(bench.id("c"))], 16));
}

#[test]
fn one_shrinks_and_another_goes_where_that_loses_less() {
    let mut bench = Bench::of("value", 12, &[shrinking("dear", 6, 2), model("cheap", 1), model("new", 10)]);
    let (dear, cheap) = (bench.id("dear"), bench.id("cheap"));
    warm_slowly(&mut bench, "cheap", 1);
    warm_slowly(&mut bench, "dear", 90);
    let (_, actions) = bench.ask("new");
    assert!(actions.contains(&Action::Compress { model: dear, place: PLACE }), "{actions:?}");
    assert!(actions.contains(&unload(cheap)), "{actions:?}");
}

#[test]
fn what_cannot_shrink_after_all_is_unloaded() {
    let mut bench = Bench::new(12, &[shrinking("a", 6, 2), model("b", 8)]);
    let a = bench.id("a");
    bench.warm("a");
    bench.ask("b");
    assert_eq!(bench.tell(Event::CompressFailed { model: a, place: PLACE }), [unload(a)]);
}

#[test]
fn a_pin_at_run_time_holds_and_an_impossible_one_is_an_error() {
    let mut bench = Bench::new(10, &[model("a", 6), model("b", 6)]);
    let (a, b) = (bench.id("a"), bench.id("b"));
    bench.warm("a");
    bench.tell(Event::Pin { model: a });
    let (_, actions) = bench.ask("b");
    assert!(matches!(&actions[..], [Action::Refuse { denial: Denial::Pinned { .. }, .. }]));
    let pin = Event::Pin { model: b };
    assert!(matches!(bench.pool.handle(Time::ZERO, pin), Err(Error::BudgetExceeded(_))));
    assert!(!bench.pool.status_of(b).is_pinned);
    bench.tell(Event::Unpin { model: a });
    let (_, actions) = bench.ask("b");
    assert!(actions.contains(&unload(a)));
}

#[test]
fn a_model_stays_for_as_long_as_it_must() {
    let mut bench = Bench::new(10, &[model("a", 6), model("b", 6)]);
    let options = Options { min_residency: Duration::from_nanos(50), ..*bench.pool.options() };
    bench.pool = std::mem::replace(&mut bench.pool, Pool::new(bench.ledger.root(), by_name("lru").unwrap()))
        .with_options(options);
    bench.warm("a");
    let (_, actions) = bench.ask("b");
    assert_eq!(actions.len(), 1, "it waits");
    bench.now = bench.pool.next_deadline().unwrap().as_nanos() - 1;
    assert_eq!(bench.tell(Event::Tick), [unload(bench.id("a"))]);
}

#[test]
fn pressure_takes_spare_workspaces_then_shrinks_then_unloads_and_no_more_than_asked() {
    let mut roomy = shrinking("a", 6, 1);
    roomy.places[0].workspace = bytes(2).into();
    let mut bench = Bench::of("value", 20, &[roomy, model("b", 5), model("c", 4)]);
    let (a, b) = (bench.id("a"), bench.id("b"));
    for name in ["a", "b"] {
        bench.warm(name);
    }
    let press = |level, shed| Event::Pressure { domain: DomainId::FIRST, level, shed: bytes(shed) };
    assert!(bench.tell(press(Level::Soft, 2)).is_empty());
    assert_eq!(bench.used(), 11, "the spare workspace");
    assert_eq!(bench.tell(press(Level::Soft, 3)), [Action::Compress { model: a, place: PLACE }]);
    bench.tell(Event::Compressed { model: a, place: PLACE, bytes: bytes(1).into() });
    assert_eq!(bench.tell(press(Level::Hard, 5)), [unload(b)]);
    assert!(bench.tell(press(Level::Hard, 5)).is_empty(), "what is on its way out counts");
    let (request, actions) = bench.ask("c");
    let denial = Denial::Pressure { retry_after: Duration::from_secs(1) };
    assert_eq!(actions, [Action::Refuse { request, denial }]);
    bench.tell(press(Level::None, 0));
    let (_, actions) = bench.ask("c");
    assert!(actions.contains(&load(bench.id("c"))));
}
