//! Arenas: problems from Python values. The layouts are in `layout`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString};
use ullage_core::arena::{self, Buffer, Conditions, Instance, Problem, Strategy};
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
/// Each of these has an entry for every buffer. `fixed` gives offsets that are settled, `hints` offsets that are taken
/// where the layout gets no higher by them or stays within the capacity; `None` or -1 says nothing. `alias` names groups
/// by texts or numbers, of which `None` and negative numbers are none: a group lies at one offset, as large as its
/// largest and alive while any of it is. `gaps` are pairs of instants from which until before which others may use the
/// bytes.
///
/// `strategy` is `auto` (all heuristics, then an exact and a local search by turns), `exact` (without the local search),
/// `first_fit`, `best_fit`, `greedy_by_size`,
/// `greedy_by_area`, `greedy_by_length` or `greedy_by_contention`. `time_limit` is in seconds and bounds `auto` and `exact`; `None`
/// lets it go on until it has no more ideas. The same `seed` gives the same layout, if time does not run out.
/// `progress` is called with a `Progress` whenever a lower layout or a higher bound is known, and about four times a
/// second in between. Ctrl-C raises `Interrupted`, a `KeyboardInterrupt` that holds the best layout so far.
///
/// Raises `ProblemError` naming the place at fault, `ArgumentError` for an unknown strategy or a time limit that is
/// negative or not finite. A capacity that is not met is no error: see `Layout.status`.
#[pyfunction]
#[pyo3(
    signature = (
        sizes, starts, ends, capacity = None, *, alignments = None, fixed = None, alias = None, hints = None,
        gaps = None, ids = None, strategy = "auto",
        time_limit = Some(10.0), seed = WholeNumber::ZERO, progress = None
    ),
    text_signature = "(sizes, starts, ends, capacity=None, *, alignments=None, fixed=None, alias=None, hints=None, \
                      gaps=None, ids=None, strategy='auto', time_limit=10.0, seed=0, progress=None)"
)]
#[expect(clippy::too_many_arguments, reason = "they are the keywords of one Python function")]
pub(crate) fn plan_arena(
    py: Python<'_>,
    sizes: &Bound<'_, PyAny>,
    starts: &Bound<'_, PyAny>,
    ends: &Bound<'_, PyAny>,
    capacity: Option<ByteCount>,
    alignments: Option<&Bound<'_, PyAny>>,
    fixed: Option<&Bound<'_, PyAny>>,
    alias: Option<&Bound<'_, PyAny>>,
    hints: Option<&Bound<'_, PyAny>>,
    gaps: Option<&Bound<'_, PyAny>>,
    ids: Option<Vec<String>>,
    strategy: &str,
    time_limit: Option<f64>,
    seed: WholeNumber,
    progress: Option<Py<PyAny>>,
) -> Outcome<Layout> {
    let strategy: Strategy = strategy.parse()?;
    let seed = seed.count("seed")?;
    let buffers = buffers_of(sizes, starts, ends, alignments)?;
    let conditions = Conditions {
        fixed: fixed.map_or(Ok(Vec::new()), |values| offsets_of(values, "fixed"))?,
        hints: hints.map_or(Ok(Vec::new()), |values| offsets_of(values, "hints"))?,
        groups: alias.map_or(Ok(Vec::new()), groups_of)?,
        gaps: gaps.map_or(Ok(Vec::new()), gaps_of)?,
    };
    let capacity = capacity.map(|capacity| capacity.0);
    Errand::new(time_limit, progress)?.run(
        py,
        |limits| {
            let problem = Problem::new(buffers, ids, capacity)?.with(conditions)?;
            let layout = arena::solve(&problem, strategy, seed, limits);
            Ok((problem, layout))
        },
        |(problem, layout), seconds| Layout::new(problem, layout, strategy, seconds),
    )
}

/// Ids, sizes, starts, ends, alignments, and conditions by keyword.
type Columns<'py> = (
    Vec<String>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyDict>,
);

/// Read a CSV file of buffers: ids, sizes, starts, ends and alignments, as `plan_arena` takes them, and a dictionary of
/// the further keywords that the file has: `fixed`, `alias`, `hints`, `gaps`.
///
/// The header names the columns `id`, `lower`, `upper` and `size`, in any order, and perhaps `alignment`, `fixed`,
/// `alias`, `hint` and `gaps` (as in `3-5 8-9`); others are passed over. Raises `ModelNotFoundError` or `UnreadableError` for a file that cannot be read, `ProblemError` naming
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

fn columns(py: Python<'_>, Instance { ids, buffers, conditions }: Instance) -> Outcome<Columns<'_>> {
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
        keywords(py, conditions)?,
    ))
}

/// The columns of conditions that are there, by the keyword of `plan_arena`.
fn keywords(py: Python<'_>, conditions: Conditions) -> Outcome<Bound<'_, PyDict>> {
    let Conditions { fixed, hints, groups, gaps } = conditions;
    let in_bytes =
        |offsets: Vec<Option<Bytes>>| offsets.into_iter().map(|o| o.map(Bytes::get)).collect::<Vec<_>>();
    let keywords = PyDict::new(py);
    if !fixed.is_empty() {
        keywords.set_item("fixed", in_bytes(fixed))?;
    }
    if !hints.is_empty() {
        keywords.set_item("hints", in_bytes(hints))?;
    }
    if !groups.is_empty() {
        keywords.set_item("alias", groups)?;
    }
    if !gaps.is_empty() {
        keywords.set_item("gaps", gaps)?;
    }
    Ok(keywords)
}

fn wrong(field: impl Into<String>, reason: impl Into<String>) -> Failure {
    Error::Problem { field: field.into(), reason: reason.into() }.into()
}

pub(crate) fn buffers_of(
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

/// Offsets, of which `None` and -1 are none.
fn offsets_of(values: &Bound<'_, PyAny>, name: &str) -> Outcome<Vec<Option<Bytes>>> {
    let found: Vec<i128> = column(values, name, |value, field| {
        if value.is_none() || value.extract::<i64>().is_ok_and(|number| number == -1) {
            return Ok(-1);
        }
        size_at(value, field).map(i128::from)
    })?;
    let offset = |(index, value): (usize, i128)| match value {
        -1 => Ok(None),
        _ => u64::try_from(value).map(|offset| Some(Bytes::new(offset))).map_err(|_| {
            wrong(format!("{name}[{index}]"), format!("{value} is no offset; -1 and None mean none"))
        }),
    };
    found.into_iter().enumerate().map(offset).collect()
}

/// Groups by number, from names or numbers.
fn groups_of(values: &Bound<'_, PyAny>) -> Outcome<Vec<Option<u32>>> {
    let texts = RefCell::new(HashMap::new());
    let found: Vec<i128> = column(values, "alias", |value, field| {
        if value.is_none() {
            return Ok(-1);
        }
        if let Ok(text) = value.extract::<String>() {
            let mut texts = texts.borrow_mut();
            let next = texts.len();
            let place: usize = *texts.entry(text).or_insert(next);
            // Above all numbers of 64 bits.
            return Ok(i128::from(u64::MAX)
                .saturating_add(1)
                .saturating_add(i128::try_from(place).unwrap_or(0)));
        }
        whole_at(value, field).map(i128::from)
    })?;
    let mut groups = HashMap::new();
    let mut group = |value: i128| {
        let next = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        (value >= 0).then(|| *groups.entry(value).or_insert(next))
    };
    Ok(found.into_iter().map(&mut group).collect())
}

/// The gaps in each life.
fn gaps_of(values: &Bound<'_, PyAny>) -> Outcome<Vec<Vec<(i64, i64)>>> {
    let expected = |field: String| wrong(field, "expected a list of pairs of instants, or None");
    let Ok(items) = values.try_iter() else { return Err(expected("gaps".to_owned())) };
    let of_one = |(index, item): (usize, PyResult<Bound<'_, PyAny>>)| {
        let pairs: Option<Vec<(i64, i64)>> =
            item?.extract().map_err(|_| expected(format!("gaps[{index}]")))?;
        Ok(pairs.unwrap_or_default())
    };
    items.enumerate().map(of_one).collect()
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
