//! [`Judge`]: what the simulator says of whole plans, and the best of all that it was asked about.

use super::answer::{Candidate, Choice, Uniform};
use super::problem::{Goal, Problem, noise_of};
use super::search::EQUAL;
use super::table::{Table, chosen};
use crate::error::Result;
use crate::jit::simulate::{Simulation, simulate};
use crate::solving::Watch;

/// Simulates plans and remembers what is worth it.
pub(super) struct Judge<'a> {
    problem: &'a Problem<'a>,
    pub(super) best: Option<Candidate>,
    /// Within the bounds, and not beaten in both bytes and seconds.
    pub(super) front: Vec<Candidate>,
    pub(super) simulated: u64,
}

impl<'a> Judge<'a> {
    pub(super) const fn new(problem: &'a Problem<'a>) -> Self {
        Self { problem, best: None, front: Vec::new(), simulated: 0 }
    }

    /// The value of the best plan so far; infinite where there is none.
    pub(super) fn known(&self) -> f64 {
        self.best.as_ref().map_or(f64::INFINITY, |best| self.value(best))
    }

    /// What the goal makes of a plan.
    pub(super) fn value(&self, of: &Candidate) -> f64 {
        self.figures(of).0
    }

    /// What the goal compares, and what decides between equals.
    fn figures(&self, of: &Candidate) -> (f64, f64) {
        let (seconds, bytes) = (of.latency_s, crate::jit::float(of.peak.get()));
        match self.problem.goal {
            Goal::Latency => (seconds, bytes),
            Goal::Peak => (bytes, seconds),
        }
    }

    pub(super) fn simulation(&self, choices: &[Choice]) -> Result<Simulation> {
        let (layers, policies) = chosen(self.problem.layers, choices);
        simulate(&layers, &policies, self.problem.profile, self.problem.options)
    }

    /// Asks the simulator about a plan; whether it is the best so far.
    pub(super) fn judge(&mut self, choices: &[Choice]) -> Result<bool> {
        let candidate = self.simulated(choices)?;
        Ok(self.is_allowed(&candidate) && self.takes(candidate))
    }

    fn simulated(&mut self, choices: &[Choice]) -> Result<Candidate> {
        let simulation = self.simulation(choices)?;
        self.simulated = self.simulated.saturating_add(1);
        let (latency_s, peak) = (simulation.latency_s, simulation.peak);
        Ok(Candidate { choices: choices.to_vec(), latency_s, peak, snr_db: self.snr_db(choices) })
    }

    fn noise(&self, choices: &[Choice]) -> Option<f64> {
        let of = |(layer, choice): (usize, &Choice)| {
            let ratio = self.problem.layers[layer][choice.variant].snr_db?;
            Some(self.problem.elements(layer) * noise_of(ratio))
        };
        choices.iter().enumerate().map(of).sum()
    }

    fn snr_db(&self, choices: &[Choice]) -> Option<f64> {
        let all: f64 = (0..self.problem.layers.len()).map(|layer| self.problem.elements(layer)).sum();
        Some(10.0 * (all / self.noise(choices)?).log10())
    }

    fn is_allowed(&self, of: &Candidate) -> bool {
        let bounds = &self.problem.bounds;
        bounds.memory.is_none_or(|most| of.peak <= most)
            && bounds.latency_s.is_none_or(|most| of.latency_s <= most)
            && self
                .problem
                .noise_budget()
                .is_none_or(|most| self.noise(&of.choices).is_some_and(|noise| noise <= most * (1.0 + EQUAL)))
    }

    /// Takes what is allowed into the front; whether it is the best.
    fn takes(&mut self, new: Candidate) -> bool {
        let is_better = self.best.as_ref().is_none_or(|best| self.figures(&new) < self.figures(best));
        if is_better {
            self.best = Some(new.clone());
        }
        let is_as_good = |a: &Candidate, b: &Candidate| a.latency_s <= b.latency_s && a.peak <= b.peak;
        if !self.front.iter().any(|other| is_as_good(other, &new)) {
            self.front.retain(|other| !is_as_good(&new, other));
            self.front.push(new);
        }
        is_better
    }

    /// Every policy for all layers alike, with every variant that all have.
    pub(super) fn uniform(&mut self) -> Result<Vec<Uniform>> {
        let variants = self.problem.layers.iter().map(Vec::len).min().unwrap_or(0);
        let mut all = Vec::new();
        for variant in 0..variants {
            for &policy in self.problem.policies {
                let choices = vec![Choice { variant, policy }; self.problem.layers.len()];
                let candidate = self.simulated(&choices)?;
                let is_allowed = self.is_allowed(&candidate);
                let Candidate { latency_s, peak, snr_db, .. } = candidate;
                all.push(Uniform { policy, variant, latency_s, peak, snr_db, is_allowed });
                if is_allowed {
                    self.takes(candidate);
                }
            }
        }
        Ok(all)
    }

    /// Asks about every combination; whether the time sufficed.
    pub(super) fn all(&mut self, table: &Table, watch: &mut Watch<'_>) -> Result<bool> {
        let mut places = vec![0_usize; table.every.len()];
        loop {
            if watch.spent(places.len().saturating_mul(64)) {
                return Ok(false);
            }
            let choices: Vec<Choice> =
                places.iter().zip(&table.every).map(|(&place, all)| all[place]).collect();
            self.judge(&choices)?;
            let is_last = |(&place, all): (&usize, &Vec<Choice>)| place.saturating_add(1) >= all.len();
            let Some(turned) = places.iter().zip(&table.every).position(|pair| !is_last(pair)) else {
                return Ok(true);
            };
            places[..turned].fill(0);
            places[turned] = places[turned].saturating_add(1);
        }
    }

    /// Changes one layer at a time as long as that makes the best better; `false` where the time was over.
    pub(super) fn improve(&mut self, table: &Table, least: f64, watch: &mut Watch<'_>) -> Result<bool> {
        loop {
            let Some(start) = self.best.clone() else { return Ok(true) };
            let mut is_better = false;
            for (layer, all) in table.every.iter().enumerate() {
                for &choice in all {
                    if self.known() <= least * (1.0 + EQUAL) {
                        return Ok(true);
                    }
                    if watch.spent(table.every.len().saturating_mul(64)) {
                        return Ok(false);
                    }
                    let mut choices = self.best.as_ref().map_or_else(Vec::new, |best| best.choices.clone());
                    if choices[layer] != choice {
                        choices[layer] = choice;
                        is_better |= self.judge(&choices)?;
                    }
                }
            }
            if !is_better || self.best.as_ref() == Some(&start) {
                return Ok(true);
            }
        }
    }
}
