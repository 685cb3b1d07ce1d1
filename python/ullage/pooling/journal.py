"""The event log of a pool: what was told to the scheduler, and what it answered."""

from collections import deque
from typing import Any, TypeAlias

__all__ = ["MODEL", "NOTHING", "PLACED", "REQUEST", "Action", "Journal"]

Action: TypeAlias = tuple[Any, ...]
"""What the scheduler wants done: its kind, then what it concerns."""

# What the values of a row stand for.
NOTHING: tuple[str, ...] = ()
MODEL = ("model",)
PLACED = ("model", "place")
REQUEST = ("request",)
ASKED = ("model", "request")
GRANTED = ("request", "model", "place")
OF_ACTION = {
    "load": PLACED,
    "unload": PLACED,
    "compress": PLACED,
    "promote": PLACED,
    "drop": PLACED,
    "grant": GRANTED,
    "queue": ("request", "behind"),
    "refuse": ("request", "denial"),
    "overdue": ("model", "place", "bytes"),
}


class Journal:
    """The latest rows: when, what, and what it concerns. Written under the driver's lock."""

    __slots__ = ("_rows", "write")

    def __init__(self, most: int) -> None:
        """Keep at most so many rows."""
        self._rows: deque[tuple[Any, ...]] = deque(maxlen=most)
        self.write = self._rows.append
        """Take a row: `(time, event, names, *values)`."""

    def note(self, now: float, actions: list[Action]) -> None:
        """Write down what the scheduler answered."""
        for kind, *values in actions:
            self.write((now, kind, OF_ACTION[kind], *values))

    def rows(self) -> list[tuple[Any, ...]]:
        """Give the rows, oldest first; called under the lock, made readable by `readable`."""
        return list(self._rows)

    @staticmethod
    def readable(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
        """Name the values of rows."""
        return [
            {"time_s": now, "event": event, **dict(zip(names, values, strict=True))}
            for now, event, names, *values in rows
        ]
