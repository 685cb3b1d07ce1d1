//! What the default rule costs beside the best simple one, the clairvoyant and the lower bound, on traces of every family.
//!
//! `cargo run --release --example replay_families -- [REQUESTS [SEEDS]]`; a line for each trace and capacity, then the
//! mean and the worst of each family.

#![allow(clippy::print_stdout, reason = "a program whose result is what it prints")]
#![allow(
    clippy::cast_precision_loss,
    clippy::arithmetic_side_effects,
    reason = "percentages of small numbers"
)]

use ullage_core::replay::{FAMILIES, Trace, lower_bound, policy, serial, synthetic};
use ullage_core::{Bytes, Error};

/// The rules that `value` is held against.
const SIMPLE: [&str; 5] = ["lru", "lfu", "gdsf", "rate", "largest"];
/// Capacities, in percent of what all models take that are asked for more than once.
const SHARES: [u64; 5] = [10, 20, 40, 60, 80];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let requests: usize = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let seeds: u64 = arguments.next().map_or(Ok(2), |text| text.parse())?;
    println!("family,seed,percent,best,best_s,value_s,clairvoyant_s,bound_s,value_over_best");
    let mut families = Vec::new();
    for family in FAMILIES {
        let mut over = Vec::new();
        for seed in 0..seeds {
            let trace = synthetic(family, seed, requests)?;
            for percent in SHARES {
                over.push(compared(&trace, family, seed, percent)?);
            }
        }
        families.push((family, over));
    }
    println!("\nfamily,mean,worst");
    for (family, over) in families {
        let worst = over.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        println!("{family},{:+.1} %,{:+.1} %", over.iter().sum::<f64>() / over.len() as f64, worst);
    }
    Ok(())
}

/// Prints one line; gives by how many percent the default rule is worse than the best simple one.
fn compared(trace: &Trace, family: &str, seed: u64, percent: u64) -> Result<f64, Error> {
    let mut requests = vec![0_u64; trace.models().len()];
    trace.requests().iter().for_each(|request| requests[request.model] += 1);
    let recurring = trace.models().iter().zip(&requests).filter(|&(_, &requests)| requests > 1);
    let footprint: u64 = recurring.map(|(model, _)| model.bytes.get()).sum();
    let capacity = Bytes::new(footprint * percent / 100);
    let run = |name: &str| policy(name, trace).map(|policy| serial(trace, capacity, policy, None));
    let (mut best, mut best_s) = ("", f64::INFINITY);
    for name in SIMPLE {
        let load_s = run(name)?.load_s;
        if load_s < best_s {
            (best, best_s) = (name, load_s);
        }
    }
    let (value_s, clairvoyant) = (run("value")?.load_s, run("clairvoyant")?);
    let bound_s = lower_bound(trace, capacity, &clairvoyant);
    let over = (value_s / best_s.max(f64::MIN_POSITIVE) - 1.0) * 100.0;
    let clairvoyant_s = clairvoyant.load_s;
    println!(
        "{family},{seed},{percent},{best},{best_s:.0},{value_s:.0},{clairvoyant_s:.0},{bound_s:.0},{over:+.1} %"
    );
    Ok(over)
}
