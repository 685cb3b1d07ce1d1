//! Arenas: problems from Python values. The layouts are in `layout`.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyString};
use ullage_core::arena::{self, Buffer, Instance, Problem, Strategy};
use ullage_core::{Bytes, Error};

use crate::buffer;
use crate::error::{Failure, Outcome};
use crate::integers::{Unfit, integers};
use crate::layout::Layout;
use crate::signals::Errand;
use crate::units::{ByteCount, WholeNumber};

/// Lay buffers out in one block of memory.
///
/// Buffer `i` takes `sizes[i]` bytes from the instant `starts[i]` until before `ends[i]`. Each column is a list or a
/// one-dimensional array of integers; sizes may be texts such as "1.5MiB". `alignments` is one number for all, or a
/// column. `ids` are names for the buffers, otherwise known by their position.
///
/// With a `capacity`, the work ends as soon as the layout is within it; otherwise the lowest is looked for.
///
/// `strategy` is `auto` (all heuristics, then a local search), `first_fit`, `best_fit`, `greedy_by_size`,
/// `greedy_by_area`, `greedy_by_length` or `greedy_by_contention`. `time_limit` is in seconds and bounds `auto`; `None`
/// lets it go on until it has no more ideas. The same `seed` gives the same layout, if time does not run out.
/// `progress` is called with a `Progress` whenever a lower layout or a higher bound is known, and about four times a
/// second in between. Ctrl-C raises `Interrupted`, a `KeyboardInterrupt` that holds the best layout so far.
///
/// Raises `ProblemError` naming the place at fault, `ArgumentError` for an unknown strategy or a time limit that is
/// negative or not finite. A capacity that is not met is no error: see `Layout.status`.
#[pyfunction]
#[pyo3(
    signature = (
        sizes, starts, ends, capacity = None, *, alignments = None, ids = None, strategy = "auto",
        time_limit = Some(10.0), seed = WholeNumber::ZERO, progress = None
    ),
    text_signature = "(sizes, starts, ends, capacity=None, *, alignments=None, ids=None, strategy='auto', \
                      time_limit=10.0, seed=0, progress=None)"
)]
#[expect(clippy::too_many_arguments, reason = "they are the keywords of one Python function")]
pub(crate) fn plan_arena(
    py: Python<'_>,
    sizes: &Bound<'_, PyAny>,
    starts: &Bound<'_, PyAny>,
    ends: &Bound<'_, PyAny>,
    capacity: Option<ByteCount>,
    alignments: Option<&Bound<'_, PyAny>>,
    ids: Option<Vec<String>>,
    strategy: &str,
    time_limit: Option<f64>,
    seed: WholeNumber,
    progress: Option<Py<PyAny>>,
) -> Outcome<Layout> {
    let strategy: Strategy = strategy.parse()?;
    let seed = seed.count("seed")?;
    let buffers = buffers_of(sizes, starts, ends, alignments)?;
    let capacity = capacity.map(|capacity| capacity.0);
    Errand::new(time_limit, progress)?.run(
        py,
        |limits| {
            let problem = Problem::new(buffers, ids, capacity)?;
            let layout = arena::solve(&problem, strategy, seed, limits);
            Ok((problem, layout))
        },
        |(problem, layout), seconds| Layout::new(problem, layout, strategy, seconds),
    )
}

/// Ids, sizes, starts, ends and alignments.
type Columns<'py> = (Vec<String>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

/// Read a CSV file of buffers: ids, sizes, starts, ends and alignments, as `plan_arena` takes them.
///
/// The header names the columns `id`, `lower`, `upper` and `size`, in any order, and perhaps `alignment`; others are
/// passed over. Raises `ModelNotFoundError` or `UnreadableError` for a file that cannot be read, `ProblemError` naming
/// line and column of what makes no sense.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it converted")]
pub(crate) fn read_arena_instance(py: Python<'_>, path: PathBuf) -> Outcome<Columns<'_>> {
    columns(py, py.detach(|| arena::read_instance(&path))?)
}

/// Read CSV as `read_arena_instance` does, from bytes.
#[pyfunction]
pub(crate) fn parse_arena_csv<'py>(py: Python<'py>, content: &[u8]) -> Outcome<Columns<'py>> {
    columns(py, py.detach(|| arena::parse_csv(content))?)
}

fn columns(py: Python<'_>, Instance { ids, buffers }: Instance) -> Outcome<Columns<'_>> {
    let (signed, unsigned) = (PyString::new(py, "int64").into_any(), PyString::new(py, "uint64").into_any());
    let sizes = buffers.iter().map(|buffer| buffer.size.get()).collect();
    let alignments = buffers.iter().map(|buffer| buffer.alignment).collect();
    let starts = buffers.iter().map(|buffer| buffer.lower).collect();
    let ends = buffers.iter().map(|buffer| buffer.upper).collect();
    Ok((
        ids,
        buffer::array::<u64>(py, sizes, &unsigned)?,
        buffer::array::<i64>(py, starts, &signed)?,
        buffer::array::<i64>(py, ends, &signed)?,
        buffer::array::<u64>(py, alignments, &unsigned)?,
    ))
}

fn wrong(field: impl Into<String>, reason: impl Into<String>) -> Failure {
    Error::Problem { field: field.into(), reason: reason.into() }.into()
}

fn buffers_of(
    sizes: &Bound<'_, PyAny>,
    starts: &Bound<'_, PyAny>,
    ends: &Bound<'_, PyAny>,
    alignments: Option<&Bound<'_, PyAny>>,
) -> Outcome<Vec<Buffer>> {
    let sizes: Vec<u64> = column(sizes, "sizes", size_at)?;
    let starts: Vec<i64> = column(starts, "starts", whole_at)?;
    let ends: Vec<i64> = column(ends, "ends", whole_at)?;
    let alignments = match alignments {
        None => vec![1; sizes.len()],
        Some(value) if value.extract::<u64>().is_ok() || value.is_instance_of::<PyString>() => {
            vec![size_at(value, &|| "alignments".to_owned())?; sizes.len()]
        }
        Some(value) => column(value, "alignments", size_at)?,
    };
    for (name, length) in [("starts", starts.len()), ("ends", ends.len()), ("alignments", alignments.len())] {
        if length != sizes.len() {
            return Err(wrong(name, format!("{length} for {} sizes", sizes.len())));
        }
    }
    let lives = starts.into_iter().zip(ends);
    let rows = lives.zip(sizes.into_iter().zip(alignments));
    let buffer =
        |((lower, upper), (size, alignment))| Buffer { lower, upper, size: Bytes::new(size), alignment };
    Ok(rows.map(buffer).collect())
}

/// The numbers of an array of integers, or of anything else that can be gone through.
fn column<T: TryFrom<i128>>(
    values: &Bound<'_, PyAny>,
    name: &str,
    at: impl Fn(&Bound<'_, PyAny>, &dyn Fn() -> String) -> Outcome<T>,
) -> Outcome<Vec<T>> {
    let found = integers(values, |unfit| match unfit {
        Unfit::Dimensions(count) => wrong(name, format!("an array of {count} dimensions, expected 1")),
        Unfit::Value(index, value) => wrong(format!("{name}[{index}]"), format!("{value} is out of range")),
    })?;
    if let Some(found) = found {
        return Ok(found);
    }
    let refused = || -> Outcome<Failure> {
        let given = values.get_type().name()?;
        Ok(wrong(name, format!("expected a list or an array of integers, not {given}")))
    };
    let items = match values.try_iter() {
        Ok(items) if !values.is_instance_of::<PyString>() => items,
        _ => return Err(refused()?),
    };
    items.enumerate().map(|(index, item)| at(&item?, &|| format!("{name}[{index}]"))).collect()
}

fn size_at(value: &Bound<'_, PyAny>, field: &dyn Fn() -> String) -> Outcome<u64> {
    let py = value.py();
    value.extract::<ByteCount>().map(|count| count.0.get()).map_err(|error| {
        if error.is_instance_of::<PyValueError>(py) {
            wrong(field(), error.value(py).to_string())
        } else {
            error.into()
        }
    })
}

fn whole_at(value: &Bound<'_, PyAny>, field: &dyn Fn() -> String) -> Outcome<i64> {
    if value.is_instance_of::<PyBool>() {
        return Err(wrong(field(), "a truth value is not an instant"));
    }
    value.extract().map_err(|_| wrong(field(), "expected a whole number from -2^63 to 2^63 - 1"))
}
