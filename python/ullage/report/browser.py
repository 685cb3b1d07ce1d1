"""The parts of a report as charts of Bokeh, and the page they stand on: one file that asks no network for anything."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import jinja2
import numpy as np
from bokeh.embed import components
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    CustomJS,
    CustomJSHover,
    CustomJSTickFormatter,
    FixedTicker,
    HoverTool,
    Range1d,
)
from bokeh.models.annotations.geometry import Span
from bokeh.models.annotations.labels import Label
from bokeh.plotting import figure
from bokeh.resources import Resources
from markupsafe import Markup

from ullage import __version__
from ullage.report.parts import Axis, Boxes, Course, Lines, Part, Points, Section, Table
from ullage.report.placing import ROWS_SHOWN, named_boxes, named_points, ranges_of
from ullage.report.thinning import kept

__all__ = ["page"]

SLOTS = 300
"""Of a course, so many slots are drawn at once, of three instants each."""
MOST_BOXES = 2_500
"""Drawn at once; more come to light as one zooms in."""
LARGEST_FILE_BOXES = 200_000
WIDTH, HEIGHT = 1000, 340
ROW, MARGIN, LOWEST = 26, 90, 190
"""A row of bars and what is around them; lower, a chart has no room for its tools."""
INNER = (860, 270)
"""What a chart has inside its axes, in pixels, at its usual width."""
SPARE = 0.02
MARK = "#1c2024"
SMALL: Any = {"text_font_size": "11px"}
FONT: Any = {"value": "system-ui"}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart as it stands on the page."""

    title: str
    drawn: str
    note: str


def page(sections: Sequence[Section], title: str, made: str) -> str:
    """Give the page; `made` says when it was."""
    charts: dict[str, Any] = {}
    notes: dict[str, str] = {}
    for number, section in enumerate(sections):
        for place, part in enumerate(section.parts):
            if not isinstance(part, Table):
                charts[f"{number}.{place}"], notes[f"{number}.{place}"] = _chart(part)
    script, divisions = components(charts) if charts else ("", {})
    shown = [
        {
            "title": section.title,
            "facts": section.facts,
            "notes": section.notes,
            "parts": [
                part
                if isinstance(part, Table)
                else Drawn(part.title, divisions[f"{number}.{place}"], notes[f"{number}.{place}"])
                for place, part in enumerate(section.parts)
            ],
        }
        for number, section in enumerate(sections)
    ]
    # The plain library: no widgets, tables or WebGL, which would treble the page.
    library = Resources(mode="inline", components=["bokeh"]).render() if charts else ""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["breaking"] = _breaking
    return environment.from_string(_asset("page.html")).render(
        title=title,
        version=__version__,
        made=made,
        sections=shown,
        style=_asset("page.css"),
        library=library,
        script=script,
    )


def _breaking(text: str) -> Markup:
    """Let a long name break behind a mark, as those of tensors and policies do, and not in a word."""
    return Markup("<wbr>").join(re.split(r"(?<=[a-z][/\\_:;,.])(?=\w)", str(text)))


def _chart(part: Part) -> tuple[Any, str]:
    if isinstance(part, Course):
        return _course(part), ""
    if isinstance(part, Boxes):
        return _boxes(part)
    if isinstance(part, Points):
        return _points(part), ""
    raise TypeError(type(part).__name__)


def _course(course: Course) -> Any:  # noqa: ANN401 - Bokeh's
    totals = course.totals()
    (first, end), up = ranges_of(course)
    beyond = (end - first) * SPARE
    x_range = Range1d(start=first, end=end, bounds=(first - beyond, end + beyond))
    y_range = Range1d(start=up[0], end=up[1])
    chart = _figure(course.x, Axis("held", "bytes"), x_range, y_range, "xpan,xwheel_zoom,xbox_zoom")
    view = ColumnDataSource(_stairs(course, kept(totals, 3 * SLOTS), totals))
    for index, colour in enumerate(course.colours()):
        under = f"top{index - 1}" if index else "base"
        legend = course.holders[index][:60]
        named = {"legend_label": legend} if len(course.holders) > 1 else {}
        chart.varea("t", under, f"top{index}", source=view, color=colour, alpha=0.85, **named)
    line = chart.line("t", "total", source=view, color="#1c2024", line_width=1)
    lines = [] if course.limit is None else [Lines("limit", course.limit)]
    _span(chart, lines, "width")
    if course.peak is not None:
        _span(chart, [Lines("peak", course.peak)], "height")
    texts = [("since", "@t{custom}"), ("total", "@total{custom}")]
    texts += [(_plain(name), f"@has{index}{{custom}}") for index, name in enumerate(course.holders)]
    formatters: dict[str, Any] = {"@t": _hover(course.x), "@total": _hover(Axis("", "bytes"))}
    formatters |= {f"@has{index}": _hover(Axis("", "bytes")) for index in range(len(course.holders))}
    hover = HoverTool(renderers=[line], tooltips=texts, formatters=formatters, mode="vline", line_policy="interp")
    arguments = {
        "times": ColumnDataSource({"t": course.times}),
        "changes": ColumnDataSource(
            {
                "row": course.changes.row,
                "holder": course.changes.holder,
                "delta": course.changes.delta.astype(np.float64),
            }
        ),
        "view": view,
        "range": x_range,
        "holders": len(course.holders),
        "slots": SLOTS,
    }
    _follow((x_range,), arguments, "course.js")
    _point(chart, hover)
    if chart.legend:
        chart.add_layout(chart.legend[0], "right")
        chart.legend[0].label_text_font_size = "11px"
        chart.legend[0].label_text_font = "system-ui"
    return chart


def _stairs(course: Course, rows: Any, totals: Any) -> dict[str, Any]:  # noqa: ANN401 - arrays
    """Give what is drawn at first: two points an instant, so that lines go along and then up or down."""
    drawn = {"t": np.repeat(course.times[rows], 2), "total": _stair(totals[rows].astype(np.float64))}
    under = drawn["base"] = np.zeros(2 * len(rows))
    for index, held in enumerate(course.held(rows).astype(np.float64)):
        drawn[f"has{index}"] = _stair(held)
        drawn[f"top{index}"] = under = under + drawn[f"has{index}"]
    return drawn


def _stair(values: Any) -> Any:  # noqa: ANN401 - an array
    return np.repeat(np.concatenate(([0.0], values)), 2)[1:-1]


def _boxes(boxes: Boxes) -> tuple[Any, str]:
    areas = (boxes.right - boxes.left) * (boxes.top - boxes.bottom)
    order = np.argsort(-areas, kind="stable")[:LARGEST_FILE_BOXES]
    columns: dict[str, Any] = {name: getattr(boxes, name)[order] for name in ("left", "right", "bottom", "top")}
    columns["colour"] = boxes.drawn(order)
    columns["name"] = [boxes.names[index] for index in order.tolist()]
    for place, values in enumerate(boxes.facts.values()):
        columns[f"fact{place}"] = [values[index] for index in order.tolist()]
    x_range, y_range = (Range1d(start=start, end=end) for start, end in ranges_of(boxes))
    are_rows = boxes.y.unit == "name"
    tools = "pan,xwheel_zoom,box_zoom" if are_rows else "pan,wheel_zoom,xwheel_zoom,box_zoom"
    chart = _figure(boxes.x, boxes.y, x_range, y_range, tools)
    if are_rows:
        chart.height = max(MARGIN + ROW * min(len(boxes.y.names), ROWS_SHOWN), LOWEST)
    if boxes.frames:
        sides = dict(zip(("left", "right", "bottom", "top"), zip(*boxes.frames, strict=True), strict=True))
        chart.quad(**sides, fill_color="#eef1f4", line_color="#8a949e")
    view = ColumnDataSource({name: values[:MOST_BOXES] for name, values in columns.items()})
    drawn = chart.quad(
        "left", "right", "top", "bottom", source=view, fill_color="colour", line_color="white", line_width=0.5
    )
    _names(chart, boxes)
    _span(chart, boxes.vertical, "height")
    _span(chart, boxes.horizontal, "width")
    texts = [("", "@name"), *_sides(boxes)]
    texts += [(what, f"@fact{place}") for place, what in enumerate(boxes.facts)]
    formatters: dict[str, Any] = {"@left": _hover(boxes.x), "@right": _hover(boxes.x), "@bottom": _hover(boxes.y)}
    formatters |= {"@top": _hover(boxes.y)}
    _point(chart, HoverTool(renderers=[drawn], tooltips=texts, formatters=formatters, point_policy="follow_mouse"))
    if len(order) <= MOST_BOXES:
        return chart, ""
    arguments = {"all": ColumnDataSource(columns), "view": view, "x": x_range, "y": y_range, "most": MOST_BOXES}
    _follow((x_range, y_range), arguments, "boxes.js")
    note = f"Of {len(areas):,} the {MOST_BOXES:,} largest in view are drawn; zoom in to see more."
    if len(areas) > len(order):
        note += f" The file holds the {len(order):,} largest."
    return chart, note


def _names(chart: Any, boxes: Boxes) -> None:  # noqa: ANN401 - Bokeh's
    """Write on each box what it is, where that has room at first."""
    chosen = named_boxes(boxes, INNER[0], chart.height - MARGIN)
    if chosen:
        source = ColumnDataSource(
            {
                "x": (boxes.left + boxes.right)[chosen] / 2,
                "y": (boxes.bottom + boxes.top)[chosen] / 2,
                "text": [boxes.names[index] for index in chosen],
                "colour": [boxes.ink(index) for index in chosen],
            }
        )
        chart.text(
            "x",
            "y",
            "text",
            source=source,
            text_color="colour",
            text_align="center",
            text_baseline="middle",
            text_font=FONT,
            **SMALL,
        )


def _sides(boxes: Boxes) -> list[tuple[str, str]]:
    """Give the lines that say where a box begins and ends; of a bar that begins at 0 only its end."""
    bars = not np.any(boxes.left) and boxes.y.unit == "name"
    sides = [(boxes.x.label, "@right{custom}")] if bars else [(boxes.x.label, "@left{custom} … @right{custom}")]
    return sides if boxes.y.unit == "name" else [*sides, (boxes.y.label, "@bottom{custom} … @top{custom}")]


def _points(points: Points) -> Any:  # noqa: ANN401 - Bokeh's
    x_range, y_range = (Range1d(start=start, end=end) for start, end in ranges_of(points))
    chart = _figure(points.x, points.y, x_range, y_range, "pan,wheel_zoom,box_zoom")
    front = points.front()
    stairs = [(points.at[index], points.at[after]) for index, after in itertools.pairwise(front)]
    line = [points.at[index] for index in front[:1]]
    for (_, low), (right, after) in stairs:
        line += [(right, low), (right, after)]
    chart.line([x for x, _ in line], [y for _, y in line], color="#8a949e", line_dash="dashed")
    source = ColumnDataSource(
        {
            "x": [x for x, _ in points.at],
            "y": [y for _, y in points.at],
            "name": list(points.names),
            "colour": points.colours(),
        }
    )
    drawn = chart.scatter("x", "y", source=source, size=10, color="colour", line_color="white")
    for name in named_points(points, *INNER):
        (x, y), text = points.at[name.index], points.names[name.index]
        chart.add_layout(
            Label(x=x, y=y, text=text, text_align=name.align, x_offset=name.right, y_offset=name.up, **SMALL)
        )
    _span(chart, points.vertical, "height")
    _span(chart, points.rulers(), "width")
    texts = [("", "@name"), (points.x.label, "@x{custom}"), (points.y.label, "@y{custom}")]
    formatters: dict[str, Any] = {"@x": _hover(points.x), "@y": _hover(points.y)}
    _point(chart, HoverTool(renderers=[drawn], tooltips=texts, formatters=formatters))
    return chart


def _figure(x: Axis, y: Axis, x_range: Range1d, y_range: Range1d, tools: str) -> Any:  # noqa: ANN401 - Bokeh's
    chart: Any = figure(
        width=WIDTH,
        height=HEIGHT,
        sizing_mode="stretch_width",
        tools=f"{tools},reset,save",
        active_drag=tools.split(",", 1)[0],
        active_scroll=tools.split(",")[1],
        x_axis_label=x.label,
        y_axis_label=y.label,
        x_range=x_range,
        y_range=y_range,
    )
    chart.toolbar.logo = None
    for axis, drawn in ((x, chart.xaxis), (y, chart.yaxis)):
        drawn.formatter = CustomJSTickFormatter(
            args={"unit": axis.unit, "names": [name[:40] for name in axis.names]},
            code=f"{_asset('format.js')}\nreturn show(tick, unit, names)",
        )
        if axis.unit == "name" and len(axis.names) <= ROWS_SHOWN:
            drawn.ticker = FixedTicker(ticks=list(range(len(axis.names))))
        elif axis.unit in {"bytes", "count", "position"}:
            drawn.ticker = BasicTicker(min_interval=1)  # there is no half of one
            drawn.minor_tick_line_color = None
    chart.output_backend = "canvas"
    chart.lod_threshold = None  # we choose what is drawn
    chart.lod_interval = 0  # else each frame of a movement is drawn again half a second later
    return chart


def _point(chart: Any, hover: HoverTool) -> None:  # noqa: ANN401 - Bokeh's
    """Let what is pointed at be read, unless the chart moves."""
    hover.visible = False  # no button: it would blink as the chart moves
    chart.add_tools(hover)
    _follow((chart.x_range, chart.y_range), {"chart": chart, "hover": hover}, "still.js")


def _follow(ranges: Sequence[Any], arguments: dict[str, Any], asset: str) -> None:
    """Run a script as what is in view changes."""
    follow = CustomJS(args=arguments, code=_asset(asset))
    for part in ranges:
        part.js_on_change("start", follow)
        part.js_on_change("end", follow)


def _hover(axis: Axis) -> CustomJSHover:
    code = f"{_asset('format.js')}\nreturn show(value, unit, [])"
    if axis.unit == "bytes":
        code = f"{_asset('format.js')}\nreturn `${{showBytes(value)}} (${{value.toLocaleString('en')}})`"
    return CustomJSHover(args={"unit": axis.unit}, code=code)


def _span(chart: Any, lines: Sequence[Lines], dimension: Literal["width", "height"]) -> None:  # noqa: ANN401 - Bokeh's
    for line in lines:
        chart.add_layout(Span(location=line.at, dimension=dimension, line_color=MARK, line_dash="dashed"))
        place: dict[str, Any] = {"x": 6, "y": line.at, "x_units": "screen", "y_offset": 1}
        if dimension == "height":
            is_late = line.at - chart.x_range.start > (chart.x_range.end - chart.x_range.start) / 2
            beside = {"text_align": "right", "x_offset": -4} if is_late else {"x_offset": 4}
            place = {"x": line.at, "y": 4, "y_units": "screen", **beside}
        chart.add_layout(
            Label(
                **place,
                text=line.label,
                text_color=MARK,
                background_fill_color="white",
                background_fill_alpha=0.9,
                **SMALL,
            )
        )


def _plain(name: str) -> str:
    """Give a name that has no meaning in the label of a tooltip."""
    return name.replace("@", "＠").replace("$", "＄")[:60]  # noqa: RUF001 - look like what they replace


def _asset(name: str) -> str:
    return resources.files("ullage.report").joinpath("assets", name).read_text(encoding="utf-8")
