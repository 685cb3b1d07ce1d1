//! Traces made up by rule, a family for each way in which models are asked for.
//!
//! A rule of eviction that does well on one recorded trace may have been made for it. These families each stand for one
//! thing that requests do (popularity that lasts or moves, bursts, timers, cycles, recency alone, newcomers), so that a
//! rule can be tried on all of them, with as many seeds as are wanted. The same family and seed give the same trace.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "numbers of models and requests below a million, and floats to integers saturate"
)]

use std::time::Duration;

use super::trace::{Request, Trace, TracedModel};
use crate::error::{Error, Result};
use crate::solving::Random;
use crate::units::{Bytes, Time, clip};

/// The names of all families.
pub const FAMILIES: [&str; 14] = [
    "zipf",
    "drift",
    "phases",
    "sessions",
    "diurnal",
    "timers",
    "cycle",
    "scans",
    "pipelines",
    "stack",
    "heavy",
    "newcomers",
    "twins",
    "mixture",
];

/// Models of a family, unless it says otherwise.
const MODELS: usize = 60;
/// Seconds between two requests, on the average.
const GAP_S: f64 = 20.0;
const DAY_S: f64 = 86_400.0;

/// A trace of `requests` requests of the family called `family`, a different one for each `seed`.
///
/// | Family | Who is asked for |
/// |---|---|
/// | `zipf` | at random, by a popularity that lasts |
/// | `drift` | at random, by a popularity that moves a little all the time |
/// | `phases` | at random, by a popularity that changes at once, now and then |
/// | `sessions` | in bursts, with hours between |
/// | `diurnal` | at random, each model at its time of the day |
/// | `timers` | each model by its own clock, with some jitter |
/// | `cycle` | one after another, round and round |
/// | `scans` | by popularity, and all of them in turn now and then |
/// | `pipelines` | groups, the members of each one after another |
/// | `stack` | by how recently they were used alone, whichever they are |
/// | `heavy` | by popularity; sizes and costs of very different orders |
/// | `newcomers` | by popularity, and half of the time one that never comes again |
/// | `twins` | by popularity, each several times in a row |
/// | `mixture` | some of each of the above, model by model |
///
/// # Errors
/// [`Error::Argument`] listing the known families.
pub fn synthetic(family: &str, seed: u64, requests: usize) -> Result<Trace> {
    let mut maker = Maker::new(seed, requests);
    match family {
        "zipf" => maker.zipf(MODELS),
        "drift" => maker.drift(),
        "phases" => maker.phases(),
        "sessions" => maker.sessions(MODELS, 1.0),
        "diurnal" => maker.diurnal(MODELS, 1.0),
        "timers" => maker.timers(MODELS, 1.0),
        "cycle" => maker.cycle(),
        "scans" => maker.scans(),
        "pipelines" => maker.pipelines(),
        "stack" => maker.stack(),
        "heavy" => maker.heavy(),
        "newcomers" => maker.newcomers(),
        "twins" => maker.twins(),
        "mixture" => maker.mixture(),
        _ => {
            let reason = format!("{:?} is not one of: {}", clip(family), FAMILIES.join(", "));
            return Err(Error::Argument { name: "family", reason });
        }
    }
    Trace::new(maker.models, maker.requests)
}

struct Maker {
    random: Random,
    models: Vec<TracedModel>,
    requests: Vec<Request>,
    most: usize,
    now_s: f64,
}

impl Maker {
    fn new(seed: u64, most: usize) -> Self {
        Self { random: Random(seed), models: Vec::new(), requests: Vec::new(), most, now_s: 0.0 }
    }

    fn is_full(&self) -> bool {
        self.requests.len() >= self.most
    }

    /// A draw from an exponential distribution.
    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.random.fraction()).ln()
    }

    /// A draw from a normal distribution (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.random.fraction()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.random.fraction()).cos()
    }

    /// A model of some gigabytes that takes half a second and one to a gigabyte to load, more or less.
    fn model(&mut self) -> usize {
        let gigabytes = (0.7 + 0.8 * self.normal()).exp().clamp(0.1, 24.0);
        let load_s = 0.5 + gigabytes * (0.3 * self.normal()).exp();
        self.sized(gigabytes, load_s)
    }

    fn population(&mut self, count: usize) {
        for _ in 0..count {
            self.model();
        }
    }

    fn sized(&mut self, gigabytes: f64, load_s: f64) -> usize {
        let number = self.models.len();
        let bytes = Bytes::new((gigabytes * 1e9) as u64);
        self.models.push(TracedModel { name: format!("m{number}"), bytes, load_s, is_pinned: false });
        number
    }

    fn ask_at(&mut self, model: usize, at_s: f64) {
        let at = Time::ZERO.saturating_add(Duration::from_secs_f64(at_s.max(0.0)));
        self.requests.push(Request { at, model, duration: Duration::from_secs(1) });
    }

    /// One more request, after a while of its own.
    fn ask(&mut self, model: usize) {
        self.now_s += self.exponential(GAP_S);
        self.ask_at(model, self.now_s);
    }

    /// Shares of requests: the power law of Zipf, over models in an order of its own.
    fn popularity(&mut self, count: usize) -> Weights {
        let exponent = 0.6 + 0.6 * self.random.fraction();
        let mut weights: Vec<f64> = (1..=count).map(|rank| (rank as f64).powf(-exponent)).collect();
        self.shuffle(&mut weights);
        Weights(weights)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.random.position(last + 1));
        }
    }

    fn zipf(&mut self, count: usize) {
        self.population(count);
        let weights = self.popularity(count);
        while !self.is_full() {
            let model = weights.draw(&mut self.random);
            self.ask(model);
        }
    }

    fn drift(&mut self) {
        self.population(MODELS);
        let mut weights = self.popularity(MODELS);
        let every = 10 + self.random.position(60);
        while !self.is_full() {
            if self.requests.len().is_multiple_of(every) {
                let (a, b) = (self.random.position(MODELS), self.random.position(MODELS));
                weights.0.swap(a, b);
            }
            let model = weights.draw(&mut self.random);
            self.ask(model);
        }
    }

    fn phases(&mut self) {
        self.population(MODELS);
        let phases = 4 + self.random.position(8);
        let every = (self.most / phases).max(1);
        let mut weights = Weights(Vec::new());
        while !self.is_full() {
            if self.requests.len().is_multiple_of(every) {
                weights = self.popularity(MODELS);
            }
            let model = weights.draw(&mut self.random);
            self.ask(model);
        }
    }

    /// Each model rests for hours, then is asked for a number of times within minutes. About `share` of all requests.
    fn sessions(&mut self, count: usize, share: f64) {
        let end_s = self.most as f64 * GAP_S;
        let wanted = share * self.most as f64 / count as f64;
        for _ in 0..count {
            let model = self.model();
            let length = 3.0 + self.exponential(20.0);
            let within_s = 10.0 + self.exponential(120.0);
            let rest_s = (end_s * length / (wanted * (0.3 + 1.4 * self.random.fraction()))).max(1.0);
            let mut at_s = self.exponential(rest_s);
            while at_s < end_s {
                for _ in 0..=self.exponential(length) as usize {
                    self.ask_at(model, at_s);
                    at_s += self.exponential(within_s);
                }
                at_s += self.exponential(rest_s);
            }
        }
    }

    fn diurnal(&mut self, count: usize, share: f64) {
        let end_s = self.most as f64 * GAP_S;
        let weights = self.popularity(count);
        let total: f64 = weights.0.iter().sum();
        for weight in weights.0 {
            let model = self.model();
            let (peak, sharpness) = (self.random.fraction(), 1.0 + 2.0 * self.random.fraction());
            let gap_s = end_s * total / (weight * share * self.most as f64);
            // Thinned from a process at the highest rate.
            let highest = sharpness.exp();
            let mean: f64 = (0..100)
                .map(|at| (sharpness * (std::f64::consts::TAU * f64::from(at) / 100.0).cos()).exp())
                .sum::<f64>()
                / 100.0;
            let mut at_s = 0.0;
            loop {
                at_s += self.exponential(gap_s * mean / highest);
                if at_s >= end_s {
                    break;
                }
                let rate = (sharpness * (std::f64::consts::TAU * (at_s / DAY_S - peak)).cos()).exp();
                if self.random.fraction() * highest < rate {
                    self.ask_at(model, at_s);
                }
            }
        }
    }

    fn timers(&mut self, count: usize, share: f64) {
        let end_s = self.most as f64 * GAP_S;
        let weights = self.popularity(count);
        let total: f64 = weights.0.iter().sum();
        for weight in weights.0 {
            let model = self.model();
            let period_s = end_s * total / (weight * share * self.most as f64);
            let jitter = 0.2 * self.random.fraction();
            let mut at_s = period_s * self.random.fraction();
            while at_s < end_s {
                let late_s = jitter * period_s * self.normal();
                self.ask_at(model, at_s + late_s);
                at_s += period_s;
            }
        }
    }

    fn cycle(&mut self) {
        let count = 5 + self.random.position(25);
        self.population(count);
        let strays = 0.1 * self.random.fraction();
        let mut next = 0;
        while !self.is_full() {
            if self.random.fraction() < strays {
                next = self.random.position(count);
            }
            self.ask(next);
            next = (next + 1) % count;
        }
    }

    fn scans(&mut self) {
        self.population(MODELS);
        let weights = self.popularity(MODELS);
        let every = 150 + self.random.position(600);
        while !self.is_full() {
            if self.random.position(every) == 0 {
                (0..MODELS).for_each(|model| self.ask(model));
            }
            let model = weights.draw(&mut self.random);
            self.ask(model);
        }
    }

    fn pipelines(&mut self) {
        self.population(MODELS);
        let groups: Vec<Vec<usize>> = (0..15)
            .map(|_| (0..2 + self.random.position(5)).map(|_| self.random.position(MODELS)).collect())
            .collect();
        let weights = self.popularity(groups.len());
        while !self.is_full() {
            for &model in &groups[weights.draw(&mut self.random)] {
                self.ask(model);
            }
        }
    }

    /// What is asked for is so many places down in the order of latest use, by a law that knows no names.
    fn stack(&mut self) {
        self.population(MODELS);
        let exponent = 0.5 + self.random.fraction();
        let weights = Weights((1..=MODELS).map(|place| (place as f64).powf(-exponent)).collect());
        let mut stack: Vec<usize> = (0..MODELS).collect();
        while !self.is_full() {
            let model = stack.remove(weights.draw(&mut self.random));
            stack.insert(0, model);
            self.ask(model);
        }
    }

    fn heavy(&mut self) {
        for _ in 0..MODELS {
            let gigabytes = (0.2 * (1.0 - self.random.fraction()).powf(-1.0 / 1.1)).min(80.0);
            let load_s = (1.0 + self.normal()).exp();
            self.sized(gigabytes, load_s);
        }
        let weights = self.popularity(MODELS);
        while !self.is_full() {
            let model = weights.draw(&mut self.random);
            self.ask(model);
        }
    }

    fn newcomers(&mut self) {
        self.population(MODELS);
        let weights = self.popularity(MODELS);
        let share = 0.1 + 0.4 * self.random.fraction();
        while !self.is_full() {
            // Each of them would be a model of its own; a twentieth of a trace is enough to tell.
            let is_new = self.random.fraction() < share && self.models.len() < MODELS + self.most / 20;
            let model = if is_new { self.model() } else { weights.draw(&mut self.random) };
            self.ask(model);
        }
    }

    fn twins(&mut self) {
        self.population(MODELS);
        let weights = self.popularity(MODELS);
        let length = 1.0 + self.exponential(4.0);
        while !self.is_full() {
            let model = weights.draw(&mut self.random);
            for _ in 0..=self.exponential(length) as usize {
                self.ask(model);
            }
        }
    }

    fn mixture(&mut self) {
        let all = self.most;
        self.most /= 4;
        self.drift();
        self.most = all;
        self.sessions(MODELS / 3, 0.25);
        self.timers(MODELS / 3, 0.25);
        self.diurnal(MODELS / 3, 0.25);
        // The first quarter came too early.
        for request in &mut self.requests[..all / 4] {
            let at_s = 4.0 * request.at.since(Time::ZERO).as_secs_f64();
            request.at = Time::ZERO.saturating_add(Duration::from_secs_f64(at_s));
        }
    }
}

/// Shares, in no order and of any sum.
struct Weights(Vec<f64>);

impl Weights {
    fn draw(&self, random: &mut Random) -> usize {
        let mut left = random.fraction() * self.0.iter().sum::<f64>();
        for (place, weight) in self.0.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return place;
            }
        }
        self.0.len().saturating_sub(1)
    }
}
