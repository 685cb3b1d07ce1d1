//! Domains and places that come and go.

use super::places::{anywhere, ask, devices, on};
use super::*;

fn retire(domain: u16) -> Event {
    Event::Retire { domain: DomainId::new(domain) }
}

fn tell(pool: &mut Pool, at: u64, event: Event) -> Vec<Action> {
    pool.handle(Time::from_nanos(at), event).unwrap()
}

fn loaded(model: usize, place: u16) -> Event {
    Event::Loaded { model: ModelId(model), place: PlaceId::new(place) }
}

#[test]
fn a_waiting_request_is_served_on_a_machine_that_joins() {
    let (mut pool, ledgers) = devices(vec![anywhere("a", 9, 1), anywhere("b", 9, 1), anywhere("c", 9, 1)]);
    for model in 0..2 {
        ask(&mut pool, 1 + model as u64, model);
        tell(&mut pool, 2, loaded(model, u16::try_from(model).unwrap()));
    }
    assert!(!ask(&mut pool, 3, 2).iter().any(|action| matches!(action, Action::Load { .. })));
    let third = Ledger::new(Some(bytes(10)));
    let domain = pool.add_domain(third.root()).unwrap();
    let place = pool.add_place(ModelId(2), Place::new(Demand::on(domain, bytes(9)), Demand::ZERO)).unwrap();
    assert_eq!((domain.index(), place.index()), (2, 2));
    assert_eq!(tell(&mut pool, 4, Event::Tick), [Action::Load { model: ModelId(2), place }]);
    let used = ledgers.iter().chain([&third]).map(|ledger| ledger.root().used().get());
    assert_eq!(used.collect::<Vec<_>>(), [9, 9, 9]);
}

#[test]
fn what_is_idle_on_a_retired_domain_goes_at_once_though_it_is_pinned() {
    let pinned = Registration { is_pinned: true, ..anywhere("a", 6, 1) };
    let (mut pool, _ledgers) = devices(vec![pinned]);
    ask(&mut pool, 1, 0);
    tell(&mut pool, 2, loaded(0, 0));
    tell(&mut pool, 3, Event::Released { request: RequestId(1) });
    assert_eq!(tell(&mut pool, 4, retire(0)), [unload(ModelId(0))]);
    let actions = ask(&mut pool, 5, 0);
    assert!(actions.contains(&Action::Load { model: ModelId(0), place: PlaceId::new(1) }), "{actions:?}");
}

#[test]
fn a_lease_on_a_retired_domain_ends_in_its_own_time_and_the_model_comes_up_elsewhere() {
    let (mut pool, ledgers) = devices(vec![Registration { max_concurrency: None, ..anywhere("a", 6, 1) }]);
    ask(&mut pool, 1, 0);
    tell(&mut pool, 2, loaded(0, 0));
    assert_eq!(tell(&mut pool, 3, retire(0)), []);
    assert_eq!(pool.status()[0].state, "draining");
    assert!(pool.status()[0].instances[0].is_retired);
    let there = Action::Load { model: ModelId(0), place: PlaceId::new(1) };
    assert!(ask(&mut pool, 4, 0).contains(&there));
    let granted = Action::Grant { request: RequestId(4), model: ModelId(0), place: PlaceId::new(1) };
    assert_eq!(tell(&mut pool, 5, loaded(0, 1)), [granted]);
    assert_eq!(ledgers.each_ref().map(|ledger| ledger.root().used().get()), [6, 6]);
    assert_eq!(tell(&mut pool, 6, Event::Released { request: RequestId(1) }), [unload(ModelId(0))]);
}

#[test]
fn a_load_on_a_retired_domain_serves_those_it_was_for_and_goes() {
    let (mut pool, _ledgers) = devices(vec![anywhere("a", 6, 1)]);
    ask(&mut pool, 1, 0);
    let actions = tell(&mut pool, 2, retire(0));
    assert_eq!(actions, [Action::Load { model: ModelId(0), place: PlaceId::new(1) }]);
    assert_eq!(tell(&mut pool, 3, loaded(0, 0)), [grant(RequestId(1), ModelId(0))]);
    assert_eq!(tell(&mut pool, 4, Event::Released { request: RequestId(1) }), [unload(ModelId(0))]);
}

#[test]
fn a_model_without_a_place_left_is_refused() {
    let (mut pool, _ledgers) = devices(vec![anywhere("a", 6, 1)]);
    tell(&mut pool, 1, retire(0));
    tell(&mut pool, 2, retire(1));
    let denial = Denial::NoPlace;
    assert_eq!(denial.retry_after(), None);
    assert_eq!(ask(&mut pool, 3, 0), [Action::Refuse { request: RequestId(3), denial }]);
    assert!(matches!(pool.plan(ModelId(0)).step, Step::Refuse(Denial::NoPlace)));
}

#[test]
fn what_cannot_be_added_is_said() {
    let (mut pool, ledgers) = devices(vec![anywhere("a", 6, 1)]);
    assert!(matches!(pool.add_domain(ledgers[1].root()), Err(Error::Argument { .. })));
    tell(&mut pool, 1, retire(1));
    for domain in [1, 2] {
        let place = Place::new(on(domain, 1), Demand::ZERO);
        assert!(matches!(pool.add_place(ModelId(0), place.clone()), Err(Error::Argument { .. })));
        let registration = Registration { places: vec![place], ..model("b", 1) };
        assert!(matches!(pool.register(registration), Err(Error::Argument { .. })));
    }
    assert!(matches!(pool.handle(Time::ZERO, retire(2)), Err(Error::Protocol { .. })));
    for instances in [0, 3] {
        assert!(matches!(pool.set_instances(ModelId(0), instances), Err(Error::Argument { .. })));
    }
    pool.set_instances(ModelId(0), 2).unwrap();
}
