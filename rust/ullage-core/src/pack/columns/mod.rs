//! Branch and price.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "indices and counts below 2^32, prices below 2^53 by their scale; sums of sizes are u128"
)]

mod dive;
mod factor;
mod master;
mod price;
mod simplex;
mod stock;
mod watch;

pub(crate) use stock::{CuttingStock, Pattern, Patterns};

use crate::solving::Limits;
use dive::dive;
use master::Master;
use price::{Knapsack, Pricer};
use watch::Watch;

/// What is known at the end.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) best: Patterns,
    pub(crate) bound: usize,
    pub(crate) nodes: u64,
    pub(crate) note: String,
}

pub(crate) fn solve(stock: &CuttingStock, limits: &Limits<'_>) -> Outcome {
    let watch = Watch::start(limits);
    let demand: Vec<u32> = stock.types.iter().map(|kind| kind.1).collect();
    let sizes: Vec<u64> = stock.types.iter().map(|kind| kind.0).collect();
    let mut best = stock.first_fit(&demand);
    let mut outcome = Outcome { bound: stock.area(), best: best.clone(), nodes: 0, note: String::new() };
    if outcome.bound >= stock::bins(&best) {
        return outcome;
    }
    let t0 = std::time::Instant::now();
    let caps: Vec<u32> =
        stock.types.iter().map(|&(size, demand)| u64::from(demand).min(stock.capacity / size) as u32).collect();
    let knapsack = Knapsack { sizes: sizes.clone(), caps, capacity: stock.capacity, waste: stock.capacity };
    let mut pricer = Pricer::new(knapsack);
    let mut master = Master::new(&demand, false, best.iter().map(|p| p.0.clone()));
    master.start_with_single_types(&sizes, stock.capacity);
    let exchanges = master.add_exchanges();
    let p = master.converge(&mut pricer, &watch, 1000);
    outcome.bound = outcome.bound.max(master.bound as usize);
    outcome.note = format!("m {} cg {:?} z {:.4} rounds {} it {} t {:.3}", sizes.len(), p, master.program.objective(), master.rounds, master.program.iterations, t0.elapsed().as_secs_f64());
    let _ = exchanges;
    for column in 0..master.program.columns() {
        if master.is_exchange(column) {
            master.program.set_removed(column, true);
        }
    }
    master.program.dual(&watch);
    let p = master.converge(&mut pricer, &watch, 1000);
    outcome.bound = outcome.bound.max(master.bound as usize);
    outcome.note += &format!(" | {:?} z {:.4} rounds {} it {} t {:.3}", p, master.program.objective(), master.rounds, master.program.iterations, t0.elapsed().as_secs_f64());
    for turn in 0..20 {
        if watch.stopped() || outcome.bound >= stock::bins(&best) {
            break;
        }
        if let Some(found) = dive(stock, &master, &mut pricer, stock::bins(&best) - 1, turn, &watch) {
            best = found;
        }
        outcome.note += &format!(" d{} {} t {:.3}", turn, stock::bins(&best), t0.elapsed().as_secs_f64());
    }
    outcome.best = best;
    outcome
}
