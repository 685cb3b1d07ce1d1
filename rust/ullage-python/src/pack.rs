//! Bin packing: problems from Python values. The plans are in `plan`.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use ullage_core::pack::{self, BinKind, Item, Problem, Strategy};
use ullage_core::{Bytes, Error};

use crate::error::{Failure, Outcome};
use crate::integers::{Unfit, integers};
use crate::plan::Plan;
use crate::signals::Errand;
use crate::units::ByteCount;

/// Pack items into as few bins as possible.
///
/// `items` are sizes in bytes: a dict from name to size, a list of sizes, a list of pairs of name and size, or a
/// one-dimensional array of integers. `bins` is a capacity (as many bins as needed), a list of capacities (one bin
/// each), or a dict from name to a capacity (one bin) or to a pair of capacity and count (`None`: as many as needed).
/// Sizes and capacities may be texts such as "24GiB".
///
/// `strategy` is `auto` (the better heuristic, then a search for at most 200 items), `first_fit_decreasing`,
/// `best_fit_decreasing` or `exact` (the search whatever the number of items). `time_limit` is in seconds and bounds
/// the search; `None` lets it finish. `progress` is called with a `Progress` whenever a better plan or a higher bound is known,
/// and about four times a second in between. Ctrl-C raises `Interrupted`, a `KeyboardInterrupt` that holds the best
/// plan so far.
///
/// Raises `ProblemError` naming the item or bin at fault, `ArgumentError` for an unknown strategy or a time limit that
/// is negative or not finite. A problem without solution is no error: see `Plan.status`.
#[pyfunction]
#[pyo3(
    name = "pack",
    signature = (items, bins, strategy = "auto", time_limit = Some(10.0), *, progress = None),
    text_signature = "(items, bins, strategy='auto', time_limit=10.0, *, progress=None)"
)]
pub(crate) fn pack_items(
    py: Python<'_>,
    items: &Bound<'_, PyAny>,
    bins: &Bound<'_, PyAny>,
    strategy: &str,
    time_limit: Option<f64>,
    progress: Option<Py<PyAny>>,
) -> Outcome<Plan> {
    let strategy: Strategy = strategy.parse()?;
    let problem = problem_of(items, bin_kinds(bins)?)?;
    Errand::new(time_limit, progress)?.run(
        py,
        |limits| {
            let plan = pack::solve(&problem, strategy, limits);
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

fn problem_of(items: &Bound<'_, PyAny>, kinds: Vec<BinKind>) -> Outcome<Problem> {
    if let Ok(items) = items.cast::<PyDict>() {
        let item = |(name, size): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
            let name = named(&name, || "items".to_owned())?;
            let size = size_at(&size, || format!("items[{name:?}]"))?;
            Ok(Item { name, size })
        };
        return Ok(Problem::new(items.iter().map(item).collect::<Outcome<_>>()?, kinds)?);
    }
    if let Some(sizes) = sizes_in_buffer(items)? {
        return Ok(Problem::from_sizes(sizes, kinds)?);
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
    Ok(if names.is_empty() {
        Problem::from_sizes(sizes, kinds)?
    } else {
        let items = names.into_iter().zip(sizes).map(|(name, size)| Item { name, size });
        Problem::new(items.collect(), kinds)?
    })
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
