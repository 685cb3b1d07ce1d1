"""Counters of bytes in Chrome traces, and the memory dumps of Chrome itself, which are counters too."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ullage.timeline.chrome import OWN, TOTAL
from ullage.tracking import chrome_dump
from ullage.tracking.recorder import MOST_BYTES, Recorder

__all__ = ["Counters"]

OF_BYTES = re.compile(r"bytes|memory|heap|alloc|rss|(^|[^a-z])(mem|[kmgt]i?b)([^a-z]|$)", re.IGNORECASE)
"""What the name of a counter or series says that counts memory."""
UNIT = re.compile(r"(?:^|[^a-z])([kmgt])(i?)b(?:[^a-z]|$)", re.IGNORECASE)
"""A unit other than bytes in a name, such as `used_kb` or `Memory (MiB)`."""
POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}


class _Point(NamedTuple):
    time_ns: int
    process: Any
    """`None` where the counter is named after an account."""
    counter: str
    series: str
    size: int


class Counters:
    """Values of counters by process; a change is an event. Counters of a written timeline keep their accounts."""

    def __init__(self, recorder: Recorder) -> None:
        """Record into `recorder`."""
        self._recorder = recorder
        self._points: list[_Point] = []
        self._dumps: list[tuple[int, Any, dict[tuple[str, str], int]]] = []
        self._processes: dict[Any, str] = {}

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self._points or self._dumps)

    def process(self, event: dict[str, Any]) -> None:
        """Note the name of a process."""
        name = event["args"]["name"]
        if isinstance(name, str) and name:
            self._processes[event.get("pid")] = name

    def take(self, event: dict[str, Any], time_ns: int) -> None:
        """Note a counter event, if it is one of bytes and not a sum of others."""
        name, args = event["name"], event.get("args", {})
        if event.get("cat") == TOTAL or not isinstance(args, dict):
            return
        process = None if event.get("cat") == OWN else event.get("pid", 0)
        hash(process)
        identity = event.get("id")
        counter = str(name) if identity is None else f"{name}[{identity}]"
        for series, value in args.items():
            if type(value) in {int, float} and OF_BYTES.search(f"{name} {series}"):
                size = round(value * _factor(series, str(name)))
                if not 0 <= size <= MOST_BYTES:
                    raise ValueError(f"{series!r} is no number of bytes")
                self._points.append(_Point(time_ns, process, counter, series, size))

    def dump(self, event: dict[str, Any], time_ns: int) -> None:
        """Note a memory dump of a process; one of its maps and totals alone says nothing of allocators."""
        dumps, process = event["args"].get("dumps", {}), event.get("pid", 0)
        hash(process)
        if dumps.get("allocators"):
            found = chrome_dump.sizes(dumps["allocators"], dumps.get("allocators_graph"))
            self._dumps.append((time_ns, process, found))

    def _dumped(self) -> Iterator[_Point]:
        """Give every size of every dump, and nothing for what an earlier dump had and a later has not."""
        last: dict[Any, dict[tuple[str, str], int]] = {}
        for time, process, found in sorted(self._dumps, key=lambda dump: dump[0]):
            for counter, series in sorted(last.get(process, {}).keys() | found.keys()):
                yield _Point(time, process, counter, series, found.get((counter, series), 0))
            last[process] = found

    def record(self) -> int:
        """Record every change, in order of time. Nothing is known to be lost."""
        self._points += self._dumped()
        known: dict[tuple[Any, str, str], list[int]] = {}
        several = len({point.process for point in self._points}) > 1
        for point in sorted(self._points, key=lambda point: point.time_ns):
            key = (point.process, point.counter, point.series)
            if key not in known:
                label = self._recorder.label(self._account(point, several=several), point.series)
                known[key] = [0, self._recorder.identity(), label]
            state = known[key]
            if point.size != state[0]:
                self._recorder.event(point.time_ns, point.size - state[0], state[1], state[2])
                state[0] = point.size
        return 0

    def _account(self, point: _Point, *, several: bool) -> str:
        if point.process is None:
            return "/".join(_part(name) for name in point.counter.split("/")) if point.counter != "/" else "/"
        process = self._processes.get(point.process, f"process {point.process}")
        named = f"{process} {point.process}" if several and point.process in self._processes else process
        return f"{_part(named)}/{_part(point.counter)}"


def _factor(series: str, name: str) -> int:
    """Give the bytes of the unit that a series, or else its counter, is named after."""
    found = UNIT.search(series.replace("_", " ")) or UNIT.search(name.replace("_", " "))
    if not found:
        return 1
    return int((1024 if found[2] else 1000) ** POWERS[found[1].lower()])


def _part(name: str) -> str:
    """Make a name one part of a path."""
    return name.replace("/", "|")[:100].strip() or "unnamed"
