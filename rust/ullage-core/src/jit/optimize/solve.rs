//! [`optimize`]: the search, the simulator and the bound, brought together.

use super::answer::{Answer, Candidate};
use super::label::Label;
use super::polish::Judge;
use super::prices::{self, Prices};
use super::problem::{Goal, Problem};
use super::search::{EQUAL, Found, Room, Search};
use super::table::{At, Table, chosen};
use crate::error::Result;
use crate::jit::simulate;
use crate::solving::{Limits, Status, Watch};

/// So few combinations are all simulated.
const FEW: u64 = 1 << 12;
/// Labels that a search keeps of each layer, and plans of it that are simulated.
const WIDTHS: [usize; 2] = [96, 768];
const PLANS: usize = 96;
/// Searches whose seconds are those of the best plan's working set.
const ROUNDS: usize = 3;

/// Chooses a variant and a policy for every layer, so that the goal is least within the bounds.
///
/// The same arguments give the same answer, unless the time ends the search. [`Status::Optimal`] is proven, by a bound or
/// by simulating all combinations; else [`Answer::lower_bound`] says how much better an answer could be at most.
///
/// # Errors
/// [`crate::Error::Argument`] for a problem that is none, or a device that lacks a rate which one of the policies needs.
pub fn optimize(problem: &Problem<'_>, limits: &Limits<'_>) -> Result<Answer> {
    problem.check()?;
    let mut watch = Watch::start(limits);
    let table = Table::new(problem, At::Best)?;
    let mut judge = Judge::new(problem);
    let uniform = judge.uniform()?;
    let mut work = Work { problem, judge, bound: 0.0, is_proven: false };
    let prices = Prices::new(&table, work.about());
    let root = work.search(&table, &prices, 1).bound(&Label::START, 0);
    work.bound = root.unwrap_or(f64::INFINITY);
    work.tell(&mut watch);
    if root.is_some() && !work.is_done() {
        work.descend(&table, &prices, &mut watch)?;
    }
    let answer = work.answer(uniform, &table, watch.look())?;
    Ok(answer)
}

struct Work<'a> {
    problem: &'a Problem<'a>,
    judge: Judge<'a>,
    /// Nothing is less.
    bound: f64,
    /// Whether all combinations were looked at, or none is left.
    is_proven: bool,
}

impl Work<'_> {
    fn search<'t>(&self, table: &'t Table, prices: &'t Prices, width: usize) -> Search<'t> {
        let bounds = &self.problem.bounds;
        let room = Room {
            bytes: bounds.memory.map_or(f64::INFINITY, |most| crate::jit::float(most.get())),
            seconds: bounds.latency_s.unwrap_or(f64::INFINITY),
            noise: self.problem.noise_budget().unwrap_or(f64::INFINITY),
        };
        Search {
            table,
            prices,
            room,
            goal: self.problem.goal,
            known: self.judge.known(),
            width,
            is_relaxed: false,
        }
    }

    /// Bytes that the answer will about take: the limit, or what the best so far takes.
    fn about(&self) -> f64 {
        let peak = self.judge.best.as_ref().map_or(u64::MAX, |best| best.peak.get());
        crate::jit::float(self.problem.bounds.memory.map_or(peak, crate::units::Bytes::get))
    }

    fn descend(&mut self, table: &Table, prices: &Prices, watch: &mut Watch<'_>) -> Result<()> {
        if table.combinations().is_some_and(|count| count <= FEW) {
            self.is_proven = self.judge.all(table, watch)?;
            if self.is_proven {
                self.bound = self.judge.known();
                return Ok(());
            }
        }
        for width in WIDTHS {
            let Some(found) = self.search(table, prices, width).run(watch) else { return Ok(()) };
            self.take(&found, watch)?;
            if self.is_done() {
                return Ok(());
            }
            if found.dropped.is_finite() {
                let relaxed = Search { is_relaxed: true, ..self.search(table, prices, width) };
                let Some(relaxed) = relaxed.run(watch) else { return Ok(()) };
                self.take(&relaxed, watch)?;
                if self.is_done() {
                    return Ok(());
                }
            }
            self.rounds(width, watch)?;
            self.judge.improve(table, self.bound, watch)?;
            self.tell(watch);
            if self.is_done() || watch.look() || found.dropped.is_infinite() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Simulates the plans of a search, and notes what it proves.
    fn take(&mut self, found: &Found, watch: &mut Watch<'_>) -> Result<()> {
        let known = self.judge.known();
        for plan in found.plans.iter().take(PLANS) {
            if plan.value > self.judge.known() * (1.0 + EQUAL) || watch.look() {
                break;
            }
            self.judge.judge(&plan.choices)?;
        }
        let least = found.plans.iter().map(|plan| plan.value).fold(f64::INFINITY, f64::min);
        let proven = least.min(found.dropped).min(known).min(self.judge.known());
        self.is_proven = found.plans.is_empty() && found.dropped.is_infinite() && self.judge.best.is_none();
        if proven.is_finite() {
            self.bound = self.bound.max(proven);
        }
        self.tell(watch);
        Ok(())
    }

    /// Where seconds hang on the working set, searches with those of the best plan's.
    fn rounds(&mut self, width: usize, watch: &mut Watch<'_>) -> Result<()> {
        if self.problem.profile.timings.is_empty() {
            return Ok(());
        }
        let mut last = None;
        for _ in 0..ROUNDS {
            let Some(best) = &self.judge.best else { return Ok(()) };
            let (layers, policies) = chosen(self.problem.layers, &best.choices);
            let set = simulate::working_set(&layers, &policies);
            if last.replace(set) == Some(set) {
                return Ok(());
            }
            let table = Table::new(self.problem, At::WorkingSet(set))?;
            let prices = Prices::new(&table, self.about());
            let search = Search { known: f64::INFINITY, ..self.search(&table, &prices, width) };
            let Some(found) = search.run(watch) else { return Ok(()) };
            for plan in found.plans.iter().take(PLANS) {
                if watch.look() {
                    return Ok(());
                }
                self.judge.judge(&plan.choices)?;
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.is_proven || self.judge.known() <= self.bound * (1.0 + EQUAL)
    }

    /// Tells the listener: picoseconds or bytes.
    fn tell(&self, watch: &mut Watch<'_>) {
        let unit = match self.problem.goal {
            Goal::Latency => 1e12,
            Goal::Peak => 1.0,
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a figure to look at; casts saturate"
        )]
        let count = |value: f64| (value * unit) as u64;
        let known = self.judge.known();
        let bound = if self.bound.is_finite() { self.bound } else { 0.0 };
        watch.found(known.is_finite().then(|| count(known)), count(bound));
    }

    fn answer(
        mut self,
        uniform: Vec<super::answer::Uniform>,
        table: &Table,
        is_late: bool,
    ) -> Result<Answer> {
        let is_done = self.is_done();
        let best = self.judge.best.take();
        let status = match (&best, is_done) {
            (Some(_), true) => Status::Optimal,
            (Some(_), false) => Status::Feasible,
            (None, true) => Status::Infeasible,
            (None, false) if self.bound.is_infinite() => Status::Infeasible,
            (None, false) => Status::Timeout,
        };
        let simulation = best.as_ref().map(|best| self.judge.simulation(&best.choices)).transpose()?;
        let lower_bound = match &best {
            Some(best) if status == Status::Optimal => self.judge.value(best),
            _ => self.bound,
        };
        let mut front = std::mem::take(&mut self.judge.front);
        front.sort_by(|a, b| a.peak.cmp(&b.peak).then(a.latency_s.total_cmp(&b.latency_s)));
        let reason = best.is_none().then(|| self.reason(table, &uniform, is_late));
        let simulated = self.judge.simulated;
        Ok(Answer { status, best, simulation, lower_bound, uniform, front, simulated, reason })
    }

    /// What stands in the way, in words.
    fn reason(&self, table: &Table, uniform: &[super::answer::Uniform], is_late: bool) -> String {
        let least = prices::leasts(table)[0];
        let bounds = &self.problem.bounds;
        let seconds = table.floor + least.tasks[2].max(least.bus);
        if let Some(most) = bounds.memory.filter(|most| most.get() < least.load.max(least.kept)) {
            let needed = crate::units::Bytes::new(least.load.max(least.kept));
            return format!("{needed} are needed at least, and the limit of memory is {most}");
        }
        if let Some(most) = bounds.latency_s.filter(|&most| most < seconds) {
            return format!("a pass takes {seconds:.6} s at least, and the limit is {most:.6} s");
        }
        if let Some(most) = self.problem.noise_budget().filter(|&most| most < least.noise) {
            let ratio = 10.0 * (most / least.noise).log10();
            return format!("the best schemes are {:.2} dB short of the quality asked for", -ratio);
        }
        let closest = uniform.iter().map(|one| one.peak).min();
        let least =
            closest.map_or_else(String::new, |peak| format!("; the smallest single policy takes {peak}"));
        let why = if is_late {
            "the time ended before anything was found"
        } else {
            "the limits exclude one another"
        };
        format!("{why}{least}")
    }
}

impl Candidate {
    /// How many layers each policy has, by the policies' names, the most frequent first.
    #[must_use]
    pub fn policies(&self) -> Vec<(String, usize)> {
        let mut counts: Vec<(String, usize)> = Vec::new();
        for choice in &self.choices {
            let name = choice.policy.to_string();
            match counts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count = count.saturating_add(1),
                None => counts.push((name, 1)),
            }
        }
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }
}
