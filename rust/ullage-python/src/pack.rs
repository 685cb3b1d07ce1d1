//! Bin packing: problems from Python values. The plans are in `plan`.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use ullage_core::pack::{self, BinKind, Item, Problem, Strategy};
use ullage_core::{Bytes, Error};

use crate::error::{Failure, Outcome};
use crate::integers::{Unfit, integers};
use crate::plan::Plan;
use crate::signals::Errand;
use crate::units::{ByteCount, WholeNumber};

/// Pack items into as few bins as possible.
///
/// `items` are sizes in bytes: a dict from name to size, a list of sizes, a list of pairs of name and size, or a
/// one-dimensional array of integers. `bins` is a capacity (as many bins as needed), a list of capacities (one bin
/// each), or a dict from name to a capacity (one bin) or to a pair of capacity and count (`None`: as many as needed).
/// Sizes and capacities may be texts such as "24GiB".
///
/// `counts` says how many items of each size there are, as in cutting stock; copies follow each other in the plan, and those
/// of a named item are called `llama:0`, `llama:1` and so on.
///
/// `strategy` is a plain heuristic, in the order given (`next_fit`, `first_fit`, `best_fit`, `worst_fit`, `best_k_fit` or
/// `best_k_fit:4`) or on decreasing sizes (`next_fit_decreasing` and so on); `minimum_bin_slack` or
/// `minimum_bin_slack_seeded`; `perturbed_bin_slack` or `local_search`, which draw lots; `auto` (the best of the fast ones,
/// then a short local search, branch and price for at most 2,000 items, other exact searches for at most 200); or `exact`
/// (all of it whatever the number of items). `time_limit` is in seconds and bounds all but the plain heuristics; `None` lets them finish. The same `seed`
/// gives the same plan, if time does not run out. `progress` is called with a `Progress` whenever a better plan or a higher
/// bound is known, and about four times a second in between. Ctrl-C raises `Interrupted`, a `KeyboardInterrupt` that holds
/// the best plan so far.
///
/// Raises `ProblemError` naming the item or bin at fault, `ArgumentError` for an unknown strategy or a time limit that
/// is negative or not finite. A problem without solution is no error: see `Plan.status`.
#[pyfunction]
#[pyo3(
    name = "pack",
    signature = (
        items, bins, strategy = "auto", time_limit = Some(10.0), *, counts = None, seed = WholeNumber::ZERO,
        progress = None
    ),
    text_signature = "(items, bins, strategy='auto', time_limit=10.0, *, counts=None, seed=0, progress=None)"
)]
#[expect(clippy::too_many_arguments, reason = "they are the arguments of the Python function")]
pub(crate) fn pack_items(
    py: Python<'_>,
    items: &Bound<'_, PyAny>,
    bins: &Bound<'_, PyAny>,
    strategy: &str,
    time_limit: Option<f64>,
    counts: Option<&Bound<'_, PyAny>>,
    seed: WholeNumber,
    progress: Option<Py<PyAny>>,
) -> Outcome<Plan> {
    let strategy: Strategy = strategy.parse()?;
    let seed = seed.count("seed")?;
    let problem = problem_of(items, counts, bins)?;
    Errand::new(time_limit, progress)?.run(
        py,
        |limits| {
            let plan = pack::solve(&problem, strategy, seed, limits);
            Ok((problem, plan))
        },
        |(problem, plan), seconds| Plan::new(problem, plan, strategy, seconds),
    )
}

/// Read an instance file: the items, as `pack` takes them, and the capacity of every bin.
///
/// BPPLIB text (number of items, capacity, sizes, one a line), CSP (number of sizes, capacity, size and demand a line) and
/// VBP of one dimension give sizes and the capacity; a file named `*.csv` with the header `name,size` gives pairs and
/// `None`. Raises `ModelNotFoundError` or `UnreadableError` for a file that
/// cannot be read, `ProblemError` naming the line for one that makes no sense.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it converted")]
pub(crate) fn read_packing_instance(py: Python<'_>, path: PathBuf) -> Outcome<(Py<PyList>, Option<u64>)> {
    let pack::Instance { sizes, names, capacity } = py.detach(|| pack::read_instance(&path))?;
    let sizes = sizes.into_iter().map(Bytes::get);
    let items = match names {
        Some(names) => PyList::new(py, names.into_iter().zip(sizes).collect::<Vec<_>>())?,
        None => PyList::new(py, sizes)?,
    };
    Ok((items.unbind(), capacity.map(Bytes::get)))
}

fn wrong(field: impl Into<String>, reason: impl Into<String>) -> Failure {
    Error::Problem { field: field.into(), reason: reason.into() }.into()
}

/// A byte count at a place that the error names.
fn size_at(value: &Bound<'_, PyAny>, field: impl FnOnce() -> String) -> Outcome<Bytes> {
    let py = value.py();
    value.extract::<ByteCount>().map(|count| count.0).map_err(|error| {
        if error.is_instance_of::<PyValueError>(py) {
            wrong(field(), error.value(py).to_string())
        } else {
            error.into()
        }
    })
}

fn named(value: &Bound<'_, PyAny>, field: impl FnOnce() -> String) -> Outcome<String> {
    match value.cast::<PyString>() {
        Ok(name) => Ok(name.to_str()?.to_owned()),
        Err(_) => Err(wrong(field(), format!("a name is a str, not {}", value.get_type().name()?))),
    }
}

/// Sizes, and names where the items have any.
type Items = (Vec<Bytes>, Option<Vec<String>>);

pub(crate) fn problem_of(
    items: &Bound<'_, PyAny>,
    counts: Option<&Bound<'_, PyAny>>,
    bins: &Bound<'_, PyAny>,
) -> Outcome<Problem> {
    let kinds = bin_kinds(bins)?;
    let (sizes, names) = items_of(items)?;
    if let Some(counts) = counts {
        return Ok(Problem::with_counts(&sizes, names.as_deref(), &counts_of(counts)?, kinds)?);
    }
    let Some(names) = names else { return Ok(Problem::from_sizes(sizes, kinds)?) };
    let items = names.into_iter().zip(sizes).map(|(name, size)| Item { name, size });
    Ok(Problem::new(items.collect(), kinds)?)
}

fn counts_of(counts: &Bound<'_, PyAny>) -> Outcome<Vec<u64>> {
    fn negative(index: usize, value: impl std::fmt::Display) -> Failure {
        wrong(format!("counts[{index}]"), format!("{value} is not a number of items"))
    }
    let array = integers::<u64>(counts, |unfit| match unfit {
        Unfit::Dimensions(count) => wrong("counts", format!("an array of {count} dimensions, expected 1")),
        Unfit::Value(index, value) => negative(index, value),
    })?;
    if let Some(counts) = array {
        return Ok(counts);
    }
    let Ok(values) = counts.try_iter() else {
        let given = counts.get_type().name()?;
        return Err(wrong("counts", format!("expected a list or an array of integers, not {given}")));
    };
    let count = |(index, value): (usize, PyResult<Bound<'_, PyAny>>)| {
        let value = value?;
        let count = if value.is_instance_of::<PyBool>() { None } else { value.extract::<u64>().ok() };
        count.ok_or_else(|| {
            negative(index, value.repr().map_or_else(|_| "it".to_owned(), |text| text.to_string()))
        })
    };
    values.enumerate().map(count).collect()
}

fn items_of(items: &Bound<'_, PyAny>) -> Outcome<Items> {
    if let Ok(items) = items.cast::<PyDict>() {
        let item = |(name, size): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
            let name = named(&name, || "items".to_owned())?;
            let size = size_at(&size, || format!("items[{name:?}]"))?;
            Ok((size, name))
        };
        let (sizes, names) = items.iter().map(item).collect::<Outcome<Vec<_>>>()?.into_iter().unzip();
        return Ok((sizes, Some(names)));
    }
    if let Some(sizes) = sizes_in_buffer(items)? {
        return Ok((sizes, None));
    }
    let values = match items.try_iter() {
        Ok(values) if !items.is_instance_of::<PyString>() => values,
        _ => {
            let given = items.get_type().name()?;
            return Err(wrong(
                "items",
                format!("expected a dict, a list or an array of integers, not {given}"),
            ));
        }
    };
    let (mut sizes, mut names) = (Vec::new(), Vec::new());
    for (index, value) in values.enumerate() {
        let value = value?;
        let field = || format!("items[{index}]");
        let pair = value.cast::<PyTuple>().ok();
        if index > 0 && pair.is_some() == names.is_empty() {
            return Err(wrong(field(), "sizes and pairs of name and size do not mix"));
        }
        let Some(pair) = pair else {
            sizes.push(size_at(&value, field)?);
            continue;
        };
        let (name, size): (Bound<'_, PyAny>, Bound<'_, PyAny>) =
            pair.extract().map_err(|_| wrong(field(), "expected a pair of name and size"))?;
        names.push(named(&name, field)?);
        sizes.push(size_at(&size, field)?);
    }
    Ok((sizes, (!names.is_empty()).then_some(names)))
}

/// The sizes of an array of integers; `None` for any other value.
fn sizes_in_buffer(items: &Bound<'_, PyAny>) -> Outcome<Option<Vec<Bytes>>> {
    let sizes = integers::<u64>(items, |unfit| match unfit {
        Unfit::Dimensions(count) => wrong("items", format!("an array of {count} dimensions, expected 1")),
        Unfit::Value(index, value) => {
            wrong(format!("items[{index}]"), format!("{value} is not a byte count: it cannot be negative"))
        }
    })?;
    Ok(sizes.map(|sizes| sizes.into_iter().map(Bytes::new).collect()))
}

fn bin_kinds(bins: &Bound<'_, PyAny>) -> Outcome<Vec<BinKind>> {
    if let Ok(bins) = bins.cast::<PyDict>() {
        return bins
            .iter()
            .map(|(name, value)| {
                let name = named(&name, || "bins".to_owned())?;
                let (capacity, count) = capacity_and_count(&value, &name)?;
                Ok(BinKind { name, capacity, count })
            })
            .collect();
    }
    let single =
        [bins.is_instance_of::<PyInt>(), bins.is_instance_of::<PyFloat>(), bins.is_instance_of::<PyString>()];
    let capacities = if single.contains(&true) { None } else { bins.try_iter().ok() };
    let Some(capacities) = capacities else {
        let capacity = size_at(bins, || "bins".to_owned())?;
        return Ok(vec![BinKind { name: "bin".to_owned(), capacity, count: None }]);
    };
    capacities
        .enumerate()
        .map(|(index, capacity)| {
            let capacity = size_at(&capacity?, || format!("bins[{index}]"))?;
            Ok(BinKind { name: format!("bin:{index}"), capacity, count: Some(1) })
        })
        .collect()
}

/// `capacity`, which is one bin, or `(capacity, count)` with `None` for as many as needed.
fn capacity_and_count(value: &Bound<'_, PyAny>, name: &str) -> Outcome<(Bytes, Option<u64>)> {
    let field = || format!("bins[{name:?}]");
    let Ok(pair) = value.cast::<PyTuple>() else { return Ok((size_at(value, field)?, Some(1))) };
    let (capacity, count): (Bound<'_, PyAny>, Bound<'_, PyAny>) =
        pair.extract().map_err(|_| wrong(field(), "expected a capacity, or a pair of capacity and count"))?;
    let capacity = size_at(&capacity, field)?;
    let count = count.extract().map_err(|_| {
        wrong(
            field(),
            "the count of copies is a whole number from 1 to 2^64 - 1, or None for as many as needed",
        )
    })?;
    Ok((capacity, count))
}
