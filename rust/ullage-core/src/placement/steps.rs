//! [`Step`]: the way from one placement to another, on which no device is ever over-full.

use crate::error::{Error, Result};
use crate::placement::answer::Placement;
use crate::placement::problem::{Problem, Rule};
use crate::placement::repack::{Device, Repacking};
use crate::placement::validate::validate;

/// One step. Items are positions in the problem after the changes; what was removed from it is gone before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A replica is loaded on `to`, and only then unloaded from `from`.
    Move {
        /// The item.
        item: usize,
        /// Where it was.
        from: Device,
        /// Where it is then.
        to: Device,
    },
    /// A replica is unloaded. Where a [`Step::Load`] of the item follows it is out of service until then: the moves left
    /// wait for each other's room.
    Unload {
        /// The item.
        item: usize,
        /// Where it was.
        from: Device,
    },
    /// A replica is loaded: a new one, or one that was unloaded.
    Load {
        /// The item.
        item: usize,
        /// Where it is then.
        to: Device,
    },
}

/// Devices with what they hold at an instant.
struct Floor<'a> {
    problem: &'a Problem,
    /// For each item the devices that it is on.
    on: Vec<Vec<Device>>,
    /// For each item the apart rules that it is in.
    apart: Vec<Vec<usize>>,
}

impl<'a> Floor<'a> {
    fn of(problem: &'a Problem, on: Vec<Vec<Device>>) -> Self {
        let mut apart = vec![Vec::new(); problem.items().len()];
        for (index, rule) in problem.rules().iter().enumerate() {
            if let Rule::Apart(members) = rule {
                for &member in members {
                    apart[member].push(index);
                }
            }
        }
        Self { problem, on, apart }
    }

    /// Whether another `item` finds room on `device` as it is.
    fn admits(&self, item: usize, device: Device) -> bool {
        let kind = &self.problem.kinds()[device.0];
        let here = || (0..self.on.len()).filter(|&other| self.on[other].contains(&device));
        let has_room = self.problem.items()[item].demand.iter().enumerate().all(|(resource, &demand)| {
            let load = here().fold(u128::from(demand), |sum, other| {
                sum.saturating_add(u128::from(self.problem.items()[other].demand[resource]))
            });
            kind.usable(resource).is_none_or(|usable| load <= u128::from(usable))
        });
        let is_foe = |other: usize| self.apart[other].iter().any(|rule| self.apart[item].contains(rule));
        has_room && here().all(|other| other != item && !is_foe(other))
    }

    fn leave(&mut self, item: usize, device: Device) {
        self.on[item].retain(|&other| other != device);
    }

    fn enter(&mut self, item: usize, device: Device) {
        self.on[item].push(device);
    }
}

/// The steps from `before` to `placement`.
///
/// Whatever can be done is done: moves first, the largest first; then loads. Where moves wait for each other, the
/// smallest of what stands in the way is unloaded and loaded again later.
pub(super) fn steps(problem: &Problem, before: &[Vec<Device>], placement: &Placement) -> Vec<Step> {
    let mut floor = Floor::of(problem, before.to_vec());
    let mut steps = Vec::new();
    let mut moves: Vec<(usize, Device, Device)> = Vec::new();
    let mut loads: Vec<(usize, Device)> = Vec::new();
    for (item, after) in placement.assignment.iter().enumerate() {
        let after = after.iter().map(|&place| (placement.bins[place].kind, placement.bins[place].copy));
        let after: Vec<Device> = after.collect();
        let gone = before[item].iter().copied().filter(|device| !after.contains(device));
        let come = after.iter().copied().filter(|device| !before[item].contains(device));
        let (gone, come): (Vec<Device>, Vec<Device>) = (gone.collect(), come.collect());
        moves.extend(gone.iter().zip(&come).map(|(&from, &to)| (item, from, to)));
        loads.extend(come.iter().skip(gone.len()).map(|&to| (item, to)));
        for &from in gone.iter().skip(come.len()) {
            floor.leave(item, from);
            steps.push(Step::Unload { item, from });
        }
    }
    let size = |item: usize| problem.items()[item].demand.first().copied().unwrap_or(0);
    moves.sort_by_key(|&(item, ..)| std::cmp::Reverse(size(item)));
    while !moves.is_empty() {
        if let Some(at) = moves.iter().position(|&(item, _, to)| floor.admits(item, to)) {
            let (item, from, to) = moves.remove(at);
            floor.leave(item, from);
            floor.enter(item, to);
            steps.push(Step::Move { item, from, to });
        } else if let Some((item, from, to)) = moves.pop() {
            floor.leave(item, from);
            steps.push(Step::Unload { item, from });
            loads.push((item, to));
        }
    }
    for (item, to) in loads {
        floor.enter(item, to);
        steps.push(Step::Load { item, to });
    }
    steps
}

/// Checks a repacking: its placement, that no more moves than may, and that its steps lead there without ever holding
/// more on a device than it may, or together what is to be apart.
///
/// # Errors
/// [`Error::Violation`] with the first violated fact.
pub fn validate_repacking(repacking: &Repacking) -> Result<()> {
    let Repacking { problem, placement, before, most_migrations, steps } = repacking;
    validate(problem, placement)?;
    let broken = |fact: String| Err(Error::Violation { fact });
    if before.len() != problem.items().len() {
        return broken(format!(
            "{} items stood somewhere, the problem has {}",
            before.len(),
            problem.items().len()
        ));
    }
    let migrations = repacking.migrations();
    if most_migrations.is_some_and(|most| migrations > most) {
        return broken(format!("{migrations} replicas move, at most {} may", most_migrations.unwrap_or(0)));
    }
    let mut moved = 0_u128;
    for ((item, before), after) in problem.items().iter().zip(before).zip(&placement.assignment) {
        let stays = |place: &&usize| {
            let bin = &placement.bins[**place];
            before.is_empty() || before.contains(&(bin.kind, bin.copy))
        };
        let going = after.len().saturating_sub(after.iter().filter(stays).count()) as u128;
        moved = moved.saturating_add(going.saturating_mul(u128::from(item.demand[0])));
    }
    if moved != u128::from(placement.moved) {
        return broken(format!("{moved} bytes move, the placement says {}", placement.moved));
    }
    walk(problem, before, placement, steps)
}

fn walk(problem: &Problem, before: &[Vec<Device>], placement: &Placement, steps: &[Step]) -> Result<()> {
    let mut floor = Floor::of(problem, before.to_vec());
    for (index, &step) in steps.iter().enumerate() {
        let wrong = |what: &str| Err(Error::Violation { fact: format!("step {index}, {step:?}, {what}") });
        let (item, from, to) = match step {
            Step::Move { item, from, to } => (item, Some(from), Some(to)),
            Step::Unload { item, from } => (item, Some(from), None),
            Step::Load { item, to } => (item, None, Some(to)),
        };
        if item >= problem.items().len() || to.is_some_and(|(kind, _)| kind >= problem.kinds().len()) {
            return wrong("speaks of what is not there");
        }
        if from.is_some_and(|from| !floor.on[item].contains(&from)) {
            return wrong("takes what does not stand there");
        }
        // A move loads before it unloads, so that both devices hold the replica for a while.
        if to.is_some_and(|to| !floor.admits(item, to)) {
            return wrong("finds no room");
        }
        if let Some(from) = from {
            floor.leave(item, from);
        }
        if let Some(to) = to {
            floor.enter(item, to);
        }
    }
    for (item, after) in placement.assignment.iter().enumerate() {
        let mut end: Vec<Device> =
            after.iter().map(|&place| (placement.bins[place].kind, placement.bins[place].copy)).collect();
        end.sort_unstable();
        floor.on[item].sort_unstable();
        if floor.on[item] != end {
            return Err(Error::Violation {
                fact: format!("the steps leave item {item} on {:?}", floor.on[item]),
            });
        }
    }
    Ok(())
}
