"""What must be true of a timeline."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ullage.errors import TimelineError
from ullage.timeline import history
from ullage.timeline.layout import EVENT, Counts, Indices, Rows, Sizes

__all__ = ["check_facts", "check_shapes"]

MOST = 1 << 62
"""More bytes than this at once are refused, far below where 64-bit sums would wrap."""


def check_shapes(
    events: Rows, accounts: Sequence[str], labels: Sequence[str], label_accounts: Indices, start: Sizes
) -> None:
    """Check in constant time that the parts have the types and lengths that belong together."""
    if events.dtype != EVENT or events.ndim != 1:
        raise _wrong("events", f"must be one row of the layout EVENT, not {events.ndim} of {events.dtype}")
    if not accounts or accounts[0] != "/":
        raise _wrong("accounts[0]", "must be the root, /")
    for name, array, dtype in (("label_accounts", label_accounts, np.uint32), ("start", start, np.uint64)):
        if array.dtype != dtype or array.shape != (len(labels),):
            reason = f"must be {len(labels)} of {np.dtype(dtype)}, one a label, not {array.shape} of {array.dtype}"
            raise _wrong(name, reason)


def check_facts(
    events: Rows, accounts: Sequence[str], labels: Sequence[str], label_accounts: Indices, start: Sizes
) -> None:
    """Check that the events could have happened: every index known, time in order, nothing below zero."""
    _check_accounts(accounts)
    _forbid("label_accounts[{}]", label_accounts >= len(accounts), "is no account")
    _forbid("events[{}].account", events["account"] >= len(accounts), "is no account")
    _forbid("events[{}].label", events["label"] >= len(labels), "is no label")
    if len(labels):
        foreign = label_accounts[events["label"]] != events["account"]
        _forbid("events[{}].label", foreign, "is a label of another account")
    time = events["time_ns"]
    _forbid("events[{}].time_ns", np.concatenate(([False], time[1:] < time[:-1])), "is earlier than the one before")
    _check_size(events, start)
    _check_holdings(events, labels, start)


def _check_accounts(accounts: Sequence[str]) -> None:
    seen = {"/"}
    for index, path in enumerate(accounts[1:], start=1):
        parent = path.rpartition("/")[0] or "/"
        if path in seen:
            raise _wrong(f"accounts[{index}]", f"{path!r} stands there twice")
        if not all(path.split("/")):
            raise _wrong(f"accounts[{index}]", f"{path!r} has an empty part")
        if parent not in seen:
            raise _wrong(f"accounts[{index}]", f"{path!r} comes before its parent {parent!r}")
        seen.add(path)


def _check_size(events: Rows, start: Sizes) -> None:
    """Refuse what 64-bit sums could not hold; the floating sum is coarse, and far from the limit that is no matter."""
    held = float(start.sum(dtype=np.float64)) + np.cumsum(events["delta"], dtype=np.float64)
    if float(start.sum(dtype=np.float64)) > MOST:
        raise _wrong("start", "adds up to more than 2^62 bytes")
    _forbid("events[{}].delta", np.abs(held) > MOST, "brings what is held beyond 2^62 bytes")
    _forbid("events[{}].delta", np.abs(events["delta"].astype(np.float64)) > MOST, "is beyond 2^62 bytes")


def _check_holdings(events: Rows, labels: Sequence[str], start: Sizes) -> None:
    """Refuse to give back what was not held: neither by a reservation of these events nor before the first."""
    past = history.of_each(events)
    short = history.needed(events, past, len(labels)) - start.astype(np.int64)
    if not np.any(short > 0):
        return
    label = int(np.argmax(short > 0))
    guilty = past.order[(past.held < 0) & (events["label"][past.order] == label)]
    reason = f"leaves label {labels[label]!r} with less than nothing: {int(short[label]):,} bytes were never held"
    raise _wrong(f"events[{int(guilty.min())}].delta", reason)


def _forbid(field: str, wrong: Rows | Counts, reason: str) -> None:
    """Raise for the first place that is `wrong`."""
    if np.any(wrong):
        raise _wrong(field.format(int(np.argmax(wrong))), reason)


def _wrong(field: str, reason: str) -> TimelineError:
    fields: dict[str, Any] = {"field": field, "reason": reason}
    return TimelineError(f"{field} {reason}", **fields)
