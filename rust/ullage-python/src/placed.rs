//! Placements as frozen objects.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use ullage_core::placement::{
    self, Demand, Device, Problem, Repacking, Rule, Spot, Step, Strategy, explain, fragmentation,
};

/// By what values and costs were multiplied to make them whole.
#[derive(Clone, Copy)]
pub(crate) struct Scales {
    pub(crate) values: u64,
    pub(crate) costs: u64,
}

struct Solved {
    problem: Problem,
    answer: placement::Placement,
    /// What a repack did, with the problem and the answer in it.
    repacking: Option<Repacking>,
    strategy: Strategy,
    scales: Scales,
    seconds: f64,
}

/// Where every model goes, and what is proven about it.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Placement(Arc<Solved>);

impl Placement {
    pub(crate) fn new(
        problem: Problem,
        answer: placement::Placement,
        strategy: Strategy,
        scales: Scales,
        seconds: f64,
    ) -> Self {
        Self(Arc::new(Solved { problem, answer, repacking: None, strategy, scales, seconds }))
    }

    pub(crate) fn repacked(repacking: Repacking, strategy: Strategy, scales: Scales, seconds: f64) -> Self {
        let (problem, answer) = (repacking.problem.clone(), repacking.placement.clone());
        Self(Arc::new(Solved { problem, answer, repacking: Some(repacking), strategy, scales, seconds }))
    }

    pub(crate) fn problem(&self) -> &Problem {
        &self.0.problem
    }

    pub(crate) fn answer(&self) -> &placement::Placement {
        &self.0.answer
    }

    pub(crate) fn scales(&self) -> Scales {
        self.0.scales
    }

    pub(crate) fn validate(&self) -> ullage_core::Result<()> {
        match &self.0.repacking {
            Some(repacking) => placement::validate_repacking(repacking),
            None => placement::validate(&self.0.problem, &self.0.answer),
        }
    }

    fn device(&self, (kind, copy): Device) -> String {
        self.0.problem.spot_name(Spot { kind, copy: Some(copy) })
    }

    fn names_at(&self, places: &[usize]) -> Vec<String> {
        let bins = places.iter().filter_map(|&place| self.0.answer.bins.get(place));
        bins.map(|bin| self.device((bin.kind, bin.copy))).collect()
    }

    fn most_migrations(&self) -> Option<u64> {
        self.0.repacking.as_ref().and_then(|repacking| repacking.most_migrations)
    }

    fn demand<'py>(&self, py: Python<'py>, demand: Demand) -> PyResult<Bound<'py, PyDict>> {
        let problem = &self.0.problem;
        let fields = PyDict::new(py);
        fields.set_item("kind", demand.name(problem))?;
        match demand {
            Demand::Item(item) | Demand::Replicas(item) => {
                fields.set_item("items", [problem.item_name(item)])?;
            }
            Demand::Resource(resource) => {
                fields.set_item("resource", problem.resources().get(resource).map(|found| &found.name))?;
            }
            Demand::Migrations => fields.set_item("most", self.most_migrations())?,
            Demand::Reserve => {}
            Demand::Rule(rule) => match problem.rules().get(rule) {
                Some(Rule::Only { item, spots }) => {
                    fields.set_item("items", [problem.item_name(*item)])?;
                    let spots: Vec<String> = spots.iter().map(|&spot| problem.spot_name(spot)).collect();
                    fields.set_item("devices", spots)?;
                }
                Some(Rule::Together(items) | Rule::Apart(items)) => {
                    let names: Vec<&str> = items.iter().map(|&item| problem.item_name(item)).collect();
                    fields.set_item("items", names)?;
                }
                None => {}
            },
        }
        Ok(fields)
    }

    fn step<'py>(&self, py: Python<'py>, step: Step) -> PyResult<Bound<'py, PyDict>> {
        let (action, item, from, to) = match step {
            Step::Move { item, from, to } => ("move", item, Some(from), Some(to)),
            Step::Unload { item, from } => ("unload", item, Some(from), None),
            Step::Load { item, to } => ("load", item, None, Some(to)),
        };
        let fields = PyDict::new(py);
        fields.set_item("action", action)?;
        fields.set_item("model", self.0.problem.item_name(item))?;
        fields.set_item("from", from.map(|device| self.device(device)))?;
        fields.set_item("to", to.map(|device| self.device(device)))?;
        let bytes = self.0.problem.items().get(item).and_then(|item| item.demand.first());
        fields.set_item("bytes", bytes)?;
        Ok(fields)
    }
}

/// A scaled number as it was given: whole where all of its kind are.
fn unscaled(py: Python<'_>, amount: u64, per_one: u64) -> PyResult<Bound<'_, PyAny>> {
    if per_one == 1 {
        return Ok(amount.into_pyobject(py)?.into_any());
    }
    amount.into_pyobject(py)?.into_any().div(per_one)
}

#[pymethods]
impl Placement {
    /// "optimal", "feasible", "infeasible" or "timeout".
    #[getter]
    fn status(&self) -> &'static str {
        self.0.answer.status.name()
    }

    /// The strategy asked for.
    #[getter]
    fn strategy(&self) -> &'static str {
        self.0.strategy.name()
    }

    /// "all" or "`best_value`".
    #[getter]
    fn keep(&self) -> &'static str {
        self.0.problem.keep().name()
    }

    /// For each model the names of its devices, one a replica; an empty list for one without a place.
    #[getter]
    fn assignment<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let assignment = PyDict::new(py);
        for (item, places) in self.0.problem.items().iter().zip(&self.0.answer.assignment) {
            assignment.set_item(&item.name, self.names_at(places))?;
        }
        Ok(assignment)
    }

    /// The devices in use, and the unused ones that are alone of their kind, in the order given.
    #[getter]
    fn devices(&self) -> Vec<PlacedDevice> {
        (0..self.0.answer.bins.len())
            .map(|index| PlacedDevice { solved: Arc::clone(&self.0), index })
            .collect()
    }

    /// How many devices hold a model.
    #[getter]
    fn devices_used(&self) -> usize {
        let mut used: Vec<usize> = self.0.answer.assignment.iter().flatten().copied().collect();
        used.sort_unstable();
        used.dedup();
        used.len()
    }

    /// The models without a place.
    #[getter]
    fn unplaced(&self) -> Vec<&str> {
        self.0.answer.unplaced.iter().map(|&item| self.0.problem.item_name(item)).collect()
    }

    /// What the placed models are worth.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        unscaled(py, self.0.answer.value, self.0.scales.values)
    }

    /// No placement is worth more.
    #[getter]
    fn value_bound<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        unscaled(py, self.0.answer.value_bound, self.0.scales.values)
    }

    /// What the devices in use cost.
    #[getter]
    fn cost<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        unscaled(py, self.0.answer.cost, self.0.scales.costs)
    }

    /// No placement that is worth as much, and moves no more, costs less.
    #[getter]
    fn lower_bound<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        unscaled(py, self.0.answer.lower_bound, self.0.scales.costs)
    }

    /// `cost - lower_bound`, `None` where not everything asked for is placed.
    #[getter]
    fn gap<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.answer.gap().map(|gap| unscaled(py, gap, self.0.scales.costs)).transpose()
    }

    /// Why the bound on the cost holds: "cover", "count", "derived" or "search".
    #[getter]
    fn proof(&self) -> &'static str {
        self.0.answer.proof.name()
    }

    /// Why not everything can be placed, as a sentence; present exactly when `status` is "infeasible".
    #[getter]
    fn reason(&self) -> Option<String> {
        let conflict = self.0.answer.conflict.as_ref()?;
        Some(explain(&self.0.problem, &conflict.demands, self.most_migrations()))
    }

    /// The demands that cannot be met together, as data, and whether they are proven to be as few as possible.
    #[getter]
    fn conflict<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(conflict) = &self.0.answer.conflict else { return Ok(None) };
        let demands = conflict.demands.iter().map(|&demand| self.demand(py, demand));
        let fields = PyDict::new(py);
        fields.set_item("minimal", conflict.minimal)?;
        fields.set_item("demands", demands.collect::<PyResult<Vec<_>>>()?)?;
        Ok(Some(fields))
    }

    /// How much of what is free can be used, by resource.
    #[getter]
    fn fragmentation<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        let found = fragmentation(&self.0.problem, &self.0.answer);
        for (resource, found) in self.0.problem.resources().iter().zip(found) {
            let fields = PyDict::new(py);
            fields.set_item("free", found.free)?;
            fields.set_item("largest_free", found.largest_free)?;
            fields.set_item("external", found.external())?;
            fields.set_item("stranded", found.stranded)?;
            fields.set_item("stranded_share", found.stranded_share())?;
            all.set_item(&resource.name, fields)?;
        }
        Ok(all)
    }

    /// Bytes that leave a device for another; 0 but for a repack.
    #[getter]
    fn moved_bytes(&self) -> u64 {
        self.0.answer.moved
    }

    /// Replicas that end on another device than before; 0 but for a repack.
    #[getter]
    fn migrations(&self) -> u64 {
        self.0.repacking.as_ref().map_or(0, Repacking::migrations)
    }

    /// How to get there from the placement before, one step after the other; empty but for a repack.
    #[getter]
    fn steps<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let steps = self.0.repacking.iter().flat_map(|repacking| repacking.steps.iter().copied());
        PyList::new(py, steps.map(|step| self.step(py, step)).collect::<PyResult<Vec<_>>>()?)
    }

    /// The resources, memory first.
    #[getter]
    fn resources(&self) -> Vec<(String, bool)> {
        self.0.problem.resources().iter().map(|found| (found.name.clone(), found.is_bytes)).collect()
    }

    /// Seconds that the solve took.
    #[getter]
    fn seconds(&self) -> f64 {
        self.0.seconds
    }

    /// Nodes of search trees that were looked at.
    #[getter]
    fn nodes(&self) -> u64 {
        self.0.answer.nodes
    }

    /// The placement as plain values, ready for JSON.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        fields.set_item("status", self.status())?;
        fields.set_item("keep", self.keep())?;
        fields.set_item("strategy", self.strategy())?;
        fields.set_item("assignment", self.assignment(py)?)?;
        fields.set_item("devices_used", self.devices_used())?;
        fields.set_item("value", self.value(py)?)?;
        fields.set_item("value_bound", self.value_bound(py)?)?;
        fields.set_item("cost", self.cost(py)?)?;
        fields.set_item("lower_bound", self.lower_bound(py)?)?;
        fields.set_item("gap", self.gap(py)?)?;
        fields.set_item("proof", self.proof())?;
        fields.set_item("unplaced", self.unplaced())?;
        fields.set_item("reason", self.reason())?;
        fields.set_item("conflict", self.conflict(py)?)?;
        fields.set_item("fragmentation", self.fragmentation(py)?)?;
        fields.set_item("moved_bytes", self.moved_bytes())?;
        fields.set_item("migrations", self.migrations())?;
        fields.set_item("steps", self.steps(py)?)?;
        let devices = self.devices().into_iter().map(|device| device.as_dict(py));
        fields.set_item("devices", devices.collect::<PyResult<Vec<_>>>()?)?;
        fields.set_item("seconds", self.0.seconds)?;
        fields.set_item("nodes", self.nodes())?;
        Ok(fields)
    }

    fn __repr__(&self) -> String {
        let items = self.0.problem.items().len();
        let placed = items.saturating_sub(self.0.answer.unplaced.len());
        let (status, used) = (self.status(), self.devices_used());
        let reason = self.reason().map_or_else(String::new, |reason| format!("; {reason}"));
        format!("<Placement {status}: {placed} of {items} models on {used} devices{reason}>")
    }
}

/// One device of a placement.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct PlacedDevice {
    solved: Arc<Solved>,
    index: usize,
}

impl PlacedDevice {
    fn bin(&self) -> PyResult<&placement::PlacedBin> {
        let bin = self.solved.answer.bins.get(self.index);
        bin.ok_or_else(|| pyo3::exceptions::PyValueError::new_err("the placement has no such device"))
    }

    fn by_resource<'py, T: IntoPyObject<'py>>(
        &self,
        py: Python<'py>,
        amount: impl Fn(usize) -> T,
    ) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        for (index, resource) in self.solved.problem.resources().iter().enumerate() {
            fields.set_item(&resource.name, amount(index))?;
        }
        Ok(fields)
    }
}

#[pymethods]
impl PlacedDevice {
    /// Its name: as given, or `h100:2` for a copy of several.
    #[getter]
    fn name(&self) -> PyResult<String> {
        let bin = self.bin()?;
        Ok(self.solved.problem.spot_name(Spot { kind: bin.kind, copy: Some(bin.copy) }))
    }

    /// What it holds, by resource.
    #[getter]
    fn load<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let bin = self.bin()?;
        self.by_resource(py, |resource| bin.load.get(resource).copied().unwrap_or(0))
    }

    /// What it may hold beside its reserve, by resource; `None` for no limit.
    #[getter]
    fn usable<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let kind = self.solved.problem.kinds().get(self.bin()?.kind);
        self.by_resource(py, |resource| kind.and_then(|kind| kind.usable(resource)))
    }

    /// The names of the models it holds.
    #[getter]
    fn models(&self) -> Vec<&str> {
        let items = self.solved.problem.items().iter().zip(&self.solved.answer.assignment);
        items.filter(|(_, places)| places.contains(&self.index)).map(|(item, _)| item.name.as_str()).collect()
    }

    /// What it costs, where it holds anything.
    #[getter]
    fn cost<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let cost = self.solved.problem.kinds().get(self.bin()?.kind).map_or(0, |kind| kind.cost);
        unscaled(py, cost, self.solved.scales.costs)
    }

    /// The device as plain values, ready for JSON.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        fields.set_item("name", self.name()?)?;
        fields.set_item("models", self.models())?;
        fields.set_item("load", self.load(py)?)?;
        fields.set_item("usable", self.usable(py)?)?;
        fields.set_item("cost", self.cost(py)?)?;
        Ok(fields)
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("<PlacedDevice {:?}: {}>", self.name()?, self.models().join(", ")))
    }
}
