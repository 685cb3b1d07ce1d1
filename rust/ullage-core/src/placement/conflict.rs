//! [`Conflict`]: which demands cannot be met together.

use crate::placement::problem::{Problem, Rule};

/// One demand of a problem that could be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Demand {
    /// The item is to be placed.
    Item(usize),
    /// The item's replicas are to be on different devices.
    Replicas(usize),
    /// A rule of the problem, by its position.
    Rule(usize),
    /// No device holds more of the resource than it may.
    Resource(usize),
    /// The reserves are to stay free.
    Reserve,
    /// No more than the allowed number of replicas moves.
    Migrations,
}

impl Demand {
    /// A stable name for programs.
    #[must_use]
    pub fn name(self, problem: &Problem) -> &'static str {
        match self {
            Self::Item(_) => "item",
            Self::Replicas(_) => "replicas",
            Self::Resource(_) => "capacity",
            Self::Reserve => "reserve",
            Self::Migrations => "migrations",
            Self::Rule(rule) => match problem.rules().get(rule) {
                Some(Rule::Only { .. }) => "only",
                Some(Rule::Together(_)) => "together",
                Some(Rule::Apart(_)) => "apart",
                None => "rule",
            },
        }
    }

    /// All demands of `problem` that mean something there, in the order in which they are given up in search of a
    /// conflict: items first, so that few of them remain.
    pub(super) fn all(problem: &Problem, migrations: bool) -> Vec<Self> {
        let items = problem.items().iter().enumerate().rev();
        let replicas =
            items.clone().filter(|(_, item)| item.replicas > 1).map(|(index, _)| Self::Replicas(index));
        let rules = (0..problem.rules().len()).map(Self::Rule);
        let reserved = problem.kinds().iter().any(|kind| kind.reserve.iter().any(|&reserve| reserve > 0));
        let resources = (0..problem.resources().len()).rev().map(Self::Resource);
        items
            .map(|(index, _)| Self::Item(index))
            .chain(migrations.then_some(Self::Migrations))
            .chain(reserved.then_some(Self::Reserve))
            .chain(rules)
            .chain(replicas)
            .chain(resources)
            .collect()
    }
}

/// Demands that cannot be met together, whatever becomes of all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The demands, sorted.
    pub demands: Vec<Demand>,
    /// Whether it is proven that giving up any one of them makes the others possible.
    pub minimal: bool,
}
