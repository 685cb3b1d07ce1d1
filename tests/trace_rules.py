"""The rules of Chrome's trace event format that Perfetto keeps, checked event by event."""

import math
from collections import defaultdict
from typing import Any

PHASES = {"M", "X", "C", "b", "e"}


def check_trace(trace: Any) -> None:
    """Raise `AssertionError` for the first rule that is broken."""
    assert isinstance(trace["traceEvents"], list)
    threads: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    open_at: dict[tuple[Any, ...], float] = {}
    for index, event in enumerate(trace["traceEvents"]):
        place = f"event {index}: {event}"
        assert event["ph"] in PHASES, place
        assert isinstance(event["name"], str), place
        assert isinstance(event["pid"], int), place
        if event["ph"] == "M":
            assert isinstance(event["args"]["name"], str), place
            continue
        assert math.isfinite(event["ts"]), place
        assert event["ts"] >= 0, place
        assert isinstance(event["tid"], int), place
        key = (event["pid"], event.get("cat"), event.get("id"), event["name"])
        if event["ph"] == "C":
            assert event["args"], place
            assert all(isinstance(value, int | float) and math.isfinite(value) for value in event["args"].values()), (
                place
            )
        elif event["ph"] == "X":
            assert event["dur"] >= 0, place
            threads[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
        elif event["ph"] == "b":
            assert key not in open_at, place
            open_at[key] = event["ts"]
        else:
            assert open_at.pop(key) <= event["ts"], place
    assert not open_at
    for slices in threads.values():
        ends: list[float] = []
        for start, end in sorted(slices, key=lambda one: (one[0], -one[1])):
            while ends and ends[-1] <= start + 1e-9:
                ends.pop()
            assert not ends or end <= ends[-1] + 1e-6, "slices of a thread overlap without being nested"
            ends.append(end)
