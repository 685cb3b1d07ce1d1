"""Events by what they belong to: what each reservation held after each of its events, and before the first.

A reservation that is older than the first event is known by its end alone: what it gives back it must have held.
"""

from typing import NamedTuple

import numpy as np

from ullage.timeline.layout import Counts, Rows

__all__ = ["History", "needed", "of_each"]


class History(NamedTuple):
    """Events sorted by reservation and label, and in their order within each; a run is those of one such pair."""

    order: Counts
    """The index of each event."""
    firsts: Counts
    """Where each run begins in `order`."""
    held: Counts
    """Bytes that the reservation holds after each event, without `before`."""
    before: Counts
    """Bytes that the reservation of each run must have held before its first event."""

    def lengths(self) -> Counts:
        """Give the number of events of each run."""
        return np.diff(self.firsts, append=len(self.order))


def of_each(events: Rows) -> History:
    """Sort `events` by reservation and label, and sum each run up."""
    if not len(events):
        empty = np.zeros(0, np.int64)
        return History(empty, empty, empty, empty)
    order, new = _sorted(events)
    firsts = np.flatnonzero(new)
    delta = events["delta"][order]
    held = np.cumsum(delta)
    lengths = np.diff(firsts, append=len(order))
    held -= np.repeat(held[firsts] - delta[firsts], lengths)
    before = np.maximum(-np.minimum.reduceat(held, firsts), 0)
    return History(order, firsts, held, before)


def needed(events: Rows, history: History, labels: int) -> Counts:
    """Give the bytes that must have been held under each label before the first event."""
    found = np.zeros(labels, np.int64)
    np.add.at(found, events["label"][history.order[history.firsts]], history.before)
    return found


def _sorted(events: Rows) -> tuple[Counts, Rows]:
    """Give the order by reservation and label, and at which events a run begins."""
    ids, labels = events["id"], events["label"]
    order = np.argsort(ids, kind="stable")
    other_id, other_label = _differs(ids[order]), _differs(labels[order])
    if np.any(other_label & ~other_id):  # a transfer: rare, and the full sort takes twice as long
        order = np.lexsort((labels, ids))
        other_id, other_label = _differs(ids[order]), _differs(labels[order])
    return order, other_id | other_label


def _differs(values: Rows) -> Rows:
    """Tell for each value whether it differs from the one before it; the first does."""
    return np.concatenate(([True], values[1:] != values[:-1]))
