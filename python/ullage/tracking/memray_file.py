"""Captures of memray, read by memray's own reader: the extra `memray`, on Linux and macOS.

That reader is native code that a damaged file can crash, so it works in a process of its own.

memray stores no time with an allocation, only a record every few milliseconds of how much there is. Where that amount
is reached says between which events a record stands; between two records, events are spread evenly.
"""

import importlib.util
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ullage.errors import UllageError
from ullage.timeline import Timeline
from ullage.timeline.layout import Counts, Rows
from ullage.tracking.fault import fault, read_head
from ullage.tracking.memray_child import REFUSED
from ullage.tracking.recorder import Recorder

__all__ = ["LZ4", "MAGIC", "SOURCE", "import_memray"]

SOURCE = "memray"
MAGIC = b"memray\0"
LZ4 = b"\x04\x22\x4d\x18"
"""What captures begin with, plain or compressed."""

MILLION = 1_000_000
LATEST_MS = 1 << 43
"""The year 2248."""


def import_memray(path: str | PathLike[str]) -> Timeline:
    """Read a capture of `memray run`; one made with `--aggregate` has no history and is refused.

    Accounts are `host/heap` and, for mappings, `host/mmap`; a label is the innermost Python line, `file.py:12
    function`. A damaged or hostile file is a `TraceFileError`; an `UllageError` says that memray is not installed.
    """
    place = Path(path)
    if not read_head(place, len(MAGIC)).startswith((MAGIC, LZ4)):
        raise fault(place, "is no capture of memray", offset=0)
    if importlib.util.find_spec("memray") is None:
        raise UllageError("memray is not installed; on Linux or macOS: pip install 'ullage[memray]'")
    told, (delta, identity, label) = _asked(place)
    recorder = Recorder()
    labels = np.array([recorder.label(account, text) for account, text in told["labels"]], np.uint32)
    recorder.events(_times(place, delta, told), delta, identity, labels[label] if len(label) else label)
    return recorder.timeline(place, SOURCE, epoch_unix_ns=0)


def _asked(path: Path) -> tuple[dict[str, Any], Sequence[Rows]]:
    """Have a process of its own read the file; give what it says beside the events, and their columns."""
    command = [sys.executable, "-P", "-m", "ullage.tracking.memray_child", str(path.resolve())]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603 - ours
    if done.returncode == REFUSED:
        raise fault(path, f"memray cannot read it: {done.stdout.decode(errors='replace')}")
    if done.returncode:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        raise fault(path, f"memray's reader broke on it: {how}")
    answer = io.BytesIO(done.stdout)
    columns = [np.load(answer, allow_pickle=False) for _ in range(3)]
    return json.loads(answer.read()), columns


def _times(path: Path, delta: Counts, told: dict[str, Any]) -> Counts:
    """Give the time of every event, from memray's records of how much there was when."""
    series = np.concatenate((np.zeros(1, np.int64), np.cumsum(delta)))
    places, stamps = _aligned(series, told["records"])
    first = min([told["start_ms"], *stamps])
    last = max([told["start_ms"], told["end_ms"], *stamps])
    if not 0 <= first <= last < LATEST_MS:
        raise fault(path, "its times are centuries from now")
    known = np.array([first, *stamps, last], np.float64) - first
    found = np.interp(np.arange(1, len(series)), [0, *places, len(delta)], known)
    times: Counts = np.round(found * MILLION).astype(np.int64) + first * MILLION
    return times


def _aligned(series: Counts, records: Sequence[tuple[int, int]]) -> tuple[list[float], list[int]]:
    """Give the number of events before each record, the middle of what is possible, and the time of each.

    A record can stand wherever the amount is its own, after the record before it and before the one after it. One
    whose amount never occurs there is left out, as is one whose time runs backwards.
    """
    order = np.argsort(series, kind="stable")
    amounts = series[order]
    placed: list[tuple[int, int, Counts]] = []
    latest = 0
    for time, amount in records:
        where = order[np.searchsorted(amounts, amount) : np.searchsorted(amounts, amount, side="right")]
        index = int(np.searchsorted(where, latest))
        if index < len(where) and (not placed or time >= placed[-1][0]):
            latest = int(where[index])
            placed.append((time, latest, where))
    places: list[float] = []
    bound = len(series) - 1
    for _, earliest, where in reversed(placed):
        index = int(np.searchsorted(where, bound, side="right")) - 1
        bound = max(int(where[index]), earliest)
        places.append((earliest + bound) / 2)
    return places[::-1], [time for time, _, _ in placed]
