//! The best policy, and scheme, for every layer.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use ullage_core::codec::Scheme;
use ullage_core::jit::optimize::{
    Answer, Bounds, Candidate, Goal, Problem, Variant, assumed_snr_db, optimize,
};
use ullage_core::jit::{Layer, Options, Policy, Profile};
use ullage_core::solving::Limits;
use ullage_core::{Error, Result};

use crate::codec::Compression;
use crate::error::{Failure, Outcome};
use crate::signals::Errand;
use crate::units::{ByteCount, WholeNumber};

/// A policy, and a scheme, for every layer: what was chosen, and what is proven of it.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Optimum {
    layers: Vec<Vec<Variant>>,
    goal: Goal,
    answer: Answer,
    #[pyo3(get)]
    device: String,
    #[pyo3(get)]
    seconds: f64,
}

/// Choose for every layer of `model` how it is decompressed, and how it is stored where `schemes` are given.
#[pyfunction]
#[pyo3(signature = (
    model, profile, schemes, policies, *, memory_limit = None, latency_limit = None, min_snr_db = None,
    objective = None, threads = None, batch = WholeNumber::ONE, time_limit = Some(10.0), progress = None
), text_signature = "(model, profile, schemes, policies, *, memory_limit=None, latency_limit=None, min_snr_db=None, \
    objective=None, threads=None, batch=1, time_limit=10.0, progress=None)")]
#[expect(
    clippy::too_many_arguments,
    clippy::needless_pass_by_value,
    reason = "they are those of the Python function"
)]
pub(crate) fn optimize_layers(
    py: Python<'_>,
    model: &Compression,
    profile: &str,
    schemes: Vec<String>,
    policies: Vec<String>,
    memory_limit: Option<ByteCount>,
    latency_limit: Option<f64>,
    min_snr_db: Option<f64>,
    objective: Option<&str>,
    threads: Option<WholeNumber>,
    batch: WholeNumber,
    time_limit: Option<f64>,
    progress: Option<Py<PyAny>>,
) -> Outcome<Optimum> {
    let profile = Profile::from_json(profile)?;
    let schemes: Vec<Scheme> = schemes.iter().map(|text| text.parse()).collect::<Result<_>>()?;
    let policies = policies_of(&policies, &profile)?;
    let memory = memory_limit.map(|limit| limit.0);
    let bounds = Bounds { memory, latency_s: latency_limit, snr_db: min_snr_db };
    let goal = goal_of(objective, &bounds)?;
    let threads = threads.map(|count| small(count, "threads")).transpose()?;
    let options = Options { threads, batch: batch.count("batch")?, ..Options::default() };
    let device = profile.name.clone();
    let solve = |limits: &Limits<'_>| -> Outcome<(Vec<Vec<Variant>>, Answer)> {
        let layers = variants(&Layer::of_compressed(model.found())?, &schemes)?;
        let problem = Problem {
            layers: &layers,
            policies: &policies,
            profile: &profile,
            options: &options,
            bounds,
            goal,
        };
        let answer = optimize(&problem, limits)?;
        Ok((layers, answer))
    };
    let dress = |(layers, answer), seconds| Optimum { layers, goal, answer, device, seconds };
    Errand::new(time_limit, progress)?.run(py, solve, dress)
}

fn policies_of(texts: &[String], profile: &Profile) -> Outcome<Vec<Policy>> {
    if !texts.is_empty() {
        return Ok(texts.iter().map(|text| text.parse()).collect::<Result<_>>()?);
    }
    let is_possible = |policy: &Policy| profile.storage.is_some() || !matches!(policy, Policy::Stream { .. });
    Ok(Policy::ALL.into_iter().filter(is_possible).collect())
}

fn goal_of(objective: Option<&str>, bounds: &Bounds) -> Outcome<Goal> {
    match objective {
        Some("memory") => Ok(Goal::Peak),
        None if bounds.memory.is_none() && bounds.latency_s.is_some() => Ok(Goal::Peak),
        Some("latency") | None => Ok(Goal::Latency),
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            let reason = format!("{shown:?} is neither latency nor memory");
            Err(Error::Argument { name: "objective", reason }.into())
        }
    }
}

fn small(count: WholeNumber, name: &'static str) -> Outcome<u32> {
    let count = count.count(name)?;
    let reason = || Error::Argument { name, reason: format!("{count} is not between 1 and 2^32 - 1") };
    u32::try_from(count).ok().filter(|&count| count > 0).ok_or_else(|| Failure::from(reason()))
}

/// Every layer in every scheme; as it is where there are none.
fn variants(layers: &[Layer], schemes: &[Scheme]) -> Outcome<Vec<Vec<Variant>>> {
    let mut known: Vec<(Vec<u64>, Scheme, Option<f64>)> = Vec::new();
    let mut variant = |layer: Layer| -> Result<Variant> {
        let is_same =
            |(shape, scheme, _): &&(Vec<u64>, Scheme, _)| *shape == layer.shape && *scheme == layer.scheme;
        let snr_db = if let Some(&(_, _, snr_db)) = known.iter().find(is_same) {
            snr_db
        } else {
            let snr_db = assumed_snr_db(&layer.shape, layer.scheme)?;
            known.push((layer.shape.clone(), layer.scheme, snr_db));
            snr_db
        };
        Ok(Variant { layer, snr_db })
    };
    let mut all = Vec::with_capacity(layers.len());
    for layer in layers {
        let stored: Vec<Layer> = if schemes.is_empty() {
            vec![layer.clone()]
        } else {
            schemes
                .iter()
                .map(|&scheme| Layer::new(&layer.name, &layer.shape, scheme))
                .collect::<Result<_>>()?
        };
        all.push(stored.into_iter().map(&mut variant).collect::<Result<_>>()?);
    }
    Ok(all)
}

#[pymethods]
impl Optimum {
    /// `optimal`, `feasible`, `infeasible` or `timeout`.
    #[getter]
    fn status(&self) -> &'static str {
        self.answer.status.name()
    }

    #[getter]
    fn objective(&self) -> &'static str {
        self.goal.name()
    }

    #[getter]
    fn latency_s(&self) -> Option<f64> {
        self.answer.best.as_ref().map(|best| best.latency_s)
    }

    #[getter]
    fn peak_bytes(&self) -> Option<u64> {
        self.answer.best.as_ref().map(|best| best.peak.get())
    }

    #[getter]
    fn resident_bytes(&self) -> Option<u64> {
        self.answer.simulation.as_ref().map(|pass| pass.resident.get())
    }

    #[getter]
    fn snr_db(&self) -> Option<f64> {
        self.answer.best.as_ref().and_then(|best| best.snr_db)
    }

    #[getter]
    fn lower_bound(&self) -> f64 {
        self.answer.lower_bound
    }

    #[getter]
    fn gap(&self) -> Option<f64> {
        let value = |best: &Candidate| match self.goal {
            Goal::Latency => best.latency_s,
            Goal::Peak => float(best.peak.get()),
        };
        self.answer.best.as_ref().map(|best| self.answer.gap(value(best)))
    }

    #[getter]
    fn reason(&self) -> Option<&str> {
        self.answer.reason.as_deref()
    }

    #[getter]
    fn simulated(&self) -> u64 {
        self.answer.simulated
    }

    /// For every layer its name, scheme, policy, bound and seconds.
    #[getter]
    fn layers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        let (Some(best), Some(pass)) = (&self.answer.best, &self.answer.simulation) else { return Ok(rows) };
        for ((variants, choice), time) in self.layers.iter().zip(&best.choices).zip(&pass.layers) {
            let Variant { layer, snr_db } = &variants[choice.variant];
            let row = PyDict::new(py);
            row.set_item("name", &layer.name)?;
            row.set_item("scheme", layer.scheme.to_string())?;
            row.set_item("policy", time.policy.to_string())?;
            row.set_item("bound", time.bound.name())?;
            row.set_item("basis", time.basis.name())?;
            row.set_item("seconds", time.seconds)?;
            row.set_item("bytes", layer.compressed.get())?;
            row.set_item("dense_bytes", layer.dense.get())?;
            row.set_item("snr_db", snr_db)?;
            rows.append(row)?;
        }
        Ok(rows)
    }

    /// Every policy for all layers alike.
    #[getter]
    fn uniform<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        for one in &self.answer.uniform {
            let row = PyDict::new(py);
            row.set_item("policy", one.policy.to_string())?;
            row.set_item("scheme", self.scheme_of(one.variant))?;
            row.set_item("latency_s", one.latency_s)?;
            row.set_item("peak_bytes", one.peak.get())?;
            row.set_item("snr_db", one.snr_db)?;
            row.set_item("allowed", one.is_allowed)?;
            rows.append(row)?;
        }
        Ok(rows)
    }

    /// What nothing that was simulated within the limits beats in both memory and latency.
    #[getter]
    fn front<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        for one in &self.answer.front {
            let row = PyDict::new(py);
            row.set_item("latency_s", one.latency_s)?;
            row.set_item("peak_bytes", one.peak.get())?;
            row.set_item("snr_db", one.snr_db)?;
            let policies = PyDict::new(py);
            for (policy, count) in one.policies() {
                policies.set_item(policy, count)?;
            }
            row.set_item("policies", policies)?;
            rows.append(row)?;
        }
        Ok(rows)
    }

    /// Which layer keeps what busy, from when until when.
    #[getter]
    fn timeline<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        let Some(pass) = &self.answer.simulation else { return Ok(rows) };
        for event in &pass.timeline {
            let row = PyDict::new(py);
            let layer = pass.layers.get(event.layer as usize).map(|layer| layer.name.as_str());
            row.set_item("layer", layer)?;
            row.set_item("resource", event.resource.name())?;
            row.set_item("start_s", event.start_s)?;
            row.set_item("end_s", event.end_s)?;
            rows.append(row)?;
        }
        Ok(rows)
    }

    /// Bytes in use over a pass, as pairs of seconds and bytes.
    #[getter]
    fn memory(&self) -> Vec<(f64, u64)> {
        let pass = self.answer.simulation.as_ref();
        pass.map_or_else(Vec::new, |pass| {
            pass.memory.iter().map(|level| (level.at_s, level.bytes.get())).collect()
        })
    }

    fn __repr__(&self) -> String {
        let status = self.answer.status;
        match &self.answer.best {
            Some(best) => format!(
                "<Optimum {status}: {:.3} ms, {} bytes on {}>",
                best.latency_s * 1e3,
                best.peak.get(),
                self.device
            ),
            None => format!("<Optimum {status} on {}>", self.device),
        }
    }
}

impl Optimum {
    /// The scheme that most layers have in the variant of that place.
    fn scheme_of(&self, variant: usize) -> Option<String> {
        let mut counts: Vec<(Scheme, usize)> = Vec::new();
        for variants in &self.layers {
            let Some(scheme) = variants.get(variant).map(|variant| variant.layer.scheme) else { continue };
            match counts.iter_mut().find(|(known, _)| *known == scheme) {
                Some((_, count)) => *count = count.saturating_add(1),
                None => counts.push((scheme, 1)),
            }
        }
        counts.into_iter().max_by_key(|&(_, count)| count).map(|(scheme, _)| scheme.to_string())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share is read to a few digits")]
const fn float(count: u64) -> f64 {
    count as f64
}
