"""The parts of a report that have a time as Chrome's trace events, which Perfetto and chrome://tracing open.

A course becomes counters, one for each holder. What does one thing at a time becomes a thread with slices; what
overlaps, such as the buffers of an arena, a group of asynchronous slices, which viewers put below each other.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ullage.errors import ArgumentError
from ullage.report.parts import Boxes, Course, Part, Section, Unit

__all__ = ["trace_of"]

Event = dict[str, Any]

MICROSECONDS: dict[Unit, float] = {"seconds": 1e6, "position": 1.0}
"""By the unit of a time axis; a position, which is no time, is drawn as a microsecond."""


def trace_of(sections: Sequence[Section]) -> dict[str, Any]:
    """Give the trace: a process for each part that has a time. Raises `ArgumentError` where none has."""
    events: list[Event] = []
    process = 0
    for section in sections:
        for part in section.parts:
            if isinstance(part, Course | Boxes) and part.x.unit in MICROSECONDS and _is_timed(part):
                process += 1
                name = f"{section.title}: {part.title}"
                events.append({"ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": name}})
                events.extend(_course(part, process) if isinstance(part, Course) else _boxes(part, process))
    if not events:
        reason = "nothing in this report has a time: it has no trace"
        raise ArgumentError(f"out: {reason}", name="out", reason=reason)
    return {"traceEvents": events, "displayTimeUnit": "ns"}


def _is_timed(part: Part) -> bool:
    """Tell bars of seconds, which stand for amounts, from what happens at a time."""
    return isinstance(part, Course) or (isinstance(part, Boxes) and (part.lanes is not None or part.y.unit == "bytes"))


def _course(course: Course, process: int) -> Iterator[Event]:
    scale = MICROSECONDS[course.x.unit]
    held = [0] * len(course.holders)
    rows = course.changes
    times = (course.times * scale).tolist()
    columns = (rows.row.tolist(), rows.holder.tolist(), rows.delta.tolist())
    for row, holder, delta in zip(*columns, strict=True):
        held[holder] += delta
        args = {"bytes": held[holder]}
        yield {"ph": "C", "name": course.holders[holder], "pid": process, "tid": 0, "ts": times[row], "args": args}
    if len(course.holders) > 1:
        for time, total in zip(times, course.totals().tolist(), strict=True):
            yield {"ph": "C", "name": "total", "pid": process, "tid": 0, "ts": time, "args": {"bytes": total}}


def _boxes(boxes: Boxes, process: int) -> Iterator[Event]:
    scale = MICROSECONDS[boxes.x.unit]
    starts, ends = (boxes.left * scale).tolist(), (boxes.right * scale).tolist()
    if boxes.lanes is None:
        yield from _overlapping(boxes, process, starts, ends)
        return
    for lane, name in enumerate(boxes.y.names):
        yield {"ph": "M", "name": "thread_name", "pid": process, "tid": lane + 1, "args": {"name": name}}
    order = np.lexsort((boxes.left, boxes.lanes)).tolist()
    for index in order:
        yield {
            "ph": "X",
            "name": boxes.names[index],
            "cat": boxes.y.names[int(boxes.lanes[index])],
            "pid": process,
            "tid": int(boxes.lanes[index]) + 1,
            "ts": starts[index],
            "dur": max(ends[index] - starts[index], 0.0),
        }


def _overlapping(boxes: Boxes, process: int, starts: list[float], ends: list[float]) -> Iterator[Event]:
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        common = {"cat": "buffer", "name": boxes.names[index], "id": index, "pid": process, "tid": 0}
        low, high = int(boxes.bottom[index]), int(boxes.top[index])
        yield {"ph": "b", **common, "ts": start, "args": {"offset": low, "bytes": high - low}}
        yield {"ph": "e", **common, "ts": end}
