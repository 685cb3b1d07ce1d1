"""A simulated pass as Chrome's trace events, which Perfetto and chrome://tracing open."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Pass", "pass_trace", "write_pass_trace"]

MICROSECONDS = 1e6
PROCESS = 1


class Pass(Protocol):
    """What has a timeline and bytes over time, such as an `Optimum`."""

    @property
    def timeline(self) -> Iterable[Mapping[str, Any]]:
        """Rows of `layer`, `resource`, `start_s` and `end_s`."""

    @property
    def memory(self) -> Iterable[tuple[float, int]]:
        """Pairs of seconds and the bytes in use from then on."""


def pass_trace(of: Pass, name: str = "pass") -> dict[str, Any]:
    """Give the trace: a thread for each resource, a slice for each layer on it, and a counter of the bytes in use."""
    threads: dict[str, int] = {}
    slices: list[dict[str, Any]] = []
    for row in of.timeline:
        thread = threads.setdefault(row["resource"], len(threads) + 1)
        slices.append(
            {
                "name": row["layer"] or "",
                "cat": row["resource"],
                "ph": "X",
                "ts": row["start_s"] * MICROSECONDS,
                "dur": (row["end_s"] - row["start_s"]) * MICROSECONDS,
                "pid": PROCESS,
                "tid": thread,
            }
        )
    counters = [
        {"name": "bytes", "ph": "C", "ts": at * MICROSECONDS, "pid": PROCESS, "args": {"in use": count}}
        for at, count in of.memory
    ]
    return {"traceEvents": [*_names(name, threads), *slices, *counters], "displayTimeUnit": "ms"}


def write_pass_trace(of: Pass, path: Path, name: str = "pass") -> None:
    """Write the trace to `path`."""
    path.write_text(json.dumps(pass_trace(of, name)), encoding="utf-8")


def _names(name: str, threads: Mapping[str, int]) -> list[dict[str, Any]]:
    process = {"name": "process_name", "ph": "M", "pid": PROCESS, "args": {"name": name}}
    return [
        process,
        *(
            {"name": "thread_name", "ph": "M", "pid": PROCESS, "tid": thread, "args": {"name": resource}}
            for resource, thread in threads.items()
        ),
    ]
