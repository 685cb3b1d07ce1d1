"""The timeline: events, what they speak of, and the questions they answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ullage._core import Layout, plan_arena
from ullage._types import ByteCount
from ullage.errors import ArgumentError, Holder, TimelineError
from ullage.timeline import chrome, lifetime
from ullage.timeline.check import check_facts, check_shapes
from ullage.timeline.layout import EVENT, Counts, Flags, Indices, Rows, Sizes
from ullage.timeline.peak import Peak

__all__ = ["Timeline"]


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Events of what was held, oldest first, and what was held before the first of them.

    The arrays are taken as they are, read-only and without a copy, and only their types and lengths are looked at;
    `from_events` checks all that must be true of them.
    """

    events: Rows
    """An array of `EVENT`, in the order in which things happened."""
    accounts: tuple[str, ...]
    """Path of each account; the root `/` is the first, and parents come before children."""
    labels: tuple[str, ...]
    """What each label id says."""
    label_accounts: Indices
    """The account of each label id."""
    start: Sizes
    """Bytes held under each label id just before the first event."""
    dropped: int = 0
    """How many events before the first are known to be lost."""
    epoch_unix_ns: int | None = None
    """The time 0 of the events in nanoseconds since 1970, where it is known."""
    source: str = ""
    """Where the events come from: `ledger`, or the kind of file."""

    def __post_init__(self) -> None:
        """Check types and lengths, and keep read-only views."""
        check_shapes(self.events, self.accounts, self.labels, self.label_accounts, self.start)
        for name in ("events", "label_accounts", "start"):
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)
        for name in ("accounts", "labels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @classmethod
    def from_events(
        cls,
        events: ArrayLike,
        accounts: Sequence[str],
        labels: Sequence[str],
        label_accounts: ArrayLike,
        start: ArrayLike | None = None,
        *,
        dropped: int = 0,
        epoch_unix_ns: int | None = None,
        source: str = "",
    ) -> Self:
        """Make a timeline of `events` and check every fact: a `TimelineError` names the first that does not hold.

        Every index is known, a label belongs to the account of its event, time never runs backwards, no reservation
        gives back what neither it nor `start` holds, and never are more than 2^62 bytes held.
        """
        if dropped < 0:
            raise _wrong("dropped", "is negative")
        held = np.zeros(len(labels), np.uint64) if start is None else _whole("start", start, np.uint64)
        owners = _whole("label_accounts", label_accounts, np.uint32)
        made = cls(_rows(events), tuple(accounts), tuple(labels), owners, held, dropped, epoch_unix_ns, source)
        check_facts(made.events, made.accounts, made.labels, made.label_accounts, made.start)
        return made

    def __len__(self) -> int:
        """Count the events."""
        return len(self.events)

    def __repr__(self) -> str:
        """Say what this is, not its millions of rows."""
        return f"Timeline({len(self):,} events, {len(self.accounts):,} accounts, source={self.source!r})"

    def series(self, account: str = "/") -> tuple[Counts, Counts]:
        """Give the times at which what `account` and its children hold changed, and the bytes from then on.

        The first point is what was held before the first event, at that event's time.
        """
        below = self._below(account)
        own = self.events if account == "/" else self.events[below[self.events["account"]]]
        time = np.concatenate(([self._time(0)], own["time_ns"]))
        booked = np.zeros(len(own) + 1, np.int64)
        np.cumsum(own["delta"], out=booked[1:])
        return time, booked + self._start(below)

    def peak(self, account: str = "/") -> Peak:
        """Find the first instant at which `account` and its children held the most, and who held it."""
        _, booked = self.series(account)
        highest = int(np.argmax(booked))
        position = highest
        if highest and account != "/":
            own = np.flatnonzero(self._below(account)[self.events["account"]])
            position = int(own[highest - 1]) + 1
        holders = self.composition(account, position=position)
        return Peak(self._time(position), int(booked[highest]), holders, self.dropped == 0, position)

    def composition(
        self, account: str = "/", *, position: int | None = None, time_ns: int | None = None
    ) -> list[Holder]:
        """Give who holds what below `account`, largest first, after `position` events, at `time_ns`, or at the end."""
        if position is not None and time_ns is not None:
            raise _refuse("time_ns", "cannot be given beside position")
        if time_ns is not None:
            position = int(np.searchsorted(self.events["time_ns"], time_ns, side="right"))
        if position is None:
            position = len(self)
        if not 0 <= position <= len(self):
            raise _refuse("position", f"is {position}, not between 0 and {len(self)}")
        held = self._held(position)
        held[~self._below(account)[self.label_accounts]] = 0
        rows = np.flatnonzero(held)
        rows = rows[np.argsort(-held[rows], kind="stable")]
        paths, labels = self.accounts, self.labels
        found = zip(self.label_accounts[rows].tolist(), rows.tolist(), held[rows].tolist(), strict=True)
        return [Holder(paths[owner], labels[label], size) for owner, label, size in found]

    def lifetimes(self, account: str = "/", *, unit: Literal["position", "time_ns"] = "position") -> Rows:
        """Give from when until when which bytes were held, as rows of `LIFETIME`, half-open, by their beginning.

        What is older than the first event begins at position 0, or at its time; what is never given back ends one
        after the last event. A reservation that changes its size has one lifetime for each size, under one id; a
        transfer keeps the id. In `time_ns`, what begins and ends in the same nanosecond is left out.
        """
        if unit not in {"position", "time_ns"}:
            raise _refuse("unit", f"is {unit!r}, not 'position' or 'time_ns'")
        rows = lifetime.lifetimes(self.events, self.start)
        if len(rows):
            rows["account"] = self.label_accounts[rows["label"]]
        if account != "/":
            rows = rows[self._below(account)[rows["account"]]]
        if unit == "time_ns":
            first, last = self._time(0), self._time(len(self)) + 1
            times = np.concatenate(([first], self.events["time_ns"], [last]))
            rows["lower"], rows["upper"] = times[rows["lower"]], times[rows["upper"]]
            rows = rows[rows["lower"] < rows["upper"]]
        return rows

    def write_lifetimes(
        self, path: str | PathLike[str], account: str = "/", *, unit: Literal["position", "time_ns"] = "position"
    ) -> int:
        """Write the lifetimes as CSV, `id,lower,upper,size`, which arena planners read; give their number.

        Every row has an id of its own: the second lifetime of reservation 7 is `7.2`. The file appears whole.
        """
        rows = self.lifetimes(account, unit=unit)
        lifetime.write(Path(path), rows)
        return len(rows)

    def plan_arena(
        self,
        account: str = "/",
        capacity: ByteCount | None = None,
        *,
        strategy: str = "auto",
        time_limit: float | None = 10.0,
        seed: int = 0,
    ) -> Layout:
        """Lay the `lifetimes` of `account` out in one block of memory, one offset a row: see `ullage.plan_arena`.

        Its height is what the same history takes with every address known beforehand; the lower bound is its peak.
        """
        rows = self.lifetimes(account)
        columns = (rows["size"], rows["lower"], rows["upper"])
        ids = lifetime.names(rows)
        return plan_arena(*columns, capacity, ids=ids, strategy=strategy, time_limit=time_limit, seed=seed)

    def slice(self, lower_ns: int | None = None, upper_ns: int | None = None) -> Self:
        """Give the part with the events from `lower_ns` until before `upper_ns`; what came before is its `start`."""
        time = self.events["time_ns"]
        first = 0 if lower_ns is None else int(np.searchsorted(time, lower_ns))
        last = len(self) if upper_ns is None else max(int(np.searchsorted(time, upper_ns)), first)
        held = self._held(first).astype(np.uint64)
        return replace(self, events=self.events[first:last], start=held, dropped=self.dropped + first)

    def to_chrome_trace(self, path: str | PathLike[str]) -> None:
        """Write counters that Perfetto and chrome://tracing draw: own bytes of each account, and their total.

        The file appears whole; one of ten million events takes two gigabytes, so `slice` first.
        """
        chrome.write(Path(path), self.events, self.accounts, self.label_accounts, self.start)

    def as_dict(self) -> dict[str, Any]:
        """Give what it amounts to, ready for JSON: extent, peak, and what is held at the end."""
        return {
            "source": self.source,
            "events": len(self),
            "dropped": self.dropped,
            "epoch_unix_ns": self.epoch_unix_ns,
            "first_ns": self._time(0),
            "last_ns": self._time(len(self)),
            "accounts": list(self.accounts),
            "peak": self.peak().as_dict(),
            "end": [holder._asdict() for holder in self.composition()],
        }

    def _below(self, account: str) -> Flags:
        """Tell of each account whether it is `account` or below it."""
        if account not in self.accounts:
            raise _refuse("account", f"{account!r} is not in this timeline")
        prefix = "" if account == "/" else f"{account}/"
        return np.array([path == account or path.startswith(prefix) for path in self.accounts], dtype=np.bool_)

    def _start(self, below: Flags) -> int:
        """Give the bytes that the accounts `below` held before the first event."""
        return int(self.start[below[self.label_accounts]].sum(dtype=np.uint64))

    def _held(self, position: int) -> Counts:
        """Give the bytes held under each label after `position` events."""
        held = self.start.astype(np.int64)
        past = self.events[:position]
        np.add.at(held, past["label"], past["delta"])
        return held

    def _time(self, position: int) -> int:
        """Give the time of the event that led to `position`; the state before the first has the first's time."""
        return int(self.events["time_ns"][max(position - 1, 0)]) if len(self) else 0


def _rows(value: ArrayLike) -> Rows:
    """Give `value` as events, without a copy where it is an array of them."""
    if isinstance(value, np.ndarray) and value.size:
        return value
    try:
        return np.array([tuple(row) for row in value] if isinstance(value, list) else value, EVENT)
    except (TypeError, ValueError, OverflowError) as error:
        raise _wrong("events", f"cannot be taken: {error}") from None


def _whole(name: str, value: ArrayLike, dtype: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    """Give `value` as an array of `dtype`, without a copy where it is one; no number may change on the way."""
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise _wrong(name, f"cannot be taken: {error}") from None
    if not array.size:
        return np.zeros(0, dtype)
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > np.iinfo(dtype).max:
        raise _wrong(name, f"must be whole numbers of {np.dtype(dtype)}")
    return array.astype(dtype, copy=False)


def _wrong(field: str, reason: str) -> TimelineError:
    return TimelineError(f"{field} {reason}", field=field, reason=reason)


def _refuse(name: str, reason: str) -> ArgumentError:
    return ArgumentError(f"{name} {reason}", name=name, reason=reason)
