"""Curves with fewer points that look the same: of every slot the first, the lowest and the highest."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ullage.report.parts import Changes, Course

__all__ = ["MOST_ROWS", "kept", "thinned"]

MOST_ROWS = 200_000
"""A course with more instants is thinned before it is written."""


def kept(values: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Give the indices, ascending and at most `most`, of values that show where the curve goes.

    Of each run of equally many values the first, the lowest and the highest, and the last of all; so the highest of all
    is among them.
    """
    if len(values) <= most:
        return np.arange(len(values))
    size = -(-len(values) // max((most - 1) // 3, 1))
    whole = len(values) // size
    blocks = values[: whole * size].reshape(whole, size)
    first = np.arange(whole) * size
    found = [first, first + blocks.argmin(axis=1), first + blocks.argmax(axis=1), [len(values) - 1]]
    if whole * size < len(values):
        rest = values[whole * size :]
        found.append(whole * size + np.array([0, rest.argmin(), rest.argmax()]))
    return np.unique(np.concatenate(found))


def thinned(course: Course, most: int = MOST_ROWS) -> Course:
    """Give the course at fewer instants where it has more than `most`, with the sums at these as they were."""
    if len(course.times) <= most:
        return course
    rows = kept(course.totals(), most)
    held = course.held(rows)
    steps = np.diff(held, axis=1, prepend=0)
    holder, row = np.nonzero(steps)
    order = np.argsort(row, kind="stable")
    holder, row = holder[order], row[order]
    changes = Changes(row.astype(np.uint32), holder.astype(np.uint8), steps[holder, row])
    return replace(course, times=course.times[rows], changes=changes)
