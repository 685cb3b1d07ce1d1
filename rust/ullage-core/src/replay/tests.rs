#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "test arithmetic on small numbers"
)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::ledger::Ledger;
use crate::pool::policy::NAMES;
use crate::pool::{Action, Demand, Event, ModelId, Place, Pool, Registration, RequestId};
use crate::units::{Bytes, Time};

/// A trace of whole seconds, from sizes and (seconds passed, model) pairs.
fn trace(sizes: &[u64], requests: &[(u64, usize)]) -> Trace {
    let model = |(number, &bytes): (usize, &u64)| TracedModel {
        name: format!("m{}", (number * 7) % 10),
        bytes: Bytes::new(bytes),
        load_s: 1.0 + bytes as f64 / 4.0,
        is_pinned: false,
    };
    let mut now = 0;
    let request = |&(passed, model): &(u64, usize)| {
        now += passed;
        let at = Time::from_nanos(now * 1_000_000_000);
        Request { at, model: model % sizes.len(), duration: Duration::from_secs(1) }
    };
    let requests = requests.iter().map(request).collect();
    Trace::new(sizes.iter().enumerate().map(model).collect(), requests).unwrap()
}

/// The same requests through the pool, each over before the next, with loads that take no time.
fn through_the_pool(trace: &Trace, capacity: u64, name: &str) -> Log {
    let ledger = Ledger::new(Some(Bytes::new(capacity)));
    let mut pool = Pool::new(ledger.root(), policy(name, trace).unwrap());
    for model in trace.models() {
        pool.register(Registration {
            is_pinned: model.is_pinned,
            load_time: Some(Duration::from_secs_f64(model.load_s)),
            ..Registration::new(model.name.as_str(), Place::new(model.bytes, Bytes::ZERO))
        })
        .unwrap();
    }
    let mut log = Log::default();
    for (number, request) in trace.requests().iter().enumerate() {
        let id = RequestId(number as u64);
        let model = ModelId(request.model);
        let asked = Event::Request { request: id, model, deadline: None, priority: 0, workspace: None };
        let mut events = vec![asked];
        while let Some(event) = events.pop() {
            for action in pool.handle(request.at, event).unwrap() {
                let what = match action {
                    Action::Load { model, place } => {
                        events.insert(0, Event::Loaded { model, place });
                        Move::Load(model.index())
                    }
                    Action::Unload { model, place } => {
                        events.push(Event::Unloaded { model, place, left: Demand::ZERO });
                        Move::Evict(model.index())
                    }
                    Action::Grant { request, .. } => {
                        events.insert(0, Event::Released { request });
                        Move::Grant(number)
                    }
                    Action::Refuse { .. } => Move::Refuse(number),
                    _ => continue,
                };
                log.0.push((request.at, what));
            }
        }
        assert!(ledger.root().used().get() <= capacity);
    }
    log
}

/// Of one instant in no matter which order: the pool tells of evictions by number, the fast path by place.
fn sorted(log: &Log) -> Vec<(Time, String)> {
    let mut rows: Vec<_> = log.0.iter().map(|(at, what)| (*at, format!("{what:?}"))).collect();
    rows.sort();
    rows
}

fn requests() -> impl Strategy<Value = Vec<(u64, usize)>> {
    prop::collection::vec((prop_oneof![4 => 1..20_u64, 1 => 200..400_u64], 0..8_usize), 1..250)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// What the fast path decides, the pool of production decides.
    #[test]
    fn serial_replay_is_the_pool(sizes in prop::collection::vec(1..40_u64, 1..9), requests in requests(),
            capacity in 20..90_u64, which in 0..NAMES.len() + 1) {
        let name = NAMES.get(which).copied().unwrap_or("clairvoyant");
        let trace = trace(&sizes, &requests);
        let mut log = Log::default();
        let outcome = serial(&trace, Bytes::new(capacity), policy(name, &trace).unwrap(), Some(&mut log));
        prop_assert_eq!(sorted(&log), sorted(&through_the_pool(&trace, capacity, name)), "{}", name);
        prop_assert_eq!(outcome.overcommits, 0);
        prop_assert!(outcome.peak.get() <= capacity);
        let mut again = Log::default();
        let _ = serial(&trace, Bytes::new(capacity), policy(name, &trace).unwrap(), Some(&mut again));
        prop_assert_eq!(log, again, "a replay replays");
    }

    /// No policy is below the bound, not even the best there is.
    #[test]
    fn the_bound_is_below_the_optimum(sizes in prop::collection::vec(1..12_u64, 2..6),
            requests in prop::collection::vec((1..9_u64, 0..6_usize), 1..14), capacity in 6..30_u64) {
        let trace = trace(&sizes, &requests);
        let greedy = serial(&trace, Bytes::new(capacity), policy("clairvoyant", &trace).unwrap(), None);
        let bound = lower_bound(&trace, Bytes::new(capacity), &greedy);
        let optimum = optimum(&trace, capacity);
        prop_assert!(bound <= optimum + 1e-6, "bound {bound}, optimum {optimum}");
        prop_assert!(optimum <= greedy.load_s + 1e-6);
    }

    /// Everybody is served or refused, nothing is overcommitted, and the same conditions give the same log.
    #[test]
    fn live_replay_keeps_its_promises(sizes in prop::collection::vec(1..40_u64, 1..9), requests in requests(),
            capacity in 20..90_u64, which in 0..NAMES.len() + 1, lag in 0..20_u64, error in 0.0..0.6_f64,
            patience in prop::option::of(0..60_u64), is_bandwidth_shared in any::<bool>(), workspace in 0..4_u64) {
        let name = NAMES.get(which).copied().unwrap_or("clairvoyant");
        let trace = trace(&sizes, &requests);
        let conditions = Conditions {
            is_bandwidth_shared,
            unload_lag: Duration::from_secs(lag),
            estimate_error: error,
            patience: patience.map(Duration::from_secs),
            max_concurrency: None,
            workspace: Bytes::new(workspace),
        };
        let run = || {
            let mut log = Log::default();
            let policy = policy(name, &trace).unwrap();
            (live(&trace, Bytes::new(capacity), policy, &conditions, Some(&mut log)).unwrap(), log)
        };
        let (outcome, log) = run();
        let granted = log.0.iter().filter(|(_, what)| matches!(what, Move::Grant(_))).count();
        prop_assert_eq!(granted as u64 + outcome.refused, outcome.requests);
        prop_assert_eq!(outcome.overcommits, 0);
        prop_assert!(outcome.peak.get() <= capacity);
        prop_assert_eq!((outcome, log), run());
    }
}

/// The least seconds of loading, by trying every set of residents after every request.
fn optimum(trace: &Trace, capacity: u64) -> f64 {
    let models = trace.models();
    let bytes = |set: usize| -> u64 {
        (0..models.len()).filter(|model| set >> model & 1 == 1).map(|model| models[model].bytes.get()).sum()
    };
    let mut costs = vec![f64::INFINITY; 1 << models.len()];
    costs[0] = 0.0;
    for request in trace.requests() {
        let (bit, load_s) = (1 << request.model, models[request.model].load_s);
        if models[request.model].bytes.get() > capacity {
            continue;
        }
        let mut next = vec![f64::INFINITY; costs.len()];
        for (set, cost) in costs.iter().enumerate().filter(|(_, cost)| cost.is_finite()) {
            let cost = if set & bit == 0 { cost + load_s } else { *cost };
            let full = set | bit;
            for kept in (0..costs.len()).filter(|kept| kept & !full == 0 && kept & bit != 0) {
                if bytes(kept) <= capacity {
                    next[kept] = f64::min(next[kept], cost);
                }
            }
        }
        costs = next;
    }
    costs.into_iter().fold(f64::INFINITY, f64::min)
}

#[test]
fn a_cycle_one_model_too_large_is_mostly_warm() {
    let requests: Vec<(u64, usize)> = (0..2_000).map(|number| (60, number % 5)).collect();
    let trace = trace(&[8; 5], &requests);
    let cold = |name: &str| serial(&trace, Bytes::new(32), policy(name, &trace).unwrap(), None).cold_starts;
    assert_eq!(cold("lru"), 2_000, "whoever evicts by age evicts what comes next");
    assert!(cold("value") <= 600, "{} of 2000", cold("value"));
}

/// When which model goes.
fn evicted(trace: &Trace, capacity: u64, name: &str) -> Vec<(u64, usize)> {
    let mut log = Log::default();
    let _ = serial(trace, Bytes::new(capacity), policy(name, trace).unwrap(), Some(&mut log));
    let eviction = |(at, what): &(Time, Move)| match what {
        Move::Evict(model) => Some((at.as_nanos() / 1_000_000_000, *model)),
        _ => None,
    };
    log.0.iter().filter_map(eviction).collect()
}

/// Two of three models fit. At 45 s the first, asked for every 20 s and last 5 s ago, is worth 1/15, and the second, used
/// later but with 87 s still to go, 1/87. At 132 s neither has a gap left, so the least recently used goes.
#[test]
fn who_knows_the_gaps_keeps_what_comes_sooner() {
    let requests = [(0, 0), (20, 0), (20, 0), (2, 1), (3, 2), (15, 0), (5, 2), (67, 1)];
    let trace = trace(&[4, 4, 4], &requests);
    assert_eq!(evicted(&trace, 8, "informed"), [(45, 1), (132, 0)]);
    assert_eq!(evicted(&trace, 8, "lru"), [(45, 0), (60, 1), (132, 0)]);
    let outcome = serial(&trace, Bytes::new(8), policy("informed", &trace).unwrap(), None);
    assert_eq!((outcome.cold_starts, outcome.load_s.to_bits()), (4, 8.0_f64.to_bits()));
}

/// The second model has one gap of 10 s and one of 100 s. At 45 s, used 3 s ago, it may come in 7 s: worth 1/14, so the
/// first goes, with 1/15. Who knows that the long gap is next sends the second away.
#[test]
fn who_knows_the_gaps_does_not_know_their_order() {
    let requests = [(0, 0), (20, 0), (12, 1), (8, 0), (2, 1), (3, 2), (15, 0), (82, 1)];
    let trace = trace(&[4, 4, 4], &requests);
    assert_eq!(evicted(&trace, 8, "informed"), [(45, 0), (60, 2)]);
    assert_eq!(evicted(&trace, 8, "clairvoyant")[0], (45, 1));
}

/// The default rule on traces of every family, beside each simple one: whatever requests do, it is not much worse than
/// the best of them, though it cannot know which that is. To find out may cost it about one filling of the memory.
#[test]
fn value_is_never_much_worse_than_the_best_simple_rule() {
    let mut sum = (0.0, 0.0);
    for family in FAMILIES {
        let trace = synthetic(family, 5, 6_000).unwrap();
        let footprint: u64 = trace.models().iter().map(|model| model.bytes.get()).sum();
        let all_s: f64 = trace.models().iter().map(|model| model.load_s).sum();
        for percent in [20, 50] {
            let capacity = Bytes::new(footprint * percent / 100);
            let cost = |name: &str| serial(&trace, capacity, policy(name, &trace).unwrap(), None).load_s;
            let best =
                ["lru", "lfu", "gdsf", "rate", "largest"].map(cost).into_iter().fold(f64::INFINITY, f64::min);
            let value = cost("value");
            let filling = all_s * percent as f64 / 100.0;
            assert!(value <= 1.02 * best + filling, "{family}, {percent} %: {value} beside {best}");
            sum = (sum.0 + value, sum.1 + best);
        }
    }
    assert!(sum.0 < 1.02 * sum.1, "{} beside {}", sum.0, sum.1);
}

#[test]
fn made_up_traces_are_the_same_for_the_same_seed_and_of_the_length_asked_for() {
    for family in FAMILIES {
        let trace = synthetic(family, 3, 2_000).unwrap();
        assert_eq!(trace, synthetic(family, 3, 2_000).unwrap());
        assert_ne!(trace, synthetic(family, 4, 2_000).unwrap());
        let requests = trace.requests().len();
        assert!((500..6_000).contains(&requests), "{family}: {requests}");
    }
    assert!(synthetic("unheard of", 0, 1).unwrap_err().to_string().contains("zipf"));
}

#[test]
fn shared_bandwidth_makes_two_loads_take_twice_as_long() {
    let trace = trace(&[8, 8], &[(1, 0), (0, 1)]);
    let longest = |is_bandwidth_shared| {
        let conditions = Conditions { is_bandwidth_shared, ..Conditions::default() };
        let outcome =
            live(&trace, Bytes::new(16), policy("lru", &trace).unwrap(), &conditions, None).unwrap();
        outcome.delays.max_s
    };
    assert!((longest(false) - 3.0).abs() < 1e-6);
    assert!((longest(true) - 6.0).abs() < 1e-6);
}

#[test]
fn a_pinned_model_stays_and_what_does_not_fit_beside_it_is_refused() {
    let mut trace = trace(&[6, 6, 3], &[(1, 0), (1, 1), (1, 2), (1, 0)]);
    trace.pin(&["m0".to_owned()]).unwrap();
    let outcome = serial(&trace, Bytes::new(10), policy("value", &trace).unwrap(), None);
    assert_eq!((outcome.refused, outcome.cold_starts, outcome.evictions), (1, 2, 0));
    assert!(matches!(trace.pin(&["nobody".to_owned()]), Err(crate::Error::UnknownModel { .. })));
}

#[test]
fn faults_in_files_are_named() {
    let models = b"model,bytes,load_s\na,10,1.5\nb,20,2\n";
    let fault = |models: &[u8], requests: &[u8]| Trace::parse(models, requests).unwrap_err().to_string();
    assert_eq!(
        Trace::parse(models, b"time_s,model,duration_s\n1.5,b,2\n0.5,a,0\n").unwrap().requests()[0].model,
        0
    );
    for (models, requests, expected) in [
        (
            &models[..],
            &b"time_s,model\n1,c\n"[..],
            "requests, line 2, column model: \"c\" is not among the models",
        ),
        (&models[..], b"time_s,model\n-1,a\n", "requests, line 2, column time_s: \"-1\" is not a finite"),
        (&models[..], b"time_s,model\nnan,a\n", "requests, line 2, column time_s"),
        (&models[..], b"time_s,model,duration_s\n1,a,x\n", "requests, line 2, column duration_s"),
        (&models[..], b"time,model\n1,a\n", "requests, line 1, column time_s: is missing"),
        (
            b"model,bytes,load_s\na,1,1\na,1,1\n",
            b"time_s,model\n",
            "models, line 3, column model: \"a\" stands on line 2",
        ),
        (b"model,bytes,load_s\na,-1,1\n", b"time_s,model\n", "models, line 2, column bytes"),
        (b"model,bytes,load_s\na,1,inf\n", b"time_s,model\n", "models, line 2, column load_s"),
        (b"", b"", "models, file: empty"),
    ] {
        let message = fault(models, requests);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn files_cut_short_or_garbled_give_errors_and_never_a_panic() {
    let models = b"model,bytes,load_s\na,10,1.5\n\"b,c\",20,2\n".to_vec();
    let requests = b"time_s,model,duration_s\n0.5,a,0\n1.5,\"b,c\",2\n".to_vec();
    for cut in 0..requests.len() {
        let _ = Trace::parse(&models, &requests[..cut]);
        let _ = Trace::parse(&models[..cut.min(models.len())], &requests);
        for flip in 0..8 {
            let mut garbled = requests.clone();
            garbled[cut] ^= 1 << flip;
            let _ = Trace::parse(&models, &garbled);
        }
    }
}
