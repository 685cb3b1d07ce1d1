"""Where a reader puts what it finds: accounts, labels and events, which become a timeline at the end."""

from array import array
from pathlib import Path

import numpy as np

from ullage.errors import TimelineError
from ullage.timeline import EVENT, Timeline
from ullage.timeline.layout import Rows
from ullage.tracking.fault import fault

__all__ = ["MOST_BYTES", "Recorder", "clipped"]

MOST_BYTES = 1 << 60
"""No single allocation is larger."""

LONGEST = 200


def clipped(text: str) -> str:
    """Cut a text from a file down to what a label may hold."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


class Recorder:
    """Events in the order in which a file tells them; `timeline` puts them in order of time."""

    def __init__(self) -> None:
        """Begin with the root account and no event."""
        self._accounts = {"/": 0}
        self._labels: dict[tuple[int, str], int] = {}
        self._owner = array("I")
        self._start: list[int] = []
        self._time, self._delta = array("q"), array("q")
        self._id, self._label = array("Q"), array("I")
        self._named = 0

    def __len__(self) -> int:
        """Count the events."""
        return len(self._time)

    def label(self, account: str, text: str) -> int:
        """Give the id of a label of `account`, whose parents are made too."""
        owner = self._account(account)
        found = self._labels.setdefault((owner, clipped(text)), len(self._labels))
        if found == len(self._start):
            self._owner.append(owner)
            self._start.append(0)
        return found

    def identity(self) -> int:
        """Give an id that no other allocation has."""
        self._named += 1
        return self._named

    def event(self, time_ns: int, delta: int, identity: int, label: int) -> None:
        """Add one change."""
        self._time.append(time_ns)
        self._delta.append(delta)
        self._id.append(identity)
        self._label.append(label)

    def events(self, time_ns: Rows, delta: Rows, identity: Rows, label: Rows) -> None:
        """Add many changes at once."""
        for column, added in zip(
            (self._time, self._delta, self._id, self._label), (time_ns, delta, identity, label), strict=True
        ):
            column.frombytes(added.tobytes())

    def held_before(self, label: int, size: int) -> None:
        """Add to what was held before the first event."""
        self._start[label] += size

    def timeline(self, path: Path, source: str, *, epoch_unix_ns: int | None = None, dropped: int = 0) -> Timeline:
        """Give the timeline, checked, with time 0 at its first event; at equal times, the order of adding stays."""
        events = np.zeros(len(self._time), EVENT)
        for name, column in (("time_ns", self._time), ("delta", self._delta), ("id", self._id), ("label", self._label)):
            events[name] = np.frombuffer(column, EVENT[name]) if column else 0
        owners = np.frombuffer(self._owner, np.uint32) if self._owner else np.zeros(0, np.uint32)
        events["account"] = owners[events["label"]] if len(events) else 0
        time = events["time_ns"]
        if np.any(time[1:] < time[:-1]):
            events = events[np.argsort(time, kind="stable")]
        if len(events):
            first = int(events["time_ns"][0])
            if int(events["time_ns"][-1]) - first >= 1 << 63:
                raise fault(path, "its times are centuries apart")
            events["time_ns"] -= first
            epoch_unix_ns = None if epoch_unix_ns is None else epoch_unix_ns + first
        labels = [text for _, text in self._labels]
        try:
            start = np.array(self._start, np.uint64)
            return Timeline.from_events(
                events, list(self._accounts), labels, owners, start,
                dropped=dropped, epoch_unix_ns=epoch_unix_ns, source=source,
            )  # fmt: skip
        except (TimelineError, OverflowError) as error:
            raise fault(path, f"tells what cannot have happened: {error}") from error

    def _account(self, path: str) -> int:
        found = self._accounts.get(path)
        if found is None:
            parent = path.rpartition("/")[0]
            if parent:
                self._account(parent)
            found = self._accounts[path] = len(self._accounts)
        return found
