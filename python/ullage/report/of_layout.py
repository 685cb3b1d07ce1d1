"""An arena's layout as a section: every buffer where it lies and while it lives."""

import csv
import io
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from ullage.errors import ProblemError
from ullage.report.fields import MOST, Fields
from ullage.report.parts import Axis, Boxes, Changes, Course, Lines, Section, Table, numbers
from ullage.report.thinning import thinned
from ullage.report.words import both

__all__ = ["section_of_layout", "section_of_offsets"]

COLUMNS = ("id", "lower", "upper", "size", "offset")
COLOURS = 8
LARGEST = 20


def section_of_layout(found: Fields, name: str) -> Section:
    """Show what `ullage arena --json` wrote."""
    if "buffers" not in found:
        found.refuse("buffers", "is missing: it is written by `ullage arena --json` of this version")
    buffers = found.below("buffers")
    ids = buffers.texts("id")
    columns = [np.array(buffers.counts(key), np.int64) for key in COLUMNS[1:]]
    for key, column in zip(COLUMNS[1:], columns, strict=True):
        if len(column) != len(ids):
            buffers.refuse(key, f"has {len(column)} entries, and there are {len(ids)} ids")
    capacity = found.maybe_count("capacity")
    facts = [
        ("status", found.text("status")),
        ("height", both(found.count("height"))),
        ("lower bound", both(found.count("lower_bound"))),
    ]
    if capacity is not None:
        facts.append(("capacity", both(capacity)))
    facts.append(("buffers", f"{len(ids):,}"))
    lines = [Lines("lower bound", found.count("lower_bound"))]
    if capacity is not None:
        lines.append(Lines("capacity", capacity))
    return _section(name, facts, ids, columns, lines)


def section_of_offsets(text: str, name: str) -> Section:
    """Show the file that `ullage arena --output` wrote: CSV with the columns id, lower, upper, size and offset."""
    rows = csv.DictReader(io.StringIO(text))
    missing = [key for key in COLUMNS if key not in (rows.fieldnames or ())]
    if missing:
        _refuse(name, f"no column {missing[0]}; a layout has the columns {', '.join(COLUMNS)}")
    ids, found = [], []
    try:
        for row in rows:
            ids.append(row["id"] or "")
            found.append([_whole(row[key], f"{name}: line {rows.line_num}, column {key}") for key in COLUMNS[1:]])
    except csv.Error as error:
        _refuse(name, str(error))
    columns = list(np.array(found, np.int64).reshape(len(ids), 4).T)
    facts = [("height", both(int((columns[2] + columns[3]).max(initial=0)))), ("buffers", f"{len(ids):,}")]
    return _section(name, facts, ids, columns, [])


def _section(
    name: str,
    facts: list[tuple[str, str]],
    ids: list[str],
    columns: list[NDArray[np.int64]],
    lines: list[Lines],
) -> Section:
    lower, upper, size, offset = columns
    live = np.flatnonzero((size > 0) & (upper > lower))
    boxes = Boxes(
        "Where each buffer lies, and while it lives",
        Axis("time", "position"),
        Axis("offset", "bytes"),
        numbers(lower[live]),
        numbers(upper[live]),
        numbers(offset[live]),
        numbers(offset[live] + size[live]),
        tuple(ids[index] for index in live.tolist()),
        (live % COLOURS).astype(np.uint8),
        {"bytes": tuple(f"{count:,}" for count in size[live].tolist())},
        horizontal=tuple(lines),
    )
    course = _held(lower[live], upper[live], size[live])
    largest = live[np.argsort(-size[live], kind="stable")][:LARGEST].tolist()
    table = Table(
        f"The largest {len(largest)} buffers" if len(largest) < len(ids) else "The buffers",
        (">bytes", ">offset", ">from", ">until", "buffer"),
        tuple((*(f"{int(column[i]):,}" for column in (size, offset, lower, upper)), ids[i]) for i in largest),
    )
    return Section(f"Arena: {name}", tuple(facts), (boxes, thinned(course), table))


def _held(lower: NDArray[np.int64], upper: NDArray[np.int64], size: NDArray[np.int64]) -> Course:
    """Give the bytes in use over time, which no layout can be lower than."""
    times, row = np.unique(np.concatenate((lower, upper)), return_inverse=True)
    steps = np.zeros(len(times), np.int64)
    np.add.at(steps, row, np.concatenate((size, -size)))
    changes = Changes(np.arange(len(times), dtype=np.uint32), np.zeros(len(times), np.uint8), steps)
    totals = np.cumsum(steps)
    peak = float(times[int(np.argmax(totals))]) if len(times) else None
    axis = Axis("time", "position")
    return Course("Bytes in use", axis, numbers(times), ("in use",), changes, None, peak)


def _whole(text: str | None, place: str) -> int:
    if text is None or not text.strip().isdecimal() or len(text) > len(str(MOST)) or int(text) > MOST:
        _refuse(place, "must be a whole number from 0 to 2^62")
    return int(text)


def _refuse(place: str, reason: str) -> NoReturn:
    raise ProblemError(f"{place}: {reason}", field=place, reason=reason)
