"""Where things stand on a chart, whatever draws it: how far the axes go, and which names have room."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ullage.report.parts import Boxes, Course, Points

__all__ = ["ROWS_SHOWN", "Named", "Span", "named_boxes", "named_points", "ranges_of"]

Span: TypeAlias = tuple[float, float]
"""From where to where an axis goes at first."""
Box: TypeAlias = tuple[float, float, float, float]
"""Left, right, low and high, in pixels."""

ROWS_SHOWN = 40
SPARE = 0.02
AROUND = 0.08
"""Beyond the outermost point, as a share of their extent."""
ABOVE = 1.05
LETTER, LINE = 6.2, 14.0
"""What a small letter takes, in pixels."""
BESIDE: tuple[tuple[Literal["left", "right"], float, float], ...] = (
    ("left", 8, -5),
    ("left", 8, 8),
    ("right", -8, -5),
    ("right", -8, 8),
    ("left", 8, -18),
)
"""Where a name may stand, the best first."""
FAR, SAME = 12.0, 5.0
"""Pixels from a name to points that it does not mean; below so many, two points are one to the eye."""
MOST_NAMED = 100
MOST_POINTS_NAMED = 24


@dataclass(frozen=True, slots=True)
class Named:
    """A name that has room: beside which point, and how far from it in pixels, right and up."""

    index: int
    right: float
    up: float
    align: Literal["left", "right"]
    """`left` where the name goes on to the right."""


def ranges_of(part: Course | Boxes | Points) -> tuple[Span, Span]:
    """Give from where to where the axes go at first: all is in view, marks too."""
    if isinstance(part, Course):
        return _of_course(part)
    if isinstance(part, Boxes):
        return _of_boxes(part)
    xs = [x for x, _ in part.at] + [line.at for line in part.vertical]
    ys = [y for _, y in part.at] + [line.at for line in part.horizontal]
    return _around(xs), _around(ys)


def named_boxes(boxes: Boxes, width: float, height: float) -> list[int]:
    """Give the boxes on which their name has room, on a chart of so many pixels; none where they are many."""
    if len(boxes.names) > MOST_NAMED or _are_bars(boxes):
        return []
    x, y = ranges_of(boxes)
    wide = (boxes.right - boxes.left) / max(abs(x[1] - x[0]), 1e-300) * width
    high = (boxes.top - boxes.bottom) / max(abs(y[1] - y[0]), 1e-300) * height
    need = np.array([LETTER * (len(name) + 1) for name in boxes.names])
    return [int(index) for index in np.flatnonzero((wide >= need) & (high >= LINE))]


def named_points(points: Points, width: float, height: float) -> list[Named]:
    """Give the points whose name has room beside it, on a chart of so many pixels: those of the front first."""
    x, y = ranges_of(points)
    place = [((px - x[0]) / (x[1] - x[0]) * width, (py - y[0]) / (y[1] - y[0]) * height) for px, py in points.at]
    taken: list[Box] = []
    marks = [((line.at - x[0]) / (x[1] - x[0]) * width, LETTER * len(line.label)) for line in points.vertical]
    taken += [(at - wide, at + wide, 0.0, LINE + 4) for at, wide in marks]  # their labels
    first = points.front()
    taken += _stairs([place[index] for index in first])
    found: list[Named] = []
    for index in [*first, *(other for other in range(len(place)) if other not in set(first))][:MOST_POINTS_NAMED]:
        at, wide = place[index], LETTER * len(points.names[index])
        # Near another point a name would be taken for that one's; those in the same place share it.
        others = [
            (px - reach, px + reach, py - reach, py + reach)
            for other, (px, py) in enumerate(place)
            if other != index
            for reach in (SAME if math.dist((px, py), at) < SAME else FAR,)
        ]
        for align, right, up in BESIDE:
            left = at[0] + right - (wide if align == "right" else 0)
            box = (left, left + wide, at[1] + up, at[1] + up + LINE)
            inside = box[0] >= 0 and box[1] <= width and box[2] >= 0 and box[3] <= height
            if inside and not any(_overlap(box, other) for other in [*others, *taken]):
                found.append(Named(index, right, up, align))
                taken.append(box)
                break
    return found


def _stairs(front: Sequence[tuple[float, float]]) -> list[Box]:
    """Give what the line through the front takes: from each point to the right, then down."""
    return [
        box
        for (left, high), (right, low) in itertools.pairwise(front)
        for box in ((left, right, high - 1, high + 1), (right - 1, right + 1, low, high))
    ]


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def _are_bars(boxes: Boxes) -> bool:
    """Say whether each box is a row's only one, so that the axis names it."""
    return boxes.y.unit == "name" and boxes.names == boxes.y.names


def _around(values: Sequence[float]) -> Span:
    low, high = min(values, default=0.0), max(values, default=1.0)
    spare = (high - low) * AROUND or abs(high) * AROUND or 1.0
    least = -spare / 2 if low == 0 else 0.0 if low > 0 else -np.inf  # what lies on an axis is seen whole
    return max(low - spare, least), high + spare


def _of_course(course: Course) -> tuple[Span, Span]:
    most = max(int(course.totals().max(initial=0)), course.limit or 0, 1)
    first, last = (float(course.times[0]), float(course.times[-1])) if len(course.times) else (0.0, 1.0)
    extent = (last - first) or 1.0
    is_late = course.peak is not None and course.peak > first + extent * (1 - SPARE)
    return (first, first + extent * (1 + SPARE * is_late)), (0.0, most * ABOVE)


def _of_boxes(boxes: Boxes) -> tuple[Span, Span]:
    right = max([float(boxes.right.max(initial=0)), *(frame[1] for frame in boxes.frames)])
    left = min([float(boxes.left.min(initial=right)), *(frame[0] for frame in boxes.frames)])
    right = max([right, *(line.at for line in boxes.vertical)])
    x = (left, right + ((right - left) or 1.0) * SPARE)
    if boxes.y.unit == "name":
        return x, (min(max(len(boxes.y.names), 1), ROWS_SHOWN) - 0.5, -0.5)
    top = max([float(boxes.top.max(initial=1)), *(line.at for line in boxes.horizontal)])
    return x, (0.0, top * ABOVE)
