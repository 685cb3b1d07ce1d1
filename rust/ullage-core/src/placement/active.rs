//! [`Active`]: the demands of a problem that still stand while a conflict is looked for.

use crate::placement::conflict::Demand;
use crate::placement::problem::Problem;

/// Which demands stand.
#[derive(Clone, Debug)]
pub(super) struct Active {
    items: Vec<bool>,
    replicas: Vec<bool>,
    rules: Vec<bool>,
    resources: Vec<bool>,
    reserve: bool,
    migrations: bool,
}

impl Active {
    /// All of them.
    pub(super) fn all(problem: &Problem) -> Self {
        Self::filled(problem, true)
    }

    /// `demands` alone.
    pub(super) fn only(problem: &Problem, demands: &[Demand]) -> Self {
        let mut active = Self::filled(problem, false);
        for &demand in demands {
            active.set(demand, true);
        }
        active
    }

    fn filled(problem: &Problem, stands: bool) -> Self {
        let items = vec![stands; problem.items().len()];
        Self {
            replicas: items.clone(),
            items,
            rules: vec![stands; problem.rules().len()],
            resources: vec![stands; problem.resources().len()],
            reserve: stands,
            migrations: stands,
        }
    }

    pub(super) fn set(&mut self, demand: Demand, stands: bool) {
        let place = match demand {
            Demand::Item(item) => self.items.get_mut(item),
            Demand::Replicas(item) => self.replicas.get_mut(item),
            Demand::Rule(rule) => self.rules.get_mut(rule),
            Demand::Resource(resource) => self.resources.get_mut(resource),
            Demand::Reserve => Some(&mut self.reserve),
            Demand::Migrations => Some(&mut self.migrations),
        };
        if let Some(place) = place {
            *place = stands;
        }
    }

    pub(super) fn has(&self, demand: Demand) -> bool {
        let stands = match demand {
            Demand::Item(item) => self.items.get(item).copied(),
            Demand::Replicas(item) => self.replicas.get(item).copied(),
            Demand::Rule(rule) => self.rules.get(rule).copied(),
            Demand::Resource(resource) => self.resources.get(resource).copied(),
            Demand::Reserve => Some(self.reserve),
            Demand::Migrations => Some(self.migrations),
        };
        stands.unwrap_or(false)
    }
}
