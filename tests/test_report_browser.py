"""Pages of `ullage report` in a real Chromium: no error, no request, readable by hovering, and light when moved."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_world import answers, long_timeline

from ullage.report import read, save_timeline, write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("bokeh", reason="bokeh is not installed")

NAMES = ("chromium", "chromium-browser", "google-chrome")
MOST_POINTS = 2 * 2 * (3 * 300 + 10)
"""Two an instant, and as many instants beside what is in view as in it."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium here: `make browser` installs Debian's")
    with sync_api.sync_playwright() as play:
        # Without its sandbox, which does not work for root nor in containers; only our own page is opened.
        browser = play.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


class Seen:
    """A page, and what it complained of or asked for."""

    def __init__(self, browser: Any, path: Path) -> None:
        """Open the page, and wait until all is drawn."""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page = browser.new_page(viewport={"width": 1200, "height": 900})
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)
        self.page.on("request", self._asked)
        self.page.goto(path.as_uri())
        self.page.wait_for_function("globalThis.Bokeh?.documents?.[0]?.is_idle === true", timeout=60_000)

    def _heard(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.requests.append(request.url)

    def point_at(self, chart: int, x: float, y: float) -> str:
        """Give what the tooltip says over a place of a chart, as shares of its width and height."""
        canvas = self.page.locator(".bk-Canvas").nth(chart)
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        self.page.mouse.move(box["x"] + box["width"] * x - 5, box["y"] + box["height"] * y)
        self.page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y, steps=3)
        tip = self.page.locator(".bk-Tooltip:visible").first
        tip.wait_for(timeout=10_000)
        return str(tip.evaluate(TEXT))


def test_every_kind_is_drawn_without_a_complaint_or_a_request(browser: Any, tmp_path: Path) -> None:
    sections = [read(path) for path in answers(tmp_path).values()]
    write_report(sections, tmp_path / "all.html")
    seen = Seen(browser, tmp_path / "all.html")
    charts = sum(type(part).__name__ != "Table" for section in sections for part in section.parts)
    assert seen.page.locator(".bk-Figure").count() == charts
    assert "GB" in seen.point_at(0, 0.3, 0.3)
    assert (seen.complaints, seen.requests) == ([], [])


def test_names_of_hostile_traces_stay_text(browser: Any, tmp_path: Path) -> None:
    evil = ("</script><script>alert(1)</script>", "<img src=x onerror=alert(2)>", "@t{custom}${x}", "$$\\alpha$$")
    save_timeline(long_timeline(500, evil), tmp_path / "evil.npz")
    write_report([read(tmp_path / "evil.npz")], tmp_path / "evil.html", title="<script>alert(3)</script>")
    seen = Seen(browser, tmp_path / "evil.html")
    said = seen.point_at(0, 0.4, 0.5)
    assert "</script><script>alert(1)</script>: " in said
    assert seen.page.evaluate("document.querySelectorAll('img[onerror]').length") == 0
    assert (seen.complaints, seen.requests) == ([], [])


def test_a_hundred_thousand_events_are_thinned_as_the_page_is_moved(browser: Any, tmp_path: Path) -> None:
    timeline = long_timeline(100_000)
    save_timeline(timeline, tmp_path / "long.npz")
    write_report([read(tmp_path / "long.npz")], tmp_path / "long.html")
    seen = Seen(browser, tmp_path / "long.html")
    moved = seen.page.evaluate(MOVE)
    assert [step["points"] <= MOST_POINTS for step in moved] == [True] * len(moved)
    assert moved[0]["highest"] == timeline.peak().booked
    last = moved[-1]
    inside = timeline.series()[1][last["first"] : last["last"] + 1]
    assert last["highest"] == inside.max()
    assert "total" in seen.point_at(0, 0.4, 0.5)
    assert seen.complaints == []


def test_what_is_read_after_a_movement_is_what_was_held_there(browser: Any, tmp_path: Path) -> None:
    timeline = long_timeline(20_000)
    save_timeline(timeline, tmp_path / "long.npz")
    write_report([read(tmp_path / "long.npz")], tmp_path / "long.html")
    seen = Seen(browser, tmp_path / "long.html")
    seen.point_at(0, 0.4, 0.5)
    for _ in range(20):
        seen.page.mouse.wheel(0, -240)
    seen.page.wait_for_function(IS_STILL)
    found = seen.page.evaluate(POINTED)
    times, totals = timeline.series()
    row = int(np.searchsorted((times - times[0]) / 1e9, found["at"], side="right")) - 1
    assert found["span"] < 0.2, "zoomed in"
    assert f"({totals[row]:,})" in str(seen.page.locator(".bk-Tooltip:visible").first.evaluate(TEXT))
    assert seen.complaints == []


TEXT = """(tip) => {
  const words = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data
    if (node.nodeName === "STYLE") return ""
    return [...(node.shadowRoot?.childNodes ?? []), ...node.childNodes].map(words).join(" ")
  }
  return words(tip)
}"""
"""What a tooltip says, which stands in a shadow tree."""

IS_STILL = """() => {
  const figure = Bokeh.documents[0].roots().find((root) => root.x_range && root.renderers.length > 2)
  const span = figure.x_range.end - figure.x_range.start
  const isSame = globalThis.span === span
  globalThis.span = span
  const hover = figure.toolbar.tools.find((tool) => tool.type === "HoverTool")
  return isSame && hover.active && hover.document !== null
}"""

POINTED = """() => {
  const figure = Bokeh.documents[0].roots().find((root) => root.x_range && root.renderers.length > 2)
  const view = Bokeh.index.find_one(figure)
  const [x] = [...view.tool_views.values()].find((tool) => tool.model.type === "HoverTool")._current_sxy
  const {start, end} = figure.x_range
  return {at: view.frame.x_scale.invert(x), span: end - start}
}"""
"""Which time the pointer is at."""

MOVE = """async () => {
  const frame = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
  const figure = Bokeh.documents[0].roots().find((root) => root.x_range && root.renderers.length > 2)
  const view = figure.renderers[0].data_source
  const whole = figure.x_range.end - figure.x_range.start
  const look = () => {
    const {start, end} = figure.x_range, {t, total} = view.data
    const shown = [...total].filter((_, i) => t[i] <= end && (t[i] >= start || t[i + 1] > start))
    return {points: t.length, highest: Math.max(...shown)}
  }
  const found = []
  for (const [from, share] of [[0, 0.9999], [0.2, 0.5], [0.4, 0.1], [0.45, 0.002], [0.45, 0.0001]]) {
    figure.x_range.setv({start: whole * from, end: whole * (from + share)})
    await frame()
    found.push(look())
  }
  let store
  for (const cds of Bokeh.documents[0]._all_models.values()) {
    if (cds.type === "ColumnDataSource" && cds.data.t?.length > 50000) store = cds.data.t
  }
  const at = (time) => { let i = 0; while (i < store.length && store[i] <= time) i++; return i }
  const last = found[found.length - 1]
  last.first = Math.max(at(figure.x_range.start) - 1, 0)
  last.last = Math.min(at(figure.x_range.end), store.length - 1)
  return found
}"""
