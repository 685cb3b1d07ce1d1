//! [`repack`](fn@repack): models come and go, and as few bytes as possible move.

use crate::error::{Error, Result};
use crate::placement::answer::Placement;
use crate::placement::model::Homes;
use crate::placement::problem::{Item, Problem, Rule};
use crate::placement::solve::{Strategy, solve_from};
use crate::placement::steps::{Step, steps};
use crate::solving::Limits;
use crate::units::clip;

/// A device: the position of its kind, and which copy.
pub type Device = (usize, u64);

/// What comes and what goes.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// New items.
    pub add: Vec<Item>,
    /// Positions of the items that go.
    pub remove: Vec<usize>,
    /// Rules about the items as they are numbered afterwards: those that stay in their order, then the new ones.
    pub rules: Vec<Rule>,
    /// The most replicas that may move; `None` for as many as needed.
    pub most_migrations: Option<u64>,
}

/// A placement that came from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repacking {
    /// What is asked for now.
    pub problem: Problem,
    /// Where everything goes. What it moves is in [`Placement::moved`].
    pub placement: Placement,
    /// For each item the devices that it was on, none for a new one.
    pub before: Vec<Vec<Device>>,
    /// The most replicas that may move.
    pub most_migrations: Option<u64>,
    /// How to get there, one step after the other; no device ever holds more than it may, or two that are to be apart.
    pub steps: Vec<Step>,
}

impl Repacking {
    /// Replicas that end on a device where they were not before.
    #[must_use]
    pub fn migrations(&self) -> u64 {
        let moved = self.before.iter().zip(&self.placement.assignment).map(|(before, after)| {
            let is_new = |place: &&usize| {
                let bin = &self.placement.bins[**place];
                !before.contains(&(bin.kind, bin.copy))
            };
            if before.is_empty() { 0 } else { after.iter().filter(is_new).count() as u64 }
        });
        moved.sum()
    }
}

/// The problem after `changes`, and where its items were in `placement`.
///
/// # Errors
/// [`Error::Problem`] naming what is to be removed and is not there, and whatever [`Problem::new`] says of the rest.
pub fn changed(
    problem: &Problem,
    placement: &Placement,
    changes: &Changes,
) -> Result<(Problem, Vec<Vec<Device>>)> {
    let mut stays = vec![true; problem.items().len()];
    for &item in &changes.remove {
        let Some(found) = stays.get_mut(item) else {
            return Err(Error::Problem {
                field: "remove".to_owned(),
                reason: format!("there is no item {item}"),
            });
        };
        if !std::mem::replace(found, false) {
            let reason = format!("{:?} stands there twice", clip(problem.item_name(item)));
            return Err(Error::Problem { field: "remove".to_owned(), reason });
        }
    }
    let staying: Vec<usize> = (0..stays.len()).filter(|&item| stays[item]).collect();
    let mut number = vec![None; stays.len()];
    for (new, &old) in staying.iter().enumerate() {
        number[old] = Some(new);
    }
    let items = staying.iter().map(|&item| problem.items()[item].clone()).chain(changes.add.iter().cloned());
    let rules = problem.rules().iter().filter_map(|rule| renumbered(rule, &number));
    let after = Problem::new(
        problem.resources().to_vec(),
        items.collect(),
        problem.kinds().to_vec(),
        rules.chain(changes.rules.iter().cloned()).collect(),
        problem.keep(),
    )?;
    let device = |&place: &usize| placement.bins.get(place).map(|bin| (bin.kind, bin.copy));
    let before = staying.iter().map(|&item| {
        let places = placement.assignment.get(item).map(Vec::as_slice).unwrap_or_default();
        places.iter().filter_map(device).collect()
    });
    let before = before.chain(changes.add.iter().map(|_| Vec::new())).collect();
    Ok((after, before))
}

/// A rule about what is left of its items; `None` where nothing is left to rule.
fn renumbered(rule: &Rule, number: &[Option<usize>]) -> Option<Rule> {
    let left = |items: &[usize]| -> Vec<usize> { items.iter().filter_map(|&item| number[item]).collect() };
    match rule {
        Rule::Only { item, spots } => Some(Rule::Only { item: number[*item]?, spots: spots.clone() }),
        Rule::Together(items) => Some(Rule::Together(left(items))).filter(|_| left(items).len() > 1),
        Rule::Apart(items) => Some(Rule::Apart(left(items))).filter(|_| left(items).len() > 1),
    }
}

/// Places what `changes` make of `problem`, from where it stands in `placement`.
///
/// First as much as asked is placed, then as few bytes as possible move, then the devices cost as little as possible.
/// What had no place in `placement` counts as new.
///
/// # Errors
/// As [`changed`].
pub fn repack(
    problem: &Problem,
    placement: &Placement,
    changes: &Changes,
    strategy: Strategy,
    seed: u64,
    limits: &Limits<'_>,
) -> Result<Repacking> {
    let (after, before) = changed(problem, placement, changes)?;
    let homes = Homes { of: before, most_moves: changes.most_migrations };
    let placement = solve_from(&after, Some(&homes), strategy, seed, limits);
    let steps = steps(&after, &homes.of, &placement);
    Ok(Repacking { problem: after, placement, before: homes.of, most_migrations: homes.most_moves, steps })
}
