"""Bars for policies, a timeline in text, and what to choose: what commands about passes draw."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ullage import format_bytes
from ullage.cli.show import Page

__all__ = ["advice", "draw_policies", "draw_timeline", "milliseconds"]

CELLS = 24
NARROW_CELLS = 4
GROUPED_CELLS = 8
"""Of bars narrower than this, schemes have tables of their own instead of a column."""
MOST_EVENTS = 20_000
NEAR = 1.02
"""Latencies closer than this are called alike."""


def milliseconds(seconds: float) -> str:
    """Show seconds as milliseconds with as many digits as are worth it."""
    return f"{seconds * 1000:,.3f}" if seconds < 1 else f"{seconds * 1000:,.0f}"


def draw_policies(page: Page, rows: Sequence[Mapping[str, Any]], *, limit: int | None = None) -> None:
    """Draw a bar of latency and one of peak memory for each policy: rows of `policy`, `latency_s` and `peak_bytes`.

    A row with a `scheme` shows it; with `allowed` false it is marked as beyond the limits.
    """
    if not rows:
        return
    slowest = max(row["latency_s"] for row in rows)
    largest = max(*(row["peak_bytes"] for row in rows), limit or 0)
    # What figures, gaps and names leave, for two bars of whole cells: a bar that is cut off says something else.
    policies = max(len(row["policy"]) for row in rows)
    schemes = max(len(row.get("scheme") or "") + 2 for row in rows)
    marks = 0 if all(row.get("allowed", True) for row in rows) else 8
    groups = dict.fromkeys(row.get("scheme") or "" for row in rows)
    has_schemes = len(groups) > 1 and page.width >= policies + schemes + marks + 30 + 2 * GROUPED_CELLS
    room = page.width - policies - has_schemes * schemes - marks - 30
    scale = _Scale(slowest, largest, min(max(room // 2, NARROW_CELLS), CELLS), has_schemes=has_schemes)
    if has_schemes or len(groups) == 1:
        _draw_policies(page, rows, scale)
        return
    for scheme in groups:  # one after the other, for want of room
        page.line(f"with {scheme}")
        _draw_policies(page, [row for row in rows if (row.get("scheme") or "") == scheme], scale)


class _Scale(NamedTuple):
    """What bars are drawn to, and whether schemes have a column."""

    slowest_s: float
    largest: int
    cells: int
    has_schemes: bool


def _draw_policies(page: Page, rows: Sequence[Mapping[str, Any]], scale: _Scale) -> None:
    has_schemes, cells = scale.has_schemes, scale.cells
    is_limited = not all(row.get("allowed", True) for row in rows)
    columns = (
        "=policy",
        *(("=scheme",) if has_schemes else ()),
        ">ms",
        "",
        ">peak",
        "",
        "limits" if is_limited else "",
    )
    page.table(
        columns,
        [
            (
                row["policy"],
                *((row.get("scheme") or "",) if has_schemes else ()),
                milliseconds(row["latency_s"]),
                # Bars count in whole numbers: millionths of the slowest.
                page.fill(round(row["latency_s"] / scale.slowest_s * 1e6) if scale.slowest_s else 0, 10**6, cells),
                format_bytes(row["peak_bytes"]),
                page.fill(row["peak_bytes"], scale.largest, cells),
                "" if row.get("allowed", True) else "beyond",
            )
            for row in rows
        ],
    )


def draw_timeline(page: Page, events: Iterable[Mapping[str, Any]], latency_s: float) -> None:
    """Draw when each resource was busy: a line a resource, a cell a share of the pass."""
    found = list(events)[:MOST_EVENTS]
    if not found or latency_s <= 0:
        return
    width = max(page.width - 24, 10)
    busy: dict[str, list[float]] = {}
    for event in found:
        cells = busy.setdefault(event["resource"], [0.0] * width)
        first, last = event["start_s"] / latency_s * width, event["end_s"] / latency_s * width
        for cell in range(int(first), min(int(last) + 1, width)):
            cells[cell] += max(min(last, cell + 1) - max(first, cell), 0.0)
    for resource, cells in busy.items():
        share = sum(cells) / width
        marks = "".join(_mark(min(cell, 1.0)) for cell in cells)
        page.line(f"{resource:<13}{marks} {share:>4.0%}")
    page.line(f"{'':<13}0 ms{milliseconds(latency_s) + ' ms':>{max(width - 4, 8)}}")


def _mark(share: float) -> str:
    return " .:=#"[min(round(share * 4), 4)]


def advice(rows: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None = None) -> str:
    """Say what to choose: of single policies, and how much a mix (`best`) gains over them."""
    allowed = [row for row in rows if row.get("allowed", True)]
    if not allowed:
        return "No single policy keeps to the limits." if rows else ""
    fastest = min(allowed, key=lambda row: (row["latency_s"], row["peak_bytes"]))
    smallest = min(allowed, key=lambda row: (row["peak_bytes"], row["latency_s"]))
    words = (
        f"Choose {_named(fastest)}: {milliseconds(fastest['latency_s'])} ms at {format_bytes(fastest['peak_bytes'])}"
    )
    if smallest["peak_bytes"] < fastest["peak_bytes"]:
        slower = smallest["latency_s"] / fastest["latency_s"] if fastest["latency_s"] else 1.0
        price = f"{slower:.2f} times as long" if slower > NEAR else "about as fast"
        words += f"; {_named(smallest)} needs the least, {format_bytes(smallest['peak_bytes'])}, and is {price}"
    if best is not None and best["latency_s"] < fastest["latency_s"]:
        saved = 1 - best["latency_s"] / fastest["latency_s"]
        words += f". A mix takes {_figures(best)}, {saved:.1%} less time"
    return f"{words}."


def _figures(row: Mapping[str, Any]) -> str:
    return f"{milliseconds(row['latency_s'])} ms at {format_bytes(row['peak_bytes'])}"


def _named(row: Mapping[str, Any]) -> str:
    scheme = row.get("scheme")
    return f"{row['policy']} with {scheme}" if scheme else str(row["policy"])
