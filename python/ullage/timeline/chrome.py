"""A timeline as Chrome trace events, which chrome://tracing and Perfetto draw."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ullage.timeline.layout import Indices, Rows, Sizes
from ullage.timeline.writing import replaced

__all__ = ["OWN", "TOTAL", "write"]

OWN = "ullage"
"""Category of the counters of what each account holds by itself."""
TOTAL = "ullage.total"
"""Category of the counter of what all accounts hold: the sum of the others."""

CHUNK = 1 << 16


def write(path: Path, events: Rows, accounts: Sequence[str], label_accounts: Indices, start: Sizes) -> None:
    """Write one counter for each account that ever holds anything itself, and one for their total, in bytes."""
    held = np.zeros(len(accounts), np.int64)
    np.add.at(held, label_accounts, start.astype(np.int64))
    begin = int(events["time_ns"][0]) if len(events) else 0
    holding = np.union1d(np.unique(events["account"]), np.flatnonzero(held)).tolist()
    with replaced(path) as file:
        file.write('{"displayTimeUnit":"ns","traceEvents":[\n')
        file.write(json.dumps({"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "ullage"}}))
        file.writelines(_counter("total", TOTAL, events, begin, int(held.sum())))
        for index in holding:
            own = events[events["account"] == index]
            file.writelines(_counter(accounts[index], OWN, own, begin, int(held[index])))
        file.write("\n]}\n")


def _counter(name: str, category: str, events: Rows, begin: int, start: int) -> Iterator[str]:
    """Give one trace event for the value at the beginning and one for each event."""
    head = f',\n{{"ph":"C","pid":1,"tid":1,"cat":"{category}","name":{json.dumps(name)},"ts":'
    yield _points(head, [begin], [start])
    booked = np.cumsum(events["delta"]) + start
    for first in range(0, len(events), CHUNK):
        last = first + CHUNK
        yield _points(head, events["time_ns"][first:last].tolist(), booked[first:last].tolist())


def _points(head: str, times: Sequence[int], values: Sequence[int]) -> str:
    """Write times in microseconds with three decimals, from whole numbers, so that none is rounded."""
    return "".join(
        f'{head}{"-" if time < 0 else ""}{abs(time) // 1000}.{abs(time) % 1000:03d},"args":{{"bytes":{value}}}}}'
        for time, value in zip(times, values, strict=True)
    )
