"""The parts of a report as an image, by matplotlib; tables are left out."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ullage.errors import ArgumentError
from ullage.report.parts import Axis, Boxes, Course, Lines, Points, Section, Table
from ullage.report.placing import ROWS_SHOWN, named_boxes, named_points, ranges_of
from ullage.report.thinning import kept
from ullage.report.words import shown

__all__ = ["image"]

WIDTH, HEIGHT, ROW, DPI = 11.0, 3.4, 0.26, 120
MOST_POINTS = 6_000
MOST_BOXES = 20_000
INNER = (880, 230)
"""What a chart has inside its axes, in pixels of small letters."""
MOST_INCHES = 400.0
"""Beyond so many, an image would be more than what programs open."""
DRAW: Any = {"svg.fonttype": "none", "text.parse_math": False, "svg.hashsalt": "ullage"}


def image(sections: Sequence[Section], kind: str) -> bytes:
    """Draw every chart below each other. Raises `ArgumentError` where there is none or they are too many."""
    charts = [(section, part) for section in sections for part in section.parts if not isinstance(part, Table)]
    heights = [_height(part) for _, part in charts]
    if not charts or sum(heights) > MOST_INCHES:
        reason = "there is no chart to draw" if not charts else f"{len(charts)} charts are too many for one image"
        raise ArgumentError(f"out: {reason}", name="out", reason=reason)
    with mpl.rc_context(DRAW):
        drawn = Figure(figsize=(WIDTH, sum(heights)), dpi=DPI, layout="constrained")
        rows = drawn.subplots(len(charts), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
        for axes, (section, part) in zip(rows, charts, strict=True):
            axes.set_title(f"{section.title}\n{part.title}", loc="left", fontsize="medium")
            if isinstance(part, Course):
                _course(axes, part)
            elif isinstance(part, Boxes):
                _boxes(axes, part)
            else:
                _points(axes, part)
            _axis(axes.xaxis, part.x)
            x, y = ranges_of(part)
            axes.set_xlim(*x)
            axes.set_ylim(*y)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(fontsize="x-small", frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        file = io.BytesIO()
        metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
        drawn.savefig(file, format=kind, metadata=metadata)
    return file.getvalue()


def _height(part: Course | Boxes | Points) -> float:
    if isinstance(part, Boxes) and part.y.unit == "name":
        return 1.3 + ROW * min(max(len(part.y.names), 2), ROWS_SHOWN)
    return HEIGHT


def _course(axes: Any, course: Course) -> None:  # noqa: ANN401 - matplotlib's
    totals = course.totals()
    rows = kept(totals, MOST_POINTS)
    times = course.times[rows]
    labels = course.holders if len(course.holders) > 1 else ()
    if len(times):
        axes.stackplot(times, course.held(rows), labels=labels, colors=course.colours(), step="post")
    lines = [] if course.limit is None else [Lines("limit", course.limit)]
    _lines(axes.axhline, lines)
    _lines(axes.axvline, [] if course.peak is None else [Lines("peak", course.peak)])
    _axis(axes.yaxis, Axis("held", "bytes"))


def _boxes(axes: Any, boxes: Boxes) -> None:  # noqa: ANN401 - matplotlib's
    areas = (boxes.right - boxes.left) * (boxes.top - boxes.bottom)
    order = np.argsort(-areas, kind="stable")[:MOST_BOXES]
    for left, right, bottom, top in boxes.frames:
        axes.fill([left, right, right, left], [bottom, bottom, top, top], facecolor="#eef1f4", edgecolor="#8a949e")
    left, right, bottom, top = (getattr(boxes, side)[order] for side in ("left", "right", "bottom", "top"))
    corners = np.stack(
        [np.stack(pair, axis=-1) for pair in ((left, bottom), (right, bottom), (right, top), (left, top))], axis=1
    )
    colours = boxes.drawn(order)
    axes.add_collection(PolyCollection(list(corners), facecolors=colours, edgecolors="white", linewidths=0.3))
    for index in named_boxes(boxes, INNER[0], _height(boxes) / HEIGHT * INNER[1]):
        at = ((boxes.left[index] + boxes.right[index]) / 2, (boxes.bottom[index] + boxes.top[index]) / 2)
        text, ink = boxes.names[index], boxes.ink(index)
        axes.text(*at, text, color=ink, ha="center", va="center", fontsize="x-small", clip_on=True)
    _lines(axes.axvline, boxes.vertical)
    _lines(axes.axhline, boxes.horizontal)
    _axis(axes.yaxis, boxes.y)
    if len(areas) > MOST_BOXES:
        axes.set_xlabel(f"{boxes.x.label}; the {MOST_BOXES:,} largest of {len(areas):,} are drawn")


def _points(axes: Any, points: Points) -> None:  # noqa: ANN401 - matplotlib's
    front = points.front()
    at = np.array(points.at, np.float64).reshape(-1, 2)
    axes.step(at[front, 0], at[front, 1], where="post", color="#8a949e", linestyle="--")
    axes.scatter(at[:, 0], at[:, 1], c=points.colours(), zorder=3)
    for name in named_points(points, *INNER):
        where = (name.right * 0.75, name.up * 0.75)
        axes.annotate(
            points.names[name.index],
            at[name.index],
            where,
            textcoords="offset points",
            fontsize="x-small",
            ha=name.align,
        )
    _lines(axes.axvline, points.vertical)
    _lines(axes.axhline, points.rulers())
    _axis(axes.yaxis, points.y)


def _lines(draw: Any, lines: Sequence[Lines]) -> None:  # noqa: ANN401 - matplotlib's
    for line in lines:
        draw(line.at, color="#1c2024", linestyle="--", linewidth=1, label=line.label)


def _axis(drawn: Any, axis: Axis) -> None:  # noqa: ANN401 - matplotlib's
    if not drawn.get_label_text():
        drawn.set_label_text(axis.label)
    if axis.unit == "name":
        names = axis.names[:ROWS_SHOWN]
        drawn.set_ticks(range(len(names)), [name[:40] for name in names])
    else:
        if axis.unit in {"bytes", "count", "position"}:
            drawn.set_major_locator(MaxNLocator("auto", integer=True))
        drawn.set_major_formatter(FuncFormatter(lambda value, _: shown(value, axis.unit)))
