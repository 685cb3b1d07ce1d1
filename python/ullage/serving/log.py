"""The pool's event log, read on from where a reader stopped, and counted.

The log is short: what is not read in time is lost. A `Cursor` says how far a reader came; where events may have been
lost in between, it is told.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["BUCKETS_S", "START", "Cursor", "Fresh", "Histogram", "Tally", "since"]

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper ends of the buckets for waits and loads, in seconds."""

CAUSES = {
    "request": "room",
    "released": "room",
    "cancel": "room",
    "loaded": "room",
    "load_failed": "room",
    "unloaded": "room",
    "measured": "room",
    "close": "close",
    "pressure": "pressure",
}
"""Why a model goes, by the event that it is an answer to. Without one, it is the clock's: `time`."""


class Cursor(NamedTuple):
    """How far a log was read: to an instant, and to how many of the events at that instant."""

    time_s: float
    seen: int


START = Cursor(-math.inf, 0)
"""Nothing was read yet."""


class Fresh(NamedTuple):
    """What came since."""

    rows: list[dict[str, Any]]
    cursor: Cursor
    has_gap: bool
    """Whether events may have been lost before these."""


def since(rows: Sequence[dict[str, Any]], cursor: Cursor) -> Fresh:
    """Give the `rows` of `Pool.events()` that lie beyond `cursor`."""
    if not rows:
        return Fresh([], cursor, has_gap=False)
    first = bisect_left(rows, cursor.time_s, key=_time)
    at_once = 0
    while first + at_once < len(rows) and rows[first + at_once]["time_s"] == cursor.time_s:
        at_once += 1
    fresh = list(rows[first + min(at_once, cursor.seen) :])
    last = rows[-1]["time_s"]
    together = len(rows) - bisect_left(rows, last, key=_time)
    return Fresh(fresh, Cursor(last, together), has_gap=cursor != START and rows[0]["time_s"] > cursor.time_s)


def _time(row: dict[str, Any]) -> float:
    return float(row["time_s"])


@dataclass(slots=True)
class Histogram:
    """How often which duration was seen."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    """One for each of `BUCKETS_S`, and one for what is longer; not cumulative."""
    sum_s: float = 0.0

    @property
    def count(self) -> int:
        """How many durations."""
        return sum(self.counts)

    def add(self, seconds: float) -> None:
        """Take one in."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds

    def copy(self) -> "Histogram":
        """Give another that does not change."""
        return Histogram(list(self.counts), self.sum_s)


class Waiting(NamedTuple):
    """A request that was not answered yet."""

    model: str
    since_s: float


@dataclass(slots=True)
class Tally:
    """What happened so far, counted by model."""

    grants: Counter[str] = field(default_factory=Counter)
    abandoned: Counter[str] = field(default_factory=Counter)
    """Requests whose owners went away while they waited."""
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By model and reason."""
    evictions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By model and cause."""
    failures: Counter[str] = field(default_factory=Counter)
    """Loads that failed."""
    deaths: Counter[str] = field(default_factory=Counter)
    """Workers that died."""
    gaps: int = 0
    """How often events may have been lost."""
    waits: dict[str, Histogram] = field(default_factory=dict)
    """From request to grant."""
    loads: dict[str, Histogram] = field(default_factory=dict)
    """From the begin of a load to its success."""
    pending: dict[int, Waiting] = field(default_factory=dict)
    """Requests without an answer, by number, oldest first."""
    _loading: dict[str, float] = field(default_factory=dict)
    _instant: float = -math.inf
    _cause: str = "time"

    def take(self, fresh: Fresh) -> None:
        """Count what came since."""
        if fresh.has_gap:
            self.gaps += 1
            self.pending.clear()  # their answers may be among what was lost
            self._loading.clear()
        for row in fresh.rows:
            if row["time_s"] != self._instant:
                self._instant, self._cause = row["time_s"], "time"
            self._cause = CAUSES.get(row["event"], self._cause)
            self._count(row["event"], row)

    def _count(self, event: str, row: dict[str, Any]) -> None:  # noqa: C901 - one line for each event
        now = row["time_s"]
        match event:
            case "request":
                self.pending[row["request"]] = Waiting(row["model"], now)
            case "grant":
                self._granted(row["request"], row["model"], now)
            case "refuse":
                asked = self.pending.pop(row["request"], None)
                if asked is not None:
                    self.refusals[asked.model, str(row["denial"].get("reason", "unknown"))] += 1
            case "cancel":
                asked = self.pending.pop(row["request"], None)
                if asked is not None:
                    self.abandoned[asked.model] += 1
            case "load":
                self._loading[row["model"]] = now
            case "loaded":
                began = self._loading.pop(row["model"], None)
                if began is not None:
                    self.loads.setdefault(row["model"], Histogram()).add(now - began)
            case "load_failed":
                self._loading.pop(row["model"], None)
                self.failures[row["model"]] += 1
            case "unload":
                self.evictions[row["model"], str(row.get("cause", self._cause))] += 1
            case "worker_died":
                self.deaths[row["model"]] += 1

    def _granted(self, request: int, model: str, now: float) -> None:
        self.grants[model] += 1
        asked = self.pending.pop(request, None)
        if asked is not None:
            self.waits.setdefault(model, Histogram()).add(now - asked.since_s)
