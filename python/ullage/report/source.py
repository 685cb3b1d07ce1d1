"""What a report is made from: files that commands and ledgers wrote, told apart by their content."""

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ullage import Timeline
from ullage.errors import ProblemError, UllageError, UnreadableError
from ullage.report.fields import Fields, parse
from ullage.report.of_layout import section_of_layout, section_of_offsets
from ullage.report.of_pass import section_of_optimum, section_of_pass, section_of_policies
from ullage.report.of_plan import section_of_placement, section_of_plan
from ullage.report.of_replay import section_of_comparison, section_of_replay
from ullage.report.of_timeline import section_of_summary, section_of_timeline
from ullage.report.parts import Section
from ullage.timeline.layout import EVENT
from ullage.tracking import import_trace

__all__ = ["load_timeline", "read", "save_timeline", "section_of"]

LARGEST = 1 << 30
"""Bytes that a JSON or CSV file may hold."""
ZIP = b"PK\x03\x04"
ARRAYS = ("events", "label_accounts", "start")
TEXTS = ("accounts", "labels", "source")
DAMAGE = (
    KeyError,
    ValueError,
    EOFError,
    RuntimeError,
    OverflowError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)
"""What reading an archive raises that is none."""

KINDS = (
    ({"offsets", "height"}, section_of_layout),
    ({"bins", "assignment"}, section_of_plan),
    ({"devices", "assignment", "value_bound"}, section_of_placement),
    ({"front", "uniform", "latency_s"}, section_of_optimum),
    ({"layers", "latency_s", "peak_bytes"}, section_of_pass),
    ({"policies", "choose"}, section_of_policies),
    ({"policies"}, section_of_comparison),
    ({"cold_starts", "load_seconds"}, section_of_replay),
    ({"peak", "end", "events"}, section_of_summary),
)
"""Fields by which an answer is known, the more particular ones first."""


def read(path: Path, account: str = "/") -> Section:
    """Read an answer of `ullage … --json`, a layout in CSV, a saved timeline or a memory trace.

    Raises `UnreadableError`, `ProblemError` naming the field, and what reading a trace raises.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            if head.startswith(ZIP) and path.suffix == ".npz":
                return section_of_timeline(load_timeline(path), path.name, account)
            is_table = path.suffix.lower() == ".csv"
            if not is_table and (not head.lstrip().startswith(b"{") or b'"traceEvents"' in head):
                return section_of_timeline(import_trace(path), path.name, account)
            content = head + file.read(LARGEST + 1 - len(head))
    except OSError as error:
        if isinstance(error, UllageError):
            raise
        raise UnreadableError(f"{path}: {error.strerror}", path=str(path)) from error
    if len(content) > LARGEST:
        raise _wrong(str(path), "is larger than 1 GiB")
    if is_table:
        try:
            return section_of_offsets(content.decode("utf-8-sig"), str(path))
        except UnicodeDecodeError as error:
            raise _wrong(str(path), f"is not UTF-8: {error.reason}") from error
    found = parse(content, str(path))
    if "traceEvents" in found:
        return section_of_timeline(import_trace(path), path.name, account)
    return section_of(found, path.name)


def section_of(found: Fields, name: str) -> Section:
    """Show an answer of a command. Raises `ProblemError` for one that is of no known kind."""
    for keys, make in KINDS:
        if keys <= found.content.keys():
            return make(found, name)
    reason = "is no plan, layout, pass, replay or timeline that ullage wrote with --json"
    raise _wrong(found.place.removesuffix(": "), reason)


def save_timeline(timeline: Timeline, path: Path) -> None:
    """Write a timeline whole, as compressed arrays that `load_timeline` and `ullage report` read."""
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            events=timeline.events,
            label_accounts=timeline.label_accounts,
            start=timeline.start,
            accounts=np.array(timeline.accounts),
            labels=np.array(timeline.labels, np.str_),
            source=np.array(timeline.source),
            numbers=np.array([timeline.dropped, timeline.epoch_unix_ns or -1], np.int64),
        )


def load_timeline(path: Path) -> Timeline:
    """Read what `save_timeline` wrote, and check it. Raises `UnreadableError`, `ProblemError`, `TimelineError`."""
    found = _arrays(path)
    for name in TEXTS:
        if found[name].dtype.kind != "U":
            raise _wrong(f"{path}: {name}", "must be text")
    if found["numbers"].shape != (2,) or found["numbers"].dtype != np.int64 or found["source"].ndim:
        raise _wrong(f"{path}: numbers", "must be two whole numbers")
    if found["events"].dtype != EVENT or any(found[name].ndim != 1 for name in (*ARRAYS, "accounts", "labels")):
        raise _wrong(f"{path}: events", "must be one row of events")
    dropped, epoch = (int(number) for number in found["numbers"])
    return Timeline.from_events(
        found["events"],
        found["accounts"].tolist(),
        found["labels"].tolist(),
        found["label_accounts"],
        found["start"],
        dropped=dropped,
        epoch_unix_ns=None if epoch < 0 else epoch,
        source=str(found["source"]),
    )


def _arrays(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size <= LARGEST:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in (*ARRAYS, *TEXTS, "numbers")}
    except OSError as error:
        raise UnreadableError(f"{path}: {error}", path=str(path)) from error
    except DAMAGE as error:
        raise _wrong(str(path), f"is no saved timeline: {error}") from None
    raise _wrong(str(path), "is larger than 1 GiB unpacked")


def _wrong(place: str, reason: str) -> ProblemError:
    return ProblemError(f"{place}: {reason}", field=place, reason=reason)
