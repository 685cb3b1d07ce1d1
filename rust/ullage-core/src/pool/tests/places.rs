//! Models with several places: domains, shards, replicas.

use super::*;

pub(super) fn on(domain: u16, size: u64) -> Demand {
    Demand::on(DomainId::new(domain), bytes(size))
}

/// Two devices of 10.
pub(super) fn devices(registrations: Vec<Registration>) -> (Pool, [Ledger; 2]) {
    let ledgers = [10, 10].map(|limit| Ledger::new(Some(bytes(limit))));
    let accounts = ledgers.iter().map(Ledger::root).collect();
    let mut pool = Pool::of_domains(accounts, by_name("lru").unwrap()).unwrap();
    for registration in registrations {
        pool.register(registration).unwrap();
    }
    (pool, ledgers)
}

pub(super) fn ask(pool: &mut Pool, number: u64, model: usize) -> Vec<Action> {
    let (request, model) = (RequestId(number), ModelId(model));
    let event = Event::Request { request, model, deadline: None, priority: 0, workspace: None };
    pool.handle(Time::from_nanos(number), event).unwrap()
}

pub(super) fn anywhere(name: &str, size: u64, instances: usize) -> Registration {
    let places = vec![Place::new(on(0, size), Demand::ZERO), Place::new(on(1, size), Demand::ZERO)];
    Registration { places, instances, max_concurrency: Some(1), ..model(name, size) }
}

#[test]
fn a_model_goes_where_there_is_room() {
    let (mut pool, ledgers) = devices(vec![anywhere("a", 6, 1), anywhere("b", 6, 1), anywhere("c", 11, 1)]);
    let place = PlaceId::new;
    assert!(ask(&mut pool, 1, 0).contains(&Action::Load { model: ModelId(0), place: place(0) }));
    assert!(ask(&mut pool, 2, 1).contains(&Action::Load { model: ModelId(1), place: place(1) }));
    assert_eq!(ledgers.each_ref().map(|ledger| ledger.root().used().get()), [6, 6]);
    let actions = ask(&mut pool, 3, 2);
    let Action::Refuse { denial: Denial::TooLarge { requested, nearest, .. }, .. } = &actions[0] else {
        panic!("{actions:?}")
    };
    assert_eq!((requested.get(), nearest.short_by.get()), (11, 1));
}

#[test]
fn a_shard_is_booked_on_every_device_or_on_none() {
    let both = Demand::of([(DomainId::new(0), bytes(6)), (DomainId::new(1), bytes(8))]);
    let sharded = Registration { places: vec![Place::new(both, Demand::ZERO)], ..model("sharded", 14) };
    let (mut pool, ledgers) = devices(vec![
        sharded,
        Registration { places: vec![Place::new(on(1, 5), Demand::ZERO)], ..model("b", 5) },
    ]);
    ask(&mut pool, 1, 1);
    pool.handle(Time::from_nanos(2), Event::Loaded { model: ModelId(1), place: PlaceId::FIRST }).unwrap();
    let actions = ask(&mut pool, 3, 0);
    assert_eq!(actions.len(), 1, "b is in use");
    assert_eq!(ledgers.each_ref().map(|ledger| ledger.root().used().get()), [0, 5]);
    let actions = pool.handle(Time::from_nanos(4), Event::Released { request: RequestId(1) }).unwrap();
    assert_eq!(actions, [Action::Unload { model: ModelId(1), place: PlaceId::FIRST }]);
    let gone = Event::Unloaded { model: ModelId(1), place: PlaceId::FIRST, left: Demand::ZERO };
    let actions = pool.handle(Time::from_nanos(5), gone).unwrap();
    assert_eq!(actions, [Action::Load { model: ModelId(0), place: PlaceId::FIRST }]);
    assert_eq!(ledgers.each_ref().map(|ledger| ledger.root().used().get()), [6, 8]);
}

#[test]
fn a_victim_on_two_devices_counts_on_both() {
    let at = |name: &str, demand: Demand| Registration {
        places: vec![Place::new(demand, Demand::ZERO)],
        load_time: Some(Duration::from_secs(5)),
        ..model(name, 5)
    };
    let both = |size| Demand::of([(DomainId::new(0), bytes(size)), (DomainId::new(1), bytes(size))]);
    let ledgers = [10, 10].map(|limit| Ledger::new(Some(bytes(limit))));
    let accounts = ledgers.iter().map(Ledger::root).collect();
    let mut pool = Pool::of_domains(accounts, by_name("value").unwrap()).unwrap();
    for registration in [at("x", on(0, 5)), at("y", on(1, 5)), at("z", both(5)), at("new", both(5))] {
        pool.register(registration).unwrap();
    }
    for (number, index) in [(1, 2), (2, 0), (3, 1)] {
        ask(&mut pool, number, index);
        let (now, model) = (Time::from_nanos(number), ModelId(index));
        pool.handle(now, Event::Loaded { model, place: PlaceId::FIRST }).unwrap();
        pool.handle(now, Event::Released { request: RequestId(number) }).unwrap();
    }
    assert_eq!(ledgers.each_ref().map(|ledger| ledger.root().used().get()), [10, 10]);
    let actions = ask(&mut pool, 4, 3);
    let unloads: Vec<&Action> =
        actions.iter().filter(|action| matches!(action, Action::Unload { .. })).collect();
    assert_eq!(unloads, [&unload(ModelId(2))], "one on both rather than one on each");
}

#[test]
fn a_busy_model_is_loaded_once_more_where_memory_is_free_and_hits_go_to_the_idler_one() {
    let (mut pool, _ledgers) = devices(vec![anywhere("a", 6, 2)]);
    let (model, place) = (ModelId(0), PlaceId::new);
    ask(&mut pool, 1, 0);
    pool.handle(Time::from_nanos(1), Event::Loaded { model, place: place(0) }).unwrap();
    let actions = ask(&mut pool, 2, 0);
    assert!(actions.contains(&Action::Load { model, place: place(1) }), "{actions:?}");
    assert_eq!(ask(&mut pool, 3, 0).len(), 1, "one at a time");
    let actions = pool.handle(Time::from_nanos(3), Event::Loaded { model, place: place(1) }).unwrap();
    assert_eq!(actions, [Action::Grant { request: RequestId(2), model, place: place(1) }]);
    let actions = pool.handle(Time::from_nanos(4), Event::Released { request: RequestId(1) }).unwrap();
    assert_eq!(actions, [Action::Grant { request: RequestId(3), model, place: place(0) }]);
}

#[test]
fn what_cannot_be_registered_is_said() {
    let (mut pool, ledgers) = devices(Vec::new());
    let nowhere = Registration { places: vec![Place::new(on(2, 1), Demand::ZERO)], ..model("a", 1) };
    let wrong = [
        nowhere,
        Registration { places: Vec::new(), ..model("a", 1) },
        Registration { instances: 2, ..model("a", 1) },
        Registration { instances: 0, ..model("a", 1) },
    ];
    for registration in wrong {
        assert!(matches!(pool.register(registration), Err(Error::Argument { .. })));
    }
    let twice = vec![ledgers[0].root(), ledgers[0].root()];
    assert!(matches!(Pool::of_domains(twice, by_name("lru").unwrap()), Err(Error::Argument { .. })));
    assert!(matches!(Pool::of_domains(Vec::new(), by_name("lru").unwrap()), Err(Error::Argument { .. })));
    let event = Event::Pressure { domain: DomainId::new(2), level: Level::Hard, shed: bytes(1) };
    assert!(matches!(pool.handle(Time::ZERO, event), Err(Error::Protocol { .. })));
}
