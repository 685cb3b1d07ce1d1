"""Chrome traces, which Perfetto and chrome://tracing open: what PyTorch's profiler writes, and counters of bytes.

PyTorch's profiler (`profile_memory=True`) writes an instant event `[memory]` for each allocation and each giving back.
Counters (`ph: "C"`) and Chrome's memory dumps (`ph: "v"`) tell how much there is; a change is an event of the timeline.
Perfetto's own binary traces are another format and are not read.
"""

from os import PathLike
from pathlib import Path
from typing import Any

from ullage.errors import TraceFileError
from ullage.timeline import Timeline
from ullage.tracking import trace_json
from ullage.tracking.chrome_counter import Counters
from ullage.tracking.fault import fault, read_bytes
from ullage.tracking.recorder import Recorder
from ullage.tracking.torch_profile import Allocations

__all__ = ["SOURCE", "import_chrome_trace"]

SOURCE = "chrome"
LATEST_US = 1 << 53
"""Microseconds: centuries, and the last that a JSON number of JavaScript tells apart from its neighbours."""


def import_chrome_trace(path: str | PathLike[str]) -> Timeline:
    """Read a Chrome trace in JSON, plain or gzip, as an object or an array, even without its closing bracket.

    Where PyTorch's profiler wrote it, accounts are `cpu` and `gpuN`, and a label is the innermost operation or
    function that ran. Else accounts are `process/counter` of every counter that speaks of bytes or memory, labels its
    series, and `process/allocator` of Chrome's memory dumps, labels the allocator's parts. A file without any of
    these, a damaged or a hostile one is a `TraceFileError`.
    """
    place = Path(path)
    value = trace_json.load(read_bytes(place), place)
    events = value.get("traceEvents") if isinstance(value, dict) else value
    if not isinstance(events, list):
        raise fault(place, "is no trace: neither an array of events nor an object with traceEvents")
    recorder = Recorder()
    allocations, counters = Allocations(recorder), Counters(recorder)
    for index, event in enumerate(events):
        try:
            _take(event, allocations, counters)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            what = f"lacks {error}" if isinstance(error, KeyError) else f"is not of the known shape: {error}"
            raise fault(place, what, field=f"traceEvents[{index}]") from error
    found = allocations or counters
    if not found:
        raise fault(place, "tells nothing of memory: no [memory] event and no counter of bytes")
    lost = found.record()
    return recorder.timeline(place, SOURCE, epoch_unix_ns=_epoch(value, place), dropped=lost)


def _take(event: Any, allocations: Allocations, counters: Counters) -> None:  # noqa: ANN401 - from the file
    """Give an event to whoever wants it."""
    phase = event.get("ph")
    if phase == "C":
        counters.take(event, _nanoseconds(event["ts"]))
    elif phase in {"i", "I"} and event.get("name") == "[memory]":
        allocations.take(event, _nanoseconds(event["ts"]))
    elif phase == "X":
        allocations.running(event, _nanoseconds(event["ts"]), _nanoseconds(event.get("dur", 0)))
    elif phase == "v":
        counters.dump(event, _nanoseconds(event["ts"]))
    elif phase == "M" and event.get("name") == "process_name":
        counters.process(event)


def _nanoseconds(microseconds: object) -> int:
    number = float(microseconds) if isinstance(microseconds, str) else microseconds  # some writers quote it
    if isinstance(number, bool) or not isinstance(number, int | float) or not -LATEST_US < number < LATEST_US:
        raise ValueError(f"{type(microseconds).__name__} that is no time in microseconds")
    return round(number * 1000)


def _epoch(value: Any, path: Path) -> int | None:  # noqa: ANN401 - from the file
    """Give what the times count from: PyTorch says so, and Chrome counts from when the machine was started."""
    base = value.get("baseTimeNanoseconds") if isinstance(value, dict) else None
    if base is None:
        return None
    if type(base) is not int or not 0 <= base < 1 << 63:
        raise _no_epoch(path)
    return base


def _no_epoch(path: Path) -> TraceFileError:
    return fault(path, "is no time", field="baseTimeNanoseconds")
