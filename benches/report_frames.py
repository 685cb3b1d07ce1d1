"""What moving a page of `ullage report` costs: times between frames while a timeline is zoomed and dragged.

In Chromium, run by hand: `python benches/report_frames.py [EVENTS]`. The page draws at most once
a frame; the browser's own rate is the floor, printed as `still`.
"""

import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from playwright.sync_api import sync_playwright
from report_world import long_timeline

from ullage.report import read, save_timeline, write_report

LISTEN = """() => { globalThis.gaps = []; let before = performance.now(); const next = (now) => {
  gaps.push(now - before); before = now; requestAnimationFrame(next) }; requestAnimationFrame(next) }"""
SECONDS = 3


def main(events: int) -> None:
    """Print the frames of each movement."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        page_path = Path(folder) / "page.html"
        save_timeline(long_timeline(events), Path(folder) / "long.npz")
        write_report([read(Path(folder) / "long.npz")], page_path)
        sys.stdout.write(f"{events:,} events, a page of {page_path.stat().st_size / 1e6:.1f} MB\n")
        browser = play.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(page_path.as_uri())
        page.wait_for_function("globalThis.Bokeh?.documents?.[0]?.is_idle === true")
        box = page.locator(".bk-Canvas").first.bounding_box()
        assert box is not None
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.evaluate(LISTEN)
        page.wait_for_timeout(1000 * SECONDS)
        _say("still", page)
        page.mouse.move(*middle)
        for _ in range(8):
            page.mouse.wheel(0, -240)
            page.wait_for_timeout(60)
        _say("zoomed in", page)
        page.mouse.down()
        for step in range(60 * SECONDS):
            page.mouse.move(middle[0] + 200 * ((step % 40) / 20 - 1), middle[1])
            page.wait_for_timeout(16)
        page.mouse.up()
        _say("dragged", page)
        browser.close()


def _say(what: str, page: Any) -> None:  # noqa: ANN401 - Playwright's
    gaps = sorted(page.evaluate("() => gaps.splice(0)")[2:])
    worst = gaps[int(len(gaps) * 0.95)]
    sys.stdout.write(
        f"{what:>10}: {len(gaps)} frames, median {statistics.median(gaps):.1f} ms, 95 % within {worst:.1f} ms\n"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
