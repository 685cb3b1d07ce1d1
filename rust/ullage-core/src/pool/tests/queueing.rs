//! Who goes first: grouping, priorities, age.

use super::*;

fn patient(limit: u64, options: Options, models: &[Registration]) -> Bench {
    let mut bench = Bench::new(limit, models);
    let (ledger, now) = (Ledger::new(Some(bytes(limit))), bench.now);
    let mut pool = Pool::new(ledger.root(), by_name("lru").unwrap()).with_options(options);
    for model in models {
        pool.register(model.clone()).unwrap();
    }
    bench = Bench { pool, ledger, now, requests: 0 };
    bench
}

fn grants(actions: &[Action]) -> Vec<u64> {
    let granted = actions.iter().filter_map(|action| match action {
        Action::Grant { request, .. } => Some(request.0),
        _ => None,
    });
    granted.collect()
}

#[test]
fn those_who_find_their_model_there_are_served_together_for_a_while() {
    let options = Options { group_wait: Duration::from_nanos(20), ..Options::default() };
    let mut bench = patient(10, options, &[model("a", 6), model("b", 6)]);
    let (first, _) = bench.ask("a");
    bench.loaded("a");
    let (for_b, _) = bench.ask("b");
    let (second, actions) = bench.ask("a");
    assert_eq!(actions, [grant(second, bench.id("a"))], "A B A: b waits for a anyway");
    assert_eq!(bench.pool.next_deadline(), Some(Time::from_nanos(3 + 20)), "but not for ever");
    bench.now = 22;
    assert!(bench.tell(Event::Tick).is_empty());
    let (third, actions) = bench.ask("a");
    assert_eq!(actions, [Action::Queue { request: third, behind: WaitFor::Memory }], "b has its turn");
    assert_eq!(bench.state("a"), "draining");
    assert!(bench.release(first).is_empty());
    assert_eq!(bench.release(second), [unload(bench.id("a"))]);
    assert_eq!(bench.unloaded("a"), [load(bench.id("b"))]);
    assert_eq!(grants(&bench.loaded("b")), [for_b.0]);
}

#[test]
fn a_model_that_nobody_uses_any_more_makes_way_before_the_time_is_over() {
    let options = Options { group_wait: Duration::from_secs(1), ..Options::default() };
    let mut bench = patient(10, options, &[model("a", 6), model("b", 6)]);
    let (first, _) = bench.ask("a");
    bench.loaded("a");
    bench.ask("b");
    assert_eq!(bench.release(first), [unload(bench.id("a"))]);
}

#[test]
fn a_higher_priority_goes_first_until_the_others_have_waited_for_long() {
    let options =
        Options { age_step: Duration::from_nanos(10), group_wait: Duration::ZERO, ..Options::default() };
    let mut bench = patient(10, options, &[Registration { max_concurrency: Some(1), ..model("a", 6) }]);
    let a = bench.id("a");
    let (running, _) = bench.ask("a");
    bench.loaded("a");
    let mut ask = |priority| {
        bench.requests += 1;
        let request = RequestId(bench.requests);
        bench.tell(Event::Request { request, model: a, deadline: None, priority, workspace: None });
        request
    };
    let (usual, urgent) = (ask(0), ask(1));
    for _ in 0..9 {
        ask(-5);
    }
    let late = ask(1);
    assert_eq!(grants(&bench.release(running)), [urgent.0]);
    assert_eq!(grants(&bench.release(urgent)), [usual.0], "ten older counts as much as a step");
    assert_eq!(grants(&bench.release(usual)), [late.0]);
}

#[test]
fn a_workspace_asked_for_is_booked_and_given_back() {
    let mut roomy = model("a", 4);
    roomy.places[0].workspace = bytes(1).into();
    let mut bench = Bench::new(10, &[roomy]);
    let a = bench.id("a");
    let ask = |bench: &mut Bench, number, workspace| {
        let (request, workspace) = (RequestId(number), Some(bytes(workspace)));
        bench.tell(Event::Request { request, model: a, deadline: None, priority: 0, workspace })
    };
    ask(&mut bench, 1, 5);
    assert_eq!(bench.used(), 9, "the load is booked with what was asked for");
    assert_eq!(grants(&bench.loaded("a")), [1]);
    assert_eq!(ask(&mut bench, 2, 2), [Action::Queue { request: RequestId(2), behind: WaitFor::Memory }]);
    assert_eq!(grants(&bench.release(RequestId(1))), [2]);
    assert_eq!(bench.used(), 6);
    bench.release(RequestId(2));
    assert_eq!(bench.used(), 5, "the usual one is kept");
    let actions = ask(&mut bench, 3, 7);
    let Action::Refuse { denial, .. } = &actions[0] else { panic!("{actions:?}") };
    assert_eq!(denial.nearest(), Some(nearest(1, Some(6))), "what would fit");
    let plan = bench.pool.plan_with(a, Some(bytes(6)));
    assert_eq!((plan.step, plan.needed), (Step::Grant, bytes(10)));
}
