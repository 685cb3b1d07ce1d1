//! Splits: problems from Python values, and answers as frozen objects.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use ullage_core::split::parallel::{Plan, Rack};
use ullage_core::split::{self, Limits, Link, Links, Objective, Order, Place, pace, tiers};
use ullage_core::units::duration_from_secs;
use ullage_core::{Bytes, Error};

use crate::chain::Chain;
use crate::error::Outcome;
use crate::signals::Errand;
use crate::units::{ByteCount, WholeNumber};

/// Bytes a second (`None` for no limit) and seconds until the first arrives.
type GivenLink = (Option<ByteCount>, f64);

/// Name, memory, reserve, bytes a second, operations a second, machine.
type GivenPlace = (String, ByteCount, ByteCount, Option<ByteCount>, Option<ByteCount>, usize);

/// Name, memory, reserve, bytes a second, operations a second, the tier that computes it, the link it fetches over.
type GivenTier = (String, ByteCount, ByteCount, Option<ByteCount>, Option<ByteCount>, usize, GivenLink);

fn link((bandwidth, latency): GivenLink) -> Outcome<Link> {
    let nanos = duration_from_secs(latency, "latency")?.as_nanos();
    let latency = u64::try_from(nanos.saturating_mul(1000)).unwrap_or(u64::MAX);
    Ok(Link { bandwidth: bandwidth.map(|rate| rate.0.get()), latency })
}

fn place((name, capacity, reserve, bandwidth, flops, node): GivenPlace) -> Place {
    let (bandwidth, flops) = (bandwidth.map(|rate| rate.0.get()), flops.map(|rate| rate.0.get()));
    Place { name, capacity: capacity.0, reserve: reserve.0, bandwidth, flops, node }
}

/// Cut a chain into runs for devices in a row.
///
/// `links` is "alike" with one link, "neighbours" with one between each two, or "nodes" with one within a machine and one
/// between machines.
#[pyfunction]
#[pyo3(signature = (chain, places, links, *, any_order, objective, time_limit, progress = None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub(crate) fn split_pipeline(
    py: Python<'_>,
    chain: Py<Chain>,
    places: Vec<GivenPlace>,
    links: (&str, Vec<GivenLink>),
    any_order: bool,
    objective: &str,
    time_limit: Option<f64>,
    progress: Option<Py<PyAny>>,
) -> Outcome<Split> {
    let objective = Objective::named(objective)?;
    let order = if any_order { Order::Any } else { Order::Given };
    let links = links_of(links.0, links.1)?;
    let places = places.into_iter().map(place).collect();
    let problem = split::Problem::new(chain.get().chain.clone(), places, links, order, objective)?;
    Errand::new(time_limit, progress)?.run(
        py,
        |limits| {
            let split = split::solve(&problem, limits);
            Ok(Solved::Pipeline(problem, split))
        },
        |solved, seconds| Split { chain, solved, seconds },
    )
}

fn links_of(kind: &str, given: Vec<GivenLink>) -> Outcome<Links> {
    let found = given.into_iter().map(link).collect::<Outcome<Vec<Link>>>()?;
    match (kind, found.as_slice()) {
        ("alike", &[link]) => Ok(Links::Alike(link)),
        ("nodes", &[inside, between]) => Ok(Links::Nodes { inside, between }),
        ("neighbours", _) => Ok(Links::Neighbours(found)),
        _ => {
            let reason = format!("{} links of kind {kind:?} are none that are known", found.len());
            Err(Error::Argument { name: "links", reason }.into())
        }
    }
}

/// Place the pieces of a chain in tiers of memory.
#[pyfunction]
#[pyo3(signature = (chain, tiers, *, buffers, is_cut, time_limit, progress = None))]
pub(crate) fn split_tiers(
    py: Python<'_>,
    chain: Py<Chain>,
    tiers: Vec<GivenTier>,
    buffers: WholeNumber,
    is_cut: bool,
    time_limit: Option<f64>,
    progress: Option<Py<PyAny>>,
) -> Outcome<Split> {
    let tier = |(name, capacity, reserve, bandwidth, flops, worker, over): GivenTier| {
        let rate = |rate: Option<ByteCount>| rate.map(|rate| rate.0.get());
        let (capacity, reserve) = (capacity.0, reserve.0);
        let (bandwidth, flops, link) = (rate(bandwidth), rate(flops), link(over)?);
        Ok(tiers::Tier { name, capacity, reserve, bandwidth, flops, worker, link })
    };
    let tiers = tiers.into_iter().map(tier).collect::<Outcome<Vec<_>>>()?;
    let cut = if is_cut { tiers::Cut::LastFirst } else { tiers::Cut::Anywhere };
    let problem = tiers::Problem::new(&chain.get().chain, tiers, buffers.count("buffers")?, cut)?;
    Errand::new(time_limit, progress)?.run(
        py,
        |limits| {
            let placement = tiers::solve(&problem, limits);
            Ok(Solved::Tiers(problem, placement))
        },
        |solved, seconds| Split { chain, solved, seconds },
    )
}

/// Spread a chain over tensor-parallel groups of a rack.
#[pyfunction]
#[pyo3(signature = (chain, device, nodes, per_node, inside, between, *, degree, objective, time_limit, progress = None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub(crate) fn split_rack(
    py: Python<'_>,
    chain: Py<Chain>,
    device: GivenPlace,
    nodes: usize,
    per_node: usize,
    inside: GivenLink,
    between: GivenLink,
    degree: Option<usize>,
    objective: &str,
    time_limit: Option<f64>,
    progress: Option<Py<PyAny>>,
) -> Outcome<Split> {
    let objective = Objective::named(objective)?;
    let (device, inside, between) = (place(device), link(inside)?, link(between)?);
    let whole = chain.get().chain.clone();
    let rack = Rack { device, nodes, per_node, inside, between };
    Errand::new(time_limit, progress)?.run(
        py,
        |limits: &Limits<'_>| {
            let plans = rack.plans(&whole, degree, objective, limits)?;
            Ok(Solved::Rack(plans))
        },
        |solved, seconds| Split { chain, solved, seconds },
    )
}

enum Solved {
    Pipeline(split::Problem, split::Split),
    Tiers(tiers::Problem, tiers::Placement),
    /// Never empty: one device alone is always a group.
    Rack(Vec<Plan>),
}

/// Which pieces go where, and what is proven about it.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Split {
    chain: Py<Chain>,
    solved: Solved,
    seconds: f64,
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people; the proof is over the integers")]
fn in_units(count: u64, unit: u64) -> f64 {
    count as f64 / unit as f64
}

fn seconds(picoseconds: u64) -> f64 {
    in_units(picoseconds, pace::SECOND)
}

impl Split {
    pub(crate) fn validate(&self) -> ullage_core::Result<()> {
        match &self.solved {
            Solved::Pipeline(problem, split) => split::validate(problem, split),
            Solved::Tiers(problem, placement) => tiers::validate(problem, placement),
            Solved::Rack(plans) => {
                plans.iter().try_for_each(|plan| split::validate(&plan.problem, &plan.split))
            }
        }
    }

    /// The pipeline, where it is one.
    fn pipeline(&self) -> Option<(&split::Problem, &split::Split)> {
        match &self.solved {
            Solved::Pipeline(problem, split) => Some((problem, split)),
            Solved::Rack(plans) => plans.first().map(|plan| (&plan.problem, &plan.split)),
            Solved::Tiers(..) => None,
        }
    }

    fn in_objective(&self, value: u64) -> f64 {
        match self.pipeline().map_or(Objective::Latency, |(problem, _)| problem.objective()) {
            Objective::Latency | Objective::Throughput => seconds(value),
            Objective::Devices => in_units(value, 1),
            Objective::Balance => in_units(value, split::WHOLE),
        }
    }
}

#[pymethods]
impl Split {
    #[getter]
    fn chain(&self, py: Python<'_>) -> Py<Chain> {
        self.chain.clone_ref(py)
    }

    #[getter]
    fn kind(&self) -> &'static str {
        match self.solved {
            Solved::Pipeline(..) => "pipeline",
            Solved::Tiers(..) => "tiers",
            Solved::Rack(..) => "rack",
        }
    }

    #[getter]
    fn status(&self) -> &'static str {
        match &self.solved {
            Solved::Tiers(_, placement) => placement.status.name(),
            _ => self.pipeline().map_or("timeout", |(_, split)| split.status.name()),
        }
    }

    #[getter]
    fn objective(&self) -> &'static str {
        self.pipeline().map_or("latency", |(problem, _)| problem.objective().name())
    }

    #[getter]
    fn value(&self) -> f64 {
        match &self.solved {
            Solved::Tiers(_, placement) => seconds(placement.latency),
            _ => self.pipeline().map_or(0.0, |(_, split)| self.in_objective(split.value)),
        }
    }

    #[getter]
    fn lower_bound(&self) -> f64 {
        match &self.solved {
            Solved::Tiers(_, placement) => seconds(placement.lower_bound),
            _ => self.pipeline().map_or(0.0, |(_, split)| self.in_objective(split.lower_bound)),
        }
    }

    #[getter]
    fn latency_s(&self) -> f64 {
        match &self.solved {
            Solved::Tiers(_, placement) => seconds(placement.latency),
            _ => self.pipeline().map_or(0.0, |(_, split)| seconds(split.latency)),
        }
    }

    #[getter]
    fn bottleneck_s(&self) -> f64 {
        match &self.solved {
            Solved::Tiers(_, placement) => seconds(placement.latency),
            _ => self.pipeline().map_or(0.0, |(_, split)| seconds(split.bottleneck)),
        }
    }

    #[getter]
    fn buffer(&self) -> u64 {
        match &self.solved {
            Solved::Tiers(_, placement) => placement.buffer.get(),
            _ => 0,
        }
    }

    #[getter]
    fn tensor_parallel(&self) -> usize {
        match &self.solved {
            Solved::Rack(plans) => plans.first().map_or(1, |plan| plan.degree),
            _ => 1,
        }
    }

    #[getter]
    fn reason(&self) -> Option<String> {
        match &self.solved {
            Solved::Tiers(problem, placement) => {
                placement.reason.as_ref().map(|reason| reason.explain(problem))
            }
            _ => self.pipeline().and_then(|(problem, split)| Some(split.reason?.explain(problem))),
        }
    }

    #[getter]
    fn assignment(&self) -> Vec<Option<usize>> {
        match &self.solved {
            Solved::Tiers(problem, placement) if placement.assignment.is_empty() => {
                vec![None; problem.pieces().len()]
            }
            Solved::Tiers(_, placement) => placement.assignment.iter().copied().map(Some).collect(),
            _ => self
                .pipeline()
                .map_or_else(Vec::new, |(problem, split)| split.assignment(problem.chain().pieces().len())),
        }
    }

    #[getter]
    fn places(&self) -> Vec<SplitPlace> {
        match &self.solved {
            Solved::Tiers(problem, placement) => in_tiers(problem, placement),
            _ => self.pipeline().map_or_else(Vec::new, |(problem, split)| in_row(problem, split)),
        }
    }

    #[getter]
    fn alternatives<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        let Solved::Rack(plans) = &self.solved else { return Ok(rows) };
        for plan in plans {
            let row = PyDict::new(py);
            row.set_item("tensor_parallel", plan.degree)?;
            row.set_item("pipeline_parallel", plan.split.stages.len())?;
            row.set_item("devices", plan.devices())?;
            row.set_item("status", plan.split.status.name())?;
            row.set_item("latency_s", seconds(plan.split.latency))?;
            row.set_item("bottleneck_s", seconds(plan.split.bottleneck))?;
            row.set_item("reason", plan.split.reason.map(|reason| reason.explain(&plan.problem)))?;
            rows.append(row)?;
        }
        Ok(rows)
    }

    #[getter]
    fn seconds(&self) -> f64 {
        self.seconds
    }

    fn __repr__(&self) -> String {
        let more = self.reason().unwrap_or_else(|| format!("{:.6} s a step", self.latency_s()));
        format!("<Split {}: {} pieces; {more}>", self.status(), self.assignment().len())
    }
}

/// A device or tier, and what it holds.
#[pyclass(frozen, get_all, module = "ullage")]
pub(crate) struct SplitPlace {
    name: String,
    pieces: Vec<usize>,
    load: u64,
    capacity: u64,
    time_s: f64,
    transfer_s: f64,
}

#[pymethods]
impl SplitPlace {
    fn __repr__(&self) -> String {
        let load = Bytes::new(self.load);
        format!("SplitPlace({:?}: {} pieces, {load})", self.name, self.pieces.len())
    }
}

/// Every place of the problem in its order, those in use in that of the chain first.
fn in_row(problem: &split::Problem, split: &split::Split) -> Vec<SplitPlace> {
    let of = |(index, place): (usize, &Place)| {
        let stage = split.stages.iter().find(|stage| stage.place == index);
        SplitPlace {
            name: place.name.clone(),
            pieces: stage.map_or_else(Vec::new, |stage| (stage.first..stage.end).collect()),
            load: stage.map_or(0, |stage| stage.load.get()),
            capacity: place.usable(),
            time_s: stage.map_or(0.0, |stage| seconds(stage.time)),
            transfer_s: stage.map_or(0.0, |stage| seconds(stage.transfer)),
        }
    };
    problem.places().iter().enumerate().map(of).collect()
}

fn in_tiers(problem: &tiers::Problem, placement: &tiers::Placement) -> Vec<SplitPlace> {
    let of = |(index, tier): (usize, &tiers::Tier)| {
        let here = placement.assignment.iter().enumerate().filter(|(_, lies)| **lies == index);
        let pieces: Vec<usize> = here.map(|(piece, _)| piece).collect();
        let time = pieces.iter().fold(0_u64, |sum, &piece| sum.saturating_add(problem.time(piece, index)));
        SplitPlace {
            name: tier.name.clone(),
            pieces,
            load: placement.loads.get(index).map_or(0, |load| load.get()),
            capacity: tier.usable(),
            time_s: seconds(time),
            transfer_s: 0.0,
        }
    };
    problem.tiers().iter().enumerate().map(of).collect()
}
