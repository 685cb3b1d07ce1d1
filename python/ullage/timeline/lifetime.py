"""From events to lifetimes: which bytes were held unchanged from when until when."""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ullage.timeline import history
from ullage.timeline.layout import LIFETIME, Counts, Rows, Sizes
from ullage.timeline.writing import replaced

__all__ = ["NAMELESS", "lifetimes", "names", "write"]

NAMELESS = 2**64 - 1
"""Bytes of label `n` that are held throughout and that no event names have the id `NAMELESS - n`."""

CHUNK = 1 << 16


def lifetimes(events: Rows, start: Sizes) -> Rows:
    """Give every lifetime in positions, by its beginning, without `account`.

    A reservation whose size changes has one lifetime for each size, and one that moves has one under each label.
    """
    changes = np.flatnonzero(events["delta"])
    changing = events if len(changes) == len(events) else events[changes]
    end = len(events) + 1
    past = history.of_each(changing)
    positions = changes[past.order] + 1
    left = start.astype(np.int64) - history.needed(changing, past, len(start))
    found = np.concatenate(
        (_old(changing, past, positions), _seen(changing, past, positions, end), _nameless(left, end))
    )
    return found[np.argsort(found["lower"], kind="stable")]


def _old(events: Rows, past: history.History, positions: Counts) -> Rows:
    """Give what reservations held before the first event, until their own first."""
    older = np.flatnonzero(past.before)
    firsts = past.firsts[older]
    return _rows(events[past.order[firsts]], np.zeros(len(older), np.int64), positions[firsts], past.before[older])


def _seen(events: Rows, past: history.History, positions: Counts, end: int) -> Rows:
    """Give what reservations held from each of their events until the next."""
    held = past.held + np.repeat(past.before, past.lengths())
    upper = np.append(positions[1:], end)
    upper[past.firsts[1:] - 1] = end
    alive = np.flatnonzero(held)
    return _rows(events[past.order[alive]], positions[alive], upper[alive], held[alive])


def _nameless(left: Counts, end: int) -> Rows:
    """Give what was held throughout by reservations without an event, one a label."""
    labels = np.flatnonzero(left > 0)
    found = np.zeros(len(labels), LIFETIME)
    found["id"] = np.uint64(NAMELESS) - labels.astype(np.uint64)
    found["upper"], found["size"], found["label"] = end, left[labels], labels
    return found


def _rows(events: Rows, lower: Counts, upper: Counts, size: Counts) -> Rows:
    found = np.zeros(len(events), LIFETIME)
    found["id"], found["label"] = events["id"], events["label"]
    found["lower"], found["upper"], found["size"] = lower, upper, size
    return found


def names(rows: Rows) -> list[str]:
    """Give every lifetime a name of its own: its id, and for the second of an id `id.2`, as `write` does."""
    seen: Counter[int] = Counter()
    return [_name(identity, seen) for identity in rows["id"].tolist()]


def write(path: Path, rows: Rows) -> None:
    """Write lifetimes as CSV with the columns `id,lower,upper,size`; the second of an id is written `id.2`."""
    with replaced(path) as file:
        file.write("id,lower,upper,size\n")
        for lines in _lines(rows):
            file.write(lines)


def _lines(rows: Rows) -> Iterator[str]:
    ids, counts = np.unique(rows["id"], return_counts=True)
    repeated = set(ids[counts > 1].tolist())
    seen: Counter[int] = Counter()
    for first in range(0, len(rows), CHUNK):
        part = rows[first : first + CHUNK]
        names = part["id"].tolist()
        if repeated:
            names = [_name(name, seen) if name in repeated else name for name in names]
        columns = (part["lower"].tolist(), part["upper"].tolist(), part["size"].tolist())
        yield "".join(itertools.starmap("{},{},{},{}\n".format, zip(names, *columns, strict=True)))


def _name(identity: int, seen: Counter[int]) -> str:
    seen[identity] += 1
    return str(identity) if seen[identity] == 1 else f"{identity}.{seen[identity]}"
