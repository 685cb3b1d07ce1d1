//! The plain case: one resource, no rules, devices of one price. That is bin packing, for which there is a solver.

use crate::pack;
use crate::placement::model::Model;
use crate::placement::state::{Solution, State};
use crate::solving::{Limits, Status};
use crate::units::Bytes;

/// What bin packing says.
pub(super) struct Flat {
    pub(super) solution: Option<Solution>,
    pub(super) least_cost: u64,
    pub(super) is_infeasible: bool,
    pub(super) nodes: u64,
}

/// Solves `model` as bin packing; `None` where it is more than that.
pub(super) fn packed(model: &Model, limits: &Limits<'_>) -> Option<Flat> {
    let resource = only_resource(model)?;
    let classes: Vec<usize> = (0..model.classes.len())
        .filter(|&class| model.classes[class].count > 0 && model.classes[class].usable[resource] > 0)
        .collect();
    let price = model.classes[*classes.first()?].cost;
    let is_plain = model
        .units
        .iter()
        .all(|unit| unit.copies == 1 && unit.groups.is_empty() && unit.allowed.is_none() && unit.is_possible);
    let one_price = classes.iter().all(|&class| model.classes[class].cost == price);
    if !is_plain || !one_price || model.may_drop || !model.homes.is_empty() {
        return None;
    }
    let kinds = classes.iter().map(|&class| pack::BinKind {
        name: class.to_string(),
        capacity: Bytes::new(model.classes[class].usable[resource]),
        count: Some(model.classes[class].count as u64),
    });
    let sizes = model.units.iter().map(|unit| Bytes::new(unit.demand[resource])).collect();
    let problem = pack::Problem::from_sizes(sizes, kinds.collect()).ok()?;
    let quiet = Limits { progress: None, ..*limits };
    let plan = pack::solve(&problem, pack::Strategy::Auto, &quiet);
    Some(Flat {
        solution: plan.unplaced.is_empty().then(|| solution_of(model, &classes, &plan)),
        least_cost: price.saturating_mul(plan.lower_bound as u64),
        is_infeasible: plan.status == Status::Infeasible,
        nodes: plan.nodes,
    })
}

/// The one resource that anything is needed of.
fn only_resource(model: &Model) -> Option<usize> {
    let is_needed = |resource: &usize| model.units.iter().any(|unit| unit.demand[*resource] > 0);
    let mut needed = (0..model.resources).filter(is_needed);
    let resource = needed.next()?;
    needed.next().is_none().then_some(resource)
}

fn solution_of(model: &Model, classes: &[usize], plan: &pack::Plan) -> Solution {
    let mut state = State::new(model);
    let mut bin_of = vec![None; plan.bins.len()];
    for (unit, place) in plan.assignment.iter().enumerate() {
        let Some(place) = *place else { continue };
        let bin = *bin_of[place].get_or_insert_with(|| state.open(classes[plan.bins[place].kind]));
        state.put(unit, bin);
    }
    state.solution()
}
