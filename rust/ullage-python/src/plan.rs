//! Packing plans as frozen objects.

use std::sync::{Arc, OnceLock};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use ullage_core::pack::{self, Infeasibility, Problem, Proof, Strategy};

struct Solved {
    problem: Problem,
    plan: pack::Plan,
    strategy: Strategy,
    seconds: f64,
    contents: OnceLock<Contents>,
}

/// The items of each bin: those of bin `b` are `items[starts[b]..starts[b + 1]]`, ascending.
struct Contents {
    starts: Vec<usize>,
    items: Vec<usize>,
}

impl Solved {
    fn items_of(&self, bin: usize) -> &[usize] {
        let Contents { starts, items } = self.contents.get_or_init(|| Contents::of(&self.plan));
        let range = starts.get(bin).zip(starts.get(bin.saturating_add(1)));
        range.and_then(|(&start, &end)| items.get(start..end)).unwrap_or_default()
    }

    /// An item as its user knows it: by name, or by position where it has none.
    fn key<'py>(&self, py: Python<'py>, item: usize) -> PyResult<Bound<'py, PyAny>> {
        match self.problem.names().and_then(|names| names.get(item)) {
            Some(name) => Ok(PyString::new(py, name).into_any()),
            None => Ok(item.into_pyobject(py)?.into_any()),
        }
    }

    fn keys<'py>(&self, py: Python<'py>, items: &[usize]) -> PyResult<Bound<'py, PyList>> {
        let keys = items.iter().map(|&item| self.key(py, item));
        PyList::new(py, keys.collect::<PyResult<Vec<_>>>()?)
    }

    fn reason<'py>(&self, py: Python<'py>, reason: Infeasibility) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        fields.set_item("kind", reason.name())?;
        fields.set_item("text", reason.explain(&self.problem))?;
        match reason {
            Infeasibility::ItemTooLarge { item, size, largest } => {
                fields.set_item("item", self.key(py, item)?)?;
                fields.set_item("size", size.get())?;
                fields.set_item("largest", largest.get())?;
            }
            Infeasibility::TooLittleCapacity { above, needed, available } => {
                fields.set_item("above", above.get())?;
                fields.set_item("needed", needed)?;
                fields.set_item("available", available)?;
            }
            Infeasibility::TooFewBins { proof, needed, available } => {
                fields.set_item("bound", proof_fields(py, proof)?)?;
                fields.set_item("needed", needed)?;
                fields.set_item("available", available)?;
            }
            Infeasibility::SearchExhausted => {}
        }
        Ok(fields)
    }
}

impl Contents {
    fn of(plan: &pack::Plan) -> Self {
        let mut counts = vec![0_usize; plan.bins.len()];
        for &bin in plan.assignment.iter().flatten() {
            if let Some(count) = counts.get_mut(bin) {
                *count = count.saturating_add(1);
            }
        }
        let mut starts = vec![0];
        starts.extend(counts.iter().scan(0_usize, |end, &count| {
            *end = end.saturating_add(count);
            Some(*end)
        }));
        let mut next = starts.clone();
        let mut items = vec![0; plan.assignment.len().saturating_sub(plan.unplaced.len())];
        for (item, &bin) in plan.assignment.iter().enumerate() {
            let Some(place) = bin.and_then(|bin| next.get_mut(bin)) else { continue };
            if let Some(slot) = items.get_mut(*place) {
                *slot = item;
            }
            *place = place.saturating_add(1);
        }
        Self { starts, items }
    }
}

/// The name of a bound, with its parameters.
pub(crate) fn proof_fields(py: Python<'_>, proof: Proof) -> PyResult<Bound<'_, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("kind", proof.name())?;
    match proof {
        Proof::Threshold(threshold) => fields.set_item("threshold", threshold.get())?,
        Proof::Dual { function, parameter, cut } => {
            fields.set_item("function", function.name())?;
            fields.set_item("parameter", parameter)?;
            fields.set_item("cut", cut.get())?;
        }
        Proof::Reduction { left_out } => fields.set_item("left_out", left_out)?,
        Proof::Area | Proof::Search => {}
    }
    Ok(fields)
}

/// Where every item goes, and what is proven about it.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Plan(Arc<Solved>);

impl Plan {
    pub(crate) fn new(problem: Problem, plan: pack::Plan, strategy: Strategy, seconds: f64) -> Self {
        Self(Arc::new(Solved { problem, plan, strategy, seconds, contents: OnceLock::new() }))
    }

    pub(crate) fn validate(&self) -> ullage_core::Result<()> {
        pack::validate(&self.0.problem, &self.0.plan)
    }
}

#[pymethods]
impl Plan {
    /// "optimal": all placed, in provably as few bins as possible. "feasible": all placed, the gap is positive.
    /// "infeasible": provably not all can be placed. "timeout": neither a complete plan nor a proof in the effort allowed.
    #[getter]
    fn status(&self) -> &'static str {
        self.0.plan.status.name()
    }

    /// The strategy asked for.
    #[getter]
    fn strategy(&self) -> &'static str {
        self.0.strategy.name()
    }

    /// For each item the position of its bin in `bins`, `None` for an unplaced one.
    #[getter]
    fn assignment(&self) -> Vec<Option<usize>> {
        self.0.plan.assignment.clone()
    }

    /// `assignment` as a read-only array of int64, with -1 for an unplaced item.
    #[getter]
    fn assignment_array<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let assignment = &self.0.plan.assignment;
        let bytes = PyBytes::new_with(py, assignment.len().saturating_mul(size_of::<i64>()), |bytes| {
            for (slot, bin) in bytes.chunks_exact_mut(size_of::<i64>()).zip(assignment) {
                let bin = bin.and_then(|bin| i64::try_from(bin).ok()).unwrap_or(-1);
                slot.copy_from_slice(&bin.to_ne_bytes());
            }
            Ok(())
        })?;
        py.import(c"numpy")?.call_method1(c"frombuffer", (bytes, "int64"))
    }

    /// The name of the bin of each item, by the name of the item, or by its position where items have no names.
    #[getter]
    fn placement<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let Solved { problem, plan, .. } = &*self.0;
        let names = plan.bins.iter().map(|bin| {
            problem.bin_name(bin.kind, bin.copy).map(|name| PyString::new(py, &name).into_any().unbind())
        });
        let names: Vec<_> = names.collect();
        let placement = PyDict::new(py);
        for (item, bin) in plan.assignment.iter().enumerate() {
            let name = bin.and_then(|bin| names.get(bin)).and_then(Option::as_ref);
            placement.set_item(self.0.key(py, item)?, name)?;
        }
        Ok(placement)
    }

    /// The bins in use, and the unused ones that are the only bin of their name, in the order given.
    #[getter]
    fn bins(&self) -> Vec<PlannedBin> {
        (0..self.0.plan.bins.len()).map(|index| PlannedBin { solved: Arc::clone(&self.0), index }).collect()
    }

    /// How many bins hold an item.
    #[getter]
    fn bins_used(&self) -> usize {
        self.0.plan.bins_used
    }

    /// No complete plan uses fewer bins. Zero if there is no complete plan.
    #[getter]
    fn lower_bound(&self) -> usize {
        self.0.plan.lower_bound
    }

    /// Which bound `lower_bound` is: "area", "threshold" (L2), `dual_feasible_function`, "reduction" (L3) or "search".
    #[getter]
    fn proof(&self) -> &'static str {
        self.0.plan.proof.name()
    }

    /// `bins_used - lower_bound`, `None` while items are unplaced.
    #[getter]
    fn gap(&self) -> Option<usize> {
        self.0.plan.gap()
    }

    /// The items without a bin, by name, or by position where items have no names.
    #[getter]
    fn unplaced<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.0.keys(py, &self.0.plan.unplaced)
    }

    /// Why not all items can be placed, present exactly when `status` is "infeasible". As data in `as_dict()`.
    #[getter]
    fn reason(&self) -> Option<String> {
        self.0.plan.reason.map(|reason| reason.explain(&self.0.problem))
    }

    /// Seconds that the solve took.
    #[getter]
    fn seconds(&self) -> f64 {
        self.0.seconds
    }

    /// Nodes of the search tree that were looked at, 0 without a search.
    #[getter]
    fn nodes(&self) -> u64 {
        self.0.plan.nodes
    }

    /// The plan as plain values, ready for JSON.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let plan = &self.0.plan;
        let fields = PyDict::new(py);
        fields.set_item("status", self.status())?;
        fields.set_item("bins_used", plan.bins_used)?;
        fields.set_item("lower_bound", plan.lower_bound)?;
        fields.set_item("proof", proof_fields(py, plan.proof)?)?;
        fields.set_item("gap", plan.gap())?;
        fields.set_item("seconds", self.0.seconds)?;
        fields.set_item("assignment", &plan.assignment)?;
        fields.set_item("strategy", self.strategy())?;
        fields.set_item("nodes", plan.nodes)?;
        fields.set_item("unplaced", self.unplaced(py)?)?;
        fields.set_item("reason", plan.reason.map(|reason| self.0.reason(py, reason)).transpose()?)?;
        let bins = self.bins().into_iter().map(|bin| bin.as_dict(py));
        fields.set_item("bins", bins.collect::<PyResult<Vec<_>>>()?)?;
        Ok(fields)
    }

    fn __repr__(&self) -> String {
        let Solved { problem, plan, .. } = &*self.0;
        let items = plan.assignment.len();
        let placed = items.saturating_sub(plan.unplaced.len());
        let (status, used) = (plan.status, plan.bins_used);
        let more = match (plan.reason, plan.gap()) {
            (Some(reason), _) => reason.explain(problem),
            (None, Some(gap)) => format!("gap {gap}"),
            (None, None) => "no complete plan found in time".to_owned(),
        };
        format!("<Plan {status}: {placed} of {items} items in {used} bins; {more}>")
    }
}

/// One bin of a plan.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct PlannedBin {
    solved: Arc<Solved>,
    index: usize,
}

impl PlannedBin {
    fn planned(&self) -> PyResult<pack::PlannedBin> {
        let bin = self.solved.plan.bins.get(self.index).copied();
        bin.ok_or_else(|| PyValueError::new_err("the plan has no such bin"))
    }

    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        fields.set_item("name", self.name()?)?;
        fields.set_item("capacity", self.capacity()?)?;
        fields.set_item("load", self.load()?)?;
        Ok(fields)
    }
}

#[pymethods]
impl PlannedBin {
    /// Its name: as given, or `a100:2` for a copy of several.
    #[getter]
    fn name(&self) -> PyResult<String> {
        let pack::PlannedBin { kind, copy, .. } = self.planned()?;
        Ok(self.solved.problem.bin_name(kind, copy).unwrap_or_default())
    }

    /// What it holds at most, in bytes.
    #[getter]
    fn capacity(&self) -> PyResult<u64> {
        Ok(self.planned()?.capacity.get())
    }

    /// What it holds, in bytes.
    #[getter]
    fn load(&self) -> PyResult<u64> {
        Ok(self.planned()?.load.get())
    }

    /// The items it holds, by name, or by position where items have no names.
    #[getter]
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.solved.keys(py, self.solved.items_of(self.index))
    }

    fn __repr__(&self) -> PyResult<String> {
        let pack::PlannedBin { capacity, load, .. } = self.planned()?;
        let items = self.solved.items_of(self.index).len();
        Ok(format!("<PlannedBin {:?}: {items} items, {load} of {capacity}>", self.name()?))
    }
}
